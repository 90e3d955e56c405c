//! What is said about transfers: several at once, from addresses, through the store, out of other repositories.

mod support;

use std::fs;

use strata_testkit::{FakeRegistry, Fault, FaultRule, ImageBuilder, Layer};
use support::{Sandbox, sample_image, sample_registry};

#[test]
fn several_names_are_pulled_side_by_side_and_told_one_after_another() {
    let registry = FakeRegistry::start();
    for (number, name) in ["a", "b", "c", "d"].iter().enumerate() {
        registry.add_image(name, "1", &sample_image(number as u64));
    }
    // The first one is the slowest.
    registry.fault(FaultRule::new("/v2/a/manifests/1", Fault::Delay(1_000)).times(1));
    let sandbox = Sandbox::new();
    let names = ["a:1", "nosuch", "b:1", "c:1", "d:1"].map(|name| registry.reference(name));
    let mut arguments = vec!["pull"];
    arguments.extend(names.iter().map(String::as_str));
    let run = sandbox.run(&arguments);
    assert_eq!(run.status.code(), Some(1));
    let missing = &names[1];
    assert!(run.stderr.starts_with(&format!("{missing}: Error response from daemon: ")), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);

    let is_end = |line: &&str| names.iter().any(|name| name == line);
    let ends: Vec<&str> = run.stdout.lines().filter(is_end).collect();
    assert_eq!(ends, [&names[0], &names[2], &names[3], &names[4]], "{}", run.stdout);
    let blocks: Vec<&str> = run.stdout.split("1: Pulling from ").skip(1).collect();
    for (block, name) in blocks.iter().zip(["a", "b", "c", "d"]) {
        let lines: Vec<&str> = block.lines().collect();
        assert_eq!(lines[0], name, "{}", run.stdout);
        assert!(block.contains("Digest: ") && block.contains("Status: Downloaded newer image for "), "{block}");
    }
    let requests = registry.requests();
    let position = |part: &str| requests.iter().position(|request| request.path.contains(part)).unwrap();
    assert!(position("/v2/b/manifests/") < position("/v2/a/blobs/"), "nothing was pulled beside the slow one");
    sandbox.run(&["fsck"]).success();
}

#[test]
fn one_name_fails_without_being_repeated() {
    let (registry, _) = sample_registry();
    let name = registry.reference("nosuch");
    let stderr = Sandbox::new().run(&["pull", &name]).failure();
    assert!(stderr.starts_with("Error response from daemon: "), "{stderr}");
}

#[test]
fn a_tarball_is_imported_from_an_address() {
    let (registry, image) = sample_registry();
    let address = |rest: &str| format!("http://{}/v2/sample/{rest}", registry.host());
    let good = address(&format!("blobs/{}", image.layers[0].digest()));
    let sandbox = Sandbox::new();
    let imported = sandbox.run(&["import", &good, "base:1"]).success();
    let lines: Vec<&str> = imported.lines().collect();
    assert_eq!(lines[0], format!("Downloading from {good}"));
    assert!(lines.len() == 2 && lines[1].starts_with("sha256:"), "{imported}");
    assert_eq!(sandbox.run(&["image", "cat", "base:1", "/etc/os-release"]).success(), "NAME=sample\n");
    let comment = sandbox.run(&["inspect", "-f", "{{.Comment}}", "base:1"]).success();
    assert_eq!(comment.trim(), format!("Imported from {good}"));

    for (address, expected) in [
        (address("blobs/nosuch"), "Get \"http://"),
        ("http://127.0.0.1:1/x.tar".to_owned(), "connection refused"),
        ("http://".to_owned(), "is no address"),
    ] {
        let stderr = sandbox.run(&["import", &address, "base:2"]).failure();
        assert!(stderr.contains(expected), "{address}: {stderr}");
    }
    registry.fault(FaultRule::new("/blobs/", Fault::DropAfter(10_000)));
    let stderr = sandbox.run(&["import", &good, "base:2"]).failure();
    assert!(stderr.contains("reading the tarball: Get \"http://"), "{stderr}");
    assert_eq!(sandbox.run(&["images", "-q", "base:2"]).success(), "");
    sandbox.run(&["fsck"]).success();
}

#[test]
fn a_copy_says_what_came_to_its_target() {
    let (registry, image) = sample_registry();
    let sandbox = Sandbox::new();
    let source = format!("docker://{}", registry.reference("sample:1"));
    let layout = format!("oci:{}:1", sandbox.path("layout").display());
    let archive = format!("oci-archive:{}:1", sandbox.path("image.tar").display());
    let every = image.layers.len() + 1;
    let complete = format!("Copied {every} blobs (2.302MB), 0 were there already");
    let nothing = format!("Copied 0 blobs (0B), {every} were there already");
    for (from, to, word, report) in [
        (&source[..], &layout[..], "Copied", &complete),
        (&source, &layout, "Already exists", &nothing),
        (&layout, &archive, "Copied", &complete),
        (&layout, &archive, "Copied", &complete),
        (&archive, "store:sample:1", "Copied", &complete),
        (&archive, "store:sample:1", "Already exists", &nothing),
        ("store:sample:1", &archive, "Copied", &complete),
    ] {
        let what = format!("{from} to {to}");
        let told = sandbox.run(&["copy", from, to]).success();
        let layers = image.layers.iter().map(|layer| format!("{}: {word}", layer.digest().short()));
        for line in layers {
            assert_eq!(told.lines().filter(|told| **told == line).count(), 1, "{what}: {line}\n{told}");
        }
        let is_expected = |line: &str| line.ends_with(word) || line.starts_with("Digest: ") || line == report;
        assert!(told.lines().all(is_expected), "{what}\n{told}");
        assert_eq!(told.lines().last(), Some(&report[..]), "{what}");
    }
}

