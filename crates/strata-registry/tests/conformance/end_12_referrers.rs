//! end-12: what is about a manifest.

use reqwest::StatusCode;
use serde_json::{Value, json};
use strata_model::{Digest, MediaType};
use strata_testkit::Image;

use crate::support::Server;

/// Pushes a manifest about `subject`; returns its digest.
async fn push_about(server: &Server, subject: &Digest, artifact_type: Option<&str>, note: &str) -> Digest {
    let config = server.push_blob("app", b"{}").await;
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.example.config", "digest": config, "size": 2 },
        "layers": [],
        "subject": { "mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": 7 },
        "annotations": { "note": note },
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = json!(artifact_type);
    }
    let bytes = manifest.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    let put = server.put_manifest("app", &digest.to_string(), &MediaType::OCI_MANIFEST, &bytes).await;
    put.is(StatusCode::CREATED);
    digest
}

async fn about(server: &Server, subject: &Digest, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/v2/app/referrers/{subject}{query}")).await.is(StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/vnd.oci.image.index.v1+json");
    let index = answer.json();
    assert_eq!(
        (&index["schemaVersion"], &index["mediaType"]),
        (&json!(2), &json!("application/vnd.oci.image.index.v1+json"))
    );
    assert_eq!(answer.has("oci-filters-applied"), query.contains("artifactType"));
    index["manifests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn end_12a_none_is_an_empty_index() {
    let server = Server::start().await;
    assert!(about(&server, &Digest::of(b"absent"), "").await.is_empty());
    server.push_blob("app", b"x").await;
    assert!(about(&server, &Digest::of(b"absent"), "").await.is_empty());
    server.get("/v2/app/referrers/odd").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_12a_referrers_with_type_and_annotations() {
    let server = Server::start().await;
    let subject = Digest::of(b"to come");
    let signature = push_about(&server, &subject, Some("application/vnd.example.signature"), "one").await;
    let plain = push_about(&server, &subject, None, "two").await;
    let found = about(&server, &subject, "").await;
    assert_eq!(found.len(), 2);
    for descriptor in &found {
        let is_signature = descriptor["digest"] == signature.to_string();
        assert!(is_signature || descriptor["digest"] == plain.to_string());
        let expected =
            if is_signature { "application/vnd.example.signature" } else { "application/vnd.example.config" };
        assert_eq!(descriptor["artifactType"], expected);
        assert_eq!(descriptor["annotations"]["note"], if is_signature { "one" } else { "two" });
        assert_eq!(descriptor["mediaType"], MediaType::OCI_MANIFEST.as_str());
        assert!(descriptor["size"].is_u64());
    }
    server.send("DELETE", &format!("/v2/app/manifests/{signature}")).await.is(StatusCode::ACCEPTED);
    assert_eq!(about(&server, &subject, "").await.len(), 1);
}

#[tokio::test]
async fn end_12b_the_filter_is_applied() {
    let server = Server::start().await;
    let subject = Digest::of(b"to come");
    let wanted = push_about(&server, &subject, Some("application/vnd.example.wanted+json"), "1").await;
    push_about(&server, &subject, Some("application/vnd.example.other"), "2").await;
    let found = about(&server, &subject, "?artifactType=application%2Fvnd.example.wanted%2Bjson").await;
    assert_eq!(found.iter().map(|entry| entry["digest"].clone()).collect::<Vec<_>>(), [wanted.to_string()]);
    assert!(about(&server, &subject, "?artifactType=none").await.is_empty());
}

#[tokio::test]
async fn end_12a_the_referrers_tag_of_older_clients_counts() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let subject = Digest::of(b"subject");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [{
            "mediaType": image.media_type,
            "digest": image.digest(),
            "size": image.manifest.len(),
            "artifactType": "application/vnd.example.old",
        }],
    });
    let tag = format!("sha256-{}", subject.hex());
    let put = server.put_manifest("app", &tag, &MediaType::OCI_INDEX, index.to_string().as_bytes()).await;
    put.is(StatusCode::CREATED);
    let found = about(&server, &subject, "").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["digest"], image.digest().to_string());
}
