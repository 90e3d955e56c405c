//! Other people's clients. Each test passes without a word where its tool is not installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use strata_testkit::{Image, ImageBuilder, Index, Layer, Packing};
use tokio::process::Command;

use crate::support::Server;

fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

/// Runs a tool for at most a minute; returns whether it succeeded, and its words.
async fn run(tool: &str, arguments: &[&str], home: &Path) -> (bool, String) {
    let credentials = home.join("no-credentials.json");
    std::fs::write(&credentials, "{}").unwrap();
    let mut command = Command::new(tool);
    command.args(arguments).env("HOME", home).env("REGISTRY_AUTH_FILE", credentials);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("a tool that ends");
    let output = output.unwrap();
    let words = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

/// Runs a tool that must succeed.
async fn ok(tool: &str, arguments: &[&str], home: &Path) -> String {
    let (success, words) = run(tool, arguments, home).await;
    assert!(success, "{tool} {arguments:?}: {words}");
    words
}

fn write_blob(layout: &Path, bytes: &[u8]) {
    let digest = strata_model::Digest::of(bytes);
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
}

/// An OCI layout of an index with two platforms.
fn layout(folder: &Path) -> (PathBuf, Index) {
    let layout = folder.join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let image = |platform: &str, packing| {
        let layers = [Layer::of_noise(7, 3_000_000), Layer::of_file("platform", platform).packed(packing)];
        let [first, second] = layers;
        ImageBuilder::new().platform(platform).layer(first).layer(second).build()
    };
    let index = Index::new(vec![image("linux/amd64", Packing::Gzip), image("linux/arm64", Packing::Zstd)]);
    for image in &index.images {
        image.blobs().iter().for_each(|(_, bytes)| write_blob(&layout, bytes));
        write_blob(&layout, &image.manifest);
    }
    write_blob(&layout, &index.manifest);
    let mut entry = serde_json::to_value(index.descriptor()).unwrap();
    entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "latest" });
    let document = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] });
    std::fs::write(layout.join("index.json"), document.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    (layout, index)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_copies_there_and_back() {
    if !is_installed("skopeo") {
        return;
    }
    let server = Server::start().await;
    let home = tempfile::TempDir::new().unwrap();
    let (layout, index) = layout(home.path());
    let source = format!("oci:{}:latest", layout.display());
    let remote = format!("docker://{}/team/app:latest", server.address);
    let there = ["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", &source, &remote];
    ok("skopeo", &there, home.path()).await;
    let pushed = server.get("/v2/team/app/manifests/latest").await;
    assert_eq!(pushed.body, index.manifest);

    let back = home.path().join("back");
    let target = format!("oci:{}:latest", back.display());
    ok("skopeo", &["--insecure-policy", "copy", "--all", "--src-tls-verify=false", &remote, &target], home.path())
        .await;
    for image in &index.images {
        for (digest, bytes) in image.blobs().into_iter().chain([(image.digest(), image.manifest.clone())]) {
            assert!(std::fs::read(back.join("blobs/sha256").join(digest.hex())).unwrap() == bytes, "{digest}");
        }
    }
    // Within the registry, blobs are mounted.
    let other = format!("docker://{}/team/copy:latest", server.address);
    let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    ok("skopeo", &["--insecure-policy", "copy", "--all", insecure[0], insecure[1], &remote, &other], home.path()).await;
    let tags = ok("skopeo", &["list-tags", "--tls-verify=false", &other.replace(":latest", "")], home.path()).await;
    assert!(tags.contains("\"latest\""), "{tags}");
    ok("skopeo", &["--insecure-policy", "delete", "--tls-verify=false", &other], home.path()).await;
    server.get("/v2/team/copy/manifests/latest").await.is(reqwest::StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podman_pulls_and_pushes() {
    if !is_installed("podman") {
        return;
    }
    let server = Server::start().await;
    let home = tempfile::TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (root, runroot) = (path("root"), path("run"));
    let base = ["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"];
    let (works, why) = run("podman", &[&base[..], &["images"]].concat(), home.path()).await;
    if !works {
        eprintln!("podman does not work here: {why}");
        return;
    }
    let image = Image::small("for podman");
    server.push_image("app", "latest", &image).await;
    let (pulled, pushed) = (format!("{}/app:latest", server.address), format!("{}/copy:latest", server.address));
    ok("podman", &[&base[..], &["pull", "--tls-verify=false", &pulled]].concat(), home.path()).await;
    let id = ok("podman", &[&base[..], &["images", "--no-trunc", "--quiet"]].concat(), home.path()).await;
    assert_eq!(id.trim(), image.id().to_string());
    ok("podman", &[&base[..], &["push", "--tls-verify=false", &pulled, &pushed]].concat(), home.path()).await;
    let copied = server.get("/v2/copy/manifests/latest").await.is(reqwest::StatusCode::OK).json();
    assert_eq!(copied["config"]["digest"], image.id().to_string());
}
