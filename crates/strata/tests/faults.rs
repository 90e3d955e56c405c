//! Whatever a registry or a disk does wrong: a short error that says what happened to what, exit code 1, nothing visible
//! after, and a store that is whole.

mod support;
mod tools;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use strata_model::Digest;
use strata_testkit::{FakeRegistry, Fault, FaultRule, Image, golden};
use support::{Run, Sandbox, run, sample_image, sample_registry};
use tools::{MemoryMount, have, is_root};

/// No failure takes longer: waiting is configured to be short.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox whose client waits one second and tries twice.
fn impatient_sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = sandbox.path(".config/strata");
    std::fs::create_dir_all(&folder).unwrap();
    let text = "[network]\nconnect-timeout = 1\nidle-timeout = 1\ntries = 2\n";
    std::fs::write(folder.join("config.toml"), text).unwrap();
    sandbox
}

/// The names that a message may hold, which differ from run to run or are long.
fn plain(text: &str, registry: &FakeRegistry, image: &Image) -> String {
    let spoilt = |bytes: &[u8]| Digest::of(&bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).to_string();
    let known = [&image.layers[1].blob, &image.config, &image.manifest].map(|bytes| spoilt(bytes));
    let text = known.iter().fold(text.to_owned(), |text, digest| text.replace(digest, "SPOILT"));
    text.replace(&registry.host(), "REGISTRY")
        .replace(&image.layers[1].digest().to_string(), "LAYER")
        .replace(&image.layers[1].digest().to_string()[7..19], "LAYER12")
        .replace(&image.id().to_string(), "CONFIG")
        .replace(&image.digest().to_string(), "MANIFEST")
        .replace(&Digest::of(b"another").to_string(), "ANOTHER")
}

#[track_caller]
fn assert_untouched(sandbox: &Sandbox, what: &str) {
    assert_eq!(sandbox.run(&["images", "-aq"]).success(), "", "{what}");
    let checked = sandbox.run(&["fsck"]);
    assert!(checked.status.success(), "{what}: {}{}", checked.stdout, checked.stderr);
}

/// A way to fail, and the whole of what is then printed to stderr.
struct Case {
    name: &'static str,
    rule: fn(&Image) -> FaultRule,
    stderr: &'static str,
}

/// The blob of the large layer.
fn layer(image: &Image) -> String {
    format!("/blobs/{}", image.layers[1].digest())
}

/// The blob of the configuration.
fn config(image: &Image) -> String {
    format!("/blobs/{}", image.id())
}

