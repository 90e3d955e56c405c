//! `stats`: what containers use, again and again.

use std::collections::HashMap;
use std::time::Duration;

use strata_engine::{ContainerFilter, ContainerSummary, UsageSample, UsageSummary, find_container, list_containers};
use strata_engine::{sample_usage, short_id};
use strata_format::Value;
use strata_format::formatter::{Format, Formatter};
use strata_format::size::{bytes_size, human_size_with_precision};
use strata_format::template::Struct;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::commands::images::FORMAT_HELP;
use crate::context::Context;
use crate::output::{print, stdout_is_terminal};
use crate::report::Outcome;

const TABLE: &str =
    "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";
const HEADERS: [(&str, &str); 9] = [
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("ID", "CONTAINER ID"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "stats",
        "[OPTIONS] [CONTAINER...]",
        "Display a live stream of container(s) resource usage statistics",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Any)
    .on_workers()
    .flag("a/all", FlagKind::Bool, "Show all containers (default shows just running)")
    .flag("format", FlagKind::Text("string"), FORMAT_HELP)
    .flag("no-stream", FlagKind::Bool, "Disable streaming stats and only pull the first result")
    .flag("no-trunc", FlagKind::Bool, "Do not truncate output")
    .examples(&[("stats --no-stream --format json web", "Once, for a script")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let given = flags
        .text("format")
        .or_else(|| context.docker_setting("statsFormat").and_then(|value| value.as_str().map(str::to_owned)));
    let formatter = Formatter::new(&Format::new(given.as_deref().unwrap_or("table"), TABLE, None), HEADERS)?;
    let (is_whole, is_live) = (flags.is_set("no-trunc"), !flags.is_set("no-stream") && stdout_is_terminal());
    let mut before: HashMap<String, UsageSample> = HashMap::new();
    let mut is_first = true;
    if is_live {
        print("\x1b[2J\x1b[H")?;
    }
    loop {
        let (mut rows, mut samples) = (Vec::new(), HashMap::new());
        for container in chosen(context, flags).await? {
            let sample = sample_usage(&context.root()?, &container.id)?;
            let summary = sample.summary(before.get(&container.id));
            rows.push(Value::from(row(&container, &summary, is_whole)));
            samples.insert(container.id, sample);
        }
        before = samples;
        // How busy a processor is takes two looks; only who watches a screen is shown the rest meanwhile.
        if is_live {
            print(&redrawn(&formatter.render(&rows)?))?;
        } else if !is_first {
            print(&formatter.render(&rows)?)?;
        }
        if !is_first && flags.is_set("no-stream") {
            return Ok(());
        }
        is_first = false;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Over what was there before: the rest of each line and of the screen is erased.
fn redrawn(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

/// A container to be shown.
struct Shown {
    id: String,
    name: String,
    /// As it was asked for.
    given: String,
}

/// The containers that were named, or all that run now.
async fn chosen(context: &Context<'_>, flags: &Flags<'_>) -> Outcome<Vec<Shown>> {
    let (store, root) = (context.store()?, context.root()?);
    let mut chosen = Vec::new();
    for given in flags.arguments() {
        let row = find_container(&*store.read().await?, &given).await?;
        chosen.push(Shown { id: row.id, name: row.name, given });
    }
    if flags.arguments().is_empty() {
        let mut found = list_containers(store, &root, &ContainerFilter::default()).await?;
        found.retain(|summary| flags.is_set("all") || ContainerSummary::is_running(summary));
        let shown = found.into_iter().map(|summary| {
            let given = short_id(&summary.row.id).to_owned();
            Shown { id: summary.row.id, name: summary.row.name, given }
        });
        chosen.extend(shown);
    }
    Ok(chosen)
}

fn row(container: &Shown, summary: &UsageSummary, is_whole: bool) -> Struct {
    let id = if is_whole { container.id.clone() } else { short_id(&container.id).to_owned() };
    let transfer = |one: u64, other: u64| {
        format!("{} / {}", human_size_with_precision(one as f64, 3), human_size_with_precision(other as f64, 3))
    };
    let memory = (bytes_size(summary.memory as f64), bytes_size(summary.memory_limit as f64));
    Struct::row("container.statsContext")
        .field("BlockIO", transfer(summary.read, summary.written))
        .field("CPUPerc", summary.cpu_percent.map_or_else(|| "--".to_owned(), |percent| format!("{percent:.2}%")))
        .field("Container", container.given.clone())
        .field("ID", id)
        .field("MemPerc", format!("{:.2}%", summary.memory_percent()))
        .field("MemUsage", format!("{} / {}", memory.0, memory.1))
        .field("Name", container.name.clone())
        .field("NetIO", transfer(summary.received, summary.sent))
        .field("PIDs", summary.processes.to_string())
}
