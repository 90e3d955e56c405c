//! Killed at every durable step of a push, a removal and a collection, a registry has what it acknowledged, and whoever
//! does again what was not acknowledged succeeds.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
}

use std::collections::BTreeMap;
use std::io;
use std::process::Command;

use strata_model::Digest;
use strata_testkit::{Image, ImageBuilder, Layer};
use support::hub::{Answer, Request, RunningHub, administrator};

/// A client of a hub that may die at any request.
struct Client {
    hub: RunningHub,
    token: String,
    /// What was acknowledged: the digest that a path has, or that it has nothing.
    facts: BTreeMap<String, Option<Digest>>,
    kills: u32,
}

impl Client {
    fn send(&self, request: Request) -> io::Result<Answer> {
        request.token(&self.token).send(&self.hub.address)
    }

    /// Does a step, and again when the hub died of it: `action` is told whether it is the second time.
    fn step(&mut self, facts: &[(&str, Option<Digest>)], mut action: impl FnMut(&Client, bool) -> io::Result<()>) {
        // What dies unanswered may have come to pass or not.
        for (path, _) in facts {
            self.facts.remove(*path);
        }
        if action(self, false).is_err() {
            self.kills += 1;
            self.revive();
            action(self, true).unwrap();
        }
        self.facts.extend(facts.iter().map(|(path, digest)| ((*path).to_owned(), *digest)));
    }

    /// Starts a hub without fault, and looks whether all is there.
    fn revive(&mut self) {
        self.hub.kill();
        let checked = self.hub.command(&["hub", "fsck"]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        self.hub = RunningHub::start(&self.hub.root.clone(), &SETTINGS);
        self.check();
    }

    fn check(&self) {
        for (path, expected) in &self.facts {
            let answer = self.send(Request::new("GET", path)).unwrap();
            let found = (answer.status == 200).then(|| Digest::of(&answer.body));
            assert_eq!(found, *expected, "{path}: {}", answer.status);
        }
    }

    /// In a session of two chunks.
    fn upload(&mut self, repository: &str, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        let mut location = String::new();
        self.step(&[], |client, _| {
            let begun = client.send(Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")))?;
            assert_eq!(begun.status, 202, "{}", begun.text());
            location = begun.headers["location"].clone();
            Ok(())
        });
        let half = bytes.len() / 2;
        for (first, end) in [(0, half), (half, bytes.len())] {
            self.step(&[], |client, is_again| {
                let mut first = first;
                if is_again {
                    let status = client.send(Request::new("GET", &location))?;
                    assert_eq!(status.status, 204, "{}", status.text());
                    let held: usize = status.headers["range"].split('-').next_back().unwrap().parse().unwrap();
                    let held = if held == 0 { 0 } else { held + 1 };
                    assert!((first..=end).contains(&held), "{held} bytes are held");
                    first = held;
                }
                if first < end {
                    let chunk =
                        Request::new("PATCH", &location).header("content-range", &format!("{first}-{}", end - 1));
                    let taken = client.send(chunk.body(&bytes[first..end]))?;
                    assert_eq!(taken.status, 202, "{}", taken.text());
                }
                Ok(())
            });
        }
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.step(&[(&path, Some(digest))], |client, _| {
            let put = client.send(Request::new("PUT", &format!("{location}?digest={digest}")))?;
            // A session that ended without an answer is gone, and its blob is there.
            let is_done = put.status == 404 && client.send(Request::new("HEAD", &path))?.status == 200;
            assert!(put.status == 201 || is_done, "{}", put.text());
            Ok(())
        });
    }

    fn put_manifest(&mut self, repository: &str, tag: &str, image: &Image) {
        let path = |target: &str| format!("/v2/{repository}/manifests/{target}");
        let (by_tag, by_digest) = (path(tag), path(&image.digest().to_string()));
        let digest = Some(image.digest());
        self.step(&[(&by_tag, digest), (&by_digest, digest)], |client, _| {
            let put = Request::new("PUT", &by_tag).header("content-type", image.media_type.as_str());
            let put = client.send(put.body(image.manifest.clone()))?;
            assert_eq!(put.status, 201, "{}", put.text());
            Ok(())
        });
    }

    fn delete(&mut self, path: &str) {
        self.step(&[(path, None)], |client, is_again| {
            let deleted = client.send(Request::new("DELETE", path))?;
            assert!(deleted.status == 202 || is_again && deleted.status == 404, "{}", deleted.text());
            Ok(())
        });
    }

    /// In a process of its own, which is the one that dies.
    fn collect(&mut self, fault: &str) {
        let collect = |hub: &RunningHub| -> Command { hub.command(&["hub", "gc", "--now"]) };
        if !collect(&self.hub).env("STRATA_FAULT", fault).output().unwrap().status.success() {
            self.kills += 1;
            self.revive();
            assert!(collect(&self.hub).output().unwrap().status.success());
        }
        self.check();
    }
}

const SETTINGS: [(&str, &str); 1] = [("STRATA_HUB_LOG__LEVEL", "error")];

/// Pushes, mounts, moves a tag, deletes and collects under a fault; returns how often something died of it.
fn live_through(fault: &str) -> u32 {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let token = administrator(&root);
    let hub = RunningHub::start(&root, &[SETTINGS[0], ("STRATA_FAULT", fault)]);
    let mut client = Client { hub, token, facts: BTreeMap::new(), kills: 0 };
    let images = [1, 2].map(|seed| ImageBuilder::new().layer(Layer::of_noise(seed, 200_000)).build());
    for image in &images {
        for (_, bytes) in image.blobs() {
            client.upload("admin/app", &bytes);
        }
        client.put_manifest("admin/app", "latest", image);
    }
    for (digest, _) in images[1].blobs() {
        let mounted = format!("/v2/admin/copy/blobs/{digest}");
        client.step(&[(&mounted, Some(digest))], |client, _| {
            let path = format!("/v2/admin/copy/blobs/uploads/?mount={digest}&from=admin/app");
            assert_eq!(client.send(Request::new("POST", &path))?.status, 201);
            Ok(())
        });
    }
    client.put_manifest("admin/copy", "other", &images[1]);
    client.delete("/v2/admin/copy/manifests/other");
    let manifest = format!("/v2/admin/app/manifests/{}", images[1].digest());
    client.facts.remove("/v2/admin/app/manifests/latest");
    client.delete(&manifest);
    client.facts.insert("/v2/admin/app/manifests/latest".to_owned(), None);
    // What nothing refers to any more goes; asking for it would make it stay.
    client.facts.retain(|_, digest| digest.is_none());
    client.collect(fault);
    let old = format!("/v2/admin/app/manifests/{}", images[0].digest());
    client.facts.insert(old, None);
    client.check();
    client.revive();
    let left = std::fs::read_dir(root.join("blobs")).unwrap().count();
    // What was whole but not yet published at a kill is swept after a day: it might be another's work.
    assert!(left <= client.kills as usize, "{fault}: {left} blobs are left after {} kills", client.kills);
    client.kills
}

#[test]
fn a_registry_killed_at_every_step_has_what_it_acknowledged() {
    for point in strata_store::fault::REGISTRY_POINTS {
        for passage in [1, 2] {
            let fault = format!("{point}:{passage}");
            let kills = live_through(&fault);
            assert!(kills > 0 || passage > 1, "{fault} was not met");
        }
    }
}
