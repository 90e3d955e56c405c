//! The hub's pages about images as a browser asks for them: layers, files, comparison, trust; what they show, to whom, and
//! that nothing in an image runs.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
}

use std::time::{Duration, Instant};

use serde_json::json;
use strata_testkit::{Image, ImageBuilder, Index, Layer, Packing, TarEntry, museum};
use support::hub::{Answer, PASSWORD, Request, RunningHub, administrator, eventually};

const SCRIPT: &str = "<script>alert(1)</script>";

/// A hub whose administrator pushes.
struct Site {
    _directory: tempfile::TempDir,
    hub: RunningHub,
    token: String,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        let token = administrator(&root);
        let hub = RunningHub::start(&root, &[]);
        Site { _directory: directory, hub, token }
    }

    fn send(&self, request: Request) -> Answer {
        request.send(&self.hub.address).unwrap()
    }

    fn push_blobs(&self, repository: &str, image: &Image) {
        for (digest, bytes) in image.blobs() {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            assert_eq!(self.send(Request::new("POST", &path).token(&self.token).body(bytes)).status, 201);
        }
    }

    fn put(&self, repository: &str, reference: &str, media_type: &str, manifest: &[u8]) {
        let put = Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}")).token(&self.token);
        let answer = self.send(put.header("content-type", media_type).body(manifest));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn push(&self, repository: &str, tag: &str, image: &Image) {
        self.push_blobs(repository, image);
        self.put(repository, tag, image.media_type.as_str(), &image.manifest);
    }

    fn make_private(&self, repository: &str) {
        let patch = Request::new("PATCH", &format!("/v2/repositories/{repository}/")).token(&self.token);
        let patch = patch.header("content-type", "application/json").body(r#"{"is_private":true}"#);
        eventually("the repository", || (self.send(patch.clone()).status == 200).then_some(()));
    }

    fn page(&self, path: &str, cookie: &str) -> Answer {
        self.send(Request::new("GET", path).header("cookie", cookie))
    }

    /// The page once the hub has looked through the images on it, and nothing that it must not hold.
    #[track_caller]
    fn ready(&self, path: &str) -> String {
        eventually(path, || {
            let page = self.page(path, "");
            let text = page.text();
            (page.status == 200 && !text.contains("again in a moment")).then_some(text)
        })
    }

    fn sign_in(&self) -> String {
        let origin = format!("http://{}", self.hub.address);
        let form = Request::new("POST", "/sign-in").header("origin", &origin);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let answer = self.send(form.body(format!("name=admin&password={}", PASSWORD.replace(' ', "+"))));
        answer.headers["set-cookie"].split(';').next().unwrap().to_owned()
    }
}

