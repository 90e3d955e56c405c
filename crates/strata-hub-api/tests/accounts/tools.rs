//! Other people's clients signing in. Each test passes without a word where its tool is not installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::{PASSWORD, World, basic};

fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

/// Runs a tool for at most a minute; returns whether it succeeded, and its words.
async fn run(tool: &str, arguments: &[&str], home: &Path) -> (bool, String) {
    let mut command = Command::new(tool);
    command.args(arguments).env("HOME", home).env("REGISTRY_AUTH_FILE", home.join("auth.json"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("a tool that ends");
    let output = output.unwrap();
    let words = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

async fn ok(tool: &str, arguments: &[&str], home: &Path) -> String {
    let (success, words) = run(tool, arguments, home).await;
    assert!(success, "{tool} {arguments:?}: {words}");
    words
}

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
