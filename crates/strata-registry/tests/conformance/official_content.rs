//! What the official suite asks of manifests (opencontainers/distribution-spec, `conformance/run.go` at 4fc4ecb,
//! `GenerateData` and `TestAll`): each kind of content is pushed, listed, read, looked up by what it is about, and deleted,
//! all in one repository.

use reqwest::StatusCode;
use serde_json::{Value, json};
use strata_model::{Algorithm, Digest, MediaType};
use strata_registry::{RegistryRules, SparseManifests};

use crate::support::{Answer, Server, digest_by};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const FIRST_KIND: &str = "application/vnd.example.first.v1";
const SECOND_KIND: &str = "application/vnd.example.second.v1";

/// Blobs, manifests in the order to push them, and tags of these.
struct Content {
    algorithm: Algorithm,
    blobs: Vec<(Digest, Vec<u8>)>,
    manifests: Vec<(Digest, Value)>,
    tags: Vec<(String, Digest)>,
    /// Whether tags are parameters of the push by digest.
    tags_are_parameters: bool,
}

impl Content {
    fn new(algorithm: Algorithm) -> Content {
        Content { algorithm, blobs: vec![], manifests: vec![], tags: vec![], tags_are_parameters: false }
    }

    /// Adds a blob; returns its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_by(self.algorithm, bytes);
        if self.blobs.iter().all(|(known, _)| *known != digest) {
            self.blobs.push((digest, bytes.to_vec()));
        }
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Adds a manifest; returns its descriptor.
    fn manifest(&mut self, manifest: Value) -> Value {
        let bytes = manifest.to_string();
        let digest = digest_by(self.algorithm, bytes.as_bytes());
        let descriptor = json!({ "mediaType": manifest["mediaType"], "digest": digest, "size": bytes.len() });
        self.manifests.push((digest, manifest));
        descriptor
    }

    /// Adds an image with other fields than usual; returns its descriptor.
    fn image(&mut self, name: &str, fields: Value) -> Value {
        let config = json!({ "architecture": "amd64", "os": "linux", "author": name, "rootfs": { "type": "layers" } });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let layers = [self.blob(LAYER, name.as_bytes()), self.blob(LAYER, format!("above {name}").as_bytes())];
        let image = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        self.manifest(with(image, fields))
    }

    /// Adds what is no image; returns its descriptor.
    fn artifact(&mut self, kind: &str, fields: Value) -> Value {
        let config = self.blob(EMPTY, b"{}");
        let layers = [self.blob(kind, format!("bytes of {kind}").as_bytes())];
        let artifact = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": kind,
            "config": config, "layers": layers,
        });
        self.manifest(with(artifact, fields))
    }

    /// Adds an index; returns its descriptor.
    fn index(&mut self, entries: &[Value], fields: Value) -> Value {
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries });
        self.manifest(with(index, fields))
    }

    /// Adds an index of two images; returns its descriptor.
    fn platforms(&mut self, name: &str, fields: Value) -> Value {
        let entries = ["amd64", "arm64"].map(|architecture| {
            let entry = self.image(&format!("{name} {architecture}"), json!({}));
            with(entry, json!({ "platform": { "os": "linux", "architecture": architecture } }))
        });
        self.index(&entries, fields)
    }

    /// Tags what was added last.
    fn tag(mut self, tag: &str) -> Content {
        let (digest, _) = self.manifests.last().unwrap();
        self.tags.push((tag.to_owned(), *digest));
        self
    }
}

fn with(mut document: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("no fields: {fields}") };
    document.as_object_mut().unwrap().extend(fields);
    document
}

