//! Random operations on a store, compared with a naive model: what is named is there, what nothing holds is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_engine::{ListRequest, LoadRequest, PruneRequest, RemoveOptions, ViewPolicy};
use strata_store::{Depth, Durability, Repair, Store, StoreOptions};
use strata_testkit::{Image, ImageBuilder, Layer, TarEntry, TarFormat};
use strata_transfer::Silent;

/// Names that operations choose from.
const NAMES: &[&str] = &["a:1", "a:2", "b:1"];
const IMAGES: usize = 4;

#[derive(Clone, Debug)]
enum Operation {
    Load { image: usize, name: usize },
    Tag { from: usize, to: usize },
    Remove { name: usize },
    RemoveById { image: usize },
    Prune,
    PruneAll,
    PrepareView { name: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => (0..IMAGES, name.clone()).prop_map(|(image, name)| Operation::Load { image, name }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Operation::Tag { from, to }),
        2 => name.clone().prop_map(|name| Operation::Remove { name }),
        1 => (0..IMAGES).prop_map(|image| Operation::RemoveById { image }),
        1 => Just(Operation::Prune),
        1 => Just(Operation::PruneAll),
        1 => name.prop_map(|name| Operation::PrepareView { name }),
    ]
}

/// Images that share a layer, a file below the layer, or nothing.
fn image(number: usize) -> Image {
    let common = strata_testkit::layer::noise(1, 20_000);
    let base = Layer::new(&[TarEntry::file("common", &common), TarEntry::file("base", "base")]);
    let own = Layer::new(&[
        TarEntry::file("own", strata_testkit::layer::noise(number as u64 + 10, 9_000)),
        TarEntry::file("copy", &common),
    ]);
    let mut builder = ImageBuilder::new();
    if number != 3 {
        builder = builder.layer(base);
    }
    builder.layer(own).build()
}

#[derive(Default)]
struct Model {
    names: BTreeMap<&'static str, usize>,
    images: BTreeSet<usize>,
}

impl Model {
    fn names_of(&self, image: usize) -> usize {
        self.names.values().filter(|named| **named == image).count()
    }
}

struct World {
    store: Store,
    images: Vec<Image>,
    model: Model,
}

impl World {
    fn new(root: &Path) -> World {
        std::fs::create_dir_all(root).unwrap();
        let catalog = SqliteCatalog::open_with(root.join("catalog.sqlite"), Durability::Unsynced).unwrap();
        let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
        let store =
            Store::new(Arc::new(FsBlobs::open(root)), Arc::new(FsPacks::open(root)), Arc::new(catalog), options);
        World { store, images: (0..IMAGES).map(image).collect(), model: Model::default() }
    }

    async fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Load { image, name } => {
                let archive = strata_testkit::archive::oci(
                    &self.images[image],
                    &[("io.containerd.image.name", &canonical(name))],
                )
                .tar(TarFormat::Ustar);
                let request = LoadRequest { platform: None, view: ViewPolicy::Skip };
                strata_engine::load(&self.store, Cursor::new(archive), &request, Arc::new(Silent)).await.unwrap();
                self.model.names.insert(NAMES[name], image);
                self.model.images.insert(image);
            }
            Operation::Tag { from, to } => {
                let tagged = strata_engine::tag(&self.store, NAMES[from], NAMES[to]).await;
                assert_eq!(tagged.is_ok(), self.model.names.contains_key(NAMES[from]));
                if let Some(image) = self.model.names.get(NAMES[from]).copied() {
                    self.model.names.insert(NAMES[to], image);
                }
            }
            Operation::Remove { name } => {
                let removed = strata_engine::remove_one(&self.store, NAMES[name], &RemoveOptions::default()).await;
                let Some(image) = self.model.names.remove(NAMES[name]) else {
                    assert!(removed.is_err());
                    return;
                };
                let removed = removed.unwrap();
                if !removed.images.is_empty() {
                    self.model.images.remove(&image);
                }
                assert!(self.model.names_of(image) == 0 || removed.images.is_empty());
            }
            Operation::RemoveById { image } => {
                let id = self.images[image].id().to_string();
                let options = RemoveOptions { force: true, ..RemoveOptions::default() };
                let removed = strata_engine::remove_one(&self.store, &id, &options).await;
                assert_eq!(removed.is_ok(), self.model.images.remove(&image));
                self.model.names.retain(|_, named| *named != image);
            }
            Operation::Prune | Operation::PruneAll => {
                let all = matches!(operation, Operation::PruneAll);
                let request = PruneRequest { all, ..PruneRequest::default() };
                strata_engine::prune(&self.store, &request).await.unwrap();
                if all {
                    self.model = Model::default();
                } else {
                    let Model { names, images } = &mut self.model;
                    images.retain(|image| names.values().any(|named| named == image));
                }
            }
            Operation::PrepareView { name } => {
                if let Ok(found) = strata_engine::find_image(&self.store, NAMES[name], None).await {
                    strata_engine::prepare_view(&self.store, &found.row, ViewPolicy::Prepare).await.unwrap();
                }
            }
        }
    }

    async fn check(&self) {
        let found = strata_engine::list(&self.store, &ListRequest::default()).await.unwrap();
        let names: BTreeMap<String, String> = found
            .iter()
            .flat_map(|summary| summary.names.iter().map(|name| (name, summary.row.id)))
            .map(|(name, id)| (strata_engine::name_reference(name).unwrap().familiar(), id.to_string()))
            .collect();
        let expected: BTreeMap<String, String> = self
            .model
            .names
            .iter()
            .map(|(name, image)| ((*name).to_owned(), self.images[*image].id().to_string()))
            .collect();
        assert_eq!(names, expected);
        let report = self.store.fsck(Depth::Full, Repair::No).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        for image in self.model.names.values() {
            let id = self.images[*image].id().to_string();
            let mut content = Vec::new();
            strata_engine::cat_file(&self.store, &id, b"/copy", None, &mut content).await.unwrap();
            assert_eq!(content, strata_testkit::layer::noise(1, 20_000));
        }
    }
}

fn canonical(name: usize) -> String {
    format!("docker.io/library/{}", NAMES[name])
}

fn files(root: &Path, folder: &str) -> usize {
    std::fs::read_dir(root.join(folder)).map_or(0, |entries| entries.count())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_the_model(operations in prop::collection::vec(operation(), 1..14)) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(directory.path());
            for operation in &operations {
                world.perform(operation).await;
                world.check().await;
            }
            world.perform(&Operation::PruneAll).await;
            world.check().await;
        });
        for folder in ["packs", "indexes", "views", "staging"] {
            prop_assert_eq!(files(directory.path(), folder), 0, "{} after {:?}", folder, operations);
        }
        // The snapshot of names is all that is left.
        prop_assert!(files(directory.path(), "blobs") <= 1, "blobs after {:?}", operations);
    }
}
