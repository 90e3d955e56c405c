//! `rmi`: names go first, then the image, then the bytes that only it held.
//!
//! What is freed is what the disk gets back: blocks of the files that are removed before the command returns.

use std::collections::HashSet;
use std::path::PathBuf;

use strata_model::{ChainId, DiffId, ImageId, Platform, Reference};
use strata_store::{Collection, DigestNameRow, ImageRow, NameRow, ReadTxn, Store, WriteTxn};

use crate::container::short_id;
use crate::list::{digest_reference, name_reference};
use crate::lookup::{FoundBy, find_image_in};
use crate::mount_record::MountedImage;
use crate::{EngineError, Result, event};

/// One thing that a removal did, in docker's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveStep {
    /// A reference is gone: its familiar form.
    Untagged(String),
    /// An image or a layer chain is gone: its digest.
    Deleted(String),
}

/// What a removal did.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// The steps.
    pub steps: Vec<RemoveStep>,
    /// Bytes of blocks that the disk got back.
    pub freed: u64,
    /// Images that are gone, for counting.
    pub images: Vec<ImageId>,
}

/// How to remove one image.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions<'a> {
    /// Whether an ID takes all names away, and a name also the last one of a mounted image.
    pub force: bool,
    /// Only the image for this platform.
    pub platform: Option<&'a Platform>,
    /// The images that are mounted: they stay, and are told of.
    pub mounted: &'a [MountedImage],
    /// IDs of the containers that run: their images stay.
    pub running: &'a [String],
}

/// Removes what `text` means, by docker's rules.
///
/// # Errors
/// `NoSuchImage`; `Conflict` when it has several names or a container uses it and `force` is not given, and when one that
/// runs uses it; `Mounted`.
pub async fn remove_one(store: &Store, text: &str, options: &RemoveOptions<'_>) -> Result<Removed> {
    let mut txn = store.write("removing an image").await?;
    let mut removal = Removal::new(store, options.mounted, options.running);
    removal.by_text(&mut *txn, text, options).await?;
    removal.commit(txn).await
}

/// Finds out what [`remove_one`] would do, without changing anything.
///
/// # Errors
/// As [`remove_one`].
pub async fn plan_remove(store: &Store, text: &str, options: &RemoveOptions<'_>) -> Result<Removed> {
    let mut txn = store.write("planning a removal").await?;
    let mut removal = Removal::new(store, options.mounted, options.running);
    removal.by_text(&mut *txn, text, options).await?;
    removal.roll_back(txn).await
}

/// The references that a pattern with `*`, `?` or `[` means; text without them is returned as it is.
///
/// # Errors
/// `NoSuchImage` when nothing matches, `Invalid` for a malformed pattern.
pub async fn expand_wildcards(store: &Store, text: &str) -> Result<Vec<String>> {
    if !text.contains(['*', '?', '[']) {
        return Ok(vec![text.to_owned()]);
    }
    let request = crate::ListRequest { all: true, filters: vec![("reference".into(), text.to_owned())] };
    let mut found: Vec<String> = crate::list(store, &request)
        .await?
        .iter()
        .flat_map(|summary| summary.names.iter().filter_map(name_reference))
        .map(|reference| reference.familiar())
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() { Err(EngineError::NoSuchImage(text.to_owned())) } else { Ok(found) }
}