fn contents() -> Vec<Content> {
    let made = |make: &dyn Fn(&mut Content)| {
        let mut content = Content::new(Algorithm::Sha256);
        make(&mut content);
        content
    };
    let large: serde_json::Map<_, _> = (0..390).map(|n| (format!("large-{n}"), "A".repeat(10_000).into())).collect();
    let note = |note: &str| json!({ "org.example.note": note });
    vec![
        made(&|content| drop(content.image("image", json!({})))).tag("image"),
        made(&|content| {
            let tar = content.blob("application/vnd.oci.image.layer.v1.tar", b"uncompressed");
            content.image("image", json!({ "layers": [tar] }));
        })
        .tag("uncompressed"),
        made(&|content| drop(content.image("large", json!({ "annotations": large })))).tag("large"),
        made(&|content| drop(content.platforms("index", json!({})))).tag("index"),
        made(&|content| {
            let entries = ["one", "two"].map(|name| content.platforms(name, json!({})));
            content.index(&entries, json!({}));
        })
        .tag("nested"),
        made(&|content| drop(content.index(&[], json!({})))).tag("index"),
        made(&|content| drop(content.artifact(FIRST_KIND, json!({})))).tag("artifact"),
        made(&|content| {
            let entries = [FIRST_KIND, SECOND_KIND].map(|kind| content.artifact(kind, json!({})));
            content.index(&entries, json!({ "artifactType": FIRST_KIND }));
        })
        .tag("artifacts"),
        made(&|content| {
            let empty = content.blob(EMPTY, b"{}");
            content.artifact(FIRST_KIND, json!({ "layers": [empty] }));
        })
        .tag("without-layers"),
        made(&|content| {
            let subject = content.image("subject", json!({}));
            content.image("about", json!({ "subject": subject }));
            content.artifact(FIRST_KIND, json!({ "subject": subject, "annotations": note("first") }));
            content.artifact(SECOND_KIND, json!({ "subject": subject, "annotations": note("second") }));
        })
        .tag("second"),
        made(&|content| {
            let subject = content.platforms("subject", json!({}));
            let entry = content.artifact(FIRST_KIND, json!({ "subject": subject }));
            let fields = json!({ "artifactType": SECOND_KIND, "subject": subject, "annotations": note("index") });
            content.index(&[entry], fields);
        })
        .tag("about-an-index"),
        made(&|content| {
            let digest = Digest::of(b"missing content");
            let subject = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": 123 });
            content.artifact(FIRST_KIND, json!({ "subject": subject, "annotations": note("missing") }));
        })
        .tag("about-nothing"),
        made(&|content| {
            let layer = with(content.blob(LAYER, b"inline"), json!({ "data": "aW5saW5l" }));
            content.image("data", json!({ "layers": [layer] }));
        })
        .tag("data"),
        made(&|content| {
            let foreign = ["tar+gzip", "tar"].map(|end| {
                let media_type = format!("application/vnd.oci.image.layer.nondistributable.v1.{end}");
                let digest = Digest::of(end.as_bytes());
                let url = format!("https://store.example.com/blobs/{digest}");
                json!({ "mediaType": media_type, "digest": digest, "size": 12345, "urls": [url] })
            });
            let layer = content.blob(LAYER, b"distributable");
            content.image("foreign", json!({ "layers": [foreign[0], foreign[1], layer] }));
        })
        .tag("non-distributable"),
        made(&|content| {
            let custom = || json!({ "org.example.custom": "field" });
            let entry = content.image("custom", custom());
            content.index(&[with(entry, custom())], custom());
        })
        .tag("custom"),
        made(&|content| drop(content.image("bare", json!({ "layers": [] })))).tag("no-layers"),
        {
            let mut content = Content::new(Algorithm::Sha512);
            content.platforms("sha512", json!({}));
            content
        },
        tagged_by_parameters(Algorithm::Sha256),
        tagged_by_parameters(Algorithm::Sha512),
    ]
}

/// Each manifest has a tag, the last one two.
fn tagged_by_parameters(algorithm: Algorithm) -> Content {
    let mut content = Content::new(algorithm);
    content.platforms("parameters", json!({}));
    content.tags_are_parameters = true;
    for (number, (digest, _)) in content.manifests.iter().enumerate() {
        content.tags.push((format!("{}-{number}", algorithm.name()), *digest));
    }
    content.tag(algorithm.name())
}

