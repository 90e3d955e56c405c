//! Rows of the registry: `strata registry serve` beside Debian's docker-registry, both on loopback with the same content.
//!
//! A sample's CPU and peak are the server's alone. The client of pushes and reads is this program, which does little; that
//! of manifests is `wrk`.

use super::measure::{Daemon, Entry, Sample, Series, race};
use super::peers::{start, stop};
use super::rows::{Field, mib};
use crate::process;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What is measured.
pub const ROWS: [&str; 4] = ["hub/push", "hub/manifest-by-tag", "hub/manifest-by-digest", "hub/blob"];
/// Blobs that a client pushes at once.
const PUSHES: usize = 5;
/// The blob that is read, and how often for one sample.
const LAYER: u64 = 512 << 20;
const READS: u64 = 2;
/// The times of manifests are those of so many requests.
const REQUESTS: f64 = 10_000.0;
const REPOSITORY: &str = "bench/app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A blob in a file.
struct Blob {
    path: PathBuf,
    digest: String,
    size: u64,
}

/// A registry that runs over an empty folder until it is dropped.
struct Server {
    address: String,
    daemon: Child,
    folder: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Strata,
    DockerRegistry,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Strata, Kind::DockerRegistry];

    fn name(self) -> &'static str {
        match self {
            Kind::Strata => "strata",
            Kind::DockerRegistry => "docker-registry",
        }
    }
}

impl Field {
    /// Measures a row of the registry.
    pub fn registry(&self, id: &str, notes: &mut Vec<String>) -> Result<Vec<Series>> {
        let folder = self.stores.join("registries");
        fs::create_dir_all(&folder)?;
        match id {
            "hub/push" => self.pushes(&folder, notes),
            "hub/manifest-by-tag" => self.manifests(&folder, |_| "latest".to_owned(), notes),
            "hub/manifest-by-digest" => self.manifests(&folder, str::to_owned, notes),
            "hub/blob" => self.reads(&folder, notes),
            other => bail!("no such row: {other}"),
        }
    }

    /// The corpus, five blobs at a time, into empty registries.
    fn pushes(&self, folder: &Path, notes: &mut Vec<String>) -> Result<Vec<Series>> {
        let blobs = self.corpus_blobs()?;
        notes.push(format!("{} blobs, {}", blobs.len(), mib(blobs.iter().map(|blob| blob.size).sum())));
        let (manifest, _) = manifest_of(&blobs);
        let entries = Kind::ALL.map(|kind| {
            let server = std::rc::Rc::new(RefCell::new(None));
            let fresh = server.clone();
            Entry {
                tool: kind.name().into(),
                prepare: Box::new(move || {
                    fresh.replace(None); // the folder is another's from here on
                    fresh.replace(Some(Server::start(kind, self.strata.program(), folder)?));
                    process::capture(&mut Command::new("sync")).map(drop)
                }),
                measure: Box::new({
                    let (blobs, manifest) = (&blobs, manifest.clone());
                    move || {
                        let server = server.borrow();
                        let server = server.as_ref().context("a registry that runs")?;
                        server.sample(1.0, || server.push(blobs, &manifest))
                    }
                }),
            }
        });
        Ok(race(Vec::from(entries), self.runs))
    }

    fn manifests(
        &self,
        folder: &Path,
        target: impl Fn(&str) -> String,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Series>> {
        let wrk = process::find("wrk").context("wrk is not installed")?;
        let blobs = self.corpus_blobs()?;
        let blobs = &blobs[..blobs.len().min(8)];
        let (manifest, digest) = manifest_of(blobs);
        notes.push(format!("Times of {REQUESTS} requests on 16 connections that stay open"));
        let path = format!("/v2/{REPOSITORY}/manifests/{}", target(&digest));
        let ask = |server: &Server| {
            let watched = Daemon::watch(vec![server.daemon.id()]);
            let mut command = Command::new(&wrk);
            let accept = format!("Accept: {MANIFEST}"); // docker-registry has no OCI manifests for those who do not ask for them
            command.args(["-t1", "-c16", "-d3s", "-H", &accept, &format!("http://{}{path}", server.address)]);
            let report = process::capture(&mut command)?;
            let mut sample = Sample { wall: 0.0, cpu: 0.0, peak_kib: 0 };
            watched.add_to(&mut sample);
            let number = |label: &str| {
                let line = report.lines().find(|line| line.trim_start().starts_with(label));
                line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse::<f64>().ok())
            };
            if report.contains("Non-2xx") {
                bail!("wrk was not answered: {report}");
            }
            let each_second = number("Requests/sec:").with_context(|| format!("wrk says {report}"))?;
            sample.wall = REQUESTS / each_second;
            sample.cpu *= REQUESTS / (each_second * 3.0);
            Ok(sample)
        };
        self.served(folder, blobs, &manifest, &ask)
    }

