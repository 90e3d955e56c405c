//! Killed at any step, the store is whole, nothing that was visible is lost, and trying again succeeds.

mod support;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use strata_testkit::{Fault, FaultRule};
use support::{Sandbox, sample_image, sample_registry};

/// The registry sends so much of the large layer and then nothing more.
const SENT: usize = 1_200_000;

/// How a process that met its fault point ended.
fn was_killed(run: &support::Run) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    run.status.signal().is_some()
}

#[track_caller]
fn assert_whole(sandbox: &Sandbox, when: &str) {
    let checked = sandbox.run(&["fsck"]);
    assert!(checked.status.success(), "after {when}: {}{}", checked.stdout, checked.stderr);
}

#[test]
fn a_pull_killed_at_every_step_leaves_a_whole_store_and_succeeds_when_repeated() {
    let mut met = 0;
    for point in strata_store::fault::POINTS {
        for passage in 1..=3 {
            let (registry, image) = sample_registry();
            let sandbox = Sandbox::new();
            let reference = registry.reference("sample:1");
            let killed = sandbox.run_with_fault(&format!("{point}:{passage}"), &["pull", &reference]);
            met += usize::from(was_killed(&killed));
            assert!(was_killed(&killed) || killed.status.success(), "{point}: {}", killed.stderr);
            assert_whole(&sandbox, point);
            sandbox.run(&["pull", &reference]).success();
            assert_whole(&sandbox, point);
            let id = sandbox.run(&["inspect", "--format", "{{.Id}}", &reference]).success();
            assert_eq!(id.trim(), image.id().to_string(), "{point}");
            sandbox.run(&["rmi", &reference]).success();
            assert_whole(&sandbox, point);
        }
    }
    assert!(met >= 20, "only {met} kills met their point");
}

#[test]
fn a_load_killed_at_every_step_succeeds_when_repeated() {
    let image = sample_image(3);
    let archive = strata_testkit::archive::docker(&[(&image, &["loaded:1"])]).tar(strata_testkit::TarFormat::Gnu);
    let mut met = 0;
    for point in strata_store::fault::POINTS {
        let sandbox = Sandbox::new();
        let file = sandbox.path("image.tar");
        std::fs::write(&file, &archive).unwrap();
        let arguments = ["load", "-i", file.to_str().unwrap()];
        let killed = sandbox.run_with_fault(point, &arguments);
        met += usize::from(was_killed(&killed));
        assert_whole(&sandbox, point);
        let output = sandbox.run(&arguments).success();
        assert!(output.contains("Loaded image: loaded:1"), "{output}");
        assert_whole(&sandbox, point);
    }
    assert!(met >= 4, "only {met} kills met their point");
}

#[test]
fn a_removal_killed_at_every_step_frees_everything_in_the_end() {
    let mut met = 0;
    for point in strata_store::fault::POINTS {
        for command in [&["rmi"][..], &["image", "prune", "--all", "--force"]] {
            let (registry, _) = sample_registry();
            let sandbox = Sandbox::new();
            let reference = registry.reference("sample:1");
            sandbox.run(&["pull", "-q", &reference]).success();
            let mut arguments = command.to_vec();
            if command[0] == "rmi" {
                arguments.push(&reference);
            }
            let killed = sandbox.run_with_fault(point, &arguments);
            met += usize::from(was_killed(&killed));
            assert_whole(&sandbox, point);
            sandbox.run(&["image", "prune", "--all", "--force"]).success();
            assert_whole(&sandbox, point);
            let left = sandbox.files(&["packs", "indexes"]);
            assert!(left.is_empty(), "{point}: {left:?}");
            sandbox.run(&["pull", "-q", &reference]).success();
            assert_whole(&sandbox, point);
        }
    }
    assert!(met >= 4, "only {met} kills met their point");
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    let kills = if std::env::var_os("STRATA_TEST_FULL").is_some() { 200 } else { 25 };
    let (registry, image) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    let start = Instant::now();
    sandbox.run(&["pull", &reference]).success();
    let duration = start.elapsed().max(Duration::from_millis(20));
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..kills {
        sandbox.run(&["rmi", &reference]);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = duration.mul_f64((random % 1000) as f64 / 800.0);
        let mut child =
            sandbox.command(&["pull", &reference]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        let _ = child.kill();
        child.wait().unwrap();
        assert_whole(&sandbox, &format!("kill {round} at {moment:?}"));
        sandbox.run(&["pull", "-q", &reference]).success();
    }
    let id = sandbox.run(&["inspect", "--format", "{{.Id}}", &reference]).success();
    assert_eq!(id.trim(), image.id().to_string());
    assert_whole(&sandbox, "all kills");
}

/// Whether a layer was asked for from a place at or behind its middle on.
fn was_resumed(registry: &strata_testkit::FakeRegistry, image: &strata_testkit::Image) -> bool {
    registry.requests().iter().any(|request| {
        let layer = image.layers.iter().find(|layer| request.path.contains(&layer.digest().to_string()));
        let start = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split('-').next());
        let start = start.and_then(|start| start.parse::<usize>().ok());
        matches!((layer, start), (Some(layer), Some(start)) if start >= layer.blob.len() / 2)
    })
}