async fn put(server: &Server, target: &str, manifest: &Value) -> Answer {
    let media_type = MediaType::parse(manifest["mediaType"].as_str().unwrap());
    let put = server.put_manifest("app", target, &media_type, manifest.to_string().as_bytes()).await;
    if put.status == StatusCode::CREATED {
        let location = server.get(put.header("location")).await.is(StatusCode::OK);
        assert_eq!(location.body, manifest.to_string().as_bytes());
        assert_eq!(put.has("oci-subject"), manifest["subject"].is_object());
        if let Some(subject) = manifest["subject"]["digest"].as_str() {
            assert_eq!(put.header("oci-subject"), subject);
        }
    }
    put
}

async fn push_blobs(server: &Server, content: &Content) {
    for (digest, bytes) in &content.blobs {
        let request = server.request("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"));
        Answer::of(request.body(bytes.clone()).send().await.unwrap()).await.is(StatusCode::CREATED);
    }
}

async fn push(server: &Server, content: &Content) {
    push_blobs(server, content).await;
    for (digest, manifest) in &content.manifests {
        let tags = content.tags.iter().filter(|(_, tagged)| tagged == digest && content.tags_are_parameters);
        let tags: Vec<&str> = tags.map(|(tag, _)| tag.as_str()).collect();
        let parameters: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let target = format!("{digest}?{}", parameters.join("&"));
        let put = put(server, &target, manifest).await.is(StatusCode::CREATED);
        assert_eq!(put.header("docker-content-digest"), digest.to_string());
        assert_eq!(put.all("oci-tag"), tags);
    }
    for (tag, tagged) in content.tags.iter().filter(|_| !content.tags_are_parameters) {
        let (digest, manifest) = content.manifests.iter().find(|(digest, _)| digest == tagged).unwrap();
        let put = put(server, tag, manifest).await.is(StatusCode::CREATED);
        assert_eq!(put.header("docker-content-digest"), digest.to_string());
    }
}

async fn read(server: &Server, content: &Content) {
    let listed = server.get("/v2/app/tags/list").await.is(StatusCode::OK).json();
    let mut tags: Vec<&str> = content.tags.iter().map(|(tag, _)| tag.as_str()).collect();
    tags.sort_unstable();
    assert_eq!(listed["tags"], json!(tags));
    if let [first, rest @ ..] = &tags[..] {
        let after = server.get(&format!("/v2/app/tags/list?last={first}")).await.is(StatusCode::OK).json();
        assert_eq!(after["tags"], json!(rest));
    }
    let targets =
        content.tags.iter().cloned().chain(content.manifests.iter().map(|(digest, _)| (digest.to_string(), *digest)));
    for (target, digest) in targets {
        let (_, manifest) = content.manifests.iter().find(|(known, _)| *known == digest).unwrap();
        let bytes = manifest.to_string().into_bytes();
        for method in ["HEAD", "GET"] {
            let answer = server.send(method, &format!("/v2/app/manifests/{target}")).await.is(StatusCode::OK);
            assert_eq!(answer.header("content-type"), manifest["mediaType"].as_str().unwrap());
            assert_eq!(answer.header("content-length"), bytes.len().to_string());
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(answer.body, if method == "GET" { &bytes[..] } else { b"" });
        }
    }
    for (digest, bytes) in &content.blobs {
        assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK).body, *bytes);
    }
}

