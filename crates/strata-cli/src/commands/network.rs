//! `network`: what containers reach each other by.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use strata_engine::{
    ConnectRequest, CreateNetwork, NetworkFilter, NetworkInfo, connect_network, create_network, disconnect_network,
    list_networks, prune_networks, remove_network,
};
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;
use strata_format::{Value, timestamp};

use super::prune::with_configured;
use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, Group};
use crate::context::Context;
use crate::output::{complain, print, print_line};
use crate::report::{Failure, Failures, Outcome};
use crate::{filters, prompt};

const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";
const RAW: &str = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";
const HEADERS: [(&str, &str); 8] = [
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

pub(super) fn group() -> Group {
    let children = super::commands([
        connect_definition(),
        create_definition(),
        disconnect_definition(),
        super::inspect::network_definition(),
        list_definition(),
        prune_definition(),
        remove_definition(),
    ]);
    Group { name: "network", about: "Manage networks", children }
}

fn create_definition() -> CommandDefinition {
    CommandDefinition::new("create", "[OPTIONS] NETWORK", "Create a network", |context, flags| {
        Box::pin(create(context, flags))
    })
    .arity(Arity::Exactly(1))
    .flag_with_default("d/driver", FlagKind::Text("string"), "bridge", "Driver to manage the Network")
    .flag("gateway", FlagKind::Text("string"), "IPv4 gateway for the subnet")
    .flag("internal", FlagKind::Bool, "Restrict external access to the network")
    .flag("ip-range", FlagKind::Text("string"), "Allocate container ip from a sub-range")
    .flag("label", FlagKind::Texts("list"), "Set metadata on a network")
    .flag("o/opt", FlagKind::Texts("map"), "Set driver specific options")
    .flag("subnet", FlagKind::Text("string"), "Subnet in CIDR format that represents a network segment")
    .flag("aux-address", FlagKind::Texts("map"), "Auxiliary IPv4 or IPv6 addresses used by Network driver")
    .ignored_flag("attachable", FlagKind::Bool)
    .examples(&[
        ("network create backend", "Addresses that overlap nothing on this machine"),
        ("network create --subnet 10.9.0.0/24 --internal closed", "Nothing leaves it"),
    ])
}

async fn create(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let pairs = |name: &str| -> BTreeMap<String, String> {
        let texts = flags.texts(name).into_iter();
        texts
            .map(|text| match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                None => (text, String::new()),
            })
            .collect()
    };
    let request = CreateNetwork {
        name: flags.argument(0),
        driver: flags.text("driver").unwrap_or_default(),
        subnet: flags.text("subnet"),
        range: flags.text("ip-range"),
        gateway: flags.text("gateway"),
        auxiliary: pairs("aux-address"),
        internal: flags.is_set("internal"),
        options: pairs("opt"),
        labels: pairs("label"),
    };
    print_line(create_network(context.store()?, request).await?)
}

fn list_definition() -> CommandDefinition {
    CommandDefinition::new("ls", "[OPTIONS]", "List networks", |context, flags| Box::pin(list(context, flags)))
        .named("ls", &["list"])
        .flag("f/filter", FlagKind::Filter, "Provide filter values (e.g. \"driver=bridge\")")
        .flag("format", FlagKind::Text("string"), super::images::FORMAT_HELP)
        .flag("no-trunc", FlagKind::Bool, "Do not truncate the output")
        .flag("q/quiet", FlagKind::Bool, "Only display network IDs")
        .examples(&[("network ls -f type=custom", "What was made with network create")])
}

async fn list(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let filter = NetworkFilter::parse(&filters::parse(flags))?;
    let found = list_networks(context.store()?, &filter).await?;
    let is_whole = flags.is_set("no-trunc");
    let rows: Vec<Value> = found.iter().map(|network| row(network, is_whole)).collect();
    let format = match (flags.text("format").as_deref().unwrap_or("table"), flags.is_set("quiet")) {
        ("table", true) => Format::template("{{.ID}}"),
        ("raw", true) => Format::template("network_id: {{.ID}}"),
        (text, _) => Format::new(text, TABLE, Some(RAW)),
    };
    print(&Formatter::new(&format, HEADERS)?.render(&rows)?)
}

