//! `bench/RESULTS.md` and its chart, from all rows measured so far (`bench/results.json`).

use super::chart;
use super::measure::Series;
use super::rows::{Row, Target};
use crate::{process, workspace};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// Puts the row just measured in the place of its earlier measurement, keeps all others, and writes results, report and
/// chart.
pub fn write(measured: Row) -> Result<()> {
    let folder = workspace::root().join("bench");
    let path = folder.join("results.json");
    let earlier = fs::read_to_string(&path).unwrap_or_default();
    let mut rows: Vec<(Row, String)> = stored(&earlier);
    let when = run_description();
    rows.retain(|(known, _)| known.id != measured.id);
    rows.push((measured, when));
    rows.sort_by_key(|(row, _)| order(&row.id));
    let values: Vec<Value> = rows.iter().map(|(row, when)| json!({"row": row.to_json(), "run": when})).collect();
    fs::write(&path, serde_json::to_string_pretty(&values)? + "\n")
        .with_context(|| format!("writing {}", path.display()))?;
    let rows: Vec<(&Row, &str)> = rows.iter().map(|(row, when)| (row, when.as_str())).collect();
    fs::write(folder.join("RESULTS.md"), markdown(&rows))?;
    fs::write(folder.join("pull.svg"), chart::pulls(&rows.iter().map(|(row, _)| *row).collect::<Vec<_>>()))?;
    Ok(())
}

fn stored(text: &str) -> Vec<(Row, String)> {
    let values: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let entry = |value: &Value| Some((Row::from_json(&value["row"])?, value["run"].as_str()?.to_owned()));
    values.iter().filter_map(entry).collect()
}

/// The plan's order, unplanned rows last.
fn order(id: &str) -> (usize, String) {
    let plan = super::rows::plan(false);
    (plan.iter().position(|(planned, _)| planned == id).unwrap_or(plan.len()), id.into())
}

fn markdown(rows: &[(&Row, &str)]) -> String {
    let mut text = String::from("# Measurements\n\nWritten by `cargo xtask bench`; do not edit.\n\n");
    text += &machine();
    text += "\nEach row: one warm-up, then the runs in turn for all tools; median (fastest to slowest), CPU of client and \
             daemon, peak resident memory of client and daemon. *Floor*: CPU of inflating and hashing over two cores, plus \
             writing and syncing the bytes that the store then occupies, with the same libraries. Stores are empty \
             before a pull; page caches are warm for all.\n\n![pull](pull.svg)\n\n## Targets\n\n";
    text += "| row | target | measured | |\n| --- | --- | --- | --- |\n";
    for (row, _) in rows {
        for verdict in row.targets().iter().filter_map(|target| verdict(row, *target)).chain(memory(row)) {
            let mark = if verdict.met { "met" } else { "**not met**" };
            let _ = writeln!(text, "| {} | {} | {} | {mark} |", row.id, verdict.target, verdict.measured);
        }
    }
    for (row, when) in rows {
        let _ = write!(text, "\n## {}\n\n", row.id);
        text += &table(row);
        for note in &row.notes {
            let _ = writeln!(text, "\n{note}.");
        }
        let _ = writeln!(text, "\n<sub>{when}</sub>");
    }
    text
}

fn table(row: &Row) -> String {
    let mut text = String::from("| tool | median | fastest–slowest | CPU | peak memory | × strata |\n");
    text += "| --- | --: | --: | --: | --: | --: |\n";
    let own = row.find("strata").and_then(Series::median);
    for series in &row.series {
        let (Some(median), Some(cpu)) = (series.median(), series.median_cpu()) else {
            let reason = series.failure.as_deref().unwrap_or("not run").replace('|', "/").replace('\n', " ");
            let _ = writeln!(text, "| {} | failed: {} | | | | |", series.tool, shortened(&reason));
            continue;
        };
        let ratio = own.map_or(String::new(), |own| format!("{:.2}", median / own));
        let memory = match series.peak_kib() {
            0 => String::new(),
            kib => format!("{:.0} MiB", kib as f64 / 1024.0),
        };
        let cpu = if cpu > 0.0 { seconds(cpu) } else { String::new() };
        let spread = format!("{}–{}", seconds(series.fastest()), seconds(series.slowest()));
        let _ = writeln!(text, "| {} | {} | {spread} | {cpu} | {memory} | {ratio} |", series.tool, seconds(median));
    }
    text
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 160 { text.into() } else { text.chars().take(159).chain(['…']).collect() }
}

struct Verdict {
    target: String,
    measured: String,
    met: bool,
}

