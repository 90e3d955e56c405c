//! The hub as a process: what an operator sees of it.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
}

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use strata_model::Digest;
use strata_testkit::{Image, ImageBuilder, Layer};
use support::hub::{Request, RunningHub, administrator, eventually};

struct Sandbox {
    directory: tempfile::TempDir,
    token: String,
}

impl Sandbox {
    fn new() -> Sandbox {
        let directory = tempfile::tempdir().unwrap();
        let token = administrator(&directory.path().join("store"));
        Sandbox { directory, token }
    }

    fn start(&self, variables: &[(&'static str, &str)]) -> RunningHub {
        RunningHub::start(&self.directory.path().join("store"), variables)
    }

    fn push(&self, hub: &RunningHub, repository: &str, tag: &str, image: &Image) {
        for (digest, bytes) in image.blobs() {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let answer = Request::new("POST", &path).token(&self.token).body(bytes).send(&hub.address).unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let put = Request::new("PUT", &format!("/v2/{repository}/manifests/{tag}")).token(&self.token);
        let put = put.header("content-type", image.descriptor().media_type.as_str()).body(image.manifest.clone());
        let answer = put.send(&hub.address).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn manifest_digest(&self, hub: &RunningHub, repository: &str, tag: &str) -> Option<Digest> {
        let get = Request::new("GET", &format!("/v2/{repository}/manifests/{tag}")).token(&self.token);
        let answer = get.send(&hub.address).unwrap();
        (answer.status == 200).then(|| Digest::of(&answer.body))
    }
}

fn image(seed: u64) -> Image {
    ImageBuilder::new().layer(Layer::of_noise(seed, 100_000)).layer(Layer::of_file("top", format!("{seed}"))).build()
}

fn output(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn health_metrics_and_an_end_in_order() {
    let sandbox = Sandbox::new();
    let mut hub = sandbox.start(&[]);
    assert_eq!(hub.get("/healthz").text(), "ok\n");
    let ready = hub.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "obstacles": []})));
    sandbox.push(&hub, "admin/app", "1", &image(1));
    let answer = Request::new("GET", "/healthz").header("x-request-id", "mine-1").send(&hub.address).unwrap();
    assert_eq!(answer.headers["x-request-id"], "mine-1");
    let metrics = hub.get("/metrics").text();
    for line in [
        "strata_http_requests_total{route=\"manifests\",method=\"PUT\",status=\"201\"} 1",
        "strata_store_repositories 1",
        "strata_uploads_open 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("process_resident_memory_bytes ") && metrics.contains("strata_disk_free_bytes "));
    assert!(!metrics.contains("admin/app"), "no names in metrics");
    let described = hub.get("/api/v1/openapi.json").json();
    assert!(described["paths"]["/api/v1/admin/storage"].is_object());
    assert_eq!(hub.get("/api/v1/admin/storage").status, 401);
    let storage = Request::new("GET", "/api/v1/admin/storage").token(&sandbox.token).send(&hub.address).unwrap();
    assert_eq!((storage.status, &storage.json()["repositories"]), (200, &json!(1)));
    assert!(hub.stop());
}

#[test]
fn a_full_disk_is_told_before_it_hurts() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[("STRATA_HUB_STORAGE__LEAST_FREE", "1000000000000000")]);
    let ready = hub.get("/readyz");
    assert_eq!((ready.status, &ready.json()["obstacles"]), (503, &json!(["the disk is almost full"])));
}

#[test]
fn the_first_start_tells_a_password_and_the_next_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strata"));
        command.args(["hub", "serve", "--addr", "127.0.0.1:0", "--root"]).arg(directory.path().join("store"));
        let mut child =
            command.env("HOME", directory.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut text = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !text.contains("Listening on") {
            assert_ne!(stdout.read_line(&mut text).unwrap(), 0, "it ended: {text}");
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        stdout.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    };
    let (first, second) = (start(), start());
    assert!(first.contains("Administrator \"admin\", one-time password: "), "{first}");
    assert!(second.contains("Listening on") && !second.contains("password"), "{second}");
}

#[test]
fn other_machines_are_not_served_in_the_clear_by_accident() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let (succeeded, text) = output(hub.command(&["hub", "serve", "--addr", "0.0.0.0:0"]));
    assert!(!succeeded && text.contains("--plain-http"), "{text}");
}

