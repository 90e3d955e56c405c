//! Killed at any step, the store is whole, nothing that was visible is lost, and trying again succeeds.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Sandbox, run, sample_image, sample_registry};

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

#[test]
fn a_download_goes_on_where_the_killed_one_stopped() {
    let (registry, image) = sample_registry();
    let sandbox = Sandbox::new();
    let reference = registry.reference("sample:1");
    let large = image.layers.iter().max_by_key(|layer| layer.blob.len()).unwrap();
    registry.limit_chunks(16 << 10);
    let killed = sandbox.run_with_fault("download-half", &["pull", &reference]);
    assert!(was_killed(&killed));
    let before = registry.bytes_served();
    registry.forget_requests();
    sandbox.run(&["pull", &reference]).success();
    let again = registry.bytes_served() - before;
    assert!(
        again < large.blob.len() as u64 * 3 / 4,
        "the second pull fetched {again} bytes; the largest layer has {}",
        large.blob.len()
    );
    let ranged = registry.requests().iter().any(|request| request.range.is_some());
    assert!(ranged, "no request had a Range: {:?}", registry.requests());
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
    let large = image.layers.iter().map(|layer| layer.blob.len()).max().unwrap() as u64;
    registry.limit_chunks(16 << 10);
    let sandbox = Sandbox::new();
    let reference = registry.reference("sample:1");
    let mut owner = sandbox.command(&["pull", &reference]);
    owner.env("STRATA_FAULT", "download-half").stdout(Stdio::null()).stderr(Stdio::null());
    let mut owner = owner.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(30));
    let waiting = run(sandbox.command(&["pull", &reference]));
    owner.wait().unwrap();
    waiting.success();
    assert_whole(&sandbox, "the takeover");
    let total: u64 = image.layers.iter().map(|layer| layer.blob.len() as u64).sum();
    let served = registry.bytes_served();
    assert!(served < total + large * 3 / 4, "{served} bytes were served for {total}");
}
