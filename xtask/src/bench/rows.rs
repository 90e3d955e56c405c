//! What is measured: one function for each kind of row.

use super::measure::{Daemon, Entry, Sample, Series, occupied, race, sample};
use super::peers::{Strata, Task, Tool};
use super::{floor, hub};
use crate::corpus;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What the issue asks of a row, or what it is compared to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most this many times the fastest peer.
    OfFastestPeer(f64),
    /// At most this many times Docker Engine.
    OfDocker(f64),
    /// At most this many times `cp` of what is written.
    OfCopy(f64),
    /// At most this many times the floor.
    OfFloor(f64),
    /// At most this many times docker-registry.
    OfDockerRegistry(f64),
    /// At most this many times docker-registry's CPU.
    OfDockerRegistryCpu(f64),
    /// At most this many milliseconds.
    Milliseconds(f64),
    /// At most this many milliseconds more than the registry's answer.
    BeyondRegistry(f64),
    /// At most this many milliseconds more than runc takes for a bundle that is ready.
    BeyondRunc(f64),
}

/// One row of the results.
pub struct Row {
    pub id: String,
    pub series: Vec<Series>,
    pub notes: Vec<String>,
}

impl Row {
    /// What is asked of rows of this kind; a row's kind is the first part of its id.
    pub fn targets(&self) -> &'static [Target] {
        match self.kind() {
            "hub" => match self.id.as_str() {
                "hub/push" => &[Target::OfDockerRegistry(0.7)],
                "hub/blob" => &[Target::OfDockerRegistry(0.83), Target::OfDockerRegistryCpu(0.7)],
                _ => &[Target::OfDockerRegistry(0.2)],
            },
            "pull" => &[Target::OfFastestPeer(0.2), Target::OfFloor(1.3)],
            "repull" => &[Target::BeyondRegistry(30.0)],
            "images-1000" => &[Target::Milliseconds(10.0)],
            "inspect" | "history" => &[Target::Milliseconds(5.0)],
            "load" => &[Target::OfDocker(0.2)],
            "save" => &[Target::OfDocker(0.15), Target::OfCopy(1.5)],
            "rmi" => &[Target::Milliseconds(20.0)],
            "run" => &[Target::BeyondRunc(15.0), Target::OfFastestPeer(0.25)],
            "run-100" => &[Target::OfFastestPeer(0.25)],
            _ => &[],
        }
    }

    fn kind(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Memory in MiB that no command may exceed, whatever the image, nor the registry whatever goes through it.
    pub fn memory_limit(&self) -> f64 {
        if self.kind() == "hub" { 100.0 } else { 64.0 }
    }

    pub fn find(&self, tool: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.tool.starts_with(tool))
    }

    pub fn to_json(&self) -> Value {
        json!({"id": self.id, "series": self.series.iter().map(Series::to_json).collect::<Vec<_>>(), "notes": self.notes})
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            id: value["id"].as_str()?.into(),
            series: value["series"].as_array()?.iter().filter_map(Series::from_json).collect(),
            notes: value["notes"].as_array()?.iter().filter_map(|note| note.as_str().map(str::to_owned)).collect(),
        })
    }
}

/// Where everything lies and what takes part.
pub struct Field {
    /// The corpus and its registry.
    pub folder: PathBuf,
    /// This program in the release profile, as the product is measured.
    pub floor: PathBuf,
    /// The stores of everything that is measured.
    pub stores: PathBuf,
    pub runs: usize,
    pub strata: Strata,
    pub strata_no_sync: Strata,
    pub peers: Vec<Box<dyn Tool>>,
}

/// Kinds of rows with the images each is measured on. Small runs keep to the small corpus.
pub fn plan(small: bool) -> Vec<(String, String)> {
    let several = |name: &&str| ["nginx:1.22", "manyfiles:1", "large:1"].contains(name);
    let names = || corpus::IMAGES.iter().filter(move |(_, in_small)| *in_small || !small).map(|(name, _)| *name);
    let mut rows: Vec<(String, String)> = Vec::new();
    rows.extend(names().filter(|name| *name != "xlarge:1").map(|name| (format!("pull/{name}"), name.to_owned())));
    for name in ["nginx:1.22-zstd", "python:3.11-zstd", "manyfiles:1-zstd"].iter().filter(|_| !small) {
        rows.push((format!("pull/{name}"), (*name).to_owned()));
    }
    for kind in ["repull", "images-1000", "inspect", "history", "df"] {
        rows.push((format!("{kind}/nginx:1.22"), "nginx:1.22".to_owned()));
    }
    for kind in ["mount", "load", "save", "rmi"] {
        rows.extend(names().filter(several).map(|name| (format!("{kind}/{name}"), name.to_owned())));
    }
    // What starts must not take longer for a large image, or one of many layers.
    rows.extend(
        ["busybox:1", "layers30:1", "nginx:1.22", "large:1"].map(|name| (format!("run/{name}"), name.to_owned())),
    );
    rows.push(("run-100/busybox:1".to_owned(), "busybox:1".to_owned()));
    if small {
        rows.retain(|(id, name)| !id.starts_with("run") || names().any(|of_corpus| of_corpus == name));
    }
    rows.extend(hub::ROWS.map(|id| (id.to_owned(), String::new())));
    rows
}

