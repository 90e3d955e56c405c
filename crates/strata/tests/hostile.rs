//! A museum of hostile input: a clear error, nothing outside the store, nothing visible after.

mod support;

use std::path::Path;

use strata_testkit::museum::{Exhibit, Verdict};
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, Packing, museum};
use support::Sandbox;

#[track_caller]
fn assert_refused(sandbox: &Sandbox, name: &str, run: support::Run) {
    assert!(!run.status.success(), "{name} was accepted: {}", run.stdout);
    assert_eq!(run.status.code(), Some(1), "{name}: {:?} {}", run.status, run.stderr);
    assert!(!run.stderr.contains("panicked"), "{name}: {}", run.stderr);
    assert!(!run.stderr.trim().is_empty(), "{name}: no error message");
    assert_eq!(sandbox.run(&["images", "-aq"]).success(), "", "{name}: {}", run.stderr);
    sandbox.run(&["fsck"]).success();
}

/// What an exhibit's verdict asks for: `Refuse` must fail, `Accept` must not, `Contain` may do either without harm.
#[track_caller]
fn judge(sandbox: &Sandbox, exhibit: &Exhibit, run: support::Run) {
    match exhibit.verdict {
        Verdict::Refuse => assert_refused(sandbox, exhibit.name, run),
        Verdict::Accept => assert!(run.status.success(), "{}: {}", exhibit.name, run.stderr),
        Verdict::Contain if run.status.success() => {
            sandbox.run(&["fsck"]).success();
        }
        Verdict::Contain => assert_refused(sandbox, exhibit.name, run),
    }
    assert!(!Path::new("/tmp/strata-museum-escape").exists(), "{} escaped", exhibit.name);
}

#[test]
fn hostile_layers_are_refused_or_contained() {
    let registry = FakeRegistry::start();
    for exhibit in museum::layers() {
        let image = ImageBuilder::new().layer(Layer::of_tar((exhibit.bytes)(), Packing::Gzip)).build();
        registry.add_image("exhibit", "1", &image);
        let sandbox = Sandbox::new();
        let pulled = sandbox.run(&["pull", &registry.reference("exhibit:1")]);
        judge(&sandbox, &exhibit, pulled);
    }
}

#[test]
fn hostile_archives_are_refused_or_contained() {
    // It leaves out a layer that the receiver is expected to have; this one does not have it.
    let expects_a_layer = |exhibit: &Exhibit| exhibit.name == "layer-empty-because-present";
    for exhibit in museum::archives().into_iter().filter(|exhibit| !expects_a_layer(exhibit)) {
        let sandbox = Sandbox::new();
        let file = sandbox.path("exhibit.tar");
        std::fs::write(&file, (exhibit.bytes)()).unwrap();
        let loaded = sandbox.run(&["load", "-i", file.to_str().unwrap()]);
        judge(&sandbox, &exhibit, loaded);
    }
}