#[test]
fn a_mounted_layer_names_the_repository_it_came_from() {
    let registry = FakeRegistry::start();
    for name in ["a", "b"] {
        let layer = Layer::of_file(name, name);
        registry.add_image(name, "1", &ImageBuilder::new().layer(layer).build());
    }
    let sandbox = Sandbox::new();
    for name in ["a:1", "b:1"] {
        sandbox.run(&["pull", "-q", &registry.reference(name)]).success();
    }
    for from in ["a", "b"] {
        let target = registry.reference(&format!("target-{from}:1"));
        sandbox.run(&["tag", &registry.reference(&format!("{from}:1")), &target]).success();
        let told = sandbox.run(&["push", &target]).success();
        assert!(told.contains(&format!(": Mounted from {from}\n")), "{told}");
    }
}

/// What failed transfers left is told by `system df` and removed by a prune; until then, a repeated pull finds it.
#[test]
fn what_a_failed_pull_left_can_be_taken_up_or_pruned() {
    let (registry, image) = sample_registry();
    let large = image.layers[1].digest();
    // It hangs long enough for the other layers to be finished.
    let break_off = || registry.fault(FaultRule::new(large.to_string(), Fault::HangAfter(10_000)));
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    let settings = sandbox.path(".config/strata");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("config.toml"), "[network]\nidle-timeout = 2\ntries = 1\n").unwrap();
    let reclaimable = || sandbox.run(&["system", "df", "--format", "{{.Reclaimable}}"]).success();
    let reclaimable = || reclaimable().lines().next().unwrap_or_default().to_owned();

    break_off();
    sandbox.run(&["pull", &reference]).failure();
    assert!(reclaimable().ends_with(" (100%)"), "{}", reclaimable());
    registry.heal();
    registry.forget_requests();
    sandbox.run(&["pull", &reference]).success();
    assert_eq!(registry.blob_requests(image.layers[0].digest()), 0, "a finished layer is not fetched again");
    sandbox.run(&["rmi", &reference]).success();
    assert_eq!(reclaimable(), "0B", "what was taken up is no longer kept");

    break_off();
    for prune in ["image", "system"] {
        sandbox.run(&["pull", &reference]).failure();
        assert_ne!(reclaimable(), "0B", "{prune}");
        let freed = sandbox.run(&[prune, "prune", "-f"]).success();
        assert_ne!(freed, "Total reclaimed space: 0B\n", "{prune}");
        assert_eq!(reclaimable(), "0B", "{prune}");
        assert_eq!(sandbox.files(&["packs", "indexes"]), Vec::<std::path::PathBuf>::new(), "{prune}");
    }
    sandbox.run(&["fsck"]).success();
}

/// The size that the last line of a prune tells.
#[track_caller]
fn told_size(text: &str) -> f64 {
    let shown = text.trim_end().rsplit(' ').next().unwrap_or_default();
    let (number, unit) = shown.split_at(shown.find(char::is_alphabetic).unwrap_or(0));
    let unit = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        _ => panic!("no size: {text}"),
    };
    number.parse::<f64>().unwrap() * unit
}

#[test]
fn a_dry_run_of_prune_counts_what_compaction_gives_back() {
    let sandbox = Sandbox::new();
    let shared = strata_testkit::layer::noise(5, 100_000);
    let own = strata_testkit::layer::noise(6, 900_000);
    let entry = strata_testkit::TarEntry::file;
    let first = Layer::new(&[entry("shared", shared.clone()), entry("own", own)]);
    let second = Layer::new(&[entry("copied", shared)]);
    for (name, layer) in [("first:1", first), ("second:1", second)] {
        let tar = sandbox.path("layer.tar");
        fs::write(&tar, &layer.tar).unwrap();
        sandbox.run(&["import", tar.to_str().unwrap(), name]).success();
    }
    let filter = ["--filter", "reference=first"];
    let run = |last: &[&str]| sandbox.run(&[&["image", "prune"], &filter[..], last].concat()).success();
    let planned = told_size(&run(&["--dry-run"]));
    let freed = told_size(&run(&["-f"]));
    assert!(freed > 900_000.0 && freed < 1_100_000.0, "{freed}");
    assert!((planned - freed).abs() < 16_384.0, "planned {planned}, freed {freed}");
    assert_eq!(sandbox.run(&["image", "cat", "second:1", "/copied"]).status.code(), Some(0));
}