impl Field {
    /// Measures one planned row.
    pub fn measure(&self, id: &str, name: &str) -> Result<Row> {
        let image = format!("{}/library/{name}", corpus::REGISTRY);
        let mut notes = Vec::new();
        let series = match id.split('/').next().unwrap_or_default() {
            "pull" => self.pull(&image, &mut notes)?,
            "repull" => self.repull(&image)?,
            "images-1000" => self.thousand_tags(&image)?,
            "inspect" => self.on_present(&image, Task::Inspect),
            "history" => self.on_present(&image, Task::History),
            "load" => self.load(&image)?,
            "save" => self.save(&image),
            "df" => self.on_present(&image, |_| Task::DiskUsage),
            "mount" => self.mount(&image)?,
            "rmi" => self.remove(&image, &mut notes),
            "run" => self.run(&image)?,
            "run-100" => self.run_many(&image),
            "hub" => self.registry(id, &mut notes)?,
            other => bail!("no such row: {other}"),
        };
        Ok(Row { id: id.into(), series, notes })
    }

    fn tools(&self) -> impl Iterator<Item = &dyn Tool> {
        let own: [&dyn Tool; 2] = [&self.strata, &self.strata_no_sync];
        own.into_iter().chain(self.peers.iter().map(Box::as_ref))
    }

    fn pull(&self, image: &str, notes: &mut Vec<String>) -> Result<Vec<Series>> {
        let entries = self.tools().map(|tool| Entry {
            tool: tool.name().into(),
            prepare: Box::new(|| {
                tool.clear()?;
                settle()
            }),
            measure: Box::new(|| timed(tool, &Task::Pull(image))),
        });
        let mut series = race(entries.collect(), self.runs);
        if series[0].failure.is_none() {
            let bytes = occupied(&self.strata.root);
            let blobs = blobs(image)?;
            let paths: Vec<PathBuf> = blobs.iter().map(|digest| self.blob_path(digest)).collect();
            let compressed: u64 = paths.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum();
            notes.push(format!(
                "{} layers, {} compressed, {} on disk in strata",
                blobs.len(),
                mib(compressed),
                mib(bytes)
            ));
            let floor = Entry {
                tool: "floor".into(),
                prepare: Box::new(settle),
                measure: Box::new(|| {
                    let wall = floor::measure(&self.floor, &paths, bytes, &self.stores)?;
                    Ok(Sample { wall, cpu: 0.0, peak_kib: 0 })
                }),
            };
            series.extend(race(vec![floor], self.runs));
        }
        Ok(series)
    }

    fn repull(&self, image: &str) -> Result<Vec<Series>> {
        let mut series = self.on_present(image, Task::PullAgain);
        let registry = Entry {
            tool: "registry's answer".into(),
            prepare: Box::new(|| Ok(())),
            measure: Box::new(|| {
                let started = Instant::now();
                manifest(image)?;
                Ok(Sample { wall: started.elapsed().as_secs_f64(), cpu: 0.0, peak_kib: 0 })
            }),
        };
        series.extend(race(vec![registry], self.runs.max(SHORT_RUNS)));
        Ok(series)
    }