/// A small Debian: what its package manager writes, files that lie in each other's way, and what runs with other rights.
fn base() -> Layer {
    let status = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\n\
                  Package: tzdata\nStatus: install ok installed\nVersion: 2025a\n\n";
    Layer::new(&[
        TarEntry::directory("etc/"),
        TarEntry::file("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
        TarEntry::file("etc/motd", "welcome"),
        TarEntry::directory("usr/"),
        TarEntry::directory("usr/bin/"),
        TarEntry::file("usr/bin/su", "#!").mode(0o4755),
        TarEntry::file("usr/bin/ping", "x")
            .xattr("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        TarEntry::symbolic_link("bin", "usr/bin"),
        TarEntry::file("var/lib/dpkg/status", status),
        TarEntry::file("var/cache/archive", vec![7; 5000]),
    ])
}

fn upgrade() -> Layer {
    let status = "Package: bash\nStatus: install ok installed\nVersion: 5.2-2\n\n\
                  Package: nginx\nStatus: install ok installed\nVersion: 1.26\n\n";
    Layer::new(&[
        TarEntry::file("var/lib/dpkg/status", status),
        TarEntry::file("bin/new", "through a link"),
        TarEntry::file("etc/motd", "welcome"),
        TarEntry::whiteout("var/cache/archive"),
        TarEntry::file("app/node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0"}"#),
    ])
}

fn of_layers(layers: &[Layer]) -> ImageBuilder {
    layers.iter().fold(ImageBuilder::new(), |image, layer| image.layer(layer.clone()))
}

#[test]
fn an_image_is_shown_as_layers_files_and_facts() {
    let site = Site::new();
    site.push("library/base", "13", &of_layers(&[base()]).build());
    let app = of_layers(&[base(), upgrade()])
        .setting("User", json!("1000:1000"))
        .setting("ExposedPorts", json!({ "80/tcp": {} }))
        .setting("Env", json!(["PATH=/usr/bin", "DB_PASSWORD=hunter2"]));
    site.push("library/app", "2", &app.build());
    site.push("library/app", "1", &of_layers(&[base()]).setting("Cmd", json!(["old"])).build());

    // What is found in the image's files comes from a queue of its own.
    site.ready("/_/app/tags/2/trust");
    let layers = site.ready("/_/app/tags/2/layers");
    for expected in [
        "Layers of 2",
        "Debian GNU/Linux 13 (trixie)",
        "<a href=\"/_/app/tags/2/layers/2\">Layer 2</a>",
        "Also in <a href=\"/_/base\">base</a>; here in <a href=\"/_/app/tags/1/layers\">1</a>",
        "5.0 kB",
        "/var/cache/archive",
        "<rect class=\"slice c",
    ] {
        assert!(layers.contains(expected), "{expected} in {layers}");
    }
    let files = site.ready("/_/app/tags/2/layers/2?path=var/lib/dpkg");
    assert!(files.contains("status") && files.contains("class=\"changed\">changed"), "{files}");
    let removed = site.ready("/_/app/tags/2/layers/2?path=var/cache");
    assert!(removed.contains("archive") && removed.contains("class=\"removed\">removed"), "{removed}");
    let again = site.ready("/_/app/tags/2/layers/2?path=etc");
    assert!(again.contains("same again"), "{again}");
    assert_eq!(site.page("/_/app/tags/2/layers/2?path=nowhere", "").status, 404);
    assert_eq!(site.page("/_/app/tags/2/layers/3", "").status, 404);
    assert_eq!(site.page("/_/app/tags/2/layers/0", "").status, 404);

    let found = site.ready("/_/app/tags/2/files?find=/var/cache/archive");
    assert!(found.contains("not in the image") && found.contains("layer 1: 5.0 kB"), "{found}");
    assert!(found.contains("layer 2 removes it"), "{found}");
    let found = site.ready("/_/app/tags/2/files?find=NEW");
    assert!(found.contains("<code>/usr/bin/new</code>") && found.contains("layer 2"), "{found}");
    assert!(site.ready("/_/app/tags/2/files?path=usr/bin").contains("-rwsr-xr-x"));

    assert!(site.ready("/_/app/tags/2/files?path=etc").contains("files/content?path=etc/motd\""));
    let motd = site.page("/_/app/tags/2/files/content?path=etc/motd", "");
    assert_eq!((motd.status, motd.body.as_slice()), (200, &b"welcome"[..]));
    assert_eq!(motd.headers["content-disposition"], "attachment; filename*=UTF-8''motd");
    assert_eq!(motd.headers["content-type"], "application/octet-stream");
    for (path, status) in
        [("bin/new", 200), ("etc", 404), ("var/cache/archive", 404), ("../etc/passwd", 404), ("", 404)]
    {
        assert_eq!(site.page(&format!("/_/app/tags/2/files/content?path={path}"), "").status, status, "{path}");
    }

    let compared = site.ready("/_/app/compare?from=1&to=2&files=yes&path=var/lib/dpkg");
    for expected in
        ["5.2-1", "5.2-2", "nginx", "left-pad", "1 layer with", "in both", "not shown: it looks like a secret"]
    {
        assert!(compared.contains(expected), "{expected} in {compared}");
    }
    assert!(compared.contains("class=\"removed\">removed") && !compared.contains("hunter2"), "{compared}");
    let across = site.ready("/_/base/compare?from=13&with=app&to=1");
    assert!(across.contains("No package differs."), "{across}");

    let trust = site.ready("/_/app/tags/2/trust");
    for expected in [
        "1000:1000",
        "80/tcp",
        "DB_PASSWORD: its name says so",
        "2 dpkg, 1 Node",
        "4755 /usr/bin/su",
        "/usr/bin/ping",
        "base:13",
        "has the same lowest 1 layer",
        "None here",
    ] {
        assert!(trust.contains(expected), "{expected} in {trust}");
    }
    assert!(!trust.contains("hunter2"), "{trust}");
    assert!(site.ready("/_/base/trust").contains("root, since no user is set"));
}

#[test]
fn nothing_in_an_image_runs() {
    let site = Site::new();
    let status = format!("Package: {SCRIPT}\nStatus: install ok installed\nVersion: {SCRIPT}\n");
    let layer = Layer::new(&[
        TarEntry::file(SCRIPT.replace('/', "\\"), "x").mode(0o4755),
        TarEntry::directory("\"onmouseover=alert(1) x=\"/"),
        TarEntry::file(b"\"onmouseover=alert(1) x=\"/caf\xe9", "x"),
        TarEntry::file(b"dir/caf\xe9\n\x1b[1m", "x"),
        TarEntry::symbolic_link("link", format!("javascript:{SCRIPT}")),
        TarEntry::file("etc/os-release", format!("PRETTY_NAME={SCRIPT}\n")),
        TarEntry::file("var/lib/dpkg/status", status),
    ]);
    let image = ImageBuilder::new()
        .layer(layer)
        .setting("Labels", json!({ SCRIPT: SCRIPT, "org.opencontainers.image.base.name": SCRIPT }))
        .setting("Env", json!([format!("{SCRIPT}_TOKEN={SCRIPT}")]))
        .setting("User", json!(SCRIPT))
        .setting("ExposedPorts", json!({ SCRIPT: {} }))
        .config(|config| {
            config["created"] = json!(SCRIPT);
            config["history"] = json!([{ "created_by": format!("RUN {SCRIPT}"), "created": SCRIPT }]);
        });
    site.push("library/evil", "1", &image.build());
    site.push("library/evil", "2", &of_layers(&[base()]).build());
    let encoded = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    for path in [
        "/_/evil/tags/1/layers".to_owned(),
        "/_/evil/tags/1/layers/1".to_owned(),
        "/_/evil/tags/1/layers/1?path=dir".to_owned(),
        "/_/evil/tags/1/layers/1?path=%22onmouseover%3Dalert%281%29%20x%3D%22".to_owned(),
        "/_/evil/tags/1/files".to_owned(),
        format!("/_/evil/tags/1/files?find={encoded}"),
        "/_/evil/tags/1/files?find=caf".to_owned(),
        "/_/evil/tags/1/trust".to_owned(),
        "/_/evil/compare?from=1&to=2&files=yes".to_owned(),
        "/_/evil/compare?from=2&to=1".to_owned(),
        format!("/_/evil/compare?from=1&with={encoded}&to={encoded}&platform={encoded}"),
    ] {
        let text = site.ready(&path);
        assert!(!text.contains(SCRIPT) && !text.contains("<script>"), "{path}\n{text}");
        assert!(!text.contains("\"onmouseover") && !text.contains(" style="), "{path}\n{text}");
        assert!(!text.contains("href=\"javascript") && !text.contains('\x1b'), "{path}\n{text}");
        assert!(text.contains("</html>"), "{path}");
    }
    // What a path's bytes are is not lost on the way.
    assert!(site.ready("/_/evil/tags/1/layers/1?path=dir").contains("caf\\xe9\\n"));
    assert_eq!(site.page("/_/evil/tags/1/layers/1?path=dir/caf%E9", "").status, 404, "a file is no directory");
}

#[test]
fn private_images_are_named_to_nobody_else() {
    let site = Site::new();
    let (shared, top) = (base(), Layer::of_noise(1, 1000));
    site.push("admin/secluded", "latest", &of_layers(std::slice::from_ref(&shared)).build());
    site.push("library/open", "1", &of_layers(&[shared.clone(), top.clone()]).build());
    site.push("library/open", "2", &of_layers(&[shared, top, upgrade()]).build());
    site.make_private("admin/secluded");
    let cookie = site.sign_in();
    for path in ["/_/open/tags/1/layers", "/_/open/tags/1/trust", "/_/open/compare?from=1&to=2&files=yes"] {
        assert!(!site.ready(path).contains("secluded"), "{path}");
    }
    assert!(site.page("/_/open/tags/1/layers", &cookie).text().contains("/r/admin/secluded"));
    assert!(site.page("/_/open/tags/1/trust", &cookie).text().contains("admin/secluded:latest"));

    for path in ["layers", "trust", "compare", "tags/latest/layers", "tags/latest/layers/1", "tags/latest/files"] {
        let (private, absent) =
            (site.page(&format!("/r/admin/secluded/{path}"), ""), site.page(&format!("/r/admin/absent/{path}"), ""));
        assert_eq!((private.status, absent.status), (404, 404), "{path}");
        assert_eq!(private.text().replace("secluded", "absent"), absent.text());
        assert_eq!(site.page(&format!("/r/admin/secluded/{path}"), &cookie).status, 200, "{path}");
    }
    let refused = |with: &str| site.page(&format!("/_/open/compare?from=1&with={with}&to=latest"), "").text();
    let (private, absent) = (refused("admin/secluded"), refused("admin/absent"));
    assert!(private.contains("There is no repository admin/secluded here that you may see."), "{private}");
    assert_eq!(private.replace("secluded", "absent"), absent);
}

#[test]
fn platforms_signatures_and_attestations_are_shown_as_they_are() {
    let site = Site::new();
    let images: Vec<Image> = ["linux/amd64", "linux/arm64"]
        .into_iter()
        .enumerate()
        .map(|(seed, platform)| {
            ImageBuilder::new().platform(platform).layer(Layer::of_noise(seed as u64 + 10, 2000)).build()
        })
        .collect();
    let attestation = ImageBuilder::new().layer(Layer::of_file("statement", "{}")).build();
    let mut statement: serde_json::Value = serde_json::from_slice(&attestation.manifest).unwrap();
    statement["layers"][0]["mediaType"] = json!("application/vnd.in-toto+json");
    statement["layers"][0]["annotations"] = json!({ "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" });
    let statement = statement.to_string().into_bytes();
    let mut index: serde_json::Value = serde_json::from_slice(&Index::new(images.clone()).manifest).unwrap();
    index["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": strata_model::Digest::of(&statement).to_string(),
        "size": statement.len(),
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": images[0].digest().to_string(),
        },
    }));
    for image in images.iter().chain([&attestation]) {
        site.push_blobs("library/multi", image);
    }
    for image in &images {
        site.put("library/multi", &image.digest().to_string(), image.media_type.as_str(), &image.manifest);
    }
    let oci = "application/vnd.oci.image.manifest.v1+json";
    site.put("library/multi", &strata_model::Digest::of(&statement).to_string(), oci, &statement);
    site.put("library/multi", "1", "application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
    // Signed as cosign does, and as Notation does.
    let signature = Image::small("signature");
    let tag = format!("{}.sig", images[0].digest().to_string().replace(':', "-"));
    site.push("library/multi", &tag, &signature);
    let mut notation: serde_json::Value = serde_json::from_slice(&signature.manifest).unwrap();
    notation["artifactType"] = json!("application/vnd.cncf.notary.signature");
    notation["subject"] =
        json!({ "mediaType": oci, "digest": images[0].digest().to_string(), "size": images[0].manifest.len() });
    notation["annotations"] = json!({ "io.cncf.notary.x509chain.thumbprint#S256": "[\"aa55\"]" });
    let notation = notation.to_string().into_bytes();
    site.put("library/multi", &strata_model::Digest::of(&notation).to_string(), oci, &notation);

    let layers = site.ready("/_/multi/tags/1/layers");
    assert!(layers.contains("?platform=linux/arm64"), "{layers}");
    let arm = site.ready("/_/multi/tags/1/layers?platform=linux/arm64");
    assert!(arm.contains("href=\"/_/multi/tags/1/layers/1?platform=linux/arm64\""), "{arm}");
    assert!(site.ready("/_/multi/tags/1/layers/1?platform=linux/arm64").contains("noise-11"));

    let trust = site.ready("/_/multi/tags/1/trust");
    for expected in [
        "Something is attached as a signature, and is none: its form is not known here (cosign)",
        "A signature is present, of a form that is not verified here (Notary Project)",
        "One; this hub did not verify it",
        "pushed by admin",
        "certificates aa55",
        "https://slsa.dev/provenance/v1",
        "linux/amd64, linux/arm64",
    ] {
        assert!(trust.contains(expected), "{expected} in {trust}");
    }
    assert!(site.ready("/_/multi/tags/1/trust?platform=linux/arm64").contains("None here"));
}

