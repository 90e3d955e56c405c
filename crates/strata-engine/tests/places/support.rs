//! What these tests share: a store, a client, layouts, and other programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_engine::{CopyOptions, CopyReport, ManifestFormat, Place, ViewPolicy, copy_images};
use strata_registry_client::{ClientConfig, RegistryClient};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::archive::ArchiveMembers;
use strata_transfer::{CopyLimits, Silent};

/// A store in a directory of its own.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    root: tempfile::TempDir,
}

pub(crate) fn test_store() -> TestStore {
    let root = tempfile::tempdir().unwrap();
    let blobs = Arc::new(FsBlobs::open(root.path()));
    let packs = Arc::new(FsPacks::open(root.path()));
    let catalog = Arc::new(SqliteCatalog::open(root.path().join("catalog.sqlite")).unwrap());
    let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
    TestStore { store: Store::new(blobs, packs, catalog, options), root }
}

impl TestStore {
    /// The files that hold blobs, indexes and packs.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        ["blobs", "indexes", "packs", "staging"]
            .iter()
            .map(|name| self.root.path().join(name))
            .filter(|directory| directory.exists())
            .flat_map(|directory| strata_testkit::fixture::files(&directory))
            .collect()
    }
}

pub(crate) fn client() -> RegistryClient {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    RegistryClient::new(ClientConfig::default())
}

pub(crate) fn options() -> CopyOptions {
    CopyOptions {
        all: false,
        platform: Some("linux/amd64".parse().unwrap()),
        limits: CopyLimits { tries: 1, ..CopyLimits::default() },
        preserve_digests: false,
        format: ManifestFormat::Keep,
        docker_host: None,
        view: ViewPolicy::Skip,
    }
}

pub(crate) async fn try_copy(
    store: &Store,
    from: &str,
    to: &str,
    options: &CopyOptions,
) -> strata_engine::Result<CopyReport> {
    let (from, to) = (Place::parse(from)?, Place::parse(to)?);
    copy_images(store, &client(), &from, &to, options, Arc::new(Silent)).await
}

pub(crate) async fn copy(store: &Store, from: &str, to: &str, options: &CopyOptions) -> CopyReport {
    match try_copy(store, from, to, options).await {
        Ok(report) => report,
        Err(error) => panic!("{from} -> {to}: {error}"),
    }
}

/// Writes the members of an archive as files below a directory.
pub(crate) fn write_members(members: &ArchiveMembers, directory: &Path) {
    for entry in members.0.iter().filter(|entry| entry.flag == b'0') {
        let path = directory.join(std::str::from_utf8(&entry.path).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &entry.data).unwrap();
    }
}

/// Runs another program; its output when it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    run_with(Command::new(program).args(arguments))
}

pub(crate) fn run_with(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The digest that skopeo sees of an image.
pub(crate) fn skopeo_digest(place: &str) -> String {
    run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", place])
}
