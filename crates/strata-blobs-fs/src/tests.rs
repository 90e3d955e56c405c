//! The contracts on each file layer, power cuts, other processes, and file systems that refuse.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use strata_layer::{ContentDigest, PackWriter};
use strata_model::{Digest, ErrorKind};
use strata_store::{BlobKind, Blobs, Durability, Location, NewPack, Packs, Result, StageName, StoreError, conformance};
use tempfile::TempDir;

use crate::file_layer::{FileLayer, SystemFiles};
use crate::power_cut::{PowerCut, WithoutAnonymous};
use crate::{FsBlobs, FsPacks};

/// Makes file layers for fresh directories; the directories go when it is dropped.
struct Fresh<L: Fn(&Path) -> Box<dyn FileLayer>> {
    layer: L,
    above: TempDir,
    made: std::cell::Cell<usize>,
}

impl<L: Fn(&Path) -> Box<dyn FileLayer>> Fresh<L> {
    fn new(layer: L) -> Fresh<L> {
        Fresh { layer, above: TempDir::new().unwrap(), made: std::cell::Cell::new(0) }
    }

    fn root(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.above.path().join(format!("{}/store", self.made.get()))
    }

    fn blobs(&self) -> FsBlobs {
        let root = self.root();
        FsBlobs::on(&root, (self.layer)(&root))
    }

    fn packs(&self) -> FsPacks {
        let root = self.root();
        FsPacks::on(&root, (self.layer)(&root))
    }
}

#[tokio::test]
async fn files_keep_the_contracts() {
    let fresh = Fresh::new(|_| Box::new(SystemFiles));
    conformance::blobs_suite(|| fresh.blobs()).await;
    conformance::packs_suite(|| fresh.packs());
}

