//! A museum of hostile input: a clear error, nothing outside the store, nothing visible after.

mod support;

use std::path::Path;

use strata_testkit::museum::{Exhibit, Verdict};
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, Packing, museum};
use support::Sandbox;

/// What is wrong with how an exhibit was taken: `Refuse` must fail, `Accept` must not, `Contain` may do either without harm.
fn judge(sandbox: &Sandbox, exhibit: &Exhibit, run: &support::Run) -> Option<String> {
    let problem = match (exhibit.verdict, run.status.code()) {
        (Verdict::Refuse, Some(0)) => "was accepted",
        (Verdict::Accept, Some(1)) => "was refused",
        (_, Some(0)) => "",
        (_, Some(1)) if run.stderr.trim().is_empty() => "was refused without a word",
        (_, Some(1)) if !sandbox.run(&["images", "-aq"]).success().is_empty() => "was refused, and is visible",
        (_, Some(1)) => "",
        _ => "ended the program",
    };
    let problem = match problem {
        "" if !sandbox.run(&["fsck"]).status.success() => "left a damaged store",
        "" if Path::new("/tmp/strata-museum-escape").exists() => "escaped",
        other => other,
    };
    (!problem.is_empty()).then(|| format!("{} {problem}: {}", exhibit.name, run.stderr.trim()))
}

#[test]
fn hostile_layers_are_refused_or_contained() {
    let registry = FakeRegistry::start();
    let mut problems = Vec::new();
    for exhibit in museum::layers() {
        let image = ImageBuilder::new().layer(Layer::of_tar((exhibit.bytes)(), Packing::Gzip)).build();
        registry.add_image("exhibit", "1", &image);
        let sandbox = Sandbox::new();
        let pulled = sandbox.run(&["pull", &registry.reference("exhibit:1")]);
        problems.extend(judge(&sandbox, &exhibit, &pulled));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn hostile_archives_are_refused_or_contained() {
    // It leaves out a layer that the receiver is expected to have; this one does not have it.
    let mut problems = Vec::new();
    let expects_a_layer = |exhibit: &Exhibit| exhibit.name == "layer-empty-because-present";
    for exhibit in museum::archives().into_iter().filter(|exhibit| !expects_a_layer(exhibit)) {
        let sandbox = Sandbox::new();
        let file = sandbox.path("exhibit.tar");
        std::fs::write(&file, (exhibit.bytes)()).unwrap();
        let loaded = sandbox.run(&["load", "-i", file.to_str().unwrap()]);
        problems.extend(judge(&sandbox, &exhibit, &loaded));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
