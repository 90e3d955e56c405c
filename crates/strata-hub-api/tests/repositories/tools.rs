//! Other people's clients. Each test passes without a word where its tool is not installed.

use serde_json::json;
use strata_testkit::{ImageBuilder, Layer};

use crate::clients::{DockerDaemon, is_installed, ok};
use crate::support::Server;

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
    let arguments = ["search", "--tls-verify=false", "--format", format, &term];
    let words = ok("podman", &arguments, server.directory.path()).await;
    let address = &server.address;
    let expected = format!("{address}/nginx|Official build.|0|[OK]\n{address}/admin/nginx-proxy||0|\n");
    assert_eq!(words, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_searches() {
    let server = Server::start().await;
    let home = server.directory.path();
    let Some(daemon) = DockerDaemon::start(home).await else { return };
    let image = ImageBuilder::new().layer(Layer::of_file("a", "b")).build();
    server.push("library/nginx", &["1"], &image).await;
    server.push("admin/nginx-proxy", &["1"], &image).await;
    server.admin("PATCH", "/v2/repositories/library/nginx/", json!({ "description": "Official build." })).await;
    let term = format!("{}/nginx", server.address);
    let format = "{{.Name}}|{{.Description}}|{{.StarCount}}|{{.IsOfficial}}";
    let mut found = Vec::new();
    for filter in [None, Some("is-official=true"), Some("stars=1")] {
        let filter: Vec<&str> = filter.iter().flat_map(|filter| ["--filter", filter]).collect();
        let arguments = [&["search", "--format", format], &filter[..], &[&term]].concat();
        found.push(daemon.docker(&arguments, home).await);
    }
    daemon.stop().await;
    let official = "nginx|Official build.|0|[OK]\n";
    let expected = [format!("{official}admin/nginx-proxy||0|\n"), official.to_owned(), String::new()];
    assert_eq!(found, expected.map(|words| (true, words)));
}
