//! `ps`: the containers.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::{
    BoundPort, ContainerFilter, ContainerSize, ContainerSummary, container_status, list_containers, short_id,
};
use strata_format::ellipsis::ellipsis;
use strata_format::formatter::{Format, Formatter};
use strata_format::size::human_size_with_precision;
use strata_format::template::Struct;
use strata_format::{Value, duration, timestamp};

use super::port::{container_port, host_port};
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::commands::images::FORMAT_HELP;
use crate::context::Context;
use crate::filters;
use crate::output::{complain, print};
use crate::report::Outcome;

const TABLE: &str =
    "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";
const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n\
    state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\n\
    ports: {{- pad .Ports 1 0}}\n";
pub(in crate::commands) const HEADERS: [(&str, &str); 16] = [
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("HealthStatus", "HEALTH"),
];
/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;
/// Columns of a command, of a mount.
const COMMAND_WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("ps", "[OPTIONS]", "List containers", |context, flags| Box::pin(run(context, flags)))
        .flag("a/all", FlagKind::Bool, "Show all containers (default shows just running)")
        .flag("f/filter", FlagKind::Filter, "Filter output based on conditions provided")
        .flag("format", FlagKind::Text("string"), FORMAT_HELP)
        .flag_with_default("n/last", FlagKind::Number, "-1", "Show n last created containers (includes all states)")
        .flag("l/latest", FlagKind::Bool, "Show the latest created container (includes all states)")
        .flag("no-trunc", FlagKind::Bool, "Don't truncate output")
        .flag("q/quiet", FlagKind::Bool, "Only display container IDs")
        .flag("s/size", FlagKind::Bool, "Display total file sizes")
        .examples(&[
            ("ps -a --filter status=exited", "Those that ended"),
            ("ps -q --filter label=job", "IDs of those with a label"),
        ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (store, root) = (context.store()?, context.root()?);
    let filter = ContainerFilter::parse(filters::parse(flags))?;
    let last = match flags.is_set("latest") {
        true => Some(1),
        false => flags.number("last").and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0),
    };
    let mut found = list_containers(store, &root, &filter).await?;
    if !flags.is_set("all") && last.is_none() && !filter.asks_for_all() {
        found.retain(ContainerSummary::is_running);
    }
    found.truncate(last.unwrap_or(usize::MAX));
    let is_whole = flags.is_set("no-trunc");
    let given = flags.text("format").or_else(|| match flags.is_set("quiet") {
        true => None,
        false => context.docker_setting("psFormat").and_then(|value| value.as_str().map(str::to_owned)),
    });
    let format = match (given.as_deref().unwrap_or("table"), flags.is_set("quiet")) {
        ("table", true) => Format::template("{{.ID}}"),
        ("raw", true) => Format::template("container_id: {{.ID}}"),
        (_, true) => {
            complain("WARNING: Ignoring custom format, because both --format and --quiet are set.");
            Format::template("{{.ID}}")
        }
        (text, _) => Format::new(text, TABLE, Some(RAW)),
    };
    let with_size = flags.is_set("size") || format.contains("{{.Size}}");
    let format = match flags.is_set("size") && format.is_table() && !format.contains("{{.Size}}") {
        true => format.with_suffix("\\t{{.Size}}"),
        false => format,
    };
    let mut rows = Vec::with_capacity(found.len());
    for summary in &found {
        let size = if with_size { Some(summary.size(store, &root).await?) } else { None };
        rows.push(Value::from(row(summary, size, is_whole, store.now())));
    }
    print(&Formatter::new(&format, HEADERS)?.render(&rows)?)
}

/// A container as `ps` and `system df` show it.
pub(in crate::commands) fn row(
    summary: &ContainerSummary,
    size: Option<ContainerSize>,
    is_whole: bool,
    now: i64,
) -> Struct {
    let (record, document) = (&summary.row, &summary.document);
    let command = document.command();
    let command = if is_whole { command } else { ellipsis(&command, COMMAND_WIDTH) };
    // Docker knows it in whole seconds.
    let second = record.created.div_euclid(SECOND);
    let created = timestamp::to_go_string(Timestamp::from_second(second).unwrap_or_default(), &TimeZone::system());
    let labels: Vec<String> =
        document.config.labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let mounts: Vec<String> = document
        .mounts
        .iter()
        .map(|point| if point.name.is_empty() { &point.source } else { &point.name })
        .map(|name| if is_whole { name.clone() } else { ellipsis(name, MOUNT_WIDTH) })
        .collect();
    let volumes = document.mounts.iter().filter(|point| point.kind == "volume").count();
    let mode = &document.host_config.network_mode;
    let others = document.networks.keys().filter(|name| *name != mode);
    let networks: Vec<&str> = std::iter::once(mode).chain(others).map(String::as_str).collect();
    Struct::row("*formatter.ContainerContext")
        .field("Command", format!("\"{}\"", command.replace('\\', "\\\\").replace('"', "\\\"")))
        .field("CreatedAt", created)
        .field("HealthStatus", if summary.health() == "none" { "" } else { summary.health() })
        .field("ID", if is_whole { record.id.clone() } else { short_id(&record.id).to_owned() })
        .field("Image", summary.image.as_str())
        .field("Labels", labels.join(","))
        .field("LocalVolumes", volumes.to_string())
        .field("Mounts", mounts.join(","))
        .field("Names", record.name.as_str())
        .field("Networks", networks.join(","))
        .field("Platform", Value::Nil)
        .field("Ports", ports(summary))
        .field("RunningFor", format!("{} ago", duration::human(now - second * SECOND)))
        .field("Size", size.map(shown_size).unwrap_or_else(|| "0B".to_owned()))
        .field("State", summary.status())
        .field("Status", container_status(summary, now))
}

/// `2B (virtual 8.32MB)`.
fn shown_size(size: ContainerSize) -> String {
    let shown = |bytes: u64| human_size_with_precision(bytes as f64, 3);
    match size.total {
        0 => shown(size.writable),
        total => format!("{} (virtual {})", shown(size.writable), shown(total)),
    }
}

/// What leads to a container that runs, and what it exposes without that.
fn ports(summary: &ContainerSummary) -> String {
    if !summary.is_running() || summary.document.host_config.network_mode == "host" {
        return String::new();
    }
    let bound = summary.ports.iter().map(|port| (port.container_port, bound_port(port)));
    let is_bound = |exposed: &str| summary.ports.iter().any(|port| container_port(port) == exposed);
    let exposed = summary.document.config.exposed_ports.iter().flatten().map(|(port, _)| port);
    let exposed = exposed.filter(|port| !is_bound(port)).map(|port| {
        let number = port.split('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        (number, port.clone())
    });
    let mut all: Vec<(u16, String)> = bound.chain(exposed).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

fn bound_port(port: &BoundPort) -> String {
    format!("{}->{}", host_port(port), container_port(port))
}