#[tokio::test]
async fn files_with_names_keep_the_contracts() {
    let fresh = Fresh::new(|_| Box::new(WithoutAnonymous));
    conformance::blobs_suite(|| fresh.blobs()).await;
    conformance::packs_suite(|| fresh.packs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_may_lose_power_keeps_the_contracts() {
    let fresh = Fresh::new(|root| Box::new(PowerCut::new(root)));
    conformance::blobs_suite(|| fresh.blobs()).await;
    conformance::packs_suite(|| fresh.packs());
}

fn download() -> StageName {
    StageName::Download(Digest::of(b"download"))
}

async fn read(blobs: &FsBlobs, at: &Location) -> Result<Vec<u8>> {
    let bytes = blobs.open(at).await?;
    let mut all = vec![0; bytes.size() as usize];
    let count = bytes.read_at(0, &mut all).map_err(|cause| StoreError::file("reading", &at.0, cause))?;
    assert_eq!(count, all.len());
    Ok(all)
}

async fn put(blobs: &FsBlobs, kind: BlobKind, bytes: &[u8], durability: Durability) -> Result<Location> {
    let mut ingest = blobs.begin(kind).await?;
    ingest.write(bytes).await?;
    ingest.seal(durability).await
}

fn put_pack(packs: &FsPacks, content: &[u8], durability: Durability) -> Result<Location> {
    struct Sink(Box<dyn NewPack>);
    impl strata_layer::PackSink for Sink {
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
            self.0.write_at(offset, bytes)
        }
        fn set_len(&mut self, length: u64) -> std::io::Result<()> {
            self.0.set_len(length)
        }
    }
    let pack = packs.create()?;
    let mut writer = PackWriter::new(pack.id(), Sink(pack));
    let written = writer.store(ContentDigest::of(content), content).and_then(|_| writer.finish());
    let (_, sink) = written.map_err(|cause| StoreError::file("writing", "pack", cause))?;
    sink.0.seal(durability)
}

/// What was sealed durably, by the account of one run.
#[derive(Default)]
struct Account {
    blobs: Vec<(Location, &'static [u8])>,
    packs: Vec<(Location, &'static [u8])>,
}

/// The life of a layer; ends early when the disk stops working.
async fn publish_a_layer(blobs: &FsBlobs, packs: &FsPacks, account: &mut Account) -> Result<()> {
    let Some(mut ingest) = blobs.stage(&download()).await? else { return Ok(()) };
    ingest.restart().await?;
    ingest.write(b"compressed ").await?;
    ingest.write(b"bytes").await?;
    let location = ingest.seal(Durability::Synced).await?;
    account.blobs.push((location, b"compressed bytes"));
    account.packs.push((put_pack(packs, b"content", Durability::Synced)?, b"content"));
    account.blobs.push((put(blobs, BlobKind::Index, b"index", Durability::Synced).await?, b"index"));
    ingest.finish().await?;
    put(blobs, BlobKind::View, b"view", Durability::Unsynced).await?;
    put(blobs, BlobKind::Object, b"manifest", Durability::Unsynced).await?;
    Ok(())
}

/// Runs the life of a layer on a disk that stops working after `changes`, cuts the power, and looks at what is left.
/// Returns whether the disk stopped before the end.
async fn survives(changes: usize, seed: u64) -> bool {
    let directory = TempDir::new().unwrap();
    let disk = PowerCut::new(directory.path());
    let open = || {
        let on = |disk: &PowerCut| Box::new(disk.clone());
        (FsBlobs::on(directory.path(), on(&disk)), FsPacks::on(directory.path(), on(&disk)))
    };
    let mut account = Account::default();
    disk.fail_after(changes);
    let (blobs, packs) = open();
    let ran = publish_a_layer(&blobs, &packs, &mut account).await;
    let stopped = disk.left() == 0;
    assert!(stopped || ran.is_ok(), "{ran:?}");
    drop((blobs, packs));
    disk.power_cut(seed);

    let (blobs, packs) = open();
    for (location, bytes) in &account.blobs {
        let found = read(&blobs, location).await;
        assert_eq!(found.as_deref().ok(), Some(*bytes), "after {changes} changes, seed {seed}");
    }
    for (location, content) in &account.packs {
        let pack = packs.open(location).unwrap_or_else(|error| panic!("{changes}, seed {seed}: {error}"));
        assert!(pack.footer_is_intact());
        let (offset, length) = pack.place(&ContentDigest::of(content)).unwrap();
        let mut found = vec![0; length as usize];
        pack.read_exact_at(offset, &mut found).unwrap();
        assert_eq!(found, *content);
    }
    // What is left of the rest does no harm: it can be listed, taken over, removed.
    let mut again = Account::default();
    publish_a_layer(&blobs, &packs, &mut again).await.unwrap();
    assert_eq!(again.blobs.len(), 2);
    for found in blobs.scan().await.unwrap() {
        blobs.remove(&found.location).await.unwrap();
    }
    blobs.sweep_staged(i64::MAX).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path().join("staging")).unwrap().count(), 0);
    stopped
}

#[tokio::test]
async fn what_was_sealed_survives_a_power_cut_at_every_step() {
    let mut steps = 0;
    while survives(steps, 1).await {
        for seed in 2..10 {
            survives(steps, seed).await;
        }
        steps += 1;
    }
    assert!((20..100).contains(&steps), "{steps} steps");
    for seed in 2..60 {
        assert!(!survives(usize::MAX / 2, seed).await);
    }
}

#[tokio::test]
async fn the_double_forgets_what_was_not_synced() {
    let mut lost = 0;
    for seed in 0..40 {
        let directory = TempDir::new().unwrap();
        let disk = PowerCut::new(directory.path());
        let blobs = FsBlobs::on(directory.path(), Box::new(disk.clone()));
        let location = put(&blobs, BlobKind::Object, b"unsynced", Durability::Unsynced).await.unwrap();
        disk.power_cut(seed);
        lost += usize::from(read(&blobs, &location).await.is_ok_and(|bytes| bytes == b"unsynced"));
    }
    assert!((1..30).contains(&lost), "{lost} of 40 survived");
}

#[tokio::test]
async fn a_failed_sync_is_not_tried_again_on_the_same_bytes() {
    let directory = TempDir::new().unwrap();
    let disk = PowerCut::new(directory.path());
    let blobs = FsBlobs::on(directory.path(), Box::new(disk.clone()));
    let mut ingest = blobs.stage(&download()).await.unwrap().unwrap();
    ingest.write(b"bytes").await.unwrap();
    put(&blobs, BlobKind::Object, b"makes the directory", Durability::Synced).await.unwrap();
    disk.fail_after(0);
    let error = ingest.seal(Durability::Synced).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(blobs.scan().await.unwrap().len() == 1);
}

#[test]
fn parallel_seals_are_all_durable() {
    let directory = TempDir::new().unwrap();
    let disk = PowerCut::new(directory.path());
    let packs = FsPacks::on(directory.path(), Box::new(disk.clone()));
    let locations: Vec<Location> = std::thread::scope(|scope| {
        let seal = || (0..20).map(|_| put_pack(&packs, b"content", Durability::Synced).unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(seal)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    disk.power_cut(7);
    assert_eq!(locations.len(), 120);
    assert!(locations.iter().all(|location| packs.open(location).unwrap().footer_is_intact()));
}

#[test]
fn damaged_packs_are_named() {
    let directory = TempDir::new().unwrap();
    let packs = FsPacks::open(directory.path());
    let location = put_pack(&packs, b"content", Durability::Unsynced).unwrap();
    let path = directory.path().join(&location.0);
    let bytes = std::fs::read(&path).unwrap();
    let name = location.0["packs/".len()..][..32].to_owned();
    for (what, damaged) in [("cut", &bytes[..bytes.len() - 512]), ("empty", &[][..]), ("short", &bytes[..10])] {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, damaged).unwrap();
        let Err(error) = packs.open(&location) else { panic!("{what}: it opened") };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().starts_with(&format!("pack {name}: ")), "{what}: {error}");
    }
    let mut flipped = bytes.clone();
    flipped[512] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, flipped).unwrap();
    assert!(!packs.open(&location).unwrap().footer_is_intact());
}

#[tokio::test]
async fn files_are_private_and_unsealed_ones_have_no_name() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("store");
    let blobs = FsBlobs::open(&root);
    assert!(!root.exists());
    let mut ingest = blobs.begin(BlobKind::Object).await.unwrap();
    ingest.write(b"bytes").await.unwrap();
    assert_eq!(std::fs::read_dir(root.join("blobs")).unwrap().count(), 0);
    let location = ingest.seal(Durability::Synced).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(root.join(&location.0)) & !0o600, 0);
    assert_eq!(mode(root.join("blobs")) & 0o077, 0);
    assert_eq!(mode(root) & 0o077, 0);
}

