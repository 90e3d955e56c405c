//! Reading blobs, and access by repository.

use reqwest::StatusCode;
use strata_model::Digest;
use strata_testkit::layer::noise;

use crate::support::{Answer, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_base_says_what_it_is() {
    let server = Server::start().await;
    for path in ["/v2/", "/v2"] {
        let answer = server.get(path).await.is(StatusCode::OK);
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(answer.body, b"{}");
    }
    server.send("POST", "/v2/").await.fails(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    server.get("/v2/app/nothing").await.fails(StatusCode::NOT_FOUND, "UNSUPPORTED");
    server.get("/v2/App/tags/list").await.fails(StatusCode::BAD_REQUEST, "NAME_INVALID");
    let refused = server.send("PATCH", "/v2/app/tags/list").await;
    assert_eq!(refused.fails(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED").header("allow"), "GET, HEAD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_read_whole_and_in_part() {
    let server = Server::start().await;
    let bytes = noise(1, 1_000_000);
    let digest = server.push_blob("app", &bytes).await;
    let path = format!("/v2/app/blobs/{digest}");

    let whole = server.get(&path).await.is(StatusCode::OK);
    assert_eq!(whole.body, bytes);
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());
    assert_eq!(whole.header("etag"), format!("\"{digest}\""));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("cache-control"), "max-age=31536000");
    let head = server.send("HEAD", &path).await.is(StatusCode::OK);
    assert_eq!((head.header("content-length"), head.body.len()), ("1000000", 0));

    let ranged =
        async |range: &str| Answer::of(server.request("GET", &path).header("Range", range).send().await.unwrap()).await;
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=300000-900000", 300_000, 900_000),
        ("bytes=999990-", 999_990, 999_999),
        ("bytes=-7", 999_993, 999_999),
    ] {
        let part = ranged(range).await.is(StatusCode::PARTIAL_CONTENT);
        assert!(part.body == bytes[first..=last], "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {first}-{last}/1000000"));
        assert_eq!(part.header("content-length"), (last - first + 1).to_string());
    }
    let refused = ranged("bytes=1000000-").await.fails(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    assert_eq!(refused.header("content-range"), "bytes */1000000");

    let known = server.request("GET", &path).header("If-None-Match", format!("W/\"x\", \"{digest}\""));
    Answer::of(known.send().await.unwrap()).await.is(StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_shows_only_its_own() {
    let server = Server::start().await;
    let digest = server.push_blob("private", b"secret").await;
    for method in ["GET", "DELETE"] {
        server.send(method, &format!("/v2/other/blobs/{digest}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    }
    server.send("HEAD", &format!("/v2/other/blobs/{digest}")).await.is(StatusCode::NOT_FOUND);
    server.get(&format!("/v2/private/manifests/{digest}")).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    for bad in ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "nothing"] {
        server.get(&format!("/v2/private/blobs/{bad}")).await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_mounted_from_where_they_are_shown() {
    let server = Server::start().await;
    let digest = server.push_blob("base/image", b"layer").await;
    let mount = |query: String| server.request("POST", &format!("/v2/app/blobs/uploads/?{query}"));
    let mounted = Answer::of(mount(format!("mount={digest}&from=base/image")).send().await.unwrap()).await;
    let mounted = mounted.is(StatusCode::CREATED);
    assert_eq!(mounted.header("location"), format!("/v2/app/blobs/{digest}"));
    assert_eq!(mounted.header("docker-content-digest"), digest.to_string());
    assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.body, b"layer");
    // What cannot be mounted becomes an upload.
    let absent = Digest::of(b"absent");
    for query in
        [format!("mount={absent}&from=base/image"), format!("mount={digest}&from=no/where"), format!("mount={absent}")]
    {
        let answer = Answer::of(mount(query).send().await.unwrap()).await.is(StatusCode::ACCEPTED);
        assert!(answer.header("location").starts_with("/v2/app/blobs/uploads/"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_whose_file_is_gone_is_pushed_again() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"some bytes").await;
    let path = format!("/v2/app/blobs/{digest}");
    for entry in std::fs::read_dir(server.directory.path().join("blobs")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    server.send("HEAD", &path).await.is(StatusCode::NOT_FOUND);
    server.get(&path).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    server.push_blob("app", b"some bytes").await;
    assert_eq!(server.get(&path).await.is(StatusCode::OK).body, b"some bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_may_hold_the_protocols_words() {
    let server = Server::start().await;
    for name in ["foo/blobs", "tags/list", "blobs/uploads", "manifests/latest"] {
        let image = strata_testkit::Image::small(name);
        server.push_image(name, "list", &image).await;
        let tags = server.get(&format!("/v2/{name}/tags/list")).await.is(StatusCode::OK);
        assert_eq!(tags.json(), serde_json::json!({ "name": name, "tags": ["list"] }));
        assert_eq!(server.get(&format!("/v2/{name}/manifests/list")).await.body, image.manifest);
    }
}
