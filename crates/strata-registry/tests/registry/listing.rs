//! Tags, repositories, referrers and search.

use reqwest::StatusCode;
use serde_json::{Value, json};
use strata_model::{Digest, MediaType};
use strata_testkit::Image;

use crate::support::Server;

async fn pages(server: &Server, first: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let answer = server.get(&path).await.is(StatusCode::OK);
        pages.push(serde_json::from_value(answer.json()[key].clone()).unwrap());
        next = answer.next();
    }
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_sorted_and_paged() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "1.10", &image).await;
    for tag in ["1.9", "B", "a", "_x"] {
        server.put_manifest("app", tag, &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
    }
    let all = ["1.10", "1.9", "B", "_x", "a"];
    assert_eq!(pages(&server, "/v2/app/tags/list", "tags").await, [all.to_vec()]);
    let by_two = pages(&server, "/v2/app/tags/list?n=2", "tags").await;
    assert_eq!(by_two, [all[..2].to_vec(), all[2..4].to_vec(), all[4..].to_vec()]);
    assert_eq!(pages(&server, "/v2/app/tags/list?n=5", "tags").await.len(), 1);
    assert_eq!(pages(&server, "/v2/app/tags/list?last=C", "tags").await, [all[3..].to_vec()]);
    assert_eq!(pages(&server, "/v2/app/tags/list?n=0", "tags").await, [Vec::<String>::new()]);
    for bad in ["-1", "x"] {
        let refused = server.get(&format!("/v2/app/tags/list?n={bad}")).await;
        refused.fails(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID");
    }
    server.get("/v2/none/tags/list").await.fails(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    server.push_blob("untagged", b"x").await;
    assert_eq!(server.get("/v2/untagged/tags/list").await.json(), json!({ "name": "untagged", "tags": [] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_are_listed_and_searched() {
    let server = Server::start().await;
    assert_eq!(server.get("/v2/_catalog").await.json(), json!({ "repositories": [] }));
    for name in ["library/nginx", "acme/nginx", "nginx-tools", "redis"] {
        server.push_blob(name, name.as_bytes()).await;
    }
    let listed = pages(&server, "/v2/_catalog?n=3", "repositories").await;
    assert_eq!(listed, [vec!["acme/nginx", "library/nginx", "nginx-tools"], vec!["redis"]]);
    let ping = server.get("/v1/_ping").await.is(StatusCode::OK);
    assert_eq!((ping.header("x-docker-registry-standalone"), ping.json()), ("true", json!({ "standalone": true })));
    let found = server.get("/v1/search?q=Nginx&n=2").await.is(StatusCode::OK).json();
    let names: Vec<&Value> = found["results"].as_array().unwrap().iter().map(|result| &result["name"]).collect();
    assert_eq!(names, ["nginx", "acme/nginx"]);
    assert_eq!(found["results"][0]["is_official"], true);
    assert_eq!([&found["num_results"], &found["num_pages"], &found["page"], &found["page_size"]], [3, 2, 1, 2]);
    let second = server.get("/v1/search?q=nginx&n=2&page=2").await.json();
    assert_eq!(second["results"][0]["name"], "nginx-tools");
    assert_eq!(server.get("/v1/search").await.json()["num_results"], 4);
}

fn about(subject: &Image, artifact_type: Option<&str>, note: &str) -> Vec<u8> {
    let config = MediaType::parse("application/vnd.example.config+json");
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": { "mediaType": config, "digest": Digest::of(b"{}"), "size": 2 },
        "layers": [],
        "subject": subject.descriptor(),
        "annotations": { "note": note },
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = artifact_type.into();
    }
    manifest.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrers_are_listed_even_before_their_subject_comes() {
    let server = Server::start().await;
    let subject = Image::small("subject");
    let path = format!("/v2/app/referrers/{}", subject.digest());
    let none = server.get(&path).await.is(StatusCode::OK);
    assert_eq!(none.json()["manifests"], json!([]));
    assert_eq!(none.header("content-type"), "application/vnd.oci.image.index.v1+json");

    server.push_blob("app", b"{}").await;
    let signature = about(&subject, Some("application/signature"), "signed");
    let plain = about(&subject, None, "config type");
    for bytes in [&signature, &plain] {
        let target = Digest::of(bytes).to_string();
        let answer = server.put_manifest("app", &target, &MediaType::OCI_MANIFEST, bytes).await;
        assert_eq!(answer.is(StatusCode::CREATED).header("oci-subject"), subject.digest().to_string());
    }
    let listed = async |query: &str| {
        let answer = server.get(&format!("{path}{query}")).await.is(StatusCode::OK);
        let mut manifests = answer.json()["manifests"].as_array().unwrap().clone();
        manifests.sort_by_key(|entry| entry["annotations"]["note"].to_string());
        (answer, manifests)
    };
    for _ in 0..2 {
        let (answer, manifests) = listed("").await;
        assert!(!answer.has("oci-filters-applied"));
        assert_eq!(manifests.len(), 2);
        assert_eq!(manifests[0]["artifactType"], "application/vnd.example.config+json");
        assert_eq!(
            manifests[1],
            json!({
                "mediaType": MediaType::OCI_MANIFEST,
                "digest": Digest::of(&signature),
                "size": signature.len(),
                "artifactType": "application/signature",
                "annotations": { "note": "signed" },
            })
        );
        let (answer, manifests) = listed("?artifactType=application%2Fsignature").await;
        assert_eq!((answer.header("oci-filters-applied"), manifests.len()), ("artifactType", 1));
        assert_eq!(listed("?artifactType=application/none").await.1.len(), 0);
        // Once more, with the subject there.
        server.push_image("app", "latest", &subject).await;
    }
    // Another repository does not show them.
    let elsewhere = server.get(&path.replace("/app/", "/other/")).await.is(StatusCode::OK);
    assert_eq!(elsewhere.json()["manifests"], json!([]));
    server.get("/v2/app/referrers/sha256:x").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");

    // They stay when the subject goes.
    let target = format!("/v2/app/manifests/{}", subject.digest());
    server.send("DELETE", &target).await.is(StatusCode::ACCEPTED);
    server.get(&target).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_eq!(listed("").await.1.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrers_under_a_tag_are_listed_too() {
    let server = Server::start().await;
    let (subject, signature) = (Image::small("subject"), Image::small("signature"));
    server.push_image("app", &signature.digest().to_string(), &signature).await;
    let index = strata_testkit::Index::new(vec![signature.clone()]);
    let tag = format!("sha256-{}", subject.digest().hex());
    server.put_manifest("app", &tag, &index.media_type, &index.manifest).await.is(StatusCode::CREATED);
    let listed = server.get(&format!("/v2/app/referrers/{}", subject.digest())).await.is(StatusCode::OK).json();
    assert_eq!(listed["manifests"][0]["digest"], json!(signature.digest()));
    assert_eq!(listed["manifests"][0]["artifactType"], json!(MediaType::OCI_CONFIG));
}