#[test]
fn a_configuration_is_checked_with_line_and_column() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let file = sandbox.directory.path().join("hub.toml");
    std::fs::write(&file, "addr = \"127.0.0.1:5000\"\n[log]\nformt = \"json\"\n").unwrap();
    let (succeeded, text) = output(hub.command(&["hub", "config", "check", file.to_str().unwrap()]));
    assert!(!succeeded && text.contains("line 3, column 1") && text.contains("formt"), "{text}");
    std::fs::write(&file, "[log]\nformat = \"json\"\n").unwrap();
    let (succeeded, text) = output(hub.command(&["hub", "config", "check", file.to_str().unwrap()]));
    assert!(succeeded && text.contains("ok"), "{text}");
    let mut show = hub.command(&["hub", "config", "show", file.to_str().unwrap()]);
    show.env("STRATA_HUB_LOG__LEVEL", "debug");
    let (succeeded, text) = output(show);
    assert!(succeeded && text.contains("format = \"json\"") && text.contains("level = \"debug\""), "{text}");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/hub.toml");
    let (succeeded, text) = output(hub.command(&["hub", "config", "check", example]));
    assert!(succeeded, "{text}");
}

#[test]
fn a_webhook_is_told_of_a_push_signed_and_tried_again() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[("STRATA_HUB_WEBHOOKS__ALLOWED_PRIVATE_HOSTS", "[\"127.0.0.1\"]")]);
    sandbox.push(&hub, "admin/app", "before", &image(1));
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let path = "/api/v1/repositories/admin/app/webhooks";
    let new = json!({"name": "ci", "url": url, "secret": "s3cret", "events": ["push"]}).to_string();
    let made = eventually("the repository", || {
        let answer = Request::new("POST", path).token(&sandbox.token).body(new.clone()).send(&hub.address).unwrap();
        (answer.status == 201).then(|| answer.json())
    });
    // Until the hub has followed the push, nobody else is told that the repository exists.
    eventually("the public repository's webhooks are denied", || {
        (Request::new("GET", path).send(&hub.address).unwrap().status == 403).then_some(())
    });
    // The one that was told of first is the push of before or of now, as the history was followed.
    sandbox.push(&hub, "admin/app", "now", &image(2));
    let (body, signature) = loop {
        let (mut stream, _) = receiver.accept().unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        let (head, body) = loop {
            let count = stream.read(&mut buffer).unwrap();
            received.extend(&buffer[..count]);
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.ends_with('}')
            {
                break (head.to_owned(), body.to_owned());
            }
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        let told: Value = serde_json::from_str(&body).unwrap();
        if told["tags"] == json!(["now"]) {
            let signature = head.lines().find_map(|line| line.strip_prefix("x-strata-signature: ")).unwrap().to_owned();
            break (body, signature);
        }
    };
    assert_eq!(signature, strata_hub::signature("s3cret", &body));
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["digest"], json!(image(2).digest().to_string()));
    assert_eq!(
        (&told["event"], &told["repository"], &told["actor"]),
        (&json!("push"), &json!("admin/app"), &json!("admin"))
    );
    // Nobody listens any more: the next push succeeds, and its delivery waits.
    drop(receiver);
    sandbox.push(&hub, "admin/app", "later", &image(3));
    let deliveries = format!("{path}/{}/deliveries", made["id"].as_str().unwrap());
    eventually("a failed attempt", || {
        let answer = Request::new("GET", &deliveries).token(&sandbox.token).send(&hub.address).unwrap().json();
        let newest = &answer[0];
        let failed = newest["state"] == "waiting" && newest["attempts"].as_u64() >= Some(1);
        (failed && newest["error"].as_str().unwrap().contains("connecting")).then_some(())
    });
    let shown = Request::new("GET", path).token(&sandbox.token).send(&hub.address).unwrap().text();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn pushed_layers_are_indexed_and_bad_ones_noted() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let good = image(7);
    sandbox.push(&hub, "admin/app", "1", &good);
    let metric = |name: &str| {
        let metrics = hub.get("/metrics").text();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    eventually("indexing", || {
        let left = metric("strata_index_jobs{state=\"waiting\"}")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = support::hub::open(&hub.root).registry().store().clone();
        let indexed = runtime.block_on(async { store.read().await.unwrap().layers().await.unwrap().len() });
        (left == 0.0 && indexed == good.layers.len()).then_some(())
    });
    let mut broken = ImageBuilder::new().layer(Layer::of_noise(9, 10)).build();
    let manifest = String::from_utf8(broken.manifest.clone()).unwrap();
    let layer = broken.layers[0].digest().to_string();
    let junk = b"this is no tar and no gzip either, but long enough to look like something that it is not".repeat(20);
    let size = broken.layers[0].blob.len();
    let manifest = manifest.replace(&layer, &Digest::of(&junk).to_string());
    let manifest = manifest.replace(&format!("\"size\":{size}"), &format!("\"size\":{}", junk.len()));
    for (digest, bytes) in broken.blobs().into_iter().chain([(Digest::of(&junk), junk)]) {
        let path = format!("/v2/admin/bad/blobs/uploads/?digest={digest}");
        let answer = Request::new("POST", &path).token(&sandbox.token).body(bytes).send(&hub.address).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    broken.manifest = manifest.clone().into_bytes();
    let put = Request::new("PUT", "/v2/admin/bad/manifests/1").token(&sandbox.token);
    let put = put.header("content-type", broken.descriptor().media_type.as_str()).body(manifest);
    assert_eq!(put.send(&hub.address).unwrap().status, 201);
    eventually("the failure", || (metric("strata_index_jobs{state=\"failed\"}")? == 1.0).then_some(()));
    assert!(sandbox.manifest_digest(&hub, "admin/bad", "1").is_some(), "it is served all the same");
}

#[test]
fn a_backup_is_made_while_pushes_go_on_and_makes_a_whole_hub() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let images: Vec<Image> = (0..12).map(image).collect();
    for (number, image) in images.iter().take(6).enumerate() {
        sandbox.push(&hub, "admin/app", &number.to_string(), image);
    }
    let backup = sandbox.directory.path().join("backup");
    let running = hub.command(&["hub", "backup", backup.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    for (number, image) in images.iter().enumerate().skip(6) {
        sandbox.push(&hub, "admin/app", &number.to_string(), image);
        let gone = Request::new("DELETE", &format!("/v2/admin/app/manifests/{}", number - 6)).token(&sandbox.token);
        assert_eq!(gone.send(&hub.address).unwrap().status, 202);
    }
    let (collected, text) = output(hub.command(&["hub", "gc", "--now"]));
    assert!(collected, "{text}");
    let done = running.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Another one right away, of a hub at rest.
    let second = sandbox.directory.path().join("second");
    let (succeeded, text) = output(hub.command(&["hub", "backup", second.to_str().unwrap()]));
    assert!(succeeded, "{text}");
    let (refused, text) = output(hub.command(&["hub", "backup", second.to_str().unwrap()]));
    assert!(!refused && text.contains("not empty"), "{text}");

    for (backup, name) in [(backup, "one"), (second, "two")] {
        let root = sandbox.directory.path().join(name);
        let restore = ["hub", "restore", "--root", root.to_str().unwrap(), backup.to_str().unwrap()];
        let (succeeded, text) = output(hub.command(&restore));
        assert!(succeeded, "{text}");
        let (clean, text) = output(hub.command(&["hub", "fsck", "--root", root.to_str().unwrap()]));
        assert!(clean, "{text}");
    }
    let restored = RunningHub::start(&sandbox.directory.path().join("two"), &[]);
    for (number, image) in images.iter().enumerate() {
        let expected = (number >= 6).then(|| image.digest());
        assert_eq!(sandbox.manifest_digest(&restored, "admin/app", &number.to_string()), expected, "{number}");
    }
}

#[test]
fn a_backup_is_also_one_file_or_a_stream() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let images: Vec<Image> = (20..23).map(image).collect();
    for (number, image) in images.iter().enumerate() {
        sandbox.push(&hub, "admin/app", &number.to_string(), image);
    }
    let path = |name: &str| sandbox.directory.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (plain, packed, streamed) = (path("hub.tar"), path("hub.tar.zst"), path("streamed"));
    for file in [&plain, &packed] {
        let (succeeded, said) = output(hub.command(&["hub", "backup", &text(file)]));
        assert!(succeeded && said.starts_with("backed up: ") && !said.contains("shared"), "{said}");
        let (refused, said) = output(hub.command(&["hub", "backup", &text(file)]));
        assert!(!refused && said.contains("exists"), "{said}");
    }
    assert_eq!(fs::read(&packed).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd], "zstd's magic number");
    let out = fs::File::create(&streamed).unwrap();
    let done = hub.command(&["hub", "backup", "-"]).stdout(out).output().unwrap();
    assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).starts_with("backed up: "), "{done:?}");
    assert!(!hub.root.join("backup-staging").exists() && !path(".hub.tar.strata-unfinished").exists());
    // Another program reads it as the tar that it is.
    let listed = Command::new("tar").args(["-tf", &text(&streamed)]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.ends_with("\nbackup.json\n") && listed.contains("catalog.sqlite\n"), "{listed}");

    let restored = |name: &str, from: &str, input: Option<&Path>| {
        let mut command = hub.command(&["hub", "restore", "--root", &text(&path(name)), from]);
        if let Some(file) = input {
            command.stdin(fs::File::open(file).unwrap());
        }
        output(command)
    };
    for (name, from, input) in [
        ("one", text(&plain), None),
        ("two", text(&packed), None),
        ("three", "-".to_owned(), Some(streamed.as_path())),
        ("four", "-".to_owned(), Some(packed.as_path())),
    ] {
        let (succeeded, said) = restored(name, &from, input);
        assert!(succeeded && said.starts_with("restored: "), "{name}: {said}");
        let (clean, said) = output(hub.command(&["hub", "fsck", "--root", &text(&path(name))]));
        assert!(clean, "{name}: {said}");
        let again = RunningHub::start(&path(name), &[]);
        for (number, image) in images.iter().enumerate() {
            let found = sandbox.manifest_digest(&again, "admin/app", &number.to_string());
            assert_eq!(found, Some(image.digest()), "{name}");
        }
    }

    // What is cut off anywhere is no backup, and what it became is no hub; the whole one is taken afterwards.
    for (file, root) in [(&plain, "cut-plain"), (&packed, "cut-packed")] {
        let whole = fs::read(file).unwrap();
        let cut = path("cut");
        // Also where a tar seems to end in order: before its last member, which has a header and a block.
        let seal = whole.len() - 1024 - 2 * 512;
        for length in [0, 511, 512, whole.len() / 3, whole.len() / 2, seal - 512, seal, seal + 512] {
            fs::write(&cut, &whole[..length]).unwrap();
            let (taken, said) = restored(root, &text(&cut), None);
            assert!(!taken && said.contains("is no complete backup"), "{length} of {}: {said}", whole.len());
            let (checked, said) = output(hub.command(&["hub", "fsck", "--root", &text(&path(root))]));
            assert!(!checked && said.contains("was not restored to the end"), "{said}");
        }
        assert!(restored(root, &text(file), None).0);
    }
    // Nor is one with bytes that changed on the way, where checksums tell.
    let mut changed = fs::read(&packed).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(path("changed"), &changed).unwrap();
    let (taken, said) = restored("changed-root", &text(&path("changed")), None);
    assert!(!taken && said.contains("is no complete backup"), "{said}");
}

