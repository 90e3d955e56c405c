//! The mirror through its port, in front of a registry that counts its requests and misbehaves on demand.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_mirror::{Mirror, MirrorSettings};
use strata_model::{Digest, Repository, Target};
use strata_store::registry::{MirrorName, Place, Registry, RegistryError, RegistryRules, Upstream as _};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{FakeRegistry, Fault, FaultRule, Image, ImageBuilder, Index, Layer};
use tempfile::TempDir;

struct Setup {
    upstream: FakeRegistry,
    directory: TempDir,
    mirror: Mirror,
    registry: Registry,
    settings: String,
}

impl Setup {
    /// A mirror of a registry under the name `docker.io`; `more` are further settings of that upstream.
    fn new(more: &str) -> Setup {
        Setup::of(FakeRegistry::start(), more)
    }

    fn of(upstream: FakeRegistry, more: &str) -> Setup {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        let settings = format!(
            "{}\n[upstream.\"docker.io\"]\nurl = \"http://{}\"\nprefix = \"hub\"\n{more}",
            if more.starts_with("max_size") { more } else { "" },
            upstream.host(),
            more = if more.starts_with("max_size") { "" } else { more },
        );
        let (mirror, registry) = open(directory.path(), &settings);
        Setup { upstream, directory, mirror, registry, settings }
    }

    /// As after a restart of the process.
    fn reopen(&mut self) {
        (self.mirror, self.registry) = open(self.directory.path(), &self.settings);
    }

    fn name(&self, name: &str) -> Repository {
        match self.mirror.place(&name.parse().unwrap(), Some("docker.io")) {
            Place::Mirror(MirrorName { repository, .. }) => repository,
            other => panic!("{other:?}"),
        }
    }

    async fn pull(&self, name: &str, target: &str) -> Result<(Digest, Option<String>), RegistryError> {
        let found = self.mirror.manifest(&self.name(name), &parse(target)).await?;
        Ok((found.manifest.digest, found.stale))
    }

    async fn blob(&self, name: &str, digest: Digest, offset: u64) -> Result<Vec<u8>, String> {
        let blob = self.mirror.blob(&self.name(name), &digest, offset).await.map_err(|error| error.to_string())?;
        let chunks: Vec<Bytes> = blob.stream.try_collect().await.map_err(|error| error.to_string())?;
        Ok(chunks.concat())
    }

    async fn pull_all(&self, name: &str, image: &Image) {
        self.pull(name, &image.digest().to_string()).await.unwrap();
        for (digest, bytes) in image.blobs() {
            assert!(self.blob(name, digest, 0).await.unwrap() == bytes);
        }
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("staging")).map_or(0, |files| files.count())
    }
}

fn open(directory: &Path, settings: &str) -> (Mirror, Registry) {
    let catalog = SqliteCatalog::open_with(directory.join("catalog.sqlite"), Durability::Unsynced).unwrap();
    let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
    let (blobs, packs) = (FsBlobs::open(directory), FsPacks::open(directory));
    let store = Store::new(Arc::new(blobs), Arc::new(packs), Arc::new(catalog), options);
    let registry = Registry::new(store, RegistryRules::default());
    let settings: MirrorSettings = toml::from_str(settings).unwrap();
    (Mirror::new(registry.clone(), &settings).unwrap(), registry)
}

fn parse(target: &str) -> Target {
    if target.contains(':') { Target::Digest(target.parse().unwrap()) } else { Target::Tag(target.parse().unwrap()) }
}

/// An image with one layer of about so many bytes that do not compress.
fn image_of(seed: u64, size: usize) -> Image {
    ImageBuilder::new().layer(Layer::of_noise(seed, size)).build()
}