const FOR_EVER: &[Case] = &[
    Case {
        name: "no answer to the request for a manifest",
        rule: |_| FaultRule::new("/manifests/", Fault::NoAnswer),
        stderr: "Error response from daemon: Head \"http://REGISTRY/v2/sample/manifests/1\": connection closed before message completed\n",
    },
    Case {
        name: "silence after the request for a manifest",
        rule: |_| FaultRule::new("/manifests/", Fault::Delay(60_000)),
        stderr: "Error response from daemon: Head \"http://REGISTRY/v2/sample/manifests/1\": net/http: timeout awaiting response headers (after 1 s)\n",
    },
    Case {
        name: "silence within a manifest",
        rule: |_| FaultRule::new("/manifests/", Fault::HangAfter(10)),
        stderr: "Error response from daemon: Get \"http://REGISTRY/v2/sample/manifests/MANIFEST\": reading the answer: no data for 1 s\n",
    },
    Case {
        name: "silence within a configuration",
        rule: |image| FaultRule::new(config(image), Fault::HangAfter(10)),
        stderr: "Error response from daemon: blob CONFIG: Get \"http://REGISTRY/v2/sample/blobs/CONFIG\": reading the answer: no data for 1 s\n",
    },
    Case {
        name: "silence within a layer",
        rule: |image| FaultRule::new(layer(image), Fault::HangAfter(100_000)).method("GET"),
        stderr: "blob LAYER: Get \"http://REGISTRY/v2/sample/blobs/LAYER\": reading the answer: no data for 1 s\n",
    },
    Case {
        name: "a layer that never gets further",
        rule: |image| FaultRule::new(layer(image), Fault::DropAfter(0)).method("GET"),
        stderr: "blob LAYER: Get \"http://REGISTRY/v2/sample/blobs/LAYER\": reading the answer: end of file before message length reached\n",
    },
    Case {
        name: "another manifest than the header says",
        rule: |_| FaultRule::new("/manifests/", Fault::WrongDigestHeader),
        stderr: "Error response from daemon: manifest for REGISTRY/sample@ANOTHER not found: manifest unknown: manifest unknown\n",
    },
    Case {
        name: "a manifest that is no JSON",
        rule: |_| FaultRule::new("/manifests/", Fault::WrongBytes),
        stderr: "Error response from daemon: manifest REGISTRY/sample@MANIFEST: expected digest MANIFEST, its bytes have SPOILT\nhint: the registry holds damaged or exchanged content; pull it from another source\n",
    },
    Case {
        name: "another configuration",
        rule: |image| FaultRule::new(config(image), Fault::WrongBytes),
        stderr: "Error response from daemon: blob CONFIG: its bytes have digest SPOILT\nhint: the source holds damaged or exchanged content; pull it from another source\n",
    },
    Case {
        name: "another layer",
        rule: |image| FaultRule::new(layer(image), Fault::WrongBytes),
        stderr: "blob LAYER: its bytes have digest SPOILT\nhint: the source holds damaged or exchanged content; pull it from another source\n",
    },
    Case {
        name: "a layer that is too short",
        rule: |image| FaultRule::new(layer(image), Fault::Shorter(100)),
        stderr: "blob LAYER: got 2000702 bytes, expected 2000802\n",
    },
    Case {
        name: "a registry that wants to know who asks",
        rule: |_| FaultRule::new("/manifests/", Fault::Status(401, vec![])),
        stderr: "Error response from daemon: pull access denied for REGISTRY/sample, repository does not exist or may require 'docker login': unauthorized: this is a test of failures\nhint: check the name; for a private repository, log in with `strata login REGISTRY`\n",
    },
    Case {
        name: "a repository that is out of bounds",
        rule: |_| FaultRule::new("/manifests/", Fault::Status(403, vec![])),
        stderr: "Error response from daemon: pull access denied for REGISTRY/sample, repository does not exist or may require 'docker login': denied: this is a test of failures\nhint: check the name; for a private repository, log in with `strata login REGISTRY`\n",
    },
    Case {
        name: "a layer that is out of bounds",
        rule: |image| FaultRule::new(layer(image), Fault::Status(403, vec![])),
        stderr: "blob LAYER: pull access denied for REGISTRY/sample, repository does not exist or may require 'docker login': denied: this is a test of failures\nhint: check the name; for a private repository, log in with `strata login REGISTRY`\n",
    },
    Case {
        name: "a layer that is not there",
        rule: |image| FaultRule::new(layer(image), Fault::Status(404, vec![])),
        stderr: "blob LAYER not found in REGISTRY/sample: not found: this is a test of failures\n",
    },
    Case {
        name: "a configuration that is not there",
        rule: |image| FaultRule::new(config(image), Fault::Status(404, vec![])),
        stderr: "Error response from daemon: blob CONFIG not found in REGISTRY/sample: not found: this is a test of failures\n",
    },
    Case {
        name: "too many requests, for ever",
        rule: |_| FaultRule::too_many_requests("/manifests/", 1),
        stderr: "toomanyrequests: this is a test of failures\n",
    },
    Case {
        name: "too many requests, until tomorrow",
        rule: |_| FaultRule::too_many_requests("/manifests/", 86_400),
        stderr: "toomanyrequests: this is a test of failures\n",
    },
    Case {
        name: "a registry that fails",
        rule: |_| FaultRule::new("/manifests/", Fault::Status(500, vec![])),
        stderr: "Error response from daemon: Get \"http://REGISTRY/v2/sample/manifests/1\": unknown: this is a test of failures\n",
    },
    Case {
        name: "a proxy whose registry is away",
        rule: |image| FaultRule::new(layer(image), Fault::Status(502, vec![])),
        stderr: "blob LAYER: Get \"http://REGISTRY/v2/sample/blobs/LAYER\": unknown: this is a test of failures\n",
    },
];