/// How the row stands, when what it is compared to was measured too.
fn verdict(row: &Row, target: Target) -> Option<Verdict> {
    let own = row.find("strata")?.median()?;
    let relaxed = row.find("strata --no-sync").and_then(Series::median);
    let ratio = |other: f64, name: &str, limit: f64| Verdict {
        target: format!("≤ {limit}× {name}"),
        measured: match relaxed {
            Some(relaxed) => format!("{:.2}× ({:.2}× without sync)", own / other, relaxed / other),
            None => format!("{:.2}×", own / other),
        },
        met: own <= limit * other,
    };
    let milliseconds = |value: f64, limit: f64, what: &str| Verdict {
        target: format!("≤ {limit} ms{what}"),
        measured: format!("{:.1} ms", value * 1000.0),
        met: value * 1000.0 <= limit,
    };
    Some(match target {
        Target::OfFastestPeer(limit) => {
            let (fastest, name) = fastest(row, &["docker", "podman", "containerd"])?;
            ratio(fastest, name, limit)
        }
        Target::OfDocker(limit) => {
            let (fastest, name) = fastest(row, &["docker"])?;
            ratio(fastest, name, limit)
        }
        Target::OfCopy(limit) => ratio(row.find("cp")?.median()?, "cp of the archive", limit),
        Target::OfFloor(limit) => ratio(row.find("floor")?.median()?, "floor", limit),
        Target::OfDockerRegistry(limit) => ratio(row.find("docker-registry")?.median()?, "docker-registry", limit),
        Target::OfDockerRegistryCpu(limit) => {
            let ratio = row.find("strata")?.median_cpu()? / row.find("docker-registry")?.median_cpu()?;
            let target = format!("≤ {limit}× docker-registry's CPU");
            Verdict { target, measured: format!("{ratio:.2}×"), met: ratio <= limit }
        }
        Target::Milliseconds(limit) => milliseconds(own, limit, ""),
        Target::BeyondRegistry(limit) => {
            let answer = row.find("registry's answer")?.median()?;
            milliseconds(own - answer, limit, " beyond the registry's answer")
        }
        Target::BeyondRunc(limit) => {
            let bare = row.find("runc")?.median()?;
            milliseconds(own - bare, limit, " beyond runc run")
        }
    })
}

/// The fastest of these tools, of whatever version.
fn fastest<'a>(row: &'a Row, tools: &[&str]) -> Option<(f64, &'a str)> {
    let peers = row.series.iter().filter(|series| tools.iter().any(|tool| series.tool.starts_with(tool)));
    let timed = peers.filter_map(|series| Some((series.median()?, series.tool.as_str())));
    timed.min_by(|a, b| a.0.total_cmp(&b.0))
}

fn memory(row: &Row) -> Option<Verdict> {
    let limit = row.memory_limit();
    let peak = row.find("strata").filter(|series| series.median().is_some())?.peak_kib() as f64 / 1024.0;
    let target = format!("≤ {limit} MiB peak");
    Some(Verdict { target, measured: format!("{peak:.1} MiB"), met: peak <= limit })
}

fn seconds(value: f64) -> String {
    if value < 0.1 { format!("{:.1} ms", value * 1000.0) } else { format!("{value:.2} s") }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let memory: f64 = memory.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0.0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let filesystem = process::capture(Command::new("stat").args(["-f", "-c", "%T"]).arg(crate::corpus::folder()));
    format!(
        "Machine: {} ({cores} cores), {:.0} GiB memory, Linux {}, stores on {}.\n",
        model.trim_start_matches(['\t', ' ', ':']),
        memory / 1024.0 / 1024.0,
        kernel.trim(),
        filesystem.unwrap_or_default().trim(),
    )
}

fn run_description() -> String {
    let commit =
        process::capture(Command::new("git").current_dir(workspace::root()).args(["rev-parse", "--short", "HEAD"]));
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    format!("measured {date} at {}", commit.unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Sample;
    use super::*;

    fn row(id: &str, walls: &[(&str, f64)]) -> Row {
        let series = walls.iter().map(|&(tool, wall)| {
            let mut series = Series::new(tool);
            series.samples.push(Sample { wall, cpu: wall, peak_kib: 10 * 1024 });
            series
        });
        Row { id: id.into(), series: series.collect(), notes: Vec::new() }
    }

    #[test]
    fn verdicts_compare_with_the_right_series() {
        let pull = row(
            "pull/nginx:1.22",
            &[("strata", 1.0), ("strata --no-sync", 0.5), ("docker 20.10", 10.0), ("podman 4.3", 4.0), ("floor", 0.9)],
        );
        let peer = verdict(&pull, Target::OfFastestPeer(0.2)).expect("peers ran");
        assert_eq!((peer.measured.as_str(), peer.met), ("0.25× (0.12× without sync)", false));
        assert_eq!(peer.target, "≤ 0.2× podman 4.3");
        assert!(verdict(&pull, Target::OfFloor(1.3)).expect("floor ran").met);
        assert!(verdict(&row("load/x", &[("strata", 1.0)]), Target::OfDocker(0.2)).is_none());
        let repull = row("repull/x", &[("strata", 0.02), ("registry's answer", 0.015)]);
        assert_eq!(verdict(&repull, Target::BeyondRegistry(30.0)).expect("answered").measured, "5.0 ms");
        let text = markdown(&[(&pull, "measured now")]);
        assert!(text.contains("| pull/nginx:1.22 | ≤ 1.3× floor | 1.11× (0.56× without sync) | met |"), "{text}");
    }
}