fn layer(image: &Image) -> (Digest, Vec<u8>) {
    let wanted = image.layers[0].digest();
    image.blobs().into_iter().find(|(digest, _)| *digest == wanted).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_once_and_then_served_from_here() {
    let setup = Setup::new("");
    let (amd, arm) = (Image::small("amd"), ImageBuilder::new().platform("linux/arm64").build());
    let index = Index::new(vec![amd.clone(), arm]);
    setup.upstream.add_index("library/nginx", "latest", &index);
    for _ in 0..3 {
        assert_eq!(setup.pull("nginx", "latest").await.unwrap(), (index.digest(), None));
        setup.pull_all("library/nginx", &amd).await;
    }
    assert_eq!(setup.upstream.count("GET", "/manifests/"), 2, "the index and one of its platforms");
    assert_eq!(setup.upstream.count("HEAD", "/manifests/latest"), 1);
    assert_eq!(setup.upstream.count("GET", "/blobs/"), amd.blobs().len());
    assert!(setup.upstream.requests().iter().all(|request| request.authorization.is_none()));
    let size = setup.mirror.blob_size(&setup.name("nginx"), &layer(&amd).0).await.unwrap();
    assert_eq!(size, layer(&amd).1.len() as u64);
    assert_eq!(setup.upstream.count("HEAD", "/blobs/"), 0);
    let unknown = Digest::of(b"unknown");
    let error = setup.mirror.blob_size(&setup.name("nginx"), &unknown).await.unwrap_err();
    assert!(matches!(error, RegistryError::BlobUnknown { .. }), "{error}");
    let error = setup.mirror.blob(&setup.name("nginx"), &unknown, 0).await.err().unwrap();
    assert!(matches!(error, RegistryError::BlobUnknown { .. }), "{error}");
    for target in ["none", &unknown.to_string()] {
        let error = setup.pull("nginx", target).await.unwrap_err();
        assert!(matches!(error, RegistryError::ManifestUnknown { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_asked_for_by_head_when_it_is_not_fresh() {
    let mut setup = Setup::new("fresh_for = \"0s\"");
    let (old, new) = (Image::small("old"), Image::small("new"));
    setup.upstream.add_image("acme/app", "1", &old);
    for _ in 0..3 {
        assert_eq!(setup.pull("acme/app", "1").await.unwrap(), (old.digest(), None));
    }
    assert_eq!((setup.upstream.count("HEAD", "/manifests/"), setup.upstream.count("GET", "/manifests/")), (3, 1));
    setup.upstream.add_image("acme/app", "1", &new);
    assert_eq!(setup.pull("acme/app", "1").await.unwrap(), (new.digest(), None));
    assert_eq!(setup.pull("acme/app", &old.digest().to_string()).await.unwrap().0, old.digest());
    setup.upstream.add_image("acme/app", "1", &old);
    assert_eq!(setup.pull("acme/app", "1").await.unwrap(), (old.digest(), None), "a tag that is rolled back");
    assert_eq!(setup.upstream.count("GET", "/manifests/"), 2);

    setup.settings = setup.settings.replace("0s", "1h");
    setup.reopen();
    setup.upstream.forget_requests();
    let pulls = (0..16).map(|_| setup.pull("acme/app", "1"));
    for pulled in futures_util::future::join_all(pulls).await {
        assert_eq!(pulled.unwrap().0, old.digest());
    }
    assert_eq!((setup.upstream.count("HEAD", "/manifests/1"), setup.upstream.count("GET", "/manifests/")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_served_when_the_upstream_is_down_or_limits() {
    let setup = Setup::new("fresh_for = \"0s\"");
    let image = Image::small("x");
    setup.upstream.add_image("a/b", "1", &image);
    setup.pull("a/b", "1").await.unwrap();
    for (rule, words) in [
        (FaultRule::too_many_requests("/manifests/", 3600), "limits the rate"),
        (FaultRule::new("/manifests/", Fault::Status(503, vec![])), "cannot be reached"),
        (FaultRule::new("/", Fault::NoAnswer), "cannot be reached"),
    ] {
        setup.upstream.fault(rule);
        setup.upstream.forget_requests();
        let (digest, stale) = setup.pull("a/b", "1").await.unwrap();
        assert_eq!(digest, image.digest());
        assert!(
            stale.as_deref().is_some_and(|stale| stale.contains("docker.io") && stale.contains(words)),
            "{stale:?}"
        );
        assert_eq!(setup.upstream.count("GET", "/manifests/"), 0, "a GET would count against the limit");
        let error = setup.pull("a/b", "2").await.unwrap_err();
        assert!(matches!(error, RegistryError::Upstream { .. }), "{error}");
        assert!(setup.pull("a/b", &image.digest().to_string()).await.is_ok(), "a digest never grows old");
        setup.upstream.heal();
    }
    assert_eq!(setup.pull("a/b", "1").await.unwrap(), (image.digest(), None));

    let Setup { upstream, mirror, .. } = setup;
    drop(upstream);
    let began = Instant::now();
    let found = mirror.manifest(&"mirror/docker.io/a/b".parse().unwrap(), &parse("1")).await.unwrap();
    assert!(found.stale.is_some() && began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_gone_or_forbidden_is_not_served() {
    let setup = Setup::new("fresh_for = \"0s\"");
    let image = Image::small("x");
    setup.upstream.add_image("a/b", "1", &image);
    setup.pull("a/b", "1").await.unwrap();
    for status in [403, 401, 404] {
        setup.upstream.fault(FaultRule::new("/manifests/1", Fault::Status(status, vec![])));
        let error = setup.pull("a/b", "1").await.unwrap_err();
        assert!(matches!(error, RegistryError::ManifestUnknown { .. }), "{status}: {error}");
        setup.upstream.heal();
        assert_eq!(setup.pull("a/b", "1").await.unwrap().0, image.digest());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_cause_one_fetch() {
    let setup = Setup::new("");
    let image = image_of(1, 6 << 20);
    let (digest, bytes) = layer(&image);
    setup.upstream.add_image("a/b", "1", &image);
    setup.pull("a/b", "1").await.unwrap();
    // The first stream breaks in the middle; late comers read what is stored from the offset that they want.
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::DropAfter(bytes.len() / 2)).times(1));
    let clients = (0..16_u64).map(|number| {
        let setup = &setup;
        let bytes = &bytes;
        async move {
            tokio::time::sleep(Duration::from_millis(number * 10)).await;
            let offset = number * 100_000;
            assert!(setup.blob("a/b", digest, offset).await.unwrap() == bytes[offset as usize..], "{number}");
        }
    });
    futures_util::future::join_all(clients).await;
    let ranges: Vec<Option<String>> = setup
        .upstream
        .requests()
        .into_iter()
        .filter(|request| request.path.contains(&digest.to_string()))
        .map(|request| request.range)
        .collect();
    assert_eq!(ranges.len(), 2, "one fetch, resumed once: {ranges:?}");
    assert!(ranges[0].is_none() && ranges[1].as_deref().is_some_and(|range| range != "bytes=0-"), "{ranges:?}");
    assert_eq!(setup.staged(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_ranges_is_taken_from_its_start() {
    let setup = Setup::new("");
    let image = image_of(2, 1 << 20);
    let (digest, bytes) = layer(&image);
    setup.upstream.add_image("a/b", "1", &image);
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::DropAfter(bytes.len() / 2)).times(1));
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::IgnoreRange));
    assert!(setup.blob("a/b", digest, 0).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_break_the_connection_and_leave_nothing() {
    let setup = Setup::new("");
    let image = image_of(3, 1 << 20);
    let (digest, bytes) = layer(&image);
    setup.upstream.add_image("a/b", "1", &image);
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::WrongBytes).times(1));
    let (mut got, mut broken) = (0, false);
    match setup.mirror.blob(&setup.name("a/b"), &digest, 0).await {
        Ok(blob) => {
            let mut stream = blob.stream;
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => got += chunk.len(),
                    Err(_) => broken = true,
                }
            }
        }
        // All of it was here, and found wrong, before the first of it was asked for.
        Err(_) => broken = true,
    }
    assert!(broken && got < bytes.len(), "{got} of {}", bytes.len());
    assert_eq!(setup.staged(), 0);
    assert!(!setup.registry.store_has(&digest).await.unwrap());
    assert!(setup.blob("a/b", digest, 0).await.unwrap() == bytes, "the next one gets the right bytes");

    let other = Image::small("a manifest");
    setup.upstream.add_image("a/b", "2", &other);
    setup.upstream.fault(FaultRule::new("/manifests/", Fault::WrongBytes).method("GET").times(1));
    let error = setup.pull("a/b", &other.digest().to_string()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Upstream { .. }), "{error}");
    assert!(setup.pull("a/b", &other.digest().to_string()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_restart_is_not_fetched_again() {
    let mut setup = Setup::new("");
    let image = image_of(4, 40 << 20);
    let (digest, bytes) = layer(&image);
    setup.upstream.add_image("a/b", "1", &image);
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::HangAfter(bytes.len() / 3)).times(1));
    let mut blob = setup.mirror.blob(&setup.name("a/b"), &digest, 0).await.unwrap();
    let mut got = 0;
    while got < bytes.len() / 4 {
        got += blob.stream.next().await.unwrap().unwrap().len();
    }
    // The process dies: its locks go, its tasks too. Here another runtime would be needed for that, so the staged bytes are
    // copied away and put where the next process finds them.
    let staging = setup.directory.path().join("staging");
    let file = std::fs::read_dir(&staging).unwrap().next().unwrap().unwrap().path();
    let half = std::fs::read(&file).unwrap();
    drop(blob);
    let elsewhere = TempDir::new().unwrap();
    std::fs::create_dir(elsewhere.path().join("staging")).unwrap();
    std::fs::write(elsewhere.path().join("staging").join(file.file_name().unwrap()), &half).unwrap();
    setup.directory = elsewhere;
    setup.reopen();
    setup.upstream.forget_requests();
    assert!(setup.blob("a/b", digest, 0).await.unwrap() == bytes);
    let ranges: Vec<Option<String>> = setup
        .upstream
        .requests()
        .into_iter()
        .filter(|request| request.method == "GET")
        .map(|request| request.range)
        .collect();
    assert_eq!(ranges, [Some(format!("bytes={}-", half.len()))]);

    // Everything arrived, and was not published.
    let elsewhere = TempDir::new().unwrap();
    std::fs::create_dir(elsewhere.path().join("staging")).unwrap();
    std::fs::write(elsewhere.path().join("staging").join(file.file_name().unwrap()), &bytes).unwrap();
    setup.directory = elsewhere;
    setup.reopen();
    setup.upstream.forget_requests();
    assert!(setup.blob("a/b", digest, 7).await.unwrap() == bytes[7..]);
    assert_eq!(setup.upstream.count("GET", "/blobs/"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_clients_leave_a_long_fetch_stops_and_a_short_one_ends() {
    let setup = Setup::new("");
    let (long, short) = (image_of(5, 40 << 20), image_of(6, 1 << 20));
    for (name, image) in [("a/long", &long), ("a/short", &short)] {
        setup.upstream.add_image(name, "1", image);
        let (digest, bytes) = layer(image);
        setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::DropAfter(bytes.len() / 4)).times(1));
        let mut blob = setup.mirror.blob(&setup.name(name), &digest, 0).await.unwrap();
        blob.stream.next().await.unwrap().unwrap();
        drop(blob);
    }
    let (long, short) = (layer(&long), layer(&short));
    let began = Instant::now();
    while !setup.registry.store_has(&short.0).await.unwrap() {
        assert!(began.elapsed() < Duration::from_secs(20), "the short one was not finished");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!setup.registry.store_has(&long.0).await.unwrap());
    setup.upstream.forget_requests();
    assert!(setup.blob("a/long", long.0, 0).await.unwrap() == long.1);
    let resumed = setup.upstream.requests().into_iter().any(|request| request.range.is_some());
    assert!(resumed, "what was left behind is used: {:?}", setup.upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_alone_reads_nothing() {
    let setup = Setup::new("");
    let image = Image::small("secret");
    setup.upstream.add_image("a/private", "1", &image);
    setup.pull_all("a/private", &image).await;
    let (digest, bytes) = layer(&image);
    assert!(setup.blob("a/other", digest, 0).await.unwrap_err().contains("not in repository"));
    // A second repository that has it shows it without another transfer.
    setup.upstream.add_image("a/public", "1", &image);
    setup.upstream.forget_requests();
    assert!(setup.blob("a/public", digest, 0).await.unwrap() == bytes);
    assert_eq!((setup.upstream.count("HEAD", "/blobs/"), setup.upstream.count("GET", "/blobs/")), (1, 0));

    // Both at once: one transfer, and a proof.
    let image = image_of(7, 2 << 20);
    let (digest, bytes) = layer(&image);
    setup.upstream.add_image("a/private", "2", &image);
    setup.upstream.add_image("a/public", "2", &image);
    setup.upstream.fault(FaultRule::new(digest.to_string(), Fault::Delay(200)).method("GET"));
    let names = ["a/private", "a/public", "a/other"];
    let pulls = futures_util::future::join_all(names.map(|name| setup.blob(name, digest, 0))).await;
    assert!(pulls[0].as_ref().unwrap() == &bytes && pulls[1].as_ref().unwrap() == &bytes);
    assert!(pulls[2].is_err());
    assert_eq!(setup.upstream.blob_requests(digest), 1);
    for name in ["a/private", "a/public"] {
        assert!(setup.registry.blob_size(&setup.name(name), &digest).await.is_ok(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirrors_own_credentials_are_used_and_ask_for_a_sign_in() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let upstream = FakeRegistry::start_with_account("robot", "hunter2", false);
    let image = Image::small("private");
    upstream.add_image("a/b", "1", &image);
    let more = format!("username = \"robot\"\npassword_file = \"{}\"", file.path().display());
    let mut setup = Setup::of(upstream, &more);
    setup.pull_all("a/b", &image).await;
    let place = setup.mirror.place(&"hub/a/b".parse().unwrap(), None);
    assert!(matches!(place, Place::Mirror(MirrorName { requires_sign_in: true, .. })), "{place:?}");

    std::fs::write(file.path(), "wrong").unwrap();
    setup.reopen();
    let error = setup.pull("a/b", "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::ManifestUnknown { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_used_goes_and_what_was_pushed_stays() {
    let mut setup = Setup::new("keep_for = \"1h\"");
    let shared = Layer::of_file("shared", "shared");
    let images =
        ["one", "two"].map(|text| ImageBuilder::new().layer(shared.clone()).layer(Layer::of_file("own", text)).build());
    let index = Index::new(images.to_vec());
    setup.upstream.add_index("a/b", "1", &index);
    setup.pull("a/b", "1").await.unwrap();
    for image in &images {
        setup.pull_all("a/b", image).await;
    }
    // Pushed here: the same layer.
    let pushed: Repository = "team/app".parse().unwrap();
    let (digest, bytes) = images[0].blobs().into_iter().find(|(digest, _)| *digest == shared.digest()).unwrap();
    let mut upload = setup.registry.single_upload(&pushed, digest.algorithm()).await.unwrap();
    upload.write(&bytes).await.unwrap();
    upload.finish(digest).await.unwrap();

    assert_eq!(setup.mirror.evict().await.unwrap(), 0, "it was used just now");
    assert!(setup.registry.manifest(&setup.name("a/b"), &parse("1")).await.is_ok());
    setup.settings = setup.settings.replace("1h", "0s");
    setup.reopen();
    assert!(setup.mirror.evict().await.unwrap() > 0);
    assert!(setup.registry.manifest(&setup.name("a/b"), &parse("1")).await.is_err());
    for (gone, _) in images.iter().flat_map(Image::blobs) {
        assert_eq!(setup.registry.store_has(&gone).await.unwrap(), gone == digest, "{gone}");
    }
    assert!(setup.registry.blob_size(&pushed, &digest).await.is_ok());
    assert!(
        setup
            .registry
            .repositories(Some("mirror/"), 10)
            .await
            .unwrap()
            .entries
            .iter()
            .all(|name| !name.starts_with("mirror/"))
    );
    setup.pull_all("a/b", &images[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_size_takes_what_was_used_longest_ago() {
    let setup = Setup::new("max_size = \"2MB\"");
    for number in 0..4_u64 {
        let image = image_of(10 + number, 1_400_000);
        setup.upstream.add_image("a/b", &number.to_string(), &image);
        setup.pull("a/b", &number.to_string()).await.unwrap();
        setup.pull_all("a/b", &image).await;
    }
    setup.mirror.evict().await.unwrap();
    let mut kept = Vec::new();
    for number in 0..4 {
        if setup.registry.manifest(&setup.name("a/b"), &parse(&number.to_string())).await.is_ok() {
            kept.push(number);
        }
    }
    assert!(kept == [2, 3] || kept == [3], "{kept:?}");
}

/// Tags after `last`, whether more follow, and the warning.
async fn tags(setup: &Setup, last: Option<&str>, limit: usize) -> Result<(Vec<String>, bool, Option<String>), String> {
    let listed = setup.mirror.tags(&setup.name("a/b"), last, limit).await.map_err(|error| error.to_string())?;
    Ok((listed.list.entries, listed.list.more, listed.stale))
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_the_upstream_are_listed_with_those_that_are_here() {
    let setup = Setup::new("fresh_for = \"0s\"");
    assert!(tags(&setup, None, 9).await.unwrap_err().contains("is not known"));
    let (here, new) = (Image::small("here"), Image::small("new"));
    setup.upstream.add_image("a/b", "2", &here);
    setup.pull("a/b", "2").await.unwrap();
    for tag in ["1", "3", "4"] {
        setup.upstream.add_image("a/b", tag, &new);
    }
    let strings = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    assert_eq!(tags(&setup, None, 9).await.unwrap(), (strings(&["1", "2", "3", "4"]), false, None));
    assert_eq!(tags(&setup, None, 3).await.unwrap(), (strings(&["1", "2", "3"]), true, None));
    assert_eq!(tags(&setup, Some("1"), 3).await.unwrap(), (strings(&["2", "3", "4"]), false, None));
    assert_eq!(tags(&setup, None, 0).await.unwrap(), (vec![], false, None));

    setup.upstream.fault(FaultRule::new("/", Fault::Status(503, vec![])));
    let (listed, more, stale) = tags(&setup, None, 9).await.unwrap();
    assert_eq!((listed, more), (strings(&["2"]), false));
    assert!(stale.is_some_and(|stale| stale.contains("docker.io cannot be reached: this list may be out of date")));
    let nothing_here = setup.mirror.tags(&setup.name("a/other"), None, 9).await.unwrap_err();
    assert!(matches!(nothing_here, RegistryError::Upstream { .. }), "{nothing_here}");
    setup.upstream.heal();
    setup.upstream.fault(FaultRule::new("/tags/", Fault::Status(403, vec![])));
    assert_eq!(tags(&setup, None, 9).await.unwrap(), (strings(&["2"]), false, None), "what is here is no secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_page_by_page_makes_one_request() {
    let setup = Setup::new("");
    for number in 0..20 {
        setup.upstream.add_image("a/b", &format!("{number:02}"), &Image::small("x"));
    }
    let found = page_by_page(&setup).await;
    assert_eq!(found, (0..20).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    assert_eq!(setup.upstream.count("GET", "/tags/list"), 1);
}

/// All tags of `a/b`, three at a time.
async fn page_by_page(setup: &Setup) -> Vec<String> {
    let (mut last, mut found) = (None::<String>, Vec::new());
    loop {
        let (page, more, _) = tags(setup, last.as_deref(), 3).await.unwrap();
        last = page.last().cloned();
        found.extend(page);
        if !more {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_page_by_page_is_refused_once() {
    let setup = Setup::new("");
    let tags: Vec<String> = (0..5).map(|number| number.to_string()).collect();
    for tag in &tags {
        setup.upstream.add_image("a/b", tag, &Image::small("x"));
        setup.pull("a/b", tag).await.unwrap();
    }
    setup.upstream.fault(FaultRule::new("/tags/", Fault::Status(403, vec![])));
    assert_eq!(page_by_page(&setup).await, tags);
    assert_eq!(setup.upstream.count("GET", "/tags/list"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_of_the_upstream_are_listed_with_those_that_are_here() {
    let setup = Setup::new("fresh_for = \"0s\"");
    let image = Image::small("subject");
    setup.upstream.add_image("a/b", "1", &image);
    let about = |kind: &str| {
        let empty = serde_json::json!({ "mediaType": kind, "digest": Digest::of(b"{}"), "size": 2 });
        let subject = serde_json::to_value(image.descriptor()).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": kind,
            "config": empty, "layers": [empty], "subject": subject,
        });
        manifest.to_string().into_bytes()
    };
    let (signature, bill) = (about("test/signature"), about("test/bill"));
    let media_type = strata_model::MediaType::OCI_MANIFEST;
    setup.upstream.add_blob("a/b", Digest::of(b"{}"), b"{}".to_vec());
    for manifest in [&signature, &bill] {
        setup.upstream.add_manifest("a/b", &Digest::of(manifest).to_string(), &media_type, manifest);
    }
    setup.pull("a/b", &Digest::of(&bill).to_string()).await.unwrap();
    let referrers = async |kind: Option<&str>, last: Option<Digest>| {
        let name = setup.name("a/b");
        let listed = setup.mirror.referrers(&name, &image.digest(), kind, last.as_ref()).await.unwrap();
        assert_eq!(listed.list.next, None);
        let digests: Vec<_> = listed.list.manifests.iter().map(|entry| entry.digest).collect();
        (digests, listed.stale)
    };
    let mut both = [Digest::of(&signature), Digest::of(&bill)];
    both.sort();
    assert_eq!(referrers(None, None).await, (both.to_vec(), None));
    assert_eq!(referrers(Some("test/signature"), None).await, (vec![Digest::of(&signature)], None));
    assert_eq!(referrers(None, Some(both[0])).await, (vec![both[1]], None));
    setup.upstream.fault(FaultRule::too_many_requests("/", 3600));
    let (kept, stale) = referrers(None, None).await;
    assert_eq!(kept, [Digest::of(&bill)]);
    assert!(stale.is_some_and(|stale| stale.contains("limits the rate of requests: this list may be out of date")));
}
