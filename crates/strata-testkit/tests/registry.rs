//! The fake registry over plain sockets, and with skopeo where that is installed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use strata_testkit::{FakeRegistry, Fault, FaultRule, Image, Index, Layer};

/// Sends one request and reads the answer to the end of the connection.
fn send(registry: &FakeRegistry, method: &str, path: &str, headers: &[&str], body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut connection = TcpStream::connect(registry.host()).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(body).unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let body = answer.split_off(end);
    let head = String::from_utf8(answer).unwrap();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, head, body)
}

#[test]
fn images_are_served_with_ranges_and_counted() {
    let registry = FakeRegistry::start();
    let image = Image::small("content");
    registry.add_image("a/b", "1", &image);
    let (status, head, body) = send(&registry, "GET", "/v2/a/b/manifests/1", &[], b"");
    assert_eq!((status, &body), (200, &image.manifest));
    assert!(head.contains(&format!("Docker-Content-Digest: {}", image.digest())), "{head}");
    let layer = &image.layers[0];
    let path = format!("/v2/a/b/blobs/{}", layer.digest());
    let (status, head, body) = send(&registry, "GET", &path, &["Range: bytes=5-9"], b"");
    assert_eq!((status, &body[..]), (206, &layer.blob[5..10]), "{head}");
    assert_eq!(send(&registry, "GET", &path, &["Range: bytes=99999-"], b"").0, 416);
    let (status, head, body) = send(&registry, "HEAD", &path, &[], b"");
    assert_eq!((status, body.len()), (200, 0));
    assert!(head.contains(&format!("Content-Length: {}", layer.blob.len())), "{head}");
    assert_eq!(registry.blob_requests(layer.digest()), 2);
    assert_eq!(send(&registry, "GET", "/v2/a/b/manifests/2", &[], b"").0, 404);
    assert_eq!(send(&registry, "GET", "/v2/UPPER/manifests/2", &[], b"").0, 404);
    assert_eq!(send(&registry, "GET", "/v2/a/b/tags/list", &[], b"").2, br#"{"name":"a/b","tags":["1"]}"#);
}

#[test]
fn uploads_are_checked() {
    let registry = FakeRegistry::start();
    let image = Image::small("pushed");
    let digest = image.layers[0].digest();
    let blob = &image.layers[0].blob;
    let put = |manifest: &[u8]| {
        let header = format!("Content-Type: {}", image.media_type);
        send(&registry, "PUT", "/v2/p/manifests/1", &[&header], manifest)
    };
    assert_eq!(put(&image.manifest).0, 400, "blobs are missing");
    assert_eq!(send(&registry, "POST", &format!("/v2/p/blobs/uploads/?digest={digest}"), &[], b"wrong").0, 400);
    let (status, head, _) = send(&registry, "POST", "/v2/p/blobs/uploads/", &[], b"");
    assert_eq!(status, 202);
    let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().to_owned();
    assert_eq!(send(&registry, "PATCH", &location, &["Content-Range: 0-9"], &blob[..10]).0, 202);
    assert_eq!(send(&registry, "PATCH", &location, &["Content-Range: 5-9"], &blob[..5]).0, 416);
    let (status, head, _) = send(&registry, "GET", &location, &[], b"");
    assert!(status == 204 && head.contains("Range: 0-9"), "{head}");
    assert_eq!(send(&registry, "PUT", &format!("{location}?digest={digest}"), &[], &blob[10..]).0, 201);
    assert_eq!(registry.blob("p", digest).as_ref(), Some(blob));
    let mount = format!("/v2/q/blobs/uploads/?mount={digest}&from=p");
    assert_eq!(send(&registry, "POST", &mount, &[], b"").0, 201);
    let config = format!("/v2/p/blobs/uploads/?digest={}", image.id());
    assert_eq!(send(&registry, "POST", &config, &[], &image.config).0, 201);
    assert_eq!(put(&image.manifest).0, 201);
    assert_eq!(registry.manifest("p", "1").unwrap().1, image.manifest);
    assert_eq!(put(b"{}").0, 400);
}

#[test]
fn faults_come_as_often_as_asked() {
    let registry = FakeRegistry::start();
    let image = Image::small("faulty");
    registry.add_image("f", "1", &image);
    let blob = &image.layers[0].blob;
    let path = format!("/v2/f/blobs/{}", image.layers[0].digest());
    let get = || send(&registry, "GET", &path, &[], b"");
    registry.fault(FaultRule::too_many_requests("/blobs/", 7).times(2));
    let (status, head, _) = get();
    assert!(status == 429 && head.contains("Retry-After: 7"), "{head}");
    assert_eq!((get().0, get().0), (429, 200));
    for (fault, expected) in [
        (Fault::DropAfter(3), Some(blob[..3].to_vec())),
        (Fault::Shorter(2), Some(blob[..blob.len() - 2].to_vec())),
        (Fault::Longer(2), Some(blob.clone())),
        (Fault::WrongBytes, Some(blob.iter().map(|byte| byte ^ 1).collect())),
        (Fault::NoAnswer, None),
    ] {
        registry.fault(FaultRule::new("/blobs/", fault.clone()).times(1));
        let (status, _, body) = get();
        assert_eq!((status != 0).then_some(body), expected, "{fault:?}");
    }
    registry.fault(FaultRule::new("/blobs/", Fault::HangAfter(4)));
    let mut connection = TcpStream::connect(registry.host()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    assert!(connection.read_to_end(&mut answer).is_err(), "the connection stays open");
    assert!(answer.ends_with(&blob[..4]));
    registry.heal();
    assert_eq!(get().2, *blob);
}

#[test]
fn tokens_cover_what_they_were_given_for() {
    let registry = FakeRegistry::start_with_account("me", "secret", true);
    registry.add_image("t", "1", &Image::small("secret"));
    let (status, head, _) = send(&registry, "GET", "/v2/t/manifests/1", &[], b"");
    assert_eq!(status, 401);
    assert!(head.contains("scope=\"repository:t:pull\""), "{head}");
    let token = |scope: &str, headers: &[&str]| {
        let path = format!("/token?service={}&scope={scope}", registry.host());
        let (status, _, body) = send(&registry, "GET", &path, headers, b"");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, format!("Authorization: Bearer {}", body["token"].as_str().unwrap_or_default()))
    };
    let (_, anonymous) = token("repository:t:pull,push", &[]);
    assert_eq!(send(&registry, "GET", "/v2/t/manifests/1", &[&anonymous], b"").0, 200);
    assert_eq!(send(&registry, "GET", "/v2/other/manifests/1", &[&anonymous], b"").0, 401);
    assert_eq!(send(&registry, "POST", "/v2/t/blobs/uploads/", &[&anonymous], b"").0, 401);
    assert_eq!(token("repository:t:push", &["Authorization: Basic bWU6d3Jvbmc="]).0, 401);
    let (_, mine) = token("repository:t:pull,push", &["Authorization: Basic bWU6c2VjcmV0"]);
    assert_eq!(send(&registry, "POST", "/v2/t/blobs/uploads/", &[&mine], b"").0, 202);
}

#[test]
fn another_client_pulls_and_pushes() {
    let skopeo = |arguments: &[&str]| {
        let output = Command::new("skopeo").args(arguments).output();
        output.map(|output| (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    if skopeo(&["--version"]).is_err() {
        return;
    }
    let registry = FakeRegistry::start_with_account("me", "secret", false);
    let index = Index::new(vec![
        strata_testkit::ImageBuilder::new().layer(Layer::of_noise(1, 100_000)).build(),
        strata_testkit::ImageBuilder::new().platform("linux/arm64").layer(Layer::of_noise(2, 1000)).build(),
    ]);
    registry.add_index("from/here", "1", &index);
    let from = format!("docker://{}", registry.reference("from/here:1"));
    let to = format!("docker://{}", registry.reference("to/there:2"));
    let (success, message) = skopeo(&[
        "copy",
        "--insecure-policy",
        "--all",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        "me:secret",
        "--dest-creds",
        "me:secret",
        &from,
        &to,
    ])
    .unwrap();
    assert!(success, "{message}");
    assert_eq!(registry.manifest("to/there", "2").unwrap().1, index.manifest);
}