/// Looks up all that is about each subject, and all of one kind.
async fn look_up(server: &Server, content: &Content) {
    for subject in content.manifests.iter().filter_map(|(_, manifest)| manifest["subject"]["digest"].as_str()) {
        let mut about: Vec<Value> = Vec::new();
        for (digest, manifest) in
            content.manifests.iter().filter(|(_, manifest)| manifest["subject"]["digest"] == subject)
        {
            let kind =
                [&manifest["artifactType"], &manifest["config"]["mediaType"]].into_iter().find(|kind| !kind.is_null());
            about.push(json!({
                "mediaType": manifest["mediaType"], "digest": digest, "size": manifest.to_string().len(),
                "artifactType": kind, "annotations": manifest["annotations"],
            }));
        }
        let path = format!("/v2/app/referrers/{subject}");
        assert_same(&server.get(&path).await, &about, false);
        for kind in [FIRST_KIND, SECOND_KIND, CONFIG] {
            let of_kind: Vec<_> = about.iter().filter(|entry| entry["artifactType"] == kind).cloned().collect();
            let query = kind.replace('+', "%2B");
            assert_same(&server.get(&format!("{path}?artifactType={query}")).await, &of_kind, true);
        }
    }
}

fn assert_same(answer: &Answer, expected: &[Value], is_filtered: bool) {
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, MediaType::OCI_INDEX.as_str()));
    assert_eq!(answer.has("oci-filters-applied"), is_filtered);
    let index = answer.json();
    assert_eq!((&index["mediaType"], &index["schemaVersion"]), (&json!(MediaType::OCI_INDEX), &json!(2)));
    let sorted = |mut entries: Vec<Value>| {
        for entry in &mut entries {
            entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        entries.sort_by_key(|entry| entry["digest"].to_string());
        entries
    };
    assert_eq!(sorted(index["manifests"].as_array().unwrap().clone()), sorted(expected.to_vec()));
}

/// Deletes tags, then manifests, the last pushed first, then blobs. Each is gone at once.
async fn delete(server: &Server, content: &Content) {
    let tags = content.tags.iter().map(|(tag, _)| format!("manifests/{tag}"));
    let manifests = content.manifests.iter().rev().map(|(digest, _)| format!("manifests/{digest}"));
    let blobs = content.blobs.iter().map(|(digest, _)| format!("blobs/{digest}"));
    for path in tags.chain(manifests).chain(blobs) {
        server.send("DELETE", &format!("/v2/app/{path}")).await.is(StatusCode::ACCEPTED);
        server.send("HEAD", &format!("/v2/app/{path}")).await.is(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn every_kind_of_content_comes_and_goes() {
    let server = Server::start().await;
    for content in contents() {
        push(&server, &content).await;
        read(&server, &content).await;
        look_up(&server, &content).await;
        delete(&server, &content).await;
    }
}

#[tokio::test]
async fn manifests_are_sparse_where_they_may_be() {
    let mut content = Content::new(Algorithm::Sha256);
    content.image("sparse", json!({}));
    content.blobs.pop();
    let mut content = content.tag("sparse-image");
    let here = content.image("whole", json!({}));
    let absent = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": Digest::of(b"absent"), "size": 1024 });
    content.index(&[here, absent], json!({}));
    let content = content.tag("sparse-index");
    let rules = RegistryRules { sparse_manifests: SparseManifests::Allowed, ..RegistryRules::default() };
    let server = Server::with_rules(rules).await;
    push(&server, &content).await;
    read(&server, &content).await;
    delete(&server, &content).await;
}

#[tokio::test]
async fn no_manifest_is_taken_under_another_digest() {
    let server = Server::start().await;
    let mut content = Content::new(Algorithm::Sha256);
    content.image("bad", json!({}));
    push_blobs(&server, &content).await;
    let (digest, manifest) = &content.manifests[0];
    let padded = format!("{manifest}  ");
    for target in [digest.to_string(), "sha256:baddigeststring".to_owned()] {
        let refused = server.put_manifest("app", &target, &MediaType::OCI_MANIFEST, padded.as_bytes()).await;
        refused.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        assert!(server.get(&format!("/v2/app/manifests/{target}")).await.status.is_client_error());
    }
}
