//! Inputs to begin with: test data of other projects, images and hostile layers made by the testkit, and examples.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use strata_layer::{
    ContentDigest, LayerLimits, NothingKnown, PackId, PackWriter, decompressor, encode_index, read_layer,
};
use strata_testkit::{Image, ImageBuilder, Layer, Packing, TarBuilder, TarEntry, TarFormat, archive, fixture, museum};

use crate::layer::MemoryFile;
use crate::mend;

/// Larger seeds only slow the search down.
const LARGEST: usize = 64 << 10;

fn texts(examples: &[&str]) -> Vec<Vec<u8>> {
    examples.iter().map(|example| example.as_bytes().to_vec()).collect()
}

/// All files of these folders of `testdata/`.
fn files(folders: &[&str]) -> Vec<Vec<u8>> {
    let paths = folders.iter().flat_map(|folder| fixture::files(&fixture::path(folder)));
    let is_data = |path: &Path| path.file_name().is_some_and(|name| name != "LICENSE" && name != "README.md");
    small(paths.filter(|path| is_data(path)).map(|path| std::fs::read(path).expect("test data is read")))
}

fn small(seeds: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    seeds.into_iter().filter(|seed| seed.len() <= LARGEST).collect()
}

pub(crate) fn references() -> Vec<Vec<u8>> {
    fn strings(value: &Value, found: &mut Vec<Vec<u8>>) {
        match value {
            Value::String(text) if text.len() < 300 => found.push(text.clone().into_bytes()),
            Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
            Value::Object(entries) => entries.get("input").into_iter().for_each(|input| strings(input, found)),
            _ => {}
        }
    }
    let document = serde_json::from_slice(&fixture::bytes("references/references.json")).expect("JSON");
    let mut found = texts(&["nginx", "localhost:5000/a/b:c", "[::1]:80/x@sha256:"]);
    strings(&document, &mut found);
    found
}

pub(crate) fn digests() -> Vec<Vec<u8>> {
    let sha256 = format!("sha256:{}", "0a".repeat(32));
    let sha512 = format!("sha512:{}", "b1".repeat(64));
    texts(&[&sha256, &sha512, &sha256.to_uppercase(), "sha256:", "md5:00"])
}

pub(crate) fn media_types() -> Vec<Vec<u8>> {
    texts(&[
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json; charset=utf-8",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "text/plain",
    ])
}

/// Databases of installed packages.
pub(crate) fn packages() -> Vec<Vec<u8>> {
    texts(&[
        "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: shell\n more\n\nPackage: x\n",
        "C:Q1abc=\nP:musl\nV:1.2.5-r0\nF:lib\nR:ld.so\n\nP:busybox\nV:1.36\n",
        "Metadata-Version: 2.1\r\nName: six\r\nVersion: 1.16.0\r\n\r\ntext",
        r#"{"name":"@types/node","version":"20.1.0","scripts":{"install":"x"}}"#,
    ])
}

pub(crate) fn platforms() -> Vec<Vec<u8>> {
    texts(&["linux/amd64", "linux/arm/v7", "arm64", "windows(10.0.17763)/amd64", "linux/amd64/v3", "aarch64", "linux"])
}

/// Requests and responses of a container's supervisor, and frames that are no good.
pub(crate) fn control_frames() -> Vec<Vec<u8>> {
    let messages = [
        r#"{"request":"stop","signal":15,"timeout_seconds":-1}"#,
        r#"{"request":"attach","stdin":true,"stdout":true,"paced":false}"#,
        r#"{"request":"update","limits":{"memory":1048576,"devices":[]},"restart":"Always"}"#,
        r#"{"response":"exited","exit_code":137}"#,
        r#"{"response":"failed","refusal":"conflict","message":"no"}"#,
    ];
    let mut seeds: Vec<Vec<u8>> =
        vec![b"\x02\x03\0\0\0abc\x05\x08\0\0\0\x01\0\0\0\0\0\0\0".to_vec(), vec![0, 255, 255, 255, 255]];
    for message in messages {
        let mut seed = Vec::new();
        strata_runtime::control::frame::encode(
            &mut seed,
            strata_runtime::control::frame::Kind::Message,
            message.as_bytes(),
        );
        seeds.push(seed);
    }
    seeds
}

pub(crate) fn log_lines() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}"#,
        r#"{"log":"\u003cb\u003e","stream":"stderr","time":"1970-01-01T00:00:00Z","attrs":{"a":"b"}}"#,
        r#"{"log":"half"#,
        r#"{"stream":"stdin","time":"now"}"#,
    ])
}