    /// Short commands on an image that every tool has.
    fn on_present<'a>(&'a self, image: &'a str, task: impl Fn(&'a str) -> Task<'a> + Copy + 'a) -> Vec<Series> {
        let entries = self.tools().filter(|tool| tool.commands(&task(image)).is_some()).map(|tool| {
            let mut pulled = false;
            Entry {
                tool: tool.name().into(),
                prepare: Box::new(move || {
                    if !std::mem::replace(&mut pulled, true) {
                        timed(tool, &Task::Pull(image))?;
                    }
                    Ok(())
                }),
                measure: Box::new(move || timed(tool, &task(image))),
            }
        });
        race(entries.collect(), self.runs.max(SHORT_RUNS))
    }

    /// Containers that do nothing; beside them what runc alone takes.
    fn run(&self, image: &str) -> Result<Vec<Series>> {
        let mut series = self.on_present(image, Task::Run);
        let bundle = self.stores.join("bundle");
        prepare_bundle(&self.strata, image, &bundle)?;
        let runc = Entry {
            tool: "runc".into(),
            prepare: Box::new(|| Ok(())),
            measure: Box::new(|| {
                let mut command = Command::new("runc");
                command
                    .arg("--root")
                    .arg(self.stores.join("run/runc"))
                    .args(["run", "--bundle"])
                    .arg(&bundle)
                    .arg("bench");
                sample(vec![command])
            }),
        };
        series.extend(race(vec![runc], self.runs.max(SHORT_RUNS)));
        std::fs::remove_dir_all(&bundle)?;
        Ok(series)
    }

    fn run_many(&self, image: &str) -> Vec<Series> {
        let entries = self.tools().filter(|tool| tool.commands(&Task::RunMany(image)).is_some()).map(|tool| {
            let mut pulled = false;
            Entry {
                tool: tool.name().into(),
                prepare: Box::new(move || {
                    if !std::mem::replace(&mut pulled, true) {
                        timed(tool, &Task::Pull(image))?;
                    }
                    settle()
                }),
                measure: Box::new(move || timed(tool, &Task::RunMany(image))),
            }
        });
        race(entries.collect(), self.runs)
    }

    fn thousand_tags(&self, image: &str) -> Result<Vec<Series>> {
        let store = Strata::new(self.strata.program().into(), &self.stores.join("tags"), true);
        store.clear()?;
        sample(store.commands(&Task::Pull(image)).unwrap_or_default())?;
        for number in 0..1000 {
            sample(vec![store.command(&["tag", image, &format!("bench/image-{}:{number}", number / 10)])])?;
        }
        let entry = Entry {
            tool: store.name().into(),
            prepare: Box::new(|| Ok(())),
            measure: Box::new(|| timed(&store, &Task::List)),
        };
        let series = race(vec![entry], self.runs.max(SHORT_RUNS));
        store.clear()?;
        Ok(series)
    }

    /// The first mount after a pull: what lies between pulled and ready, if anything.
    fn mount(&self, image: &str) -> Result<Vec<Series>> {
        let directory = self.stores.join("mounted");
        std::fs::create_dir_all(&directory)?;
        let directory = directory.as_path();
        let able = |tool: &&dyn Tool| tool.commands(&Task::Mount(image, directory)).is_some();
        let unmount = |tool: &dyn Tool| timed(tool, &Task::Unmount(image, directory));
        for tool in self.tools().filter(able) {
            let _ = unmount(tool); // of a bench that was interrupted
        }
        let entries = self.tools().filter(able).map(|tool| Entry {
            tool: tool.name().into(),
            prepare: Box::new(move || {
                tool.clear()?;
                timed(tool, &Task::Pull(image))?;
                settle()
            }),
            measure: Box::new(move || {
                let mounted = timed(tool, &Task::Mount(image, directory))?;
                unmount(tool).map(|_| mounted)
            }),
        });
        Ok(race(entries.collect(), self.runs))
    }

    /// Every tool reads the same archive, written by Docker where it takes part, else by Strata.
    fn load(&self, image: &str) -> Result<Vec<Series>> {
        let archive = self.stores.join("load.tar");
        let writer = self.peers.iter().map(Box::as_ref).find(|tool| tool.name().starts_with("docker"));
        let writer = writer.unwrap_or(&self.strata);
        timed(writer, &Task::Pull(image)).context("getting the image to save")?;
        timed(writer, &Task::Save(image, &archive)).context("writing the archive to load")?;
        let load = Task::Load(&archive);
        let entries = self.tools().filter(|tool| tool.commands(&load).is_some()).map(|tool| Entry {
            tool: tool.name().into(),
            prepare: Box::new(|| {
                tool.clear()?;
                settle()
            }),
            measure: Box::new(|| timed(tool, &load)),
        });
        let series = race(entries.collect(), self.runs);
        std::fs::remove_file(&archive)?;
        Ok(series)
    }

    fn save(&self, image: &str) -> Vec<Series> {
        let archive = self.stores.join("save.tar");
        let entries = self.tools().filter(|tool| tool.commands(&Task::Save(image, &archive)).is_some()).map(|tool| {
            let mut pulled = false;
            let archive = &archive;
            Entry {
                tool: tool.name().into(),
                prepare: Box::new(move || {
                    if !std::mem::replace(&mut pulled, true) {
                        timed(tool, &Task::Pull(image))?;
                    }
                    let _ = std::fs::remove_file(archive);
                    settle()
                }),
                measure: Box::new(move || timed(tool, &Task::Save(image, archive))),
            }
        });
        let mut series = race(entries.collect(), self.runs);
        series.extend(race(vec![self.copy_of(image, &archive)], self.runs));
        let _ = std::fs::remove_file(&archive);
        series
    }

    /// `cp` of the archive that Strata saves: what the bytes alone cost.
    fn copy_of<'a>(&'a self, image: &'a str, archive: &'a Path) -> Entry<'a> {
        let copy = self.stores.join("save-copy.tar");
        Entry {
            tool: "cp of the archive".into(),
            prepare: Box::new(move || {
                let _ = std::fs::remove_file(archive);
                timed(&self.strata, &Task::Save(image, archive))?;
                settle()
            }),
            measure: Box::new(move || {
                let mut command = Command::new("cp");
                command.arg("--reflink=never").args([archive, &copy]);
                let copied = sample(vec![command]);
                let _ = std::fs::remove_file(&copy);
                copied
            }),
        }
    }

    /// Removal of the only image, with the space that is given back when the command has returned.
    fn remove(&self, image: &str, notes: &mut Vec<String>) -> Vec<Series> {
        let space: RefCell<BTreeMap<String, [u64; 2]>> = RefCell::default();
        let entries = self.tools().filter(|tool| tool.commands(&Task::Remove(image)).is_some()).map(|tool| {
            let space = &space;
            let note = move |at: usize| {
                space.borrow_mut().entry(tool.name().into()).or_default()[at] = occupied(tool.store());
            };
            Entry {
                tool: tool.name().into(),
                prepare: Box::new(move || {
                    tool.clear()?;
                    timed(tool, &Task::Pull(image))?;
                    note(0);
                    settle()
                }),
                measure: Box::new(move || {
                    let removed = timed(tool, &Task::Remove(image))?;
                    note(1);
                    Ok(removed)
                }),
            }
        });
        let series = race(entries.collect(), self.runs);
        let space = space.into_inner();
        let given_back = space.iter().map(|(tool, [before, after])| {
            format!("{tool} {} of {}", mib(before.saturating_sub(*after)), mib(*before))
        });
        notes.push(format!("Given back when the command has returned: {}", given_back.collect::<Vec<_>>().join(", ")));
        series
    }

    /// Where docker-registry keeps a blob.
    fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.folder.join("registry/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2.min(hex.len())]).join(hex).join("data")
    }
}

