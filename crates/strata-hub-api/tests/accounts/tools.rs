//! Other people's clients signing in. Each test passes without a word where its tool is not installed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clients::{DockerDaemon, is_installed, ok, run};
use crate::support::{PASSWORD, World, basic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_shows_credentials() {
    if !is_installed("skopeo") {
        return;
    }
    let world = World::start().await;
    let home = world.directory.path();
    let copy = home.join("copy");
    let secret = format!("docker://{}/acme/secret", world.address);
    let public = format!("docker://{}/acme/public", world.address);
    let (source, target) = (format!("{secret}:1.0"), format!("oci:{}:1.0", copy.display()));
    let rita = format!("--src-creds=rita:{PASSWORD}");
    let there = ["--insecure-policy", "copy", "--src-tls-verify=false", &rita, &source, &target];
    ok("skopeo", &there, home).await;
    let will = format!("--dest-creds=will:{PASSWORD}");
    let pushed = format!("{secret}:copied");
    ok("skopeo", &["--insecure-policy", "copy", "--dest-tls-verify=false", &will, &target, &pushed], home).await;
    let rita = format!("--dest-creds=rita:{PASSWORD}");
    let back = ["--insecure-policy", "copy", "--dest-tls-verify=false", &rita, &target, &format!("{secret}:no")];
    assert!(!run("skopeo", &back, home).await.0, "a reader pushed");

    let tags = ok("skopeo", &["list-tags", "--tls-verify=false", &public], home).await;
    assert!(tags.contains("1.0"), "{tags}");
    assert!(!run("skopeo", &["list-tags", "--tls-verify=false", &secret], home).await.0, "anybody saw it");
    let robot = world.robot("ci", "acme/secret", &["scope-image-pull"]).await;
    assert!(robot.starts_with("Basic "));
    let ann = format!("--creds=ann:{PASSWORD}");
    ok("skopeo", &["delete", "--tls-verify=false", &ann, &pushed], home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podman_logs_in_and_out() {
    if !is_installed("podman") {
        return;
    }
    let world = World::start().await;
    let home = world.directory.path();
    let log_in = |name: &'static str, password: &'static str| {
        let address = world.address.clone();
        async move {
            let arguments = ["login", "--tls-verify=false", "-u", name, "-p", password, &address];
            run("podman", &arguments, home).await
        }
    };
    let (success, words) = log_in("rita", PASSWORD).await;
    assert!(success && words.contains("Login Succeeded"), "{words}");
    let (success, words) = log_in("rita", "wrong password").await;
    assert!(!success, "{words}");
    ok("podman", &["logout", &world.address], home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_pulls_with_a_token() {
    if !is_installed("curl") {
        return;
    }
    let world = World::start().await;
    let home = world.directory.path();
    let token = world.token("repository:acme/secret:pull", Some(&basic("rita", PASSWORD))).await;
    let header = format!("Authorization: {token}");
    let url = format!("http://{}/v2/acme/secret/manifests/1.0", world.address);
    let manifest = ok("curl", &["-sS", "--fail", "-H", &header, &url], home).await;
    assert_eq!(manifest.as_bytes(), world.image.manifest);
}

/// The secret in a header `Authorization: Basic`.
fn secret(basic: &str) -> String {
    let text = String::from_utf8(STANDARD.decode(basic.strip_prefix("Basic ").unwrap()).unwrap()).unwrap();
    text.split_once(':').unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_logs_in_pushes_and_pulls() {
    let world = World::start().await;
    let home = world.directory.path();
    let Some(daemon) = DockerDaemon::start(home).await else { return };
    let address = world.address.as_str();
    let (pulled, pushed) = (format!("{address}/acme/secret:1.0"), format!("{address}/acme/secret:docker"));
    let reads = secret(&world.personal("will", "repo:read", None).await);
    // What is done, as whom, and whether it succeeds with which words.
    let log_in = |name, secret| vec!["login", "--username", name, "--password", secret, address];
    let steps: Vec<(Vec<&str>, bool, &str)> = vec![
        (vec!["pull", &pulled], false, ""),
        (log_in("will", "wrong password"), false, "incorrect username or password"),
        (log_in("otto", PASSWORD), true, "Login Succeeded"),
        (vec!["pull", &pulled], false, ""),
        (log_in("will", PASSWORD), true, "Login Succeeded"),
        (vec!["pull", &pulled], true, "Downloaded newer image"),
        (vec!["tag", &pulled, &pushed], true, ""),
        (vec!["push", &pushed], true, "digest: sha256:"),
        (vec!["rmi", &pulled, &pushed], true, "Deleted"),
        (vec!["pull", &pushed], true, "Downloaded newer image"),
        (vec!["logout", address], true, ""),
        (vec!["rmi", &pushed], true, "Deleted"),
        (vec!["pull", &pushed], false, ""),
        (log_in("will", &reads), true, "Login Succeeded"),
        (vec!["pull", &pushed], true, "Downloaded newer image"),
        (vec!["push", &pushed], false, "denied"),
        (vec!["logout", address], true, ""),
    ];
    for (arguments, succeeds, words) in steps {
        let (succeeded, told) = daemon.docker(&arguments, home).await;
        assert!(succeeded == succeeds && told.contains(words), "{arguments:?}: {told}");
    }
    daemon.stop().await;
}
