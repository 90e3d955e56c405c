//! Killed at random moments under pushes, pulls, deletions and collections, a hub loses nothing that it acknowledged.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
}

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use strata_model::Digest;
use support::hub::{Answer, Request, RunningHub, administrator, eventually};

/// Tags that a client moves about.
const TAGS: [&str; 3] = ["one", "two", "three"];
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

struct Plan {
    clients: u64,
    time: Duration,
}

fn plan() -> Plan {
    match std::env::var_os("STRATA_TEST_FULL") {
        Some(_) => Plan { clients: 16, time: Duration::from_secs(240) },
        None => Plan { clients: 5, time: Duration::from_secs(15) },
    }
}

/// xorshift: the same moments in every run, as far as the machine allows.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.below(u64::MAX).to_le_bytes()).take(length as usize).collect()
    }
}

/// What a tag may point to: one thing that was acknowledged, or several when an answer was lost.
type Possible = Vec<Option<Digest>>;

/// How often what happened.
#[derive(Default)]
struct Counts {
    pushes: AtomicU64,
    pulls: AtomicU64,
    deletions: AtomicU64,
    resumed: AtomicU64,
    lost: AtomicU64,
}

/// A client with a repository of its own.
struct Client {
    address: String,
    token: String,
    repository: String,
    random: Random,
    tags: [Possible; TAGS.len()],
    stops: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Client {
    fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(method, path).token(&self.token)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    fn run(mut self) -> Client {
        while !self.stops.load(Ordering::Relaxed) {
            let tag = self.random.below(TAGS.len() as u64) as usize;
            let outcome = match self.random.below(10) {
                0 => self.delete(tag),
                1..=4 => self.pull(tag),
                _ => self.push(tag),
            };
            if outcome.is_err() {
                // Killed under us. The next request finds it back.
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self
    }

    fn push(&mut self, tag: usize) -> io::Result<()> {
        let layer_size = 1 + self.random.below(300_000);
        let layer = self.random.bytes(layer_size);
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        })
        .to_string()
        .into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config), "layers": [descriptor(LAYER, &layer)],
        })
        .to_string();
        self.upload(&layer)?;
        self.upload(&config)?;
        let digest = Digest::of(manifest.as_bytes());
        let put = self.request("PUT", &self.path(&format!("manifests/{}", TAGS[tag])));
        let put = put.header("content-type", MANIFEST).body(manifest);
        // Whatever becomes of the answer, the tag may be set from now on.
        self.tags[tag].push(Some(digest));
        let answer = put.send(&self.address)?;
        match answer.status {
            201 => {
                self.tags[tag] = vec![Some(digest)];
                self.counts.pushes.fetch_add(1, Ordering::Relaxed);
            }
            // A collection at once takes what nothing refers to yet: a client would send it again.
            400 | 404 if answer.text().contains("BLOB_UNKNOWN") => {
                self.tags[tag].pop();
            }
            status => panic!("push: {status}: {}", answer.text()),
        }
        Ok(())
    }

    /// In chunks, going on where the server says when a connection broke.
    fn upload(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begun = self.request("POST", &self.path("blobs/uploads/")).send(&self.address)?;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let mut location = begun.headers["location"].clone();
        let mut acknowledged = 0;
        let mut sent = 0;
        while sent < bytes.len() {
            let end = (sent + 1 + self.random.below(200_000) as usize).min(bytes.len());
            let patch = self.request("PATCH", &location).header("content-range", &format!("{sent}-{}", end - 1));
            let answer = patch.header("content-type", "application/octet-stream").body(&bytes[sent..end]);
            match answer.send(&self.address) {
                Ok(answer) if answer.status == 202 => {
                    location = answer.headers["location"].clone();
                    acknowledged = end;
                    sent = end;
                }
                Ok(answer) => panic!("chunk {sent}-{end}: {}: {}", answer.status, answer.text()),
                Err(_) if self.stops.load(Ordering::Relaxed) => return Err(io::ErrorKind::Interrupted.into()),
                Err(_) => sent = self.resume(&location, acknowledged)?,
            }
        }
        let put = format!("{location}{}digest={}", if location.contains('?') { '&' } else { '?' }, Digest::of(bytes));
        let answer = self.request("PUT", &put).send(&self.address)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        Ok(())
    }

    /// How many bytes of the upload the server has, once it is back: not fewer than it acknowledged.
    fn resume(&self, location: &str, acknowledged: usize) -> io::Result<usize> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.request("GET", location).send(&self.address) {
                Ok(status) if status.status == 204 => {
                    let held = received(&status);
                    assert!(held >= acknowledged, "{held} bytes are left of {acknowledged}");
                    self.counts.resumed.fetch_add(1, Ordering::Relaxed);
                    return Ok(held);
                }
                Ok(status) => panic!("an acknowledged upload: {}: {}", status.status, status.text()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn pull(&mut self, tag: usize) -> io::Result<()> {
        let got = self.request("GET", &self.path(&format!("manifests/{}", TAGS[tag])));
        let answer = got.header("accept", MANIFEST).send(&self.address)?;
        let found = match answer.status {
            200 => Some(Digest::of(&answer.body)),
            404 => None,
            status => panic!("pull: {status}: {}", answer.text()),
        };
        let possible = &self.tags[tag];
        assert!(possible.contains(&found), "{}:{}: {found:?}, not {possible:?}", self.repository, TAGS[tag]);
        self.tags[tag] = vec![found];
        if found.is_some() {
            self.pull_blobs(&answer)?;
            self.counts.pulls.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn pull_blobs(&self, manifest: &Answer) -> io::Result<()> {
        let manifest = manifest.json();
        let layers = manifest["layers"].as_array().unwrap().iter();
        for descriptor in layers.chain([&manifest["config"]]) {
            let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
            let blob = self.request("GET", &self.path(&format!("blobs/{digest}"))).send(&self.address)?;
            assert_eq!(blob.status, 200, "a manifest names {digest}: {}", blob.text());
            assert_eq!(Digest::of(&blob.body), digest);
        }
        Ok(())
    }

    fn delete(&mut self, tag: usize) -> io::Result<()> {
        self.tags[tag].push(None);
        let answer = self.request("DELETE", &self.path(&format!("manifests/{}", TAGS[tag]))).send(&self.address)?;
        assert!(matches!(answer.status, 202 | 404), "{}: {}", answer.status, answer.text());
        self.tags[tag] = vec![None];
        self.counts.deletions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The bytes that a `Range: 0-<last>` tells.
fn received(answer: &Answer) -> usize {
    let last = answer.headers.get("range").and_then(|range| range.split('-').next_back()).unwrap_or("0");
    let last: usize = last.parse().unwrap();
    // `0-0` means none or one; starting at the lower is always right for content that is sent again.
    if last == 0 { 0 } else { last + 1 }
}

fn fsck(hub: &RunningHub) {
    let checked = hub.command(&["hub", "fsck"]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{text}");
}

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let plan = plan();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let token = administrator(&root);
    let variables = [("STRATA_HUB_STORAGE__KEEP_UNREFERENCED_SECONDS", "1"), ("STRATA_HUB_LOG__LEVEL", "error")];
    let mut hub = RunningHub::start(&root, &variables);
    let (stops, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            let client = Client {
                address: hub.address.clone(),
                token: token.clone(),
                repository: format!("admin/crash-{number}"),
                random: Random(0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9)),
                tags: std::array::from_fn(|_| vec![None]),
                stops: stops.clone(),
                counts: counts.clone(),
            };
            std::thread::spawn(move || client.run())
        })
        .collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < plan.time {
        std::thread::sleep(Duration::from_millis(100 + random.below(1200)));
        // Half of the kills come while another process collects.
        let collection = (kills % 2 == 0).then(|| {
            let mut collect = hub.command(&["hub", "gc"]);
            collect.env("STRATA_HUB_STORAGE__KEEP_UNREFERENCED_SECONDS", "1");
            collect.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        if collection.is_some() {
            std::thread::sleep(Duration::from_millis(random.below(100)));
        }
        hub.kill();
        kills += 1;
        hub.restart();
        if let Some(mut collection) = collection {
            collection.wait().unwrap();
        }
    }
    stops.store(true, Ordering::Relaxed);
    let clients: Vec<Client> =
        clients.into_iter().map(|client| client.join().expect("what it asserts holds")).collect();
    hub.kill();
    hub.restart();
    for mut client in clients {
        for tag in 0..TAGS.len() {
            client.pull(tag).unwrap();
        }
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let done = [&counts.pushes, &counts.pulls, &counts.deletions, &counts.lost].map(count);
    assert!(done.iter().all(|done| *done > 0), "{done:?} (pushes, pulls, deletions, lost) in {kills} kills");
    assert!(hub.stop(), "the hub ends in order");
    fsck(&hub);
}

#[test]
fn backup_and_restoration_may_be_killed_and_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let token = administrator(&root);
    let hub = RunningHub::start(&root, &[]);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..40 {
        let bytes = random.bytes(60_000);
        let path = format!("/v2/admin/app/blobs/uploads/?digest={}", Digest::of(&bytes));
        let answer = Request::new("POST", &path).token(&token).body(bytes).send(&hub.address).unwrap();
        assert_eq!(answer.status, 201, "{number}: {}", answer.text());
    }
    let (backup, restored) = (directory.path().join("backup"), directory.path().join("restored"));
    let (to, root) = (backup.to_str().unwrap(), restored.to_str().unwrap());
    let run = |arguments: &[&str]| hub.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Killed ever later, until one attempt came to its end.
    let until_done = |arguments: &[&str], must_refuse: &[&str], half: &std::path::Path| {
        let mut kills = 0;
        for pause in (0..).map(|attempt| Duration::from_millis(3 * attempt)) {
            let mut child = run(arguments);
            std::thread::sleep(pause);
            let ended = child.try_wait().unwrap();
            let _ = child.kill();
            if ended.or(Some(child.wait().unwrap())).is_some_and(|status| status.success()) {
                break;
            }
            kills += 1;
            if half.join("strata-unfinished").exists() {
                assert!(!run(must_refuse).wait().unwrap().success(), "half of it was taken after {pause:?}");
            } else if std::fs::read_dir(half).is_ok_and(|mut entries| entries.next().is_some()) {
                // Killed when all was done.
                break;
            }
            assert!(pause < Duration::from_secs(2), "it never comes to its end");
        }
        assert!(kills > 1, "nothing was killed");
    };
    let elsewhere = directory.path().join("elsewhere");
    let restore_half = ["hub", "restore", "--root", elsewhere.to_str().unwrap(), to];
    until_done(&["hub", "backup", to], &restore_half, &backup);
    until_done(&["hub", "restore", "--root", root, to], &["hub", "fsck", "--root", root], &restored);
    assert!(run(&["hub", "fsck", "--root", root]).wait().unwrap().success());
    assert!(!restored.join("strata-unfinished").exists() && !backup.join("strata-unfinished").exists());
}

/// What a webhook's receiver was told: the delivery's number and its body.
type Told = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

/// A receiver that answers 200, for as long as the process lives.
fn receiver() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let told = Told::default();
    let all = told.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
            // A sender that is killed half way told nothing.
            let told = loop {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break None,
                    Ok(count) => received.extend(&buffer[..count]),
                }
                let text = String::from_utf8_lossy(&received);
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    let number = head.lines().find_map(|line| line.strip_prefix("x-strata-delivery: "));
                    break Some((number.unwrap().to_owned(), body));
                }
            };
            all.lock().unwrap().extend(told);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (url, told)
}

/// Pushes under a fault to a repository with a webhook; returns how often the hub died of it.
fn deliver_through(fault: &str) -> u32 {
    const ALLOWED: (&str, &str) = ("STRATA_HUB_WEBHOOKS__ALLOWED_PRIVATE_HOSTS", "[\"127.0.0.1\"]");
    const WEBHOOKS: &str = "/api/v1/repositories/admin/app/webhooks";
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let token = administrator(&root);
    let image = strata_testkit::ImageBuilder::new().layer(strata_testkit::Layer::of_noise(1, 1000)).build();
    let push = |hub: &RunningHub, tag: &str| -> io::Result<()> {
        for (digest, bytes) in image.blobs() {
            let path = format!("/v2/admin/app/blobs/uploads/?digest={digest}");
            let answer = Request::new("POST", &path).token(&token).body(bytes).send(&hub.address)?;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let put = Request::new("PUT", &format!("/v2/admin/app/manifests/{tag}")).token(&token);
        let put = put.header("content-type", MANIFEST).body(image.manifest.clone()).send(&hub.address)?;
        assert_eq!(put.status, 201, "{}", put.text());
        Ok(())
    };
    let (url, told) = receiver();
    let mut hub = RunningHub::start(&root, &[ALLOWED]);
    push(&hub, "before").unwrap();
    let new = json!({"name": "ci", "url": url, "secret": "s3cret", "events": ["push"]}).to_string();
    let made = eventually("the webhook", || {
        let made = Request::new("POST", WEBHOOKS).token(&token).body(new.clone()).send(&hub.address).unwrap();
        (made.status == 201).then(|| made.json())
    });
    let has_told = |tag: &str| told.lock().unwrap().iter().any(|(_, body)| body["tags"] == json!([tag]));
    let deliveries = format!("{WEBHOOKS}/{}/deliveries", made["id"].as_str().unwrap());
    let are_noted = |hub: &RunningHub| {
        let shown = Request::new("GET", &deliveries).token(&token).send(&hub.address).ok()?.json();
        shown.as_array()?.iter().all(|delivery| delivery["state"] == "delivered").then_some(())
    };
    push(&hub, "zero").unwrap();
    eventually("the first delivery", || has_told("zero").then(|| are_noted(&hub)).flatten());
    assert!(hub.stop(), "the hub ends in order");

    let mut hub = RunningHub::start(&root, &[ALLOWED, ("STRATA_FAULT", fault)]);
    let mut kills = 0;
    for tag in ["one", "two", "three"] {
        let mut revive = |hub: &mut RunningHub| {
            kills += 1;
            *hub = RunningHub::start(&root, &[ALLOWED]);
        };
        if push(&hub, tag).is_err() {
            revive(&mut hub);
            push(&hub, tag).unwrap();
        }
        eventually("the delivery", || {
            if hub.has_ended() {
                revive(&mut hub);
            }
            has_told(tag).then_some(())
        });
    }
    // The last one may still die of noting it.
    eventually("the end of all deliveries", || {
        if hub.has_ended() {
            kills += 1;
            hub = RunningHub::start(&root, &[ALLOWED]);
        }
        are_noted(&hub)
    });
    let told = told.lock().unwrap();
    let numbers: std::collections::BTreeSet<_> = told.iter().map(|(number, _)| number).collect();
    let again = told.len() - numbers.len();
    // What was received and not yet noted as such comes a second time, under the same number; nothing else does.
    assert_eq!(again, if fault.starts_with("delivery-posted") { kills as usize } else { 0 }, "{fault}: {told:?}");
    kills
}

#[test]
fn a_hub_killed_between_an_event_and_its_delivery_tells_of_it_at_least_once() {
    for point in strata_store::fault::WEBHOOK_POINTS {
        for passage in [1, 2] {
            let fault = format!("{point}:{passage}");
            let kills = deliver_through(&fault);
            assert!(kills == 1, "{fault}: {kills} kills");
        }
    }
}