    fn reads(&self, folder: &Path, notes: &mut Vec<String>) -> Result<Vec<Series>> {
        let layer = folder.join("layer");
        io::copy(&mut File::open("/dev/urandom")?.take(LAYER), &mut File::create(&layer)?)?;
        let blob = Blob::of(layer)?;
        notes.push(format!("A blob of {} from the page cache; time and CPU of one GiB", mib(LAYER)));
        let path = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
        let gibibytes = (READS * LAYER) as f64 / f64::from(1 << 30);
        let read = |server: &Server| {
            server.sample(gibibytes, || {
                (0..READS).try_for_each(|_| {
                    let mut answer = server.request("GET", &path, &[], None)?;
                    let count = io::copy(&mut answer.body, &mut io::sink())?;
                    if count != LAYER { bail!("{count} bytes were read of {LAYER}") } else { Ok(()) }
                })
            })
        };
        let (manifest, _) = manifest_of(std::slice::from_ref(&blob));
        let series = self.served(folder, std::slice::from_ref(&blob), &manifest, &read);
        fs::remove_file(&blob.path)?;
        series
    }

    /// Measures registries that have an image.
    fn served(
        &self,
        folder: &Path,
        blobs: &[Blob],
        manifest: &str,
        measure: &dyn Fn(&Server) -> Result<Sample>,
    ) -> Result<Vec<Series>> {
        let servers: Vec<Server> = Kind::ALL
            .iter()
            .map(|kind| {
                let server = Server::start(*kind, self.strata.program(), folder)?;
                server.push(blobs, manifest).map(|()| server)
            })
            .collect::<Result<_>>()?;
        let entries = Kind::ALL.iter().zip(&servers).map(|(kind, server)| Entry {
            tool: kind.name().into(),
            prepare: Box::new(|| Ok(())),
            measure: Box::new(move || measure(server)),
        });
        Ok(race(entries.collect(), self.runs))
    }

    /// Everything in the corpus's registry.
    fn corpus_blobs(&self) -> Result<Vec<Blob>> {
        let listed = process::capture(Command::new("find").args([
            self.folder.join("registry/docker/registry/v2/blobs/sha256").as_os_str(),
            "-name".as_ref(),
            "data".as_ref(),
        ]))?;
        let mut blobs = Vec::new();
        for path in listed.lines().map(PathBuf::from) {
            let hex = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
            let (digest, size) = (format!("sha256:{hex}"), path.metadata()?.len());
            blobs.push(Blob { path, digest, size });
        }
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(blobs)
    }
}

impl Blob {
    fn of(path: PathBuf) -> Result<Blob> {
        let (mut hasher, mut file, mut chunk, mut size) = (Sha256::new(), File::open(&path)?, vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => {
                    hasher.update(&chunk[..count]);
                    size += count as u64;
                }
            }
        }
        let digest = hex(hasher);
        Ok(Blob { path, digest, size })
    }
}

