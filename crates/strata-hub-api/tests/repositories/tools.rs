//! Other people's clients. Each test passes without a word where its tool is not installed.

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use strata_testkit::{ImageBuilder, Layer};
use tokio::process::Command;

use crate::support::Server;

fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podman_searches() {
    if !is_installed("podman") {
        return;
    }
    let server = Server::start().await;
    let image = ImageBuilder::new().layer(Layer::of_file("a", "b")).build();
    server.push("library/nginx", &["1"], &image).await;
    server.push("admin/nginx-proxy", &["1"], &image).await;
    server.admin("PATCH", "/v2/repositories/library/nginx/", json!({ "description": "Official build." })).await;
    let term = format!("{}/ngi", server.address);
    let format = "{{.Name}}|{{.Description}}|{{.Stars}}|{{.Official}}";
    let mut command = Command::new("podman");
    command.args(["search", "--tls-verify=false", "--format", format, &term]);
    command.env("HOME", server.directory.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
    let (words, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}{errors}");
    let address = &server.address;
    let expected = format!("{address}/nginx|Official build.|0|[OK]\n{address}/admin/nginx-proxy||0|\n");
    assert_eq!(words, expected);
}

/// A Docker daemon with a store of its own; `None` where there is none or it does not start.
async fn docker_daemon(folder: &std::path::Path) -> Option<(tokio::process::Child, String)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root || !is_installed("docker") || !is_installed("dockerd") {
        return None;
    }
    let path = |name: &str| folder.join(format!("docker-{name}")).display().to_string();
    let mut command = Command::new("dockerd");
    command.args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"]);
    command.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
    command.arg(format!("--host=unix://{}", path("socket")));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().ok()?;
    for _ in 0..300 {
        if std::os::unix::net::UnixStream::connect(path("socket")).is_ok() {
            return Some((process, format!("unix://{}", path("socket"))));
        }
        if process.try_wait().ok()?.is_some() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_searches() {
    let server = Server::start().await;
    let Some((mut daemon, host)) = docker_daemon(server.directory.path()).await else { return };
    let image = ImageBuilder::new().layer(Layer::of_file("a", "b")).build();
    server.push("library/nginx", &["1"], &image).await;
    server.push("admin/nginx-proxy", &["1"], &image).await;
    server.admin("PATCH", "/v2/repositories/library/nginx/", json!({ "description": "Official build." })).await;
    let term = format!("{}/nginx", server.address);
    let format = "{{.Name}}|{{.Description}}|{{.StarCount}}|{{.IsOfficial}}";
    let mut found = Vec::new();
    for filter in [None, Some("is-official=true"), Some("stars=1")] {
        let mut command = Command::new("docker");
        command.args(["--host", &host, "search", "--format", format]);
        command.args(filter.iter().flat_map(|filter| ["--filter", filter])).arg(&term);
        command.env("DOCKER_CONFIG", server.directory.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        found.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    if let Some(id) = daemon.id() {
        // It removes its mounts when it is asked to end.
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(20), daemon.wait()).await;
    }
    let official = "nginx|Official build.|0|[OK]\n";
    assert_eq!(found, [format!("{official}admin/nginx-proxy||0|\n"), official.to_owned(), String::new()]);
}