#[test]
fn operators_manage_users_on_the_files() {
    let sandbox = Sandbox::new();
    let hub = sandbox.start(&[]);
    let (succeeded, text) = output(hub.command(&["hub", "user", "add", "--email", "bob@example.org", "bob"]));
    assert!(succeeded && text.contains("one-time password: "), "{text}");
    let (succeeded, text) = output(hub.command(&["hub", "user", "disable", "bob"]));
    assert!(succeeded && text.is_empty(), "{text}");
    let (_, text) = output(hub.command(&["hub", "user", "ls"]));
    let line = text.lines().find(|line| line.starts_with("bob")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("bob@example.org") && line.contains("disabled"), "{line}");
    let (succeeded, text) = output(hub.command(&["hub", "user", "passwd", "nobody-here"]));
    assert!(!succeeded && text.contains("not found"), "{text}");
}

#[test]
fn a_certificate_is_read_again_when_it_changes() {
    let has_openssl =
        Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !has_openssl {
        eprintln!("skipped: openssl makes the certificates");
        return;
    }
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.directory.path().join(name).to_str().unwrap().to_owned();
    let certify = |name: &str| {
        let subject = format!("/CN={name}");
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]);
        command.args(["-subj", &subject, "-addext", "subjectAltName=DNS:localhost"]);
        command.args(["-keyout", &at("hub.key"), "-out", &at("hub.pem")]);
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
    };
    certify("first");
    let (certificate, key) = (at("hub.pem"), at("hub.key"));
    let variables = [("STRATA_HUB_TLS__CERTIFICATE", certificate.as_str()), ("STRATA_HUB_TLS__KEY", key.as_str())];
    let hub = sandbox.start(&variables);
    let shown = |protocol: &str| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &hub.address, "-servername", "localhost", "-alpn", protocol]);
        output({
            client.stdin(Stdio::null());
            client
        })
        .1
    };
    let first = shown("h2,http/1.1");
    assert!(first.contains("CN = first") || first.contains("CN=first"), "{first}");
    assert!(first.contains("ALPN protocol: h2"), "{first}");
    assert!(shown("http/1.1").contains("ALPN protocol: http/1.1"));
    certify("second");
    eventually("the new certificate", || {
        let text = shown("h2");
        (text.contains("CN = second") || text.contains("CN=second")).then_some(())
    });
}