/// Removals within one transaction.
pub(crate) struct Removal<'a> {
    store: &'a Store,
    mounted: &'a [MountedImage],
    /// IDs of the containers that run.
    running: &'a [String],
    removed: Removed,
    collection: Collection,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(store: &'a Store, mounted: &'a [MountedImage], running: &'a [String]) -> Removal<'a> {
        Removal { store, mounted, running, removed: Removed::default(), collection: Collection::default() }
    }

    pub(crate) async fn commit(mut self, txn: Box<dyn WriteTxn>) -> Result<Removed> {
        txn.commit().await?;
        strata_store::fault::point("image-removed");
        self.removed.freed = self.store.remove_doomed(&self.collection).await?;
        event::snapshot(self.store).await;
        Ok(self.removed)
    }

    pub(crate) async fn roll_back(mut self, txn: Box<dyn WriteTxn>) -> Result<Removed> {
        drop(txn);
        self.removed.freed = self.store.doomed_size(&self.collection).await?;
        Ok(self.removed)
    }

    async fn by_text(&mut self, txn: &mut dyn WriteTxn, text: &str, options: &RemoveOptions<'_>) -> Result<()> {
        let found = find_image_in(&*txn, text, options.platform).await?;
        match found.by {
            FoundBy::Name(name) => {
                self.check_last_name(&*txn, &found.row, &name, text, options.force).await?;
                self.by_name(txn, &found.row, &name, options.force).await
            }
            FoundBy::Digest(name) => self.by_digest_name(txn, &found.row, &name, options.force).await,
            FoundBy::Id => self.by_id(txn, &found.row, options.force).await,
        }
    }

    /// Refuses to take the last name of an image away that a container uses.
    async fn check_last_name(
        &self,
        txn: &dyn ReadTxn,
        image: &ImageRow,
        name: &NameRow,
        shown: &str,
        force: bool,
    ) -> Result<()> {
        let names = txn.names_of_image(&image.id).await?;
        let digests = txn.digest_names_of_image(&image.id).await?;
        let is_last = names.len() <= 1 && digests.iter().all(|digest| digest.repository == name.repository);
        if force || !is_last {
            return Ok(());
        }
        let Some(container) = txn.containers_of_image(&image.id).await?.into_iter().next() else { return Ok(()) };
        Err(EngineError::Conflict {
            message: format!(
                "unable to remove repository reference {shown:?} (must force) - container {} is using its referenced image {}",
                short_id(&container.id),
                image.id.0.short()
            ),
        })
    }

    /// Refuses to delete an image that a container uses: never while one runs, else unless forced.
    async fn check_containers(&self, txn: &dyn ReadTxn, image: &ImageRow, force: bool) -> Result<()> {
        let containers = txn.containers_of_image(&image.id).await?;
        let is_running = |id: &str| self.running.iter().any(|running| running == id);
        let running = containers.iter().find(|row| is_running(&row.id));
        let stopped = containers.first().filter(|_| !force);
        let (container, how, what) = match (running, stopped) {
            (Some(row), _) => (row, "cannot be forced", "running"),
            (None, Some(row)) => (row, "must be forced", "stopped"),
            (None, None) => return Ok(()),
        };
        Err(EngineError::Conflict {
            message: format!(
                "unable to delete {} ({how}) - image is being used by {what} container {}",
                image.id.0.short(),
                short_id(&container.id)
            ),
        })
    }

    /// Takes one tag away; with the last tag of a repository its digests go too, with the last reference the image.
    pub(crate) async fn by_name(
        &mut self,
        txn: &mut dyn WriteTxn,
        image: &ImageRow,
        name: &NameRow,
        force: bool,
    ) -> Result<()> {
        self.untag(txn, name).await?;
        let names = txn.names_of_image(&image.id).await?;
        let digests = txn.digest_names_of_image(&image.id).await?;
        let repository_is_left = names.iter().any(|other| other.repository == name.repository);
        let mut left = names.len();
        for digest in digests {
            if !repository_is_left && digest.repository == name.repository {
                self.undigest(txn, &digest).await?;
            } else {
                left += 1;
            }
        }
        match left {
            0 => self.delete_unnamed(txn, image, name_reference(name), force).await,
            _ => Ok(()),
        }
    }

    async fn by_digest_name(
        &mut self,
        txn: &mut dyn WriteTxn,
        image: &ImageRow,
        name: &DigestNameRow,
        force: bool,
    ) -> Result<()> {
        self.undigest(txn, name).await?;
        let names = txn.names_of_image(&image.id).await?;
        let digests = txn.digest_names_of_image(&image.id).await?;
        match names.is_empty() && digests.is_empty() {
            true => self.delete_unnamed(txn, image, digest_reference(name), force).await,
            false => Ok(()),
        }
    }

    /// Deletes an image whose last name has just gone. A mounted one keeps its name, or, with `force`, stays without.
    async fn delete_unnamed(
        &mut self,
        txn: &mut dyn WriteTxn,
        image: &ImageRow,
        last: Option<Reference>,
        force: bool,
    ) -> Result<()> {
        // Docker leaves an image without names that a container still uses, and says nothing.
        match self.check_containers(&*txn, image, force).await {
            Err(EngineError::Conflict { .. }) => return Ok(()),
            checked => checked?,
        }
        let Some(target) = self.mount_point(&image.id) else { return self.delete(txn, image).await };
        if force {
            return Ok(());
        }
        let message = format!(
            "unable to remove repository reference {:?} (must force) - its referenced image {} is mounted at {}",
            last.map(|reference| reference.familiar()).unwrap_or_default(),
            image.id.0.short(),
            target.display()
        );
        Err(EngineError::Mounted { message, target })
    }

    /// Where an image is mounted.
    fn mount_point(&self, image: &ImageId) -> Option<PathBuf> {
        self.mounted.iter().find(|mounted| mounted.image == *image).map(|mounted| mounted.target.clone())
    }

    pub(crate) async fn by_id(&mut self, txn: &mut dyn WriteTxn, image: &ImageRow, force: bool) -> Result<()> {
        if let Some(target) = self.mount_point(&image.id) {
            let (id, shown) = (image.id.0.short(), target.display());
            let message = format!("unable to delete {id} (cannot be forced) - image is mounted at {shown}");
            return Err(EngineError::Mounted { message, target });
        }
        let names = txn.names_of_image(&image.id).await?;
        let digests = txn.digest_names_of_image(&image.id).await?;
        let repositories: HashSet<&str> = names
            .iter()
            .map(|name| name.repository.as_str())
            .chain(digests.iter().map(|name| name.repository.as_str()))
            .collect();
        if !force && (repositories.len() > 1 || names.len() > 1) {
            return Err(EngineError::Conflict {
                message: format!(
                    "unable to delete {} (must be forced) - image is referenced in multiple repositories",
                    image.id.0.short()
                ),
            });
        }
        self.check_containers(&*txn, image, force).await?;
        for name in &names {
            self.untag(txn, name).await?;
        }
        for name in &digests {
            self.undigest(txn, name).await?;
        }
        self.delete(txn, image).await
    }

    async fn untag(&mut self, txn: &mut dyn WriteTxn, name: &NameRow) -> Result<()> {
        txn.delete_name(&name.repository, &name.tag, &name.platform).await?;
        if let Some(reference) = name_reference(name) {
            let event = event::image_event(self.store.now(), "untag", &name.image.to_string(), &reference.familiar());
            txn.insert_event(&event).await?;
            self.removed.steps.push(RemoveStep::Untagged(reference.familiar()));
        }
        Ok(())
    }

    async fn undigest(&mut self, txn: &mut dyn WriteTxn, name: &DigestNameRow) -> Result<()> {
        txn.delete_digest_name(name).await?;
        // The index behind the digest has no other holder than this.
        self.collection.merge(self.store.review(txn, vec![name.digest]).await?);
        if let Some(reference) = digest_reference(name) {
            self.removed.steps.push(RemoveStep::Untagged(reference.familiar()));
        }
        Ok(())
    }

    /// Deletes an image that has no references any more.
    async fn delete(&mut self, txn: &mut dyn WriteTxn, image: &ImageRow) -> Result<()> {
        let diff_ids = diff_ids(&*txn, &image.id).await?;
        let collection = self.store.delete_image(txn, image).await?;
        txn.insert_event(&event::image_event(self.store.now(), "delete", &image.id.to_string(), &image.id.to_string()))
            .await?;
        self.removed.steps.push(RemoveStep::Deleted(image.id.to_string()));
        let chains = freed_chains(&*txn, &diff_ids).await?;
        self.removed.steps.extend(chains.into_iter().map(|chain| RemoveStep::Deleted(chain.to_string())));
        self.removed.images.push(image.id);
        self.collection.merge(collection);
        Ok(())
    }

    /// Takes away what failed work left.
    pub(crate) async fn leftovers(&mut self, txn: &mut dyn WriteTxn) -> Result<()> {
        self.collection.merge(self.store.review_leftovers(txn).await?);
        Ok(())
    }

    /// Whether nothing was removed.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.steps.is_empty() && self.collection.is_empty()
    }
}

/// The layer chains that no remaining image has, topmost first.
async fn freed_chains(txn: &dyn ReadTxn, layers: &[DiffId]) -> Result<Vec<ChainId>> {
    let mut shared = 0;
    for image in txn.images().await? {
        if shared == layers.len() {
            break;
        }
        let other = diff_ids(txn, &image.id).await?;
        shared = shared.max(layers.iter().zip(&other).take_while(|(a, b)| a == b).count());
    }
    let chains = (shared + 1..=layers.len()).filter_map(|length| ChainId::of(&layers[..length]));
    let mut freed: Vec<ChainId> = chains.collect();
    freed.reverse();
    Ok(freed)
}

async fn diff_ids(txn: &dyn ReadTxn, id: &ImageId) -> Result<Vec<DiffId>> {
    #[derive(serde::Deserialize)]
    struct Layers {
        rootfs: Option<strata_model::RootFs>,
    }
    let Some(bytes) = txn.object(&id.0).await?.and_then(|row| row.bytes) else { return Ok(Vec::new()) };
    let layers: Option<Layers> = serde_json::from_slice(&bytes).ok();
    Ok(layers.and_then(|layers| layers.rootfs).map(|rootfs| rootfs.diff_ids).unwrap_or_default())
}