/// Manifests, indexes and configurations.
pub(crate) fn documents() -> Vec<Vec<u8>> {
    let image = image();
    let made = [image.manifest.to_vec(), image.config.to_vec()];
    let mut found = files(&["manifests", "ggcr-tarballs/layout"]);
    found.retain(|bytes| bytes.trim_ascii_start().starts_with(b"{"));
    found.extend(made);
    found
}

fn entries() -> Vec<TarEntry> {
    vec![
        TarEntry::directory("etc"),
        TarEntry::file("etc/passwd", "root:x:0:0\n").owner(0, 0).mode(0o644).mtime(1_600_000_000),
        TarEntry::file("etc/shadow", "x".repeat(600)).xattr("user.a", "value"),
        TarEntry::symbolic_link("etc/link", "../outside"),
        TarEntry::hard_link("etc/other", "etc/passwd"),
        TarEntry::character_device("dev/null", 1, 3),
        TarEntry::fifo("pipe"),
        TarEntry::whiteout("etc/gone"),
        TarEntry::opaque("var"),
        TarEntry::file("n".repeat(150), "long name"),
    ]
}

fn image() -> Image {
    let layers = [Packing::Plain, Packing::Gzip].map(|packing| Layer::new(&entries()).packed(packing));
    layers.into_iter().fold(ImageBuilder::new(), ImageBuilder::layer).build()
}

pub(crate) fn layer_tars() -> Vec<Vec<u8>> {
    let formats = [TarFormat::V7, TarFormat::Ustar, TarFormat::Gnu, TarFormat::Pax];
    let short: Vec<TarEntry> = entries().into_iter().take(2).collect();
    let plain = formats.map(|format| TarBuilder::new(format).entries(&short).finish());
    let sparse = TarBuilder::new(TarFormat::Pax)
        .pax(b'x', &[("GNU.sparse.size", b"4000"), ("GNU.sparse.name", b"sparse"), ("GNU.sparse.map", b"0,10,2000,20")])
        .entry(&TarEntry::file("cut", [3; 30]))
        .finish();
    let mut found = vec![TarBuilder::new(TarFormat::Pax).entries(&entries()).finish(), sparse];
    found.extend(plain);
    found.extend(small(museum::layers().into_iter().map(|exhibit| (exhibit.bytes)())));
    found.extend(files(&["docker-archives", "ggcr-tarballs"]));
    found
}

/// Index files of the layers that can be read, with their entries as they are before compression.
pub(crate) fn layer_indexes() -> Vec<Vec<u8>> {
    let index = |tar: Vec<u8>| {
        let limits = LayerLimits { holes: 1 << 20, ..LayerLimits::default() };
        let mut pack = PackWriter::new(PackId([1; 16]), MemoryFile::default());
        let layer = read_layer(&tar[..], &mut pack, &NothingKnown, &limits).ok()?;
        mend::plain_index(&encode_index(&layer.index, &layer.skeleton).ok()?)
    };
    small(layer_tars().into_iter().filter_map(index))
}

pub(crate) fn packs() -> Vec<Vec<u8>> {
    let pack = |contents: &[&[u8]]| {
        let mut pack = PackWriter::new(PackId([1; 16]), MemoryFile::default());
        for content in contents {
            pack.store(ContentDigest::of(content), content).expect("a content is stored in memory");
        }
        pack.finish().expect("a pack in memory is finished").1.0
    };
    vec![pack(&[]), pack(&[b"one"]), pack(&[b"one", b"two", &[3; 600], b"four", b""])]
}

pub(crate) fn erofs_images() -> Vec<Vec<u8>> {
    small([crate::layer::image_of(&layer_tars()[0])])
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    let image = Image::small("seed");
    let mut found = vec![
        archive::docker(&[(&image, &["a:1"])]).tar(TarFormat::Ustar),
        archive::oci(&image, &[("io.containerd.image.name", "docker.io/library/a:1")]).tar(TarFormat::Ustar),
        archive::docker_v1(&image, "a", "1").tar(TarFormat::Ustar),
        archive::crane(&[(&image, &["a:1"])]).tar(TarFormat::Ustar),
    ];
    found.extend(museum::archives().into_iter().map(|exhibit| (exhibit.bytes)()));
    found.extend(files(&["docker-archives", "ggcr-tarballs"]));
    small(found)
}

pub(crate) fn compressed() -> Vec<Vec<u8>> {
    let mut found = files(&["compression"]);
    found.extend([Packing::Gzip, Packing::Zstd].map(|packing| packing.pack(&layer_tars()[0])));
    found.extend(museum::compressed_layers().into_iter().map(|exhibit| (exhibit.bytes)()));
    // Bombs are for the tests that bound them; here they only take time.
    found.retain(|seed| {
        let inflated =
            decompressor(&seed[..]).and_then(|(_, reader)| reader.take(1 << 20).read_to_end(&mut Vec::new()));
        inflated.unwrap_or(0) < 1 << 20
    });
    small(found)
}

