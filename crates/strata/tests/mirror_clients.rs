//! The mirror of `strata hub serve` in front of registries that ask who it is, and the daemons that people point to mirrors.

#[path = "support/hub.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
mod hub;
mod support;
mod tools;

use std::path::Path;

use hub::{Answer, PASSWORD, Request, RunningHub, administrator};
use strata_testkit::{FakeRegistry, FaultRule, Image};
use support::{Sandbox, sample_image};
use tools::{Containerd, Docker};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn send(hub: &RunningHub, token: Option<&str>, path: &str) -> Answer {
    let request = Request::new("GET", path).header("accept", MANIFEST);
    let request = match token {
        Some(token) => request.token(token),
        None => request,
    };
    request.send(&hub.address).unwrap()
}

fn push(hub: &RunningHub, token: &str, repository: &str, tag: &str, media_type: &str, image: &Image) {
    for (digest, bytes) in image.blobs() {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = Request::new("POST", &path).token(token).body(bytes).send(&hub.address).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let put = Request::new("PUT", &format!("/v2/{repository}/manifests/{tag}")).token(token);
    let put = put.header("content-type", media_type).body(image.manifest.clone());
    let answer = put.send(&hub.address).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// A hub that mirrors `upstream` (`host:port`) under `name`; `more` are further settings of that upstream.
fn mirror(root: &Path, name: &str, upstream: &str, more: &str) -> RunningHub {
    let text = format!("[upstream.\"{name}\"]\nurl = \"http://{upstream}\"\nfresh_for = \"0s\"\n{more}");
    RunningHub::configured(root, &text)
}

/// A hub with a private repository, mirrored by one that signs in to it with a password or an access token, which the
/// upstream takes with each request or gives a token for.
#[test]
fn private_repositories_of_a_hub_that_asks_who_mirrors_it() {
    for (challenge, secret_is_password) in [("token", true), ("token", false), ("basic", true), ("basic", false)] {
        let case = format!("{challenge}, password: {secret_is_password}");
        let sandbox = Sandbox::new();
        let (far, near) = (sandbox.path("far"), sandbox.path("near"));
        let (owner, reader) = (administrator(&far), administrator(&near));
        let mut upstream = RunningHub::start(&far, &[("STRATA_HUB_ACCOUNTS__CHALLENGE", challenge)]);
        let image = sample_image(61);
        push(&upstream, &owner, "admin/app", "1", MANIFEST, &image);
        // The hub knows of a push a moment after it.
        hub::eventually("the repository", || {
            let private = Request::new("PATCH", "/v2/repositories/admin/app").token(&owner);
            let private = private.header("content-type", "application/json").body(r#"{"is_private":true}"#);
            (private.send(&upstream.address).unwrap().status == 200).then_some(())
        });
        assert_eq!(send(&upstream, None, "/v2/admin/app/manifests/1").status, 401);

        let file = sandbox.path("secret");
        std::fs::write(&file, format!("{}\n", if secret_is_password { PASSWORD } else { &owner })).unwrap();
        let more = format!("prefix = \"up\"\nusername = \"admin\"\npassword_file = {file:?}\n");
        let hub = mirror(&near, "hub.test", &upstream.address, &more);
        let path = |rest: &str| format!("/v2/up/admin/app/{rest}");

        // What may be private is not for everybody.
        for rest in ["manifests/1", "tags/list", &format!("referrers/{}", image.digest())] {
            let refused = send(&hub, None, &path(rest));
            assert_eq!(refused.status, 401, "{case}: {}", refused.text());
        }
        let got = send(&hub, Some(&reader), &path("manifests/1"));
        assert_eq!((got.status, got.body.as_slice()), (200, image.manifest.as_slice()), "{case}: {}", got.text());
        for (digest, bytes) in image.blobs() {
            let blob = send(&hub, Some(&reader), &path(&format!("blobs/{digest}")));
            assert!(blob.status == 200 && blob.body == bytes, "{case}: {}", blob.status);
        }
        // By another client, that signs in as people do.
        let login = sandbox.run(&["login", "-u", "admin", "-p", &reader, &hub.address]);
        assert!(login.success().contains("Login Succeeded"), "{case}");
        let pulled = sandbox.run(&["pull", &format!("{}/up/admin/app:1", hub.address)]).success();
        assert!(pulled.contains(&image.digest().to_string()), "{case}: {pulled}");

        // Tags that nobody pulled through here are listed, too, as long as the upstream can be asked.
        let other = sample_image(62);
        push(&upstream, &owner, "admin/app", "2", MANIFEST, &other);
        let listed = send(&hub, Some(&reader), &path("tags/list"));
        assert_eq!(listed.json()["tags"], serde_json::json!(["1", "2"]), "{case}");
        assert!(!listed.headers.contains_key("warning"), "{case}");
        upstream.kill();
        let listed = send(&hub, Some(&reader), &path("tags/list"));
        assert_eq!(listed.json()["tags"], serde_json::json!(["1"]), "{case}");
        assert!(listed.headers["warning"].contains("hub.test cannot be reached"), "{case}: {:?}", listed.headers);
        let stale = send(&hub, Some(&reader), &path("manifests/1"));
        assert_eq!((stale.status, stale.body.as_slice()), (200, image.manifest.as_slice()), "{case}");
        assert!(stale.headers.contains_key("warning"), "{case}");

        // Once the upstream refuses the mirror, what was kept is not for anybody.
        upstream.restart();
        let changed = if secret_is_password {
            Request::new("POST", "/api/v1/account/password").body(
                serde_json::json!({ "username": "admin", "password": PASSWORD, "new_password": "another horse" })
                    .to_string(),
            )
        } else {
            let tokens = send(&upstream, Some(&owner), "/v2/access-tokens").json();
            let id = tokens["results"][0]["uuid"].as_str().unwrap().to_owned();
            Request::new("DELETE", &format!("/v2/access-tokens/{id}")).token(&owner)
        };
        let changed = changed.header("content-type", "application/json").send(&upstream.address).unwrap();
        assert!((200..300).contains(&changed.status), "{case}: {}", changed.text());
        hub::eventually("the end of the mirror's token", || {
            let got = send(&hub, Some(&reader), &path("manifests/1"));
            (got.status == 404).then_some(())
        });
    }
}

#[test]
fn a_docker_daemon_pulls_through_a_mirror() {
    let upstream = FakeRegistry::start();
    let image = sample_image(63);
    upstream.add_image("library/sample", "1", &image);
    upstream.add_image("acme/app", "2", &image);
    let sandbox = Sandbox::new();
    let hub = mirror(&sandbox.path("hub"), "docker.io", &upstream.host(), "default = true\n");
    let option = format!("--registry-mirror=http://{}", hub.address);
    let Some(docker) = Docker::start_with(&sandbox, &[&option]) else { return };
    for name in ["sample:1", "acme/app:2", &format!("sample@{}", image.digest())] {
        let pulled = docker.run(&["pull", name]).success();
        assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{name}: {pulled}");
    }
    let id = docker.run(&["image", "inspect", "-f", "{{.Id}}", "sample:1"]).success();
    assert_eq!(id.trim(), image.id().to_string());
    let fetched = upstream.count("GET", "/blobs/");
    assert!((image.blobs().len()..=2 * image.blobs().len()).contains(&fetched), "{fetched}");

    // Nothing of the upstream is needed any more.
    docker.run(&["rmi", "-f", image.id().to_string().trim_start_matches("sha256:")]).success();
    drop(upstream);
    let pulled = docker.run(&["pull", "sample:1"]).success();
    assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{pulled}");
}

#[test]
fn containerd_pulls_through_a_mirror() {
    let (public, private) = (FakeRegistry::start(), FakeRegistry::start_with_account("mirror", "secret", false));
    let image = sample_image(64);
    public.add_image("library/sample", "1", &image);
    private.add_image("team/app", "1", &image);
    let sandbox = Sandbox::new();
    let (root, password) = (sandbox.path("hub"), sandbox.path("password"));
    let token = administrator(&root);
    std::fs::write(&password, "secret").unwrap();
    let more = format!(
        "[upstream.\"registry.test:5000\"]\nurl = \"http://{}\"\nusername = \"mirror\"\npassword_file = {password:?}\n",
        private.host()
    );
    let hub = mirror(&root, "docker.io", &public.host(), &more);
    let Some(containerd) = Containerd::start(&sandbox) else { return };
    let hosts = sandbox.path("hosts");
    for registry in ["docker.io", "registry.test:5000"] {
        std::fs::create_dir_all(hosts.join(registry)).unwrap();
        // The registry itself does not answer: what comes, comes through the mirror.
        let text = format!(
            "server = \"http://127.0.0.1:1\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
            hub.address
        );
        std::fs::write(hosts.join(registry).join("hosts.toml"), text).unwrap();
    }
    let pull = |name: &str, user: &str| {
        let options = ["images", "pull", "--snapshotter", "native", "--hosts-dir", hosts.to_str().unwrap()];
        let user: &[&str] = if user.is_empty() { &[] } else { &["--user", user] };
        containerd.run(&[&options, user, &[name]].concat())
    };
    pull("docker.io/library/sample:1", "").success();
    pull("registry.test:5000/team/app:1", "").failure();
    assert_eq!(private.count("GET", "/manifests/"), 0, "whoever is not signed in here is nobody there");
    pull("registry.test:5000/team/app:1", &format!("admin:{token}")).success();
    let listed = containerd.run(&["images", "ls"]).success();
    for name in ["docker.io/library/sample:1", "registry.test:5000/team/app:1"] {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {listed}"));
        assert!(line.contains(&image.digest().to_string()), "{line}");
    }
    for upstream in [&public, &private] {
        assert_eq!(upstream.count("GET", "/manifests/"), 1);
        // Nobody's credentials go to the upstream but the mirror's own.
        let shown = upstream.requests().into_iter().filter_map(|request| request.authorization);
        assert!(shown.into_iter().all(|shown| !shown.contains(&token)), "the client's token went on");
    }
    // The upstream limits the mirror: what is here is served.
    public.fault(FaultRule::too_many_requests("/", 3600));
    containerd.run(&["images", "rm", "--sync", "docker.io/library/sample:1"]).success();
    pull("docker.io/library/sample:1", "").success();
}