#[test]
fn hostile_layers_end_in_a_page() {
    let site = Site::new();
    for exhibit in museum::layers() {
        let tar = (exhibit.bytes)();
        if tar.len() > 1 << 20 {
            continue;
        }
        let image = ImageBuilder::new().layer(base()).layer(Layer::of_tar(tar, Packing::Gzip)).build();
        let name = exhibit.name;
        site.push(&format!("admin/{name}"), "1", &image);
        eventually(name, || (site.page(&format!("/r/admin/{name}"), "").status == 200).then_some(()));
        for path in
            ["tags/1/layers", "tags/1/trust", "tags/1/layers/2", "tags/1/files", "compare?from=1&to=1&files=yes"]
        {
            let page = site.page(&format!("/r/admin/{name}/{path}"), "");
            assert!([200, 400, 404].contains(&page.status), "{name} {path}: {}", page.status);
        }
    }
}

#[test]
fn large_images_make_small_pages_quickly() {
    let site = Site::new();
    let many: Vec<TarEntry> = (0..20_000).map(|number| TarEntry::file(format!("many/file-{number:05}"), "x")).collect();
    let layers: Vec<Layer> =
        std::iter::once(Layer::new(&many)).chain((1..30).map(|number| Layer::of_noise(number, 3_000))).collect();
    site.push("library/large", "1", &of_layers(&layers).build());
    let listing = site.ready("/_/large/tags/1/layers/1?path=many&page=3");
    assert!(listing.contains("file-00400") && !listing.contains("file-00399"), "200 to a page");
    assert!(listing.contains("20,000 entries") && listing.len() < 100_000, "{} bytes", listing.len());
    let stack = site.ready("/_/large/tags/1/layers");
    assert!(stack.contains("Layer 30") && stack.len() < 60_000, "{} bytes", stack.len());
    for path in ["/_/large/tags/1/layers", "/_/large/tags/1/layers/1?path=many", "/_/large/tags/1/trust"] {
        let best = (0..10).map(|_| {
            let start = Instant::now();
            assert_eq!(site.page(path, "").status, 200);
            start.elapsed()
        });
        let best = best.min().unwrap();
        println!("{path}: {best:?}");
        assert!(best < Duration::from_millis(100), "{path} took {best:?}");
    }
}