#[test]
fn a_registry_that_keeps_failing_is_told_in_one_line() {
    let mut wrong = Vec::new();
    for case in FOR_EVER {
        let (registry, image) = sample_registry();
        registry.fault((case.rule)(&image));
        let sandbox = impatient_sandbox();
        let started = Instant::now();
        let pulled = sandbox.run(&["pull", "-q", &registry.reference("sample:1")]);
        assert!(started.elapsed() < PATIENCE, "{} took {:?}", case.name, started.elapsed());
        assert!(!pulled.status.success() && pulled.stdout.is_empty(), "{}: {}", case.name, pulled.stdout);
        let stderr = plain(&pulled.failure(), &registry, &image);
        if let Some(difference) = golden::difference(case.stderr, &stderr) {
            wrong.push(format!("{}:\n{difference}", case.name));
        }
        assert_untouched(&sandbox, case.name);
        registry.heal();
        sandbox.run(&["pull", "-q", &registry.reference("sample:1")]).success();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_passes_is_waited_for() {
    for (name, rule) in [
        ("no answer", FaultRule::new("/blobs/", Fault::NoAnswer)),
        ("too many requests", FaultRule::too_many_requests("/manifests/", 1)),
        ("an error within", FaultRule::new("/manifests/", Fault::Status(500, vec![]))),
        ("an error at a layer", FaultRule::new("/blobs/", Fault::Status(503, vec![]))),
    ] {
        let (registry, image) = sample_registry();
        registry.fault(rule.times(1));
        let sandbox = Sandbox::new();
        sandbox.run(&["pull", "-q", &registry.reference("sample:1")]).success();
        let id = sandbox.run(&["inspect", "-f", "{{.Id}}", &registry.reference("sample:1")]).success();
        assert_eq!(id.trim(), image.id().to_string(), "{name}");
        sandbox.run(&["fsck"]).success();
    }
}

#[test]
fn a_layer_that_breaks_off_goes_on_where_it_stopped() {
    let (registry, image) = sample_registry();
    let large = image.layers[1].digest();
    registry.fault(FaultRule::new(large.to_string(), Fault::DropAfter(700_000)).times(2));
    let sandbox = Sandbox::new();
    sandbox.run(&["pull", "-q", &registry.reference("sample:1")]).success();
    let ranges: Vec<Option<String>> = registry
        .requests()
        .into_iter()
        .filter(|request| request.method == "GET" && request.path.contains(&large.to_string()))
        .map(|request| request.range)
        .collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[1..].iter().all(|range| range.as_deref().is_some_and(|range| range != "bytes=0-")), "{ranges:?}");
    assert!(registry.bytes_served() < image.layers.iter().map(|layer| layer.blob.len() as u64).sum::<u64>() + 50_000);
    sandbox.run(&["fsck"]).success();
}

#[test]
fn a_registry_that_ignores_ranges_is_read_from_the_start() {
    let (registry, image) = sample_registry();
    let large = image.layers[1].digest();
    registry.fault(FaultRule::new(large.to_string(), Fault::DropAfter(700_000)).times(1));
    registry.fault(FaultRule::new(large.to_string(), Fault::IgnoreRange));
    let sandbox = Sandbox::new();
    sandbox.run(&["pull", "-q", &registry.reference("sample:1")]).success();
    sandbox.run(&["fsck"]).success();
}

#[test]
fn what_does_not_exist_is_said_in_dockers_words() {
    let (registry, _) = sample_registry();
    let sandbox = impatient_sandbox();
    for (name, expected) in [
        (
            "sample:nope",
            "Error response from daemon: manifest for REGISTRY/sample:nope not found: manifest unknown: manifest unknown\n",
        ),
        (
            "nosuch:1",
            "Error response from daemon: repository REGISTRY/nosuch not found: name unknown: repository name not known to \
             registry\n",
        ),
    ] {
        let stderr = sandbox.run(&["pull", &registry.reference(name)]).failure();
        golden::assert_text(expected, &stderr.replace(&registry.host(), "REGISTRY"));
    }
    assert_untouched(&sandbox, "names that do not exist");
}

#[test]
fn nobody_listens() {
    let sandbox = impatient_sandbox();
    let address = tools::free_address();
    let stderr = sandbox.run(&["pull", &format!("{address}/sample:1")]).failure();
    let expected =
        "Error response from daemon: Get \"http://REGISTRY/v2/\": dial tcp REGISTRY: connect: connection refused\n";
    golden::assert_text(expected, &stderr.replace(&address, "REGISTRY"));
    assert_untouched(&sandbox, "nobody listens");
}

#[test]
fn credentials_are_asked_for_and_used() {
    let registry = FakeRegistry::start_with_account("me", "secret", false);
    let image = sample_image(1);
    registry.add_image("sample", "1", &image);
    let reference = registry.reference("sample:1");
    let shown = |text: &str| text.replace(&registry.host(), "REGISTRY");
    let sandbox = impatient_sandbox();

    let refused = sandbox.run(&["pull", &reference]).failure();
    golden::assert_text(
        "Error response from daemon: pull access denied for REGISTRY/sample, repository does not exist or may require \
         'docker login': unauthorized: incorrect username or password\nhint: check the name; for a private repository, \
         log in with `strata login REGISTRY`\n",
        &shown(&refused),
    );
    let login = |password: &str| {
        let mut command = sandbox.command(&["login", "-u", "me", "--password-stdin", &registry.host()]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { stdout: text(output.stdout), stderr: text(output.stderr), status: output.status }
    };
    let wrong = login("wrong\n").failure();
    golden::assert_text(
        "Error response from daemon: Get \"http://REGISTRY/v2/\": unauthorized: incorrect username or password\n\
         hint: log in again with `strata login REGISTRY`\n",
        &shown(&wrong),
    );
    assert!(!sandbox.path("docker/config.json").exists(), "a wrong password was kept");
    let right = login("secret\n");
    assert_eq!(right.stdout, "Login Succeeded\n", "{}", right.stderr);
    sandbox.run(&["pull", "-q", &reference]).success();
    sandbox.run(&["rmi", &reference]).success();
    let out = sandbox.run(&["logout", &registry.host()]).success();
    assert_eq!(shown(&out), "Removing login credentials for REGISTRY\n");
    assert_eq!(shown(&sandbox.run(&["pull", &reference]).failure()), shown(&refused));
    assert_untouched(&sandbox, "logged out");
}

#[test]
fn a_full_disk_is_told_and_left_whole() {
    if !have(&["root", "mount", "umount"]) {
        return;
    }
    let (registry, image) = sample_registry();
    let reference = registry.reference("sample:1");
    // From too small for the catalog to nearly enough for the image.
    for kibibytes in [64, 512, 1024, 2048, 3072, 4096] {
        let sandbox = Sandbox::new();
        let disk = MemoryMount::new(sandbox.root(), &format!("size={kibibytes}k"));
        let stderr = sandbox.run(&["pull", "-q", &reference]).failure();
        // In the kernel's words, or in the catalog's.
        let is_told =
            ["No space left on device", "database or disk is full"].iter().any(|words| stderr.contains(words));
        assert!(is_told, "{kibibytes} KiB: {stderr}");
        assert!(stderr.lines().count() <= 3, "{kibibytes} KiB: {stderr}");
        disk.remount("size=64m");
        assert_untouched(&sandbox, &format!("{kibibytes} KiB"));
        sandbox.run(&["pull", "-q", &reference]).success();
        let id = sandbox.run(&["inspect", "-f", "{{.Id}}", &reference]).success();
        assert_eq!(id.trim(), image.id().to_string());
        sandbox.run(&["fsck"]).success();
    }
}

#[test]
fn a_full_disk_does_not_keep_from_removing() {
    if !have(&["root", "mount", "umount"]) {
        return;
    }
    let (registry, _) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    let _disk = MemoryMount::new(sandbox.root(), "size=16m");
    sandbox.run(&["pull", "-q", &reference]).success();
    let fill = |size: usize| std::fs::write(sandbox.root().join("ballast"), vec![1; size]);
    let mut size = 16 << 20;
    while fill(size).is_err() {
        size -= 4096;
    }
    sandbox.run(&["images"]).success();
    let removed = sandbox.run(&["rmi", &reference]);
    assert!(removed.status.success(), "{}", removed.stderr);
    std::fs::remove_file(sandbox.root().join("ballast")).unwrap();
    assert_untouched(&sandbox, "removed on a full disk");
}

#[test]
fn a_read_only_disk_is_told() {
    if !have(&["root", "mount", "umount"]) {
        return;
    }
    let (registry, image) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    let disk = MemoryMount::new(sandbox.root(), "size=64m");
    sandbox.run(&["pull", "-q", &reference]).success();
    disk.remount("ro");
    // What only reads succeeds or not: what the catalog needs beside its file may be there from before.
    let id = image.id().to_string();
    for (arguments, expected) in
        [(&["images", "-q", "--no-trunc"][..], id.as_str()), (&["pull", "-q", &reference], reference.as_str())]
    {
        let read = sandbox.run(arguments);
        match read.status.success() {
            true => assert_eq!(read.stdout.trim(), expected),
            false => assert!(read.failure().contains("Read-only file system")),
        }
    }
    for arguments in [&["rmi", &reference][..], &["tag", &reference, "other:1"], &["image", "prune", "-f", "-a"]] {
        let stderr = sandbox.run(arguments).failure();
        assert!(stderr.contains("Read-only file system"), "{arguments:?}: {stderr}");
        assert!(stderr.lines().count() <= 2, "{arguments:?}: {stderr}");
    }
    disk.remount("rw");
    let id = sandbox.run(&["images", "-q", "--no-trunc"]).success();
    assert_eq!(id.trim(), image.id().to_string());
    sandbox.run(&["rmi", &reference]).success();
    assert_untouched(&sandbox, "writable again");
}

#[test]
fn an_empty_read_only_disk_is_told() {
    if !have(&["root", "mount", "umount"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let _disk = MemoryMount::new(sandbox.root(), "size=1m,ro");
    for arguments in [&["images"][..], &["pull", "-q", "127.0.0.1:1/x:1"]] {
        let stderr = sandbox.run(arguments).failure();
        assert!(stderr.contains("Read-only file system"), "{stderr}");
    }
}

/// Runs as the user `nobody`, with a copy of the program that this user can reach.
fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    let copy = sandbox.path("strata");
    if !copy.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_strata"), &copy).unwrap();
        std::fs::set_permissions(copy.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).args(arguments);
    command.env_clear().env("HOME", sandbox.path("")).env("STRATA_ROOT", sandbox.root());
    run(command)
}

#[test]
fn a_store_of_somebody_else_is_told() {
    if !have(&["root", "setpriv"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.run(&["images"]).success();
    std::fs::set_permissions(sandbox.root(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let stderr = as_nobody(&sandbox, &["images"]).failure();
    assert!(stderr.to_lowercase().contains("permission denied"), "{stderr}");
    assert!(stderr.contains(sandbox.root().to_str().unwrap()), "{stderr}");
}

#[test]
fn a_root_that_cannot_be_made_is_told() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("file");
    std::fs::write(&file, "not a directory").unwrap();
    for root in [file.clone(), file.join("below")] {
        let stderr = run(sandbox.command_on(&root, &["images"])).failure();
        assert!(stderr.contains("Not a directory") || stderr.contains("not a directory"), "{stderr}");
        assert!(stderr.contains(file.to_str().unwrap()), "{stderr}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
    if !is_root() {
        let stderr = run(sandbox.command_on("/proc/strata".as_ref(), &["images"])).failure();
        assert!(!stderr.is_empty());
    }
}
