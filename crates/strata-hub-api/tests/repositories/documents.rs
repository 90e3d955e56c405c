//! Whole documents, as clients of the Hub read them.

use reqwest::StatusCode;
use serde_json::{Value, json};
use strata_testkit::{ImageBuilder, Index, Layer};

use crate::support::{Server, timeless};

const HOSTILE: &str = "<script>alert(1)</script> [x](javascript:1)";

fn size(image: &strata_testkit::Image) -> u64 {
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_and_its_tags() {
    let server = Server::start().await;
    let image = |platform: &str| ImageBuilder::new().platform(platform).layer(Layer::of_file("a", platform)).build();
    let index = Index::new(vec![image("linux/amd64"), image("linux/arm/v7")]);
    let digest = server.push_index("admin/app", &["1.27"], &index).await;
    server.admin("PATCH", "/v2/repositories/admin/app/", json!({
        "description": HOSTILE, "full_description": HOSTILE, "categories": [{ "slug": "web-servers", "name": "any" }],
    })).await;

    let entry = json!({
        "name": "app", "namespace": "admin", "repository_type": "image", "status": 1, "status_description": "active",
        "description": HOSTILE, "is_private": false, "is_automated": false, "star_count": 0, "pull_count": 0,
        "last_updated": "T", "last_modified": "T", "date_registered": "T", "affiliation": null, "hub_user": "admin",
        "media_types": ["application/vnd.oci.image.index.v1+json"], "content_types": ["image"],
        "categories": [{ "name": "Web servers", "slug": "web-servers" }],
        "immutable_tags_settings": { "enabled": false, "rules": [] }, "source": null, "badge": "none",
        "platforms": ["linux/amd64", "linux/arm/v7"], "last_pushed": "T", "last_pusher": "admin",
    });
    let mut detail = entry.clone();
    detail["user"] = json!("admin");
    detail["collaborator_count"] = json!(0);
    detail["has_starred"] = json!(false);
    detail["full_description"] = json!(HOSTILE);
    detail["permissions"] = json!({ "read": true, "write": false, "admin": false });
    detail["storage_size"] = json!(size(&index.images[0]) + size(&index.images[1]));
    for path in ["/v2/repositories/admin/app", "/v2/repositories/admin/app/", "/v2/namespaces/admin/repositories/app"] {
        assert_eq!(timeless(server.get(path).await), detail, "{path}");
    }
    let list = json!({ "count": 1, "next": null, "previous": null, "results": [entry] });
    for path in ["/v2/repositories/admin/", "/v2/namespaces/admin/repositories", "/api/v1/repositories?ordering=name"] {
        assert_eq!(timeless(server.get(path).await), list, "{path}");
    }

    let shown = |at: usize, architecture: &str, variant: Value| {
        json!({
            "architecture": architecture, "features": "", "variant": variant, "digest": index.images[at].digest(),
            "os": "linux", "os_features": "", "os_version": null, "size": size(&index.images[at]), "status": "active",
            "last_pulled": null, "last_pushed": "T",
        })
    };
    let row = server.hub.repository("admin/app").await.unwrap();
    let mut tag = json!({
        "id": 0, "name": "1.27", "repository": row.id, "creator": 0, "last_updater": 0,
        "last_updater_username": "admin", "last_updated": "T", "full_size": size(&index.images[0]), "v2": true,
        "status": "active", "tag_status": "active", "tag_last_pulled": null, "tag_last_pushed": "T",
        "media_type": "application/vnd.oci.image.index.v1+json", "content_type": "image", "digest": digest,
        "pull_count": 0, "images": [shown(0, "amd64", json!(null)), shown(1, "arm", json!("v7"))],
    });
    let list = json!({ "count": 1, "next": null, "previous": null, "results": [tag] });
    for path in ["/v2/repositories/admin/app/tags/", "/v2/namespaces/admin/repositories/app/tags?name=27"] {
        assert_eq!(timeless(server.get(path).await), list, "{path}");
    }
    for at in 0..2 {
        let manifest: Value = serde_json::from_slice(&index.images[at].manifest).unwrap();
        tag["images"][at]["layers"] = json!([{
            "digest": manifest["layers"][0]["digest"], "size": size(&index.images[at]), "instruction": "# layer 0",
        }]);
    }
    assert_eq!(timeless(server.get("/v2/repositories/admin/app/tags/1.27").await), tag);
    assert_eq!(
        server.get("/api/v1/repositories/admin/app/dockerfile?target=1.27&platform=linux/amd64").await,
        json!({
            "text": "# layer 0\n", "origin": "reconstructed", "is_reconstructed": true,
            "digest": index.images[0].digest(), "created": "2020-01-01T00:00:00Z",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_made_changed_hidden_and_removed() {
    let server = Server::start().await;
    let new =
        json!({ "name": "app", "namespace": "admin", "registry": "docker", "description": "a", "is_private": true });
    let path = "/v2/namespaces/admin/repositories";
    assert_eq!(server.call("POST", path, Some(new.clone()), false).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.call("POST", path, Some(new.clone()), true).await.0, StatusCode::CREATED);
    assert_eq!(server.call("POST", path, Some(new), true).await.0, StatusCode::CONFLICT);

    // What is private looks like what is not there.
    let hidden = server.call("GET", "/v2/repositories/admin/app/", None, false).await;
    let absent = server.call("GET", "/v2/repositories/admin/none/", None, false).await;
    let expected = json!({ "detail": "object not found", "message": "object not found" });
    assert_eq!(hidden, (StatusCode::NOT_FOUND, expected));
    assert_eq!(hidden, absent);
    assert_eq!(server.get("/v2/repositories/admin/").await["count"], 0);
    let own = server.admin("GET", "/v2/repositories/admin/app/", json!(null)).await;
    assert_eq!(own["permissions"], json!({ "read": true, "write": true, "admin": true }));
    for refused in ["PATCH", "DELETE"] {
        let (status, _) = server.call(refused, "/v2/repositories/admin/app/", Some(json!({})), false).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    server.admin("PATCH", "/v2/repositories/admin/app/", json!({ "is_private": false })).await;
    for refused in ["PATCH", "DELETE"] {
        let (status, _) = server.call(refused, "/v2/repositories/admin/app/", Some(json!({})), false).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let star = server.admin("PUT", "/api/v1/repositories/admin/app/star", json!(null)).await;
    assert_eq!(star, json!({ "star_count": 1, "has_starred": true }));
    let starred = server.admin("GET", "/api/v1/repositories?starred=true", json!(null)).await;
    assert_eq!(starred["count"], 1);
    let long = json!({ "description": "x".repeat(101) });
    assert_eq!(server.call("PATCH", "/v2/repositories/admin/app/", Some(long), true).await.0, StatusCode::BAD_REQUEST);
    let official = server.admin("PUT", "/api/v1/repositories/admin/app/official", json!({ "is_official": true })).await;
    assert_eq!(official["badge"], "official");
    assert_eq!(server.call("DELETE", "/v2/repositories/admin/app/", None, true).await.0, StatusCode::ACCEPTED);
    assert_eq!(server.call("GET", "/v2/repositories/admin/app/", None, true).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_go_back_and_lists_have_pages() {
    let server = Server::start().await;
    let image = |text: &str| ImageBuilder::new().layer(Layer::of_file("a", text)).build();
    let first = server.push("admin/app", &["latest", "1", "2", "10"], &image("one")).await;
    let second = server.push("admin/app", &["latest"], &image("two")).await;
    let page = server.get("/v2/repositories/admin/app/tags?page=2&page_size=1&ordering=name").await;
    let link = |number: u32| {
        format!("http://{}/v2/repositories/admin/app/tags?ordering=name&page={number}&page_size=1", server.address)
    };
    assert_eq!((&page["count"], &page["next"], &page["previous"]), (&json!(4), &json!(link(3)), &json!(link(1))));
    assert_eq!(page["results"][0]["name"], "2");

    let base = "/api/v1/repositories/admin/app/tags/latest";
    let wanted = json!({ "digest": first, "from": second });
    let (status, _) = server.call("POST", &format!("{base}/rollback"), Some(wanted.clone()), false).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.admin("POST", &format!("{base}/rollback"), wanted).await["digest"], json!(first));
    let aliases = server.get(&format!("{base}/aliases/")).await;
    assert_eq!(aliases, json!({ "name": "latest", "digest": first, "aliases": ["1", "2", "10"] }));
    let history = timeless(server.get(&format!("{base}/history")).await);
    let entry = |digest, previous: Value| json!({ "action": "set", "digest": digest, "previous": previous, "actor": "admin", "time": "T" });
    let expected = [entry(first, json!(second)), entry(second, json!(first)), entry(first, json!(null))];
    assert_eq!(history, json!({ "name": "latest", "history": expected }));
    let (status, _) = server.call("DELETE", "/v2/repositories/admin/app/tags/10/", None, true).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(server.call("GET", "/v2/repositories/admin/app/tags/10", None, true).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn search_in_all_shapes() {
    let server = Server::start().await;
    let image = ImageBuilder::new().layer(Layer::of_file("a", "b")).build();
    server.push("library/nginx", &["1"], &image).await;
    server.push("admin/nginx", &["1"], &image).await;
    server.admin("PATCH", "/v2/repositories/library/nginx/", json!({ "description": HOSTILE })).await;
    assert_eq!(server.get("/v1/_ping").await, json!({ "standalone": true }));
    assert_eq!(
        server.get("/v1/search?q=nginx&n=1").await,
        json!({
            "query": "nginx", "num_results": 2, "num_pages": 2, "page": 1, "page_size": 1,
            "results": [{ "name": "nginx", "description": HOSTILE, "star_count": 0, "is_official": true,
                "is_automated": false }],
        })
    );
    assert_eq!(
        server.get("/v2/search/repositories/?query=ngnix&page_size=1").await,
        json!({
            "count": 2,
            "next": format!("http://{}/v2/search/repositories/?query=ngnix&page=2&page_size=1", server.address),
            "previous": null,
            "results": [{ "repo_name": "nginx", "short_description": HOSTILE, "star_count": 0, "pull_count": 0,
                "repo_owner": "", "is_automated": false, "is_official": true }],
        })
    );
    assert_eq!(
        timeless(server.get("/api/search/v4?query=nginx&badges=none&architectures=amd64,arm64").await),
        json!({
            "total": 1,
            "results": [{
                "id": "admin/nginx", "name": "admin/nginx", "slug": "admin/nginx", "type": "image",
                "publisher": { "id": "admin", "name": "admin" }, "created_at": "T", "updated_at": "T",
                "short_description": "", "badge": "none", "star_count": 0, "pull_count": "0",
                "operating_systems": [{ "name": "linux", "label": "Linux" }],
                "architectures": [{ "name": "amd64", "label": "x86-64" }],
                "logo_url": { "large": null, "small": null }, "extension_reviewed": false, "categories": [],
                "archived": false,
            }],
        })
    );
    let suggestions = server.get("/api/v1/search/suggestions?q=ngi").await;
    assert_eq!(suggestions["results"][0]["name"], "nginx");
    assert_eq!(suggestions["results"].as_array().unwrap().len(), 2);
}