/// Commands of a few milliseconds are run more often.
const SHORT_RUNS: usize = 20;

/// Runs the tool's commands, its daemons counted in.
fn timed(tool: &dyn Tool, task: &Task<'_>) -> Result<Sample> {
    let commands = tool.commands(task).with_context(|| format!("{} cannot do this", tool.name()))?;
    let daemons = Daemon::watch(tool.daemons());
    let mut sample = sample(commands)?;
    daemons.add_to(&mut sample);
    Ok(sample)
}

/// The files of an image with runc's own configuration, that runs `true` without a terminal.
fn prepare_bundle(strata: &Strata, image: &str, bundle: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(bundle);
    let (rootfs, archive) = (bundle.join("rootfs"), bundle.join("rootfs.tar"));
    std::fs::create_dir_all(&rootfs)?;
    crate::process::capture(strata.command(&["export", "-o"]).arg(&archive).arg(image))?;
    crate::process::capture(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&rootfs))?;
    std::fs::remove_file(&archive)?;
    crate::process::capture(Command::new("runc").args(["spec", "--bundle"]).arg(bundle))?;
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(["true"]);
    Ok(std::fs::write(&path, config.to_string())?)
}

/// Lets what earlier runs left to be written reach the disk, so that nobody waits for another's bytes.
fn settle() -> Result<()> {
    crate::process::capture(&mut Command::new("sync")).map(drop)
}

/// Digests of the layers of an image in the corpus registry.
fn blobs(image: &str) -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_str(&manifest(image)?).context("reading the manifest")?;
    let layers = manifest["layers"].as_array().context("the manifest has no layers")?;
    Ok(layers.iter().filter_map(|layer| layer["digest"].as_str().map(str::to_owned)).collect())
}

/// Asks the registry for a manifest, once, over a new connection.
fn manifest(image: &str) -> Result<String> {
    let (host, path) = image.split_once('/').context("an image without a registry")?;
    let (repository, tag) = path.rsplit_once(':').context("an image without a tag")?;
    let mut stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
    write!(
        stream,
        "GET /v2/{repository}/manifests/{tag} HTTP/1.0\r\nHost: {host}\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer from the registry")?;
    if !head.lines().next().unwrap_or_default().contains(" 200 ") {
        bail!("the registry has no {image}; `cargo xtask corpus` builds it");
    }
    Ok(body.into())
}

pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// A folder for stores, made when missing.
pub fn prepare(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("run")).with_context(|| format!("making {}", folder.display()))
}
