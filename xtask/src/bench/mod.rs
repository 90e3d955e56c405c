//! `bench`: Strata beside Docker Engine, podman, containerd and skopeo with umoci, on the corpus, in the same run.
//!
//! Needs root, Debian and the corpus (`cargo xtask corpus`). Daemons listen on Unix sockets in the bench folder and
//! stop at the end. Rows are chosen by prefix: `bench --peers pull/nginx rmi`.

mod chart;
mod debian13;
pub mod floor;
mod hub;
mod measure;
mod peers;
mod report;
mod rows;

use crate::workspace::{Workspace, cargo};
use crate::{corpus, packages, process};
use anyhow::{Context as _, Result, bail};
use debian13::Debian13;
use peers::{Containerd, Docker, Host, Podman, Registry, SkopeoUmoci, Strata, Tool};
use rows::Field;
use std::path::{Path, PathBuf};

struct Options {
    peers: bool,
    /// The peers as Debian 13 has them, too.
    peers13: bool,
    small: bool,
    runs: usize,
    /// A binary to measure instead of the one built here.
    strata: Option<PathBuf>,
    rows: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let strata = options.strata.clone().map_or_else(|| build("strata"), Ok)?;
    let floor = build("xtask")?;
    let missing = packages::ensure(packages::FOR_BENCH);
    let folder = corpus::folder();
    let _registry = Registry::start(&folder, corpus::REGISTRY)?;
    let stores = folder.join("bench");
    rows::prepare(&stores)?;
    let mut peers = if options.peers { start_peers(&stores, &missing) } else { Vec::new() };
    let debian13 = options.peers13.then(|| Debian13::start(&folder)).transpose()?;
    if let Some(debian13) = &debian13 {
        peers.extend(start_peers_of_debian13(&stores, debian13)?);
    }
    let field = Field {
        runs: options.runs,
        strata: Strata::new(strata.clone(), &stores, true),
        strata_no_sync: Strata::new(strata, &stores, false),
        peers,
        folder,
        floor,
        stores,
    };
    let wanted =
        |id: &str| options.rows.is_empty() || options.rows.iter().any(|prefix| id.starts_with(prefix.as_str()));
    let mut plan = rows::plan(options.small);
    plan.retain(|(id, _)| wanted(id));
    plan.extend(unplanned(&options.rows, &plan));
    if plan.is_empty() {
        bail!("no row begins with {}", options.rows.join(" or "));
    }
    for (id, name) in plan {
        println!("{id}");
        let row = field.measure(&id, &name).with_context(|| format!("measuring {id}"))?;
        for series in &row.series {
            if let Some(median) = series.median() {
                println!(
                    "  {:<20} {:>9.1} ms  {:>6.1} MiB",
                    series.tool,
                    median * 1e3,
                    series.peak_kib() as f64 / 1024.0
                );
            }
        }
        report::write(row)?; // at once, so that an interrupted run keeps what it has measured
    }
    println!("wrote bench/RESULTS.md, bench/pull.svg, bench/results.json");
    drop(field); // daemons end before the tree that they run in
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { peers: false, peers13: false, small: false, runs: 5, strata: None, rows: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--peers" => options.peers = true,
            "--peers13" => options.peers13 = true,
            "--small" => options.small = true,
            "--runs" => {
                let runs = arguments.next().context("--runs wants a number")?;
                options.runs = runs.parse().ok().filter(|&runs| runs > 0).context("--runs wants a positive number")?;
            }
            "--strata" => options.strata = Some(arguments.next().context("--strata wants a path")?.into()),
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            row => options.rows.push(row.to_owned()),
        }
    }
    Ok(options)
}

/// Rows named in full, such as `pull/xlarge:1`, that are too long to be in the plan.
fn unplanned(named: &[String], plan: &[(String, String)]) -> Vec<(String, String)> {
    let rows = named.iter().filter_map(|id| Some((id.clone(), id.split_once('/')?.1.to_owned())));
    let complete = rows.filter(|(_, image)| image.contains(':'));
    complete.filter(|(id, _)| !plan.iter().any(|(planned, _)| planned == id)).collect()
}

/// Builds a package's program in the release profile.
fn build(package: &str) -> Result<PathBuf> {
    process::run(cargo().args(["build", "--release", "--locked", "--package", package]))?;
    Ok(Workspace::load()?.target_directory.join("release").join(package))
}

fn start_peers(stores: &Path, missing: &[&str]) -> Vec<Box<dyn Tool>> {
    let mut peers: Vec<Box<dyn Tool>> = Vec::new();
    let mut add = |name: &str, package: &str, tool: &dyn Fn() -> Result<Box<dyn Tool>>| {
        if missing.contains(&package) {
            return println!("without {name}: not installed");
        }
        match tool() {
            Ok(tool) => {
                println!("with {}", tool.name());
                peers.push(tool);
            }
            Err(error) => println!("without {name}: {error:#}"),
        }
    };
    let host = Host::default();
    add("docker", "docker.io", &|| Ok(Box::new(Docker::start(&host, stores, corpus::REGISTRY)?)));
    add("podman", "podman", &|| Ok(Box::new(Podman::new(&host, stores)?)));
    add("containerd", "containerd", &|| Ok(Box::new(Containerd::start(&host, stores)?)));
    add("skopeo and umoci", "umoci", &|| Ok(Box::new(SkopeoUmoci::new(stores))));
    peers
}

fn start_peers_of_debian13(stores: &Path, debian13: &Debian13) -> Result<Vec<Box<dyn Tool>>> {
    let (host, stores) = (debian13.host(), stores.join("debian13"));
    rows::prepare(&stores)?;
    let peers: Vec<Box<dyn Tool>> = vec![
        Box::new(Docker::start(&host, &stores, corpus::REGISTRY)?),
        Box::new(Podman::new(&host, &stores)?),
        Box::new(Containerd::start(&host, &stores)?),
    ];
    peers.iter().for_each(|tool| println!("with {}", tool.name()));
    Ok(peers)
}
