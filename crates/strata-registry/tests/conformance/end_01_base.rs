//! end-1: determining support; and what holds for every answer.

use reqwest::StatusCode;

use crate::support::Server;

#[tokio::test]
async fn end_01_a_registry_answers_200() {
    let server = Server::start().await;
    for path in ["/v2/", "/v2"] {
        let answer = server.get(path).await.is(StatusCode::OK);
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
    server.send("HEAD", "/v2/").await.is(StatusCode::OK);
    server.send("PUT", "/v2/").await.fails(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
}

#[tokio::test]
async fn end_01_failures_are_json_with_a_code() {
    let server = Server::start().await;
    let long = "a/".repeat(200) + "a";
    let cases = [
        ("/v2/App/tags/list".to_owned(), StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("/v2/a..b/tags/list".to_owned(), StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("/v2/-a/tags/list".to_owned(), StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("/v2/a//b/tags/list".to_owned(), StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("/v2/../../etc/passwd/tags/list".to_owned(), StatusCode::NOT_FOUND, "UNSUPPORTED"),
        ("/v2/%2e%2e/%2e%2e/tags/list".to_owned(), StatusCode::NOT_FOUND, "UNSUPPORTED"),
        (format!("/v2/{long}/tags/list"), StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("/v2/app/nothing".to_owned(), StatusCode::NOT_FOUND, "UNSUPPORTED"),
        ("/v2/app/blobs/sha256:xyz".to_owned(), StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        (
            "/v2/app/manifests/md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
        ),
    ];
    for (path, status, code) in cases {
        let answer = server.get(&path).await;
        // A client may shorten `..` before it sends the path.
        if !path.contains("..") && !path.contains("%2e") {
            let answer = answer.fails(status, code);
            assert!(answer.json()["errors"][0]["message"].is_string(), "{path}");
        } else {
            assert!(answer.status.is_client_error(), "{path}");
        }
    }
}

#[tokio::test]
async fn end_01_names_may_be_words_of_the_protocol() {
    let server = Server::start().await;
    for name in ["tags/list", "foo/blobs", "blobs/uploads", "a/manifests", "v2", "referrers/x", "a__b/c--d"] {
        let digest = server.push_blob(name, b"x").await;
        assert_eq!(server.get(&format!("/v2/{name}/blobs/{digest}")).await.is(StatusCode::OK).body, b"x", "{name}");
        let listed = server.get(&format!("/v2/{name}/tags/list")).await.is(StatusCode::OK).json();
        assert_eq!(listed["name"], name);
    }
}