/// Runs one test of this binary in a process of its own, with `root` in its environment.
fn run(test: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("tests::{test}"), "--nocapture"]).env("BLOBS", root);
    command.stdout(Stdio::null());
    command
}

fn root_of_parent() -> Option<PathBuf> {
    std::env::var_os("BLOBS").map(Into::into)
}

#[tokio::test]
#[ignore = "run in a process of its own by another test"]
async fn process_that_stages() {
    let Some(root) = root_of_parent() else { return };
    let blobs = FsBlobs::open(&root);
    let mut ingest = blobs.stage(&download()).await.unwrap().unwrap();
    ingest.write(b"half of it").await.unwrap();
    std::fs::write(root.join("ready"), "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_killed_owner_leaves_its_bytes_to_the_next() {
    let directory = TempDir::new().unwrap();
    let mut child = run("process_that_stages", directory.path()).spawn().unwrap();
    let began = Instant::now();
    while !directory.path().join("ready").exists() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    let blobs = FsBlobs::open(directory.path());
    assert!(blobs.stage(&download()).await.unwrap().is_none());
    assert_eq!(blobs.sweep_staged(i64::MAX).await.unwrap(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let ingest = blobs.stage(&download()).await.unwrap().unwrap();
    assert_eq!(ingest.length(), 10);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
#[ignore = "run in a process of its own by another test"]
async fn process_without_permission() {
    let Some(root) = root_of_parent() else { return };
    let Err(error) = FsBlobs::open(&root).begin(BlobKind::Object).await else { panic!("it may write") };
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.hint().unwrap().starts_with("no permission"), "{error}");
    assert!(error.to_string().starts_with("creating "), "{error}");
}

#[test]
fn missing_permission_is_said_so() {
    use std::os::unix::process::CommandExt;
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("store");
    std::fs::create_dir(&root).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    std::fs::set_permissions(&root, mode).unwrap();
    let mut command = run("process_without_permission", &root);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    // Where the binary itself may not be run by others there is nothing to see.
    if let Ok(status) = command.status() {
        assert!(status.success());
    }
}

/// A small file system, where the tests may mount one.
struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn mount<'a>(path: &'a Path, options: &str) -> Option<Tmpfs<'a>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).stderr(Stdio::null());
        mount.status().ok()?.success().then_some(Tmpfs(path))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_does_no_harm() {
    let directory = TempDir::new().unwrap();
    let Some(_mounted) = Tmpfs::mount(directory.path(), "size=256k") else { return };
    let blobs = FsBlobs::open(directory.path());
    let kept = put(&blobs, BlobKind::Object, b"kept", Durability::Synced).await.unwrap();
    let mut ingest = blobs.stage(&download()).await.unwrap().unwrap();
    let error = loop {
        if let Err(error) = ingest.write(&[7; 50_000]).await {
            break error;
        }
        assert!(ingest.length() < 1 << 20);
    };
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.hint().unwrap().starts_with("the disk is full"), "{error}");
    assert_eq!(ingest.length() % 50_000, 0);
    let packs = FsPacks::open(directory.path());
    assert!(put_pack(&packs, &[1; 100_000], Durability::Synced).is_err());
    assert!(packs.scan().unwrap().is_empty());
    ingest.restart().await.unwrap();
    ingest.write(b"small").await.unwrap();
    let small = ingest.seal(Durability::Synced).await.unwrap();
    ingest.finish().await.unwrap();
    assert_eq!(read(&blobs, &small).await.unwrap(), b"small");
    assert_eq!(read(&blobs, &kept).await.unwrap(), b"kept");
}

#[tokio::test]
async fn a_read_only_file_system_is_said_so_and_can_be_read() {
    let directory = TempDir::new().unwrap();
    let Some(_mounted) = Tmpfs::mount(directory.path(), "size=1m") else { return };
    let blobs = FsBlobs::open(directory.path());
    let kept = put(&blobs, BlobKind::Object, b"kept", Durability::Synced).await.unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(directory.path()).status().unwrap();
    assert!(remounted.success());
    assert_eq!(read(&blobs, &kept).await.unwrap(), b"kept");
    for blobs in [blobs, FsBlobs::open(directory.path())] {
        for error in [
            blobs.begin(BlobKind::Object).await.err().unwrap(),
            blobs.stage(&download()).await.err().unwrap(),
            blobs.remove(&kept).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert!(error.hint().unwrap().contains("read-only"), "{error}");
        }
    }
}
