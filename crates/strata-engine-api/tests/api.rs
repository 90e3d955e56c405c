//! The API as raw HTTP: versions, heads, errors, shapes. What docker's own command makes of it is tested with the program.

mod support;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use proptest::prelude::*;
use serde_json::{Value, json};
use strata_engine_api::{Access, Listener};
use strata_testkit::http::Request;
use strata_testkit::{ImageBuilder, Layer, TarFormat, archive};
use support::Served;

/// Loads an image with the labels `a=b` and the names `box:1` and `box:latest`; its ID.
async fn load_box(served: &Served) -> String {
    let image = ImageBuilder::new()
        .docker()
        .layer(Layer::of_file("etc/motd", "hello"))
        .setting("Labels", json!({ "a": "b" }))
        .setting("Cmd", json!(["sh", "-c", "a < b & c"]))
        .config(|config| config["created"] = json!("2005-06-07T08:10:00Z"))
        .build();
    let tar = archive::docker(&[(&image, &["box:1", "box:latest"])]).tar(TarFormat::Gnu);
    let request = Request::new("POST", "/v1.51/images/load?quiet=1").header("content-type", "application/x-tar");
    let loaded = served.send(request.body(tar)).await;
    assert_eq!(loaded.status, 200);
    assert_eq!(
        loaded.text(),
        "{\"stream\":\"Loaded image: box:1\\n\"}\r\n{\"stream\":\"Loaded image: box:latest\\n\"}\r\n"
    );
    image.id().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_have_docker_s_headers() {
    let served = Served::start(Access::Full);
    for path in ["/_ping", "/v1.24/_ping", "/v1.51/_ping"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "OK"), "{path}");
        for (name, value) in [
            ("api-version", "1.51"),
            ("builder-version", "1"),
            ("cache-control", "no-cache, no-store, must-revalidate"),
            ("content-type", "text/plain; charset=utf-8"),
            ("docker-experimental", "false"),
            ("ostype", "linux"),
            ("pragma", "no-cache"),
            ("server", "Docker/28.5.2 (linux)"),
            ("swarm", "inactive"),
        ] {
            assert_eq!(answer.headers.get(name).map(String::as_str), Some(value), "{path}: {name}");
        }
    }
    let head = served.send(Request::new("HEAD", "/_ping")).await;
    assert_eq!((head.status, head.headers["content-length"].as_str(), head.body.len()), (200, "0", 0));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_has_docker_s_status_and_words() {
    let served = Served::start(Access::Full);
    for (method, path, status, message) in [
        (
            "GET",
            "/v1.12/version",
            400,
            "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
        ),
        ("GET", "/v1.52/version", 400, "client version 1.52 is too new. Maximum supported API version is 1.51"),
        ("GET", "/nosuch", 404, "page not found"),
        ("POST", "/info", 404, "page not found"),
        ("GET", "/", 404, "page not found"),
        ("GET", "/v1.51/images/nosuch/json", 404, "No such image: nosuch:latest"),
        ("GET", "/images/nosuch/history", 404, "No such image: nosuch:latest"),
        ("DELETE", "/images/nosuch", 404, "No such image: nosuch:latest"),
        ("GET", "/images/json?filters=x", 400, "invalid filter"),
        ("GET", "/images/json?filters=%7B%22nosuch%22%3A%7B%22x%22%3Atrue%7D%7D", 400, "invalid filter 'nosuch'"),
        (
            "GET",
            "/images/x/json?manifests=1&platform=%7B%22os%22%3A%22linux%22%7D",
            400,
            "conflicting options: manifests and platform options cannot both be set",
        ),
        ("GET", "/images/search?term=x&limit=101", 400, "limit 101 is outside the range of [1, 100]"),
        ("GET", "/containers/nosuch/json", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/start", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/wait", 404, "No such container: nosuch"),
        ("POST", "/containers/create", 400, "invalid JSON: got EOF while reading request body"),
        ("GET", "/volumes/nosuch", 404, "get nosuch: no such volume"),
        ("GET", "/networks/nosuch", 404, "network nosuch not found"),
        ("GET", "/system/df?type=x", 400, "unknown object type: x"),
        ("GET", "/events?filters=%7B%22nosuch%22%3A%7B%22x%22%3Atrue%7D%7D", 400, "invalid filter 'nosuch'"),
        ("POST", "/build", 501, "not supported by strata: building images"),
        ("POST", "/plugins/pull", 501, "not supported by strata: plugins"),
    ] {
        let answer = served.send(Request::new(method, path)).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "message": message })), "{method} {path}");
        assert!(answer.text().ends_with("}\n"), "{path}");
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        assert_eq!(answer.headers["api-version"], "1.51", "{path}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_have_docker_s_shapes() {
    let served = Served::start(Access::Full);
    let id = load_box(&served).await;
    let listed = served.get("/v1.51/images/json").await;
    let size = listed.json()[0]["Size"].clone();
    let row = json!({
        "Containers": 0, "Created": 1_118_131_800, "Id": id, "Labels": { "a": "b" }, "ParentId": "", "RepoDigests": [],
        "RepoTags": ["box:1", "box:latest"], "SharedSize": -1, "Size": size,
    });
    assert_eq!(listed.text(), format!("[{row}]\n"));
    let old = served.get("/v1.40/images/json?filter=box:1").await.json();
    assert_eq!((&old[0]["VirtualSize"], &old[0]["Containers"]), (&size, &json!(-1)));
    assert_eq!(old[0]["RepoTags"], json!(["box:1"]));
    assert_eq!(served.get("/images/json?shared-size=1").await.json()[0]["SharedSize"], json!(0));
    assert_eq!(served.get("/images/json?filters=%7B%22label%22%3A%5B%22a%3Dc%22%5D%7D").await.text(), "[]\n");

    let inspected = served.get("/images/box/json").await;
    assert!(inspected.text().contains(r"a \u003c b \u0026 c"), "Config alone has HTML escapes: {}", inspected.text());
    assert_eq!(inspected.json()["Id"], json!(id));
    for name in [&id[7..19], &id, "docker.io/library/box:1", "box%3A1"] {
        assert_eq!(served.get(&format!("/images/{name}/json")).await.json()["Id"], json!(id), "{name}");
    }
    let history = served.get("/images/box/history").await.json();
    assert_eq!(history[0]["Id"], json!(id));
    assert_eq!(history[0]["Tags"], json!(["box:1", "box:latest"]));

    let tag = |query: &str| served.send(Request::new("POST", &format!("/images/box/tag?{query}")));
    assert_eq!(tag("repo=example.com:5000/a/b&tag=2").await.status, 201);
    assert_eq!(tag("repo=Upper").await.status, 400);
    assert_eq!(served.get("/images/example.com:5000/a/b:2/json").await.json()["Id"], json!(id));
    let removed = served.send(Request::new("DELETE", "/images/example.com:5000/a/b:2")).await;
    assert_eq!(removed.text(), "[{\"Untagged\":\"example.com:5000/a/b:2\"}]\n");
    let by_id = served.send(Request::new("DELETE", &format!("/images/{id}"))).await;
    assert_eq!(by_id.status, 409);
    let pruned = served.send(Request::new("POST", "/images/prune")).await.json();
    assert_eq!(pruned, json!({ "ImagesDeleted": null, "SpaceReclaimed": 0 }));

    let saved = served.get("/images/get?names=box:1&names=box:latest").await;
    assert_eq!((saved.status, saved.headers["content-type"].as_str()), (200, "application/x-tar"));
    let forced = served.send(Request::new("DELETE", &format!("/images/{id}?force=1"))).await.json();
    assert_eq!(forced[0], json!({ "Untagged": "box:1" }));
    let again = served.send(Request::new("POST", "/images/load").body(saved.body)).await;
    assert!(again.text().contains("Loaded image: box:1"), "{}", again.text());
    let broken = served.send(Request::new("POST", "/images/load").body("no archive")).await;
    assert_eq!(broken.status, 200);
    assert!(broken.text().starts_with("{\"errorDetail\":{\"message\":"), "{}", broken.text());
    assert_eq!(served.get("/images/nosuch/get").await.status, 404);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_at_their_time() {
    let served = Served::start(Access::Full);
    let begun = served.store.now() / 1_000_000_000;
    let id = load_box(&served).await;
    served.send(Request::new("POST", "/images/box/tag?repo=other")).await;
    let until = begun + 100_000;
    let past = served.get(&format!("/events?since={begun}&until={}", begun - 1)).await;
    assert_eq!(past.status, 400);
    let filters = "%7B%22event%22%3A%7B%22tag%22%3Atrue%7D%7D";
    // The stream is live until its time has come.
    let soon = served.store.now() / 1_000_000_000 + 1;
    let events = served.get(&format!("/events?since={begun}&until={soon}&filters={filters}")).await;
    let lines: Vec<Value> = events.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut tagged = lines.last().unwrap().clone();
    let (time, nanoseconds) = (tagged["time"].take(), tagged["timeNano"].take());
    assert_eq!(nanoseconds.as_i64().unwrap() / 1_000_000_000, time.as_i64().unwrap());
    assert_eq!(
        tagged,
        json!({
            "status": "tag", "id": id, "Type": "image", "Action": "tag",
            "Actor": { "ID": id, "Attributes": { "name": "other:latest" } }, "scope": "local", "time": null, "timeNano": null,
        })
    );
    assert!(until > soon);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_networks_have_docker_s_shapes() {
    let served = Served::start(Access::Full);
    assert_eq!(served.get("/volumes").await.text(), "{\"Volumes\":[],\"Warnings\":null}\n");
    let made =
        served.post("/volumes/create", &json!({ "Name": "data", "Labels": { "a": "b" }, "Driver": "local" })).await;
    assert_eq!(made.status, 201);
    let volume = made.json();
    assert_eq!(
        (&volume["Name"], &volume["Labels"], &volume["Options"], &volume["Scope"]),
        (&json!("data"), &json!({ "a": "b" }), &Value::Null, &json!("local"))
    );
    assert_eq!(served.get("/volumes/data").await.json(), volume);
    assert_eq!(served.get("/volumes").await.json()["Volumes"], json!([volume]));
    let pruned = served.send(Request::new("POST", "/volumes/prune")).await.json();
    assert_eq!(pruned, json!({ "VolumesDeleted": null, "SpaceReclaimed": 0 }));
    let pruned = served.send(Request::new("POST", "/v1.41/volumes/prune")).await.json();
    assert_eq!(pruned["VolumesDeleted"], json!(["data"]));
    let unknown = served.post("/volumes/create", &json!({ "Name": "x1", "Driver": "nfs" })).await;
    assert_eq!(
        unknown.json(),
        json!({ "message": "create x1: error looking up volume plugin nfs: plugin \"nfs\" not found" })
    );

    let names: Vec<Value> =
        served.get("/networks").await.json().as_array().unwrap().iter().map(|row| row["Name"].clone()).collect();
    assert_eq!(names, ["bridge", "host", "none"]);
    let body = json!({
        "Name": "back", "CheckDuplicate": true, "Driver": "bridge", "Internal": true, "Labels": { "x": "y" },
        "IPAM": { "Driver": "default", "Config": [{ "Subnet": "10.201.7.0/24" }] },
    });
    let made = served.post("/networks/create", &body).await;
    assert_eq!((made.status, &made.json()["Warning"]), (201, &json!("")));
    let network = served.get("/networks/back").await.json();
    assert_eq!(network["Id"], made.json()["Id"]);
    assert_eq!(network["IPAM"]["Config"], json!([{ "Subnet": "10.201.7.0/24", "Gateway": "10.201.7.1" }]));
    assert_eq!((&network["Internal"], &network["Labels"]), (&json!(true), &json!({ "x": "y" })));
    assert_eq!(served.post("/networks/create", &body).await.status, 409);
    assert_eq!(served.send(Request::new("DELETE", "/networks/back")).await.status, 204);
    assert_eq!(served.send(Request::new("DELETE", "/networks/bridge")).await.status, 403);
    let six = served.post("/networks/create", &json!({ "Name": "six", "EnableIPv6": true })).await;
    assert_eq!(six.json(), json!({ "message": "not supported by strata: networks with IPv6" }));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_changes_nothing() {
    let served = Served::start(Access::ReadOnly);
    for (method, path) in [
        ("POST", "/images/create?fromImage=x"),
        ("DELETE", "/v1.51/images/x"),
        ("POST", "/volumes/create"),
        ("PUT", "/containers/x/archive?path=/"),
    ] {
        let answer = served.send(Request::new(method, path)).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.text().contains("strata serves read-only"), "{}", answer.text());
    }
    assert_eq!(served.get("/images/json").await.text(), "[]\n");
    assert_eq!(served.send(Request::new("POST", "/containers/x/wait")).await.status, 404);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owner_s_and_goes_with_the_server() {
    let served = Served::start(Access::Full);
    let socket = served.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let taken = Listener::unix(&socket, None).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    let directory = served.stop().await;
    assert!(!socket.exists());
    // What a killed server leaves behind is replaced; other files are not.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    drop(Listener::unix(&socket, Some("0")).unwrap());
    std::fs::write(&socket, "a file").unwrap();
    assert_eq!(Listener::unix(&socket, None).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert!(Listener::unix(&directory.path().join("new"), Some("nosuchgroup")).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = prop_oneof![
            Just("Image".to_owned()),
            Just("HostConfig".to_owned()),
            Just("Cmd".to_owned()),
            Just("Name".to_owned()),
            Just("Labels".to_owned()),
            Just("NetworkingConfig".to_owned()),
            Just("EndpointsConfig".to_owned()),
            Just("IPAM".to_owned()),
            Just("Config".to_owned()),
            Just("Driver".to_owned()),
            "[A-Za-z]{1,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whatever is sent: an answer, which is no failure of the server's.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_answered() {
    let served = Served::start(Access::Full);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
    let path = prop_oneof![
        Just("/containers/create".to_owned()),
        Just("/containers/x/update".to_owned()),
        Just("/networks/create".to_owned()),
        Just("/volumes/create".to_owned()),
        Just("/networks/x/connect".to_owned()),
        Just("/auth".to_owned()),
        "/(v1\\.[0-9]{1,3}/)?(images|containers|networks|volumes)/[a-z%0-9:.@/]{0,20}(json|tag|push)?(\\?[a-z=&%0-9]{0,20})?",
    ];
    let mut requests = Vec::new();
    for _ in 0..64 {
        let tree = (&path, any_json()).new_tree(&mut runner).unwrap();
        requests.push(proptest::strategy::ValueTree::current(&tree));
    }
    for (path, body) in requests {
        // Only what stays on this machine: credentials are tried at a registry, docker.io when none is named.
        if path.contains("push") || (path == "/auth" && body.is_object()) {
            continue;
        }
        for method in ["GET", "POST"] {
            let request = Request::new(method, &path).header("content-type", "application/json");
            let answer = served.send(request.body(body.to_string())).await;
            let is_fine = answer.status < 500 || answer.status == 501;
            assert!(is_fine, "{method} {path} {body}: {} {}", answer.status, answer.text());
        }
    }
    served.stop().await;
}
