//! Other people's programs, as tests start them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// Whether a program is installed.
pub(crate) fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

/// Runs a tool, whose configuration is in `home`, for at most a minute; whether it succeeded, and its words.
pub(crate) async fn run(tool: &str, arguments: &[&str], home: &Path) -> (bool, String) {
    // podman's search wants the file of credentials to be there.
    let credentials = home.join("auth.json");
    if !credentials.exists() {
        std::fs::write(&credentials, "{}").unwrap();
    }
    let mut command = Command::new(tool);
    command.args(arguments).env("HOME", home).env("REGISTRY_AUTH_FILE", credentials);
    command.env("DOCKER_CONFIG", home.join("docker"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("a tool that ends");
    let output = output.unwrap();
    let words = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

/// As [`run`], for what must succeed.
pub(crate) async fn ok(tool: &str, arguments: &[&str], home: &Path) -> String {
    let (success, words) = run(tool, arguments, home).await;
    assert!(success, "{tool} {arguments:?}: {words}");
    words
}

/// A Docker daemon with a store of its own.
pub(crate) struct DockerDaemon {
    process: Child,
    /// Where its clients find it.
    pub(crate) host: String,
}

impl DockerDaemon {
    /// Starts one in `folder`; `None` where there is none or it does not start.
    pub(crate) async fn start(folder: &Path) -> Option<DockerDaemon> {
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
            if UnixStream::connect(path("socket")).is_ok() {
                return Some(DockerDaemon { process, host: format!("unix://{}", path("socket")) });
            }
            if process.try_wait().ok()?.is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Runs a client of it.
    pub(crate) async fn docker(&self, arguments: &[&str], home: &Path) -> (bool, String) {
        run("docker", &[&["--host", &self.host], arguments].concat(), home).await
    }

    /// Asks it to end, so that it removes its mounts.
    pub(crate) async fn stop(mut self) {
        if let Some(id) = self.process.id() {
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await.unwrap();
            let _ = tokio::time::timeout(Duration::from_secs(20), self.process.wait()).await;
        }
    }
}
