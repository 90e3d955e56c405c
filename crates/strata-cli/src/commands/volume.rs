//! `volume`: directories that containers mount and that outlive them.

use std::collections::BTreeMap;

use strata_engine::{
    VolumeDocument, VolumeFilter, VolumeInfo, create_volume, list_volumes, prune_volumes, remove_volume,
};
use strata_format::Value;
use strata_format::formatter::{Format, Formatter};
use strata_format::size::human_size;
use strata_format::template::Struct;

use super::images::FORMAT_HELP;
use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, Group};
use crate::context::Context;
use crate::output::{print, print_line};
use crate::report::{Failure, Failures, Outcome};
use crate::{filters, prompt};

const TABLE: &str = "table {{.Driver}}\\t{{.Name}}";
const RAW: &str = "name: {{.Name}}\ndriver: {{.Driver}}\n";
pub(super) const HEADERS: [(&str, &str); 9] = [
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
    ("Availability", "AVAILABILITY"),
];

/// `volume`.
pub(super) fn group() -> Group {
    let create = CommandDefinition::new("create", "[OPTIONS] [VOLUME]", "Create a volume", |context, flags| {
        Box::pin(create(context, flags))
    })
    .arity(Arity::AtMost(1))
    .flag_with_default("d/driver", FlagKind::Text("string"), "local", "Specify volume driver name")
    .flag("label", FlagKind::Texts("list"), "Set metadata for a volume")
    .flag("o/opt", FlagKind::Texts("map"), "Set driver specific options")
    .examples(&[("volume create --label app=web data", "With a name and a label")]);
    let ls = CommandDefinition::new("ls", "[OPTIONS]", "List volumes", |context, flags| Box::pin(ls(context, flags)))
        .named("ls", &["list"])
        .flag("f/filter", FlagKind::Filter, "Provide filter values (e.g. \"dangling=true\")")
        .flag("format", FlagKind::Text("string"), FORMAT_HELP)
        .flag("q/quiet", FlagKind::Bool, "Only display volume names")
        .examples(&[("volume ls --filter dangling=true", "Those that no container mounts")]);
    let rm = CommandDefinition::new("rm", "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", |c, flags| {
        Box::pin(rm(c, flags))
    })
    .named("rm", &["remove"])
    .arity(Arity::AtLeast(1))
    .with_all_ids()
    .flag("f/force", FlagKind::Bool, "Force the removal of one or more volumes")
    .examples(&[("volume rm data", "With all that is in it")]);
    let prune = CommandDefinition::new("prune", "[OPTIONS]", "Remove unused local volumes", |context, flags| {
        Box::pin(prune(context, flags))
    })
    .with_all_ids()
    .flag("a/all", FlagKind::Bool, "Remove all unused volumes, not just anonymous ones")
    .flag("filter", FlagKind::Filter, "Provide filter values (e.g. \"label=<label>\")")
    .flag("f/force", FlagKind::Bool, "Do not prompt for confirmation")
    .examples(&[("volume prune -af", "All that no container mounts")]);
    let children = super::commands([create, super::inspect::volume_definition(), ls, prune, rm]);
    Group { name: "volume", about: "Manage volumes", children }
}

async fn create(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let driver = flags.text("driver").unwrap_or_default();
    let name = flags.arguments().pop();
    if driver != "local" {
        return Err(Failure::daemon(format!(
            "create {}: error looking up volume plugin {driver}: plugin {driver:?} not found",
            name.unwrap_or_default()
        )));
    }
    let map = |flag: &str| -> Option<BTreeMap<String, String>> {
        let split = |text: &String| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        };
        Some(flags.texts(flag).iter().map(split).collect()).filter(|map: &BTreeMap<_, _>| !map.is_empty())
    };
    let document = VolumeDocument { labels: map("label"), options: map("opt") };
    print_line(create_volume(context.store()?, &context.root()?, name.as_deref(), document).await?)
}

async fn ls(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let filter = VolumeFilter::parse(&filters::parse(flags))?;
    let found = list_volumes(context.store()?, &context.root()?, &filter).await?;
    let format = match (flags.text("format").as_deref().unwrap_or("table"), flags.is_set("quiet")) {
        ("table" | "raw", true) => Format::template("{{.Name}}"),
        (text, _) => Format::new(text, TABLE, Some(RAW)),
    };
    let rows: Vec<Value> = found.iter().map(|volume| row(volume, None).into()).collect();
    print(&Formatter::new(&format, HEADERS)?.render(&rows)?)
}

/// A volume as `volume ls` shows it, or with its size as `system df` does.
pub(super) fn row(volume: &VolumeInfo, size: Option<u64>) -> Struct {
    let measured = |text: String| if size.is_some() { text } else { "N/A".to_owned() };
    let labels: Vec<String> =
        volume.document.labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    Struct::row("*formatter.volumeContext")
        .field("Availability", "N/A")
        .field("Driver", "local")
        .field("Group", "N/A")
        .field("Labels", labels.join(","))
        .field("Links", measured(volume.links.to_string()))
        .field("Mountpoint", volume.mountpoint.display().to_string())
        .field("Name", volume.name.as_str())
        .field("Scope", "local")
        .field("Size", measured(human_size(size.unwrap_or(0) as f64)))
        .field("Status", "N/A")
}

async fn rm(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let mut failures = Failures::default();
    for name in flags.arguments() {
        let removed = remove_volume(context.store()?, &context.root()?, &name, flags.is_set("force")).await;
        if failures.note(removed.map_err(Failure::from)).is_some() {
            print_line(name)?;
        }
    }
    failures.outcome()
}

async fn prune(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let all = flags.is_set("all");
    let what = if all { "local volumes" } else { "anonymous local volumes" };
    let question = format!(
        "WARNING! This will remove {what} not used by at least one container.\nAre you sure you want to continue?"
    );
    if !flags.is_set("force") && !prompt::confirm(&question)? {
        return Ok(());
    }
    let mut filters = super::prune::with_configured(context, filters::parse(flags));
    if all {
        filters.push(("all".to_owned(), "1".to_owned()));
    }
    let (text, freed) = prune_unused(context, &filters).await?;
    print(&format!("{text}Total reclaimed space: {}\n", human_size(freed as f64)))
}

/// Removes what no container uses; what is to be told, and the bytes freed.
pub(super) async fn prune_unused(context: &Context<'_>, filters: &[(String, String)]) -> Outcome<(String, u64)> {
    let pruned = prune_volumes(context.store()?, &context.root()?, filters).await?;
    let text = match pruned.names.is_empty() {
        true => String::new(),
        false => format!("Deleted Volumes:\n{}\n\n", pruned.names.join("\n")),
    };
    Ok((text, pruned.freed))
}