fn hex(hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A manifest with these blobs as layers, and its digest.
fn manifest_of(blobs: &[Blob]) -> (String, String) {
    let descriptor = |kind: &str, blob: &Blob| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": blob.digest, "size": blob.size});
    let layers: Vec<Value> = blobs.iter().map(|blob| descriptor("layer.v1.tar+gzip", blob)).collect();
    let config = blobs.first().map(|blob| descriptor("layer.v1.tar", blob));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string();
    let digest = hex(Sha256::new_with_prefix(&manifest));
    (manifest, digest)
}

/// What came back: the body is still to be read.
struct Answer {
    status: u16,
    location: String,
    body: io::Take<BufReader<TcpStream>>,
}

impl Server {
    fn start(kind: Kind, strata: &Path, folder: &Path) -> Result<Server> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (data, log) = (folder.join(kind.name()), folder.join(format!("{}.log", kind.name())));
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let mut command = match kind {
            Kind::Strata => {
                let mut command = Command::new(strata);
                command.args(["registry", "serve", "--addr", &address, "--root"]).arg(&data);
                command
            }
            Kind::DockerRegistry => {
                let config = folder.join("docker-registry.yml");
                let text = format!(
                    "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                     storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
                    data.display(),
                );
                fs::write(&config, text)?;
                let program = process::find("docker-registry").context("docker-registry is not installed")?;
                let mut command = Command::new(program);
                command.arg("serve").arg(config);
                command
            }
        };
        let server = Server { address, daemon: start(&mut command, &log)?, folder: data };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !server.request("GET", "/v2/", &[], None).is_ok_and(|answer| answer.status == 200) {
            if Instant::now() > deadline {
                bail!("{} does not answer on {}", kind.name(), server.address);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// What `work` takes, divided by `units`.
    fn sample(&self, units: f64, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
        let watched = Daemon::watch(vec![self.daemon.id()]);
        let began = Instant::now();
        work()?;
        let mut sample = Sample { wall: began.elapsed().as_secs_f64() / units, cpu: 0.0, peak_kib: 0 };
        watched.add_to(&mut sample);
        sample.cpu /= units;
        Ok(sample)
    }

    /// Pushes an image as a client does.
    fn push(&self, blobs: &[Blob], manifest: &str) -> Result<()> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(blob) = blobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                self.push_blob(blob)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..PUSHES).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        let path = format!("/v2/{REPOSITORY}/manifests/latest");
        let kind = format!("Content-Type: {MANIFEST}");
        let mut bytes = manifest.as_bytes();
        self.done(201, "PUT", &path, &[&kind], Some((&mut bytes, manifest.len() as u64))).map(drop)
    }

    fn push_blob(&self, blob: &Blob) -> Result<()> {
        let begun = self.done(202, "POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[], None)?;
        let mut file = File::open(&blob.path)?;
        let kind = "Content-Type: application/octet-stream";
        let sent = self.done(202, "PATCH", &begun, &[kind], Some((&mut file, blob.size)))?;
        let query = if sent.contains('?') { '&' } else { '?' };
        self.done(201, "PUT", &format!("{sent}{query}digest={}", blob.digest), &[], None).map(drop)
    }

    /// Makes a request that must have this status; returns the path that the answer names.
    fn done(
        &self,
        status: u16,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<(&mut dyn io::Read, u64)>,
    ) -> Result<String> {
        let mut answer = self.request(method, path, headers, body)?;
        if answer.status != status {
            let mut text = String::new();
            answer.body.read_to_string(&mut text)?;
            bail!("{method} {path}: {} {text}", answer.status);
        }
        let location = answer.location.strip_prefix(&format!("http://{}", self.address));
        Ok(location.unwrap_or(&answer.location).to_owned())
    }

    /// Over a connection of its own.
    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<(&mut dyn io::Read, u64)>,
    ) -> Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        let length = body.as_ref().map_or(0, |(_, length)| *length);
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        )?;
        if let Some((body, _)) = body {
            let mut chunk = vec![0; 1 << 20];
            loop {
                match body.read(&mut chunk)? {
                    0 => break,
                    count => stream.write_all(&chunk[..count])?,
                }
            }
        }
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        let (mut status, mut location, mut length) = (0, String::new(), u64::MAX);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                bail!("{method} {path}: no answer");
            }
            match line.trim_end().split_once(' ') {
                None => break,
                Some(("Location:" | "location:", value)) => location = value.to_owned(),
                Some(("Content-Length:" | "content-length:", value)) => length = value.parse()?,
                Some((version, rest)) if version.starts_with("HTTP/") => status = rest[..3.min(rest.len())].parse()?,
                Some(_) => {}
            }
        }
        Ok(Answer { status, location, body: reader.take(length) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.daemon);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
