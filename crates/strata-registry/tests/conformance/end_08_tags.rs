//! end-8: tags; and Docker's list of repositories.

use reqwest::StatusCode;
use strata_testkit::Image;

use crate::support::Server;

#[tokio::test]
async fn end_08a_all_tags_in_order() {
    let server = Server::start().await;
    let image = Image::small("x");
    for tag in ["v2", "V1", "v10", "_x", "latest"] {
        server.push_image("app", tag, &image).await;
    }
    let listed = server.get("/v2/app/tags/list").await.is(StatusCode::OK);
    assert_eq!(listed.json(), serde_json::json!({ "name": "app", "tags": ["V1", "_x", "latest", "v10", "v2"] }));
    assert!(!listed.has("link"));
    server.get("/v2/none/tags/list").await.fails(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    server.push_blob("empty", b"x").await;
    let empty = server.get("/v2/empty/tags/list").await.is(StatusCode::OK);
    assert_eq!(empty.json()["tags"], serde_json::json!([]));
}

#[tokio::test]
async fn end_08b_pages() {
    let server = Server::start().await;
    let image = Image::small("x");
    for number in 0..5 {
        server.push_image("app", &format!("t{number}"), &image).await;
    }
    let (mut path, mut found) = ("/v2/app/tags/list?n=2".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).await.is(StatusCode::OK);
        let tags = page.json()["tags"].as_array().unwrap().clone();
        assert!(tags.len() <= 2);
        found.extend(tags);
        match page.next() {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(found, ["t0", "t1", "t2", "t3", "t4"]);
    let tags = async |query: &str| server.get(&format!("/v2/app/tags/list?{query}")).await.is(StatusCode::OK);
    let none = tags("n=0").await;
    assert_eq!((none.json()["tags"].clone(), none.has("link")), (serde_json::json!([]), false));
    assert_eq!(tags("last=t2").await.json()["tags"], serde_json::json!(["t3", "t4"]));
    assert_eq!(tags("n=1&last=t2x").await.json()["tags"], serde_json::json!(["t3"]), "it need not exist");
    assert!(!tags("n=5").await.has("link"));
    for bad in ["n=-1", "n=x"] {
        let refused = server.get(&format!("/v2/app/tags/list?{bad}")).await;
        refused.fails(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID");
    }
}

#[tokio::test]
async fn catalog_pages() {
    let server = Server::start().await;
    for name in ["b", "a/b", "c"] {
        server.push_blob(name, b"x").await;
    }
    let first = server.get("/v2/_catalog?n=2").await.is(StatusCode::OK);
    assert_eq!(first.json()["repositories"], serde_json::json!(["a/b", "b"]));
    let second = server.get(&first.next().unwrap()).await.is(StatusCode::OK);
    assert_eq!((second.json()["repositories"].clone(), second.next()), (serde_json::json!(["c"]), None));
}