pub(crate) fn challenges() -> Vec<Vec<u8>> {
    texts(&[
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
        "Basic realm=\"x\"\nBearer realm=https://t , service=s",
        r#"Negotiate YII/abc==, Bearer realm="https://t/\"q\"",,error="invalid_token""#,
    ])
}

pub(crate) fn error_answers() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":[{"Type":"repository"}]}]}"#,
        r#"{"details":"incorrect username or password"}"#,
        r#"{"error":"invalid_grant","error_description":"x"}"#,
        "<html>502 Bad Gateway</html>",
    ])
}

pub(crate) fn response_headers() -> Vec<Vec<u8>> {
    texts(&[
        "bytes 5-9/10",
        "</v2/a/tags/list?last=x&n=1>; rel=\"next\"",
        "</p>; rel=\"prev\", </n>; rel=next",
        "100;w=21600",
        "120",
    ])
}

pub(crate) fn ranges() -> Vec<Vec<u8>> {
    texts(&["\nbytes=0-4", "\nbytes=3-", "\nbytes=-4", "\nbytes=0-1,3-4", "\n0-9"])
}

pub(crate) fn registry_paths() -> Vec<Vec<u8>> {
    texts(&[
        "/v2/",
        "/v2/_catalog?n=5&last=a",
        "/v2/foo/blobs/uploads/4f1c2b3a?digest=sha256%3Aabc",
        "/v2/a/tags/list/tags/list?n=99999999999999999999",
        "/v2/foo/manifests/sha256%3Aabc",
        "/v2/foo/referrers/sha256:abc?artifactType=x",
        "http://host/v2/a/blobs/uploads/?mount=sha256:abc&from=b",
    ])
}

pub(crate) fn docker_configs() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYXNz"},"r.example":{"identitytoken":"t","auth":"dTo="}}}"#,
        r#"{"auths":{"a":{"username":"u","password":"p"},"b":{}},"credsStore":"pass","credHelpers":{"c":"ecr"}}"#,
        r#"{"auths":{"a":{"registrytoken":"t"}},"HttpHeaders":{"x":"y"}}"#,
    ])
}

pub(crate) fn client_configs() -> Vec<Vec<u8>> {
    texts(&[
        "default-registry = \"registry.lan\"\ninsecure-registries = [\"registry.lan:5000\", \"10.0.0.0/8\", \"fd00::/8\"]\n",
        "[registry.\"docker.io\"]\nmirrors = [\"https://mirror.gcr.io\", \"http://cache.lan:5000/v2/hub/\"]\ninsecure = true\n",
        "[network]\nconnect-timeout = 10\nidle-timeout = 30\ntries = 5\n[other]\nkey = 1\n",
    ])
}

pub(crate) fn templates() -> Vec<Vec<u8>> {
    texts(&[
        "table {{.ID}}\\t{{.Size}}",
        "{{json .}}",
        "{{range $i, $e := .RepoTags}}{{if $i}}, {{end}}{{$e | upper}}{{else}}none{{end}}",
        "{{with .Config}}{{index .Labels \"a.b\"}}{{end}}{{- /* note */ -}}",
        "{{define \"x\"}}{{.}}{{end}}{{template \"x\" .ID}}{{block \"y\" .}}b{{end}}",
        "{{printf \"%-10.3s|%+d|%x|%q|%v|%5.1f\" .ID .Size .Size .ID .Config .Ratio}}",
        "{{if and (gt .Size 1) (not .Nothing) (eq .ID \"x\" \"y\")}}{{len .RepoTags}}{{end}}",
        "{{slice .ID 0 4}} {{join .RepoTags \",\"}} {{split .ID \":\"}} {{title \"x\"}} {{truncate .ID 3}} {{pad .ID 1 2}}",
        "{{`raw`}} {{'x'}} {{0x1F}} {{1e3}} {{1i}} {{nil}} {{true}} {{html .}} {{js .}} {{urlquery .ID}}",
        "{{$x := 1}}{{$x = 2}}{{$x}}{{range .RepoTags}}{{break}}{{continue}}{{end}}",
    ])
}

pub(crate) fn filter_values() -> Vec<Vec<u8>> {
    texts(&[
        "library/*:[0-9]?\nlibrary/nginx:1",
        "[^a-c]\\*x",
        "10MB",
        "1.5GiB",
        "1h30m",
        "-2.5us",
        "30d",
        "2024-02-29T23:59:60.999999999+14:00",
        "2006-01-02",
        "1136073845.000000001",
    ])
}