fn row(network: &NetworkInfo, is_whole: bool) -> Value {
    let id = if is_whole { network.id.as_str() } else { strata_engine::short_id(&network.id) };
    let labels = network.document.iter().flat_map(|document| &document.labels);
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let created = Timestamp::from_nanosecond(i128::from(network.created)).unwrap_or_default();
    let is_internal = network.document.as_ref().is_some_and(|document| document.internal);
    Struct::row("*network.networkContext")
        .field("ID", id)
        .field("Name", network.name.as_str())
        .field("Driver", network.driver)
        .field("Scope", "local")
        .field("IPv4", "true")
        .field("IPv6", "false")
        .field("Internal", is_internal.to_string())
        .field("Labels", labels.join(","))
        .field("CreatedAt", timestamp::to_go_string(created, &TimeZone::system()))
        .into()
}

fn connect_definition() -> CommandDefinition {
    CommandDefinition::new(
        "connect",
        "[OPTIONS] NETWORK CONTAINER",
        "Connect a container to a network",
        |context, flags| Box::pin(connect(context, flags)),
    )
    .arity(Arity::Exactly(2))
    .flag("alias", FlagKind::Texts("strings"), "Add network-scoped alias for the container")
    .flag("ip", FlagKind::Text("string"), "IPv4 address (e.g., \"172.30.100.104\")")
    .flag("link", FlagKind::Texts("list"), "Add link to another container")
    .examples(&[("network connect --alias db backend postgres", "One more name there")])
}

async fn connect(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let address = flags.text("ip");
    if let Some(text) = address.as_ref().filter(|text| text.parse::<Ipv4Addr>().is_err()) {
        return Err(Failure::bare(format!("invalid IP address: {text}")));
    }
    let mut settings = json!({ "Aliases": flags.texts("alias"), "Links": flags.texts("link") });
    if let Some(address) = address {
        settings["IPAMConfig"] = json!({ "IPv4Address": address });
    }
    let request = ConnectRequest { network: flags.argument(0), container: flags.argument(1), settings };
    for warning in connect_network(context.store()?, &context.root()?, &request).await? {
        complain(&format!("WARNING: {warning}"));
    }
    Ok(())
}

fn disconnect_definition() -> CommandDefinition {
    CommandDefinition::new(
        "disconnect",
        "[OPTIONS] NETWORK CONTAINER",
        "Disconnect a container from a network",
        |context, flags| Box::pin(disconnect(context, flags)),
    )
    .arity(Arity::Exactly(2))
    .ignored_flag("f/force", FlagKind::Bool)
}

async fn disconnect(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (network, container) = (flags.argument(0), flags.argument(1));
    Ok(disconnect_network(context.store()?, &context.root()?, &network, &container).await?)
}

fn remove_definition() -> CommandDefinition {
    CommandDefinition::new("rm", "NETWORK [NETWORK...]", "Remove one or more networks", |context, flags| {
        Box::pin(remove(context, flags))
    })
    .named("rm", &["remove"])
    .arity(Arity::AtLeast(1))
    .flag("f/force", FlagKind::Bool, "Do not error if the network does not exist")
}

async fn remove(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let mut failures = Failures::default();
    for text in flags.arguments() {
        let removed = remove_network(context.store()?, &context.root()?, &text).await;
        if matches!(&removed, Err(strata_engine::EngineError::NotFound { .. })) && flags.is_set("force") {
            continue;
        }
        if failures.note(removed.map_err(Failure::from)).is_some() {
            print_line(&text)?;
        }
    }
    failures.outcome()
}

fn prune_definition() -> CommandDefinition {
    CommandDefinition::new("prune", "[OPTIONS]", "Remove all unused networks", |context, flags| {
        Box::pin(prune(context, flags))
    })
    .flag("filter", FlagKind::Filter, "Provide filter values (e.g. \"until=<timestamp>\")")
    .flag("f/force", FlagKind::Bool, "Do not prompt for confirmation")
}

async fn prune(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
        Are you sure you want to continue?";
    if !flags.is_set("force") && !prompt::confirm(WARNING)? {
        return Ok(());
    }
    let filters = with_configured(context, filters::parse(flags));
    let removed = prune_networks(context.store()?, &context.root()?, &filters).await?;
    print(&rendered(&removed))
}

/// What was removed, in docker's layout; nothing for nothing.
pub(super) fn rendered(removed: &[String]) -> String {
    match removed {
        [] => String::new(),
        names => format!("Deleted Networks:\n{}\n\n", names.join("\n")),
    }
}