/// Starts a pull of which the registry sends the large layer only in part, and waits until that part is staged.
fn pull_half(registry: &strata_testkit::FakeRegistry, image: &strata_testkit::Image, sandbox: &Sandbox) -> Child {
    let large = image.layers.iter().max_by_key(|layer| layer.blob.len()).unwrap().digest();
    registry.fault(FaultRule::new(large.to_string(), Fault::HangAfter(SENT)));
    let mut pull = sandbox.command(&["pull", &registry.reference("sample:1")]);
    let child = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_staged = || {
        let lengths = sandbox.files(&["staging"]).into_iter().filter_map(|file| Some(file.metadata().ok()?.len()));
        lengths.max() == Some(SENT as u64)
    };
    while !is_staged() {
        assert!(Instant::now() < deadline, "{:?}", sandbox.files(&["staging"]));
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_download_goes_on_where_the_killed_one_stopped() {
    let (registry, image) = sample_registry();
    let sandbox = Sandbox::new();
    let mut killed = pull_half(&registry, &image, &sandbox);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!was_resumed(&registry, &image));
    registry.heal();
    sandbox.run(&["pull", &registry.reference("sample:1")]).success();
    assert!(was_resumed(&registry, &image), "{:?}", registry.requests());
    assert_whole(&sandbox, "the resumed pull");
}

#[test]
fn eight_processes_fetch_each_blob_once() {
    let (registry, first) = sample_registry();
    let second = strata_testkit::ImageBuilder::new()
        .layer(first.layers[0].clone())
        .layer(first.layers[1].clone())
        .layer(strata_testkit::Layer::of_file("other", "other\n"))
        .build();
    registry.add_image("other", "1", &second);
    registry.limit_chunks(64 << 10);
    let sandbox = Sandbox::new();
    let references = [registry.reference("sample:1"), registry.reference("other:1")];
    let children: Vec<_> = (0..8)
        .map(|number| {
            sandbox
                .command(&["pull", &references[number % 2]])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for layer in &first.layers {
        assert_eq!(registry.blob_requests(layer.digest()), 1, "layer {}", layer.digest());
    }
    assert_whole(&sandbox, "eight pulls");
    assert_eq!(sandbox.run(&["images", "-q"]).success().lines().count(), 2);
}

#[test]
fn when_the_owner_of_a_download_dies_another_process_goes_on() {
    let (registry, image) = sample_registry();
    let sandbox = Sandbox::new();
    let mut owner = pull_half(&registry, &image, &sandbox);
    let mut waiting = sandbox.command(&["pull", &registry.reference("sample:1")]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    registry.heal();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let waiting = waiting.wait_with_output().unwrap();
    assert!(waiting.status.success(), "{}", String::from_utf8_lossy(&waiting.stderr));
    assert!(was_resumed(&registry, &image), "{:?}", registry.requests());
    assert_whole(&sandbox, "the takeover");
}
