//! The check of everything: catalog, objects, layers, packs, views; and what can be mended.
//!
//! An object is whole when its bytes have its digest; a layer when its index decodes; a pack when its footer has its digest
//! and every content its own. What is damaged is marked, so that the next pull brings it again; with [`Repair::Yes`] layers
//! are first made again from their blobs, written-through copies from the catalog, and unknown files older than a day are
//! removed. Running it twice, or killing it, does no harm.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;
use std::sync::Arc;

use strata_layer::{ContentDigest, PackId};
use strata_model::{DiffId, Digest};

use crate::known::KnownPacks;
use crate::unpack::unpack;
use crate::{BlobBytes, DoomedKind, Lease, Location, ObjectRow, PackFile, ReadTxn, Result, Store, StoreError};

const CHUNK: usize = 1 << 20;
const DAY: i64 = 86_400_000_000_000;

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Existence and length of every file.
    Quick,
    /// Every byte.
    Full,
}

/// Whether to mend what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Mark only.
    No,
    /// Mend.
    Yes,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is wrong with: `object sha256:…`, `layer sha256:…`, `pack …`, `view …`, `catalog`, `file …`.
    pub what: String,
    /// What is wrong.
    pub cause: String,
    /// Whether it is mended now.
    pub repaired: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct FsckReport {
    /// Objects, layers, packs and views that were looked at.
    pub checked: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong, in the order found.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    /// Whether nothing is wrong any more.
    pub fn is_clean(&self) -> bool {
        self.problems.iter().all(|problem| problem.repaired)
    }

    fn add(&mut self, what: impl Into<String>, cause: impl Into<String>, repaired: bool) {
        self.problems.push(Problem { what: what.into(), cause: cause.into(), repaired });
    }
}

impl Store {
    /// Checks the store.
    ///
    /// # Errors
    /// When catalog or backends cannot be used at all; what they hold being wrong is in the report.
    pub async fn fsck(&self, depth: Depth, repair: Repair) -> Result<FsckReport> {
        let mut report = FsckReport::default();
        for complaint in self.inner.catalog.check().await? {
            report.add("catalog", complaint, false);
        }
        let lease = self.lease("fsck").await?;
        let fsck = Fsck { store: self, lease: &lease, depth, repair };
        let result = fsck.run(&mut report).await;
        self.release(lease).await?;
        result.map(|()| report)
    }
}

struct Fsck<'a> {
    store: &'a Store,
    lease: &'a Lease,
    depth: Depth,
    repair: Repair,
}

impl Fsck<'_> {
    async fn run(&self, report: &mut FsckReport) -> Result<()> {
        self.objects(report).await?;
        let damaged_packs = self.packs(report).await?;
        self.layers(&damaged_packs, report).await?;
        self.views(report).await?;
        self.unknown_files(report).await
    }

    async fn objects(&self, report: &mut FsckReport) -> Result<()> {
        let rows = self.store.read().await?.objects().await?;
        for row in rows {
            report.checked += 1;
            let Some(row) = self.store.read().await?.object(&row.digest).await? else { continue };
            let Some(cause) = self.object_problem(&row, report).await? else { continue };
            let what = format!("object {}", row.digest);
            let repaired = row.bytes.is_some() && self.repair == Repair::Yes && self.rewrite(&row).await?;
            if !repaired && row.bytes.is_none() {
                self.store.mark_damaged(&row.digest).await?;
            }
            report.add(what, cause, repaired);
        }
        Ok(())
    }

    async fn object_problem(&self, row: &ObjectRow, report: &mut FsckReport) -> Result<Option<String>> {
        if row.damaged {
            return Ok(Some("it was found damaged before and has not been fetched again".into()));
        }
        if let Some(bytes) = &row.bytes
            && hash_bytes(row.digest, bytes) != row.digest
        {
            return Ok(Some("the catalog's bytes have another digest".into()));
        }
        let Some(location) = &row.location else { return Ok(None) };
        match self.store.inner.blobs.usage(location).await? {
            None => return Ok(Some("its file is missing".into())),
            Some(usage) if usage.length != row.size => {
                return Ok(Some(format!("its file has {} bytes instead of {}", usage.length, row.size)));
            }
            Some(_) => {}
        }
        if self.depth == Depth::Quick {
            return Ok(None);
        }
        let bytes = self.store.inner.blobs.open(location).await?;
        report.bytes += bytes.size();
        let digest = row.digest;
        let found = blocking(move || hash_file(digest, &*bytes)).await?;
        Ok(match found {
            Ok(found) if found == digest => None,
            Ok(_) => Some("its bytes have another digest".into()),
            Err(error) => Some(format!("its file cannot be read: {error}")),
        })
    }

    /// Writes the copy of a small object again from the catalog's bytes, if those are right.
    async fn rewrite(&self, row: &ObjectRow) -> Result<bool> {
        let Some(bytes) = row.bytes.clone().filter(|bytes| hash_bytes(row.digest, bytes) == row.digest) else {
            return Ok(false);
        };
        let fresh = self.store.small_object_row(&row.media_type, row.digest, bytes).await?;
        let mut txn = self.store.write("repairing an object").await?;
        txn.heal_object(&row.digest, fresh.location.as_ref(), None).await?;
        txn.commit().await?;
        self.store.remove_blobs(row.location.clone().into_iter().collect()).await?;
        Ok(true)
    }

    async fn packs(&self, report: &mut FsckReport) -> Result<HashMap<PackId, String>> {
        let mut damaged = HashMap::new();
        for row in self.store.read().await?.packs().await? {
            report.checked += 1;
            let cause = match self.store.inner.packs.open(&row.location) {
                _ if row.damaged => Some("it was found damaged before".to_owned()),
                Err(error) => Some(error.to_string()),
                Ok(file) if file.length() != row.length => {
                    Some(format!("its file has {} bytes instead of {}", file.length(), row.length))
                }
                Ok(file) if self.depth == Depth::Full => {
                    report.bytes += file.length();
                    blocking(move || pack_problem(&*file)).await?
                }
                Ok(_) => None,
            };
            if let Some(cause) = cause {
                let mut txn = self.store.write("marking a pack as damaged").await?;
                txn.mark_pack_damaged(&row.id).await?;
                txn.commit().await?;
                damaged.insert(row.id, cause);
            }
        }
        Ok(damaged)
    }

    async fn layers(&self, damaged_packs: &HashMap<PackId, String>, report: &mut FsckReport) -> Result<()> {
        let txn = self.store.read().await?;
        let layers = txn.layers().await?;
        let mut reported = HashSet::new();
        for row in layers {
            report.checked += 1;
            let mut problems = Vec::new();
            match self.store.layer_index(&row.diff_id).await {
                Ok(_) if row.damaged => {
                    problems.push((format!("layer {}", row.diff_id), "it was found damaged before".to_owned()))
                }
                Ok(_) => {}
                Err(error) => problems.push((format!("layer {}", row.diff_id), error.to_string())),
            }
            for (id, _) in txn.packs_of_layer(&row.diff_id).await? {
                if let Some(cause) = damaged_packs.get(&id) {
                    reported.insert(id);
                    problems.push((format!("pack {id} of layer {}", row.diff_id), cause.clone()));
                }
            }
            if problems.is_empty() {
                continue;
            }
            let repaired = self.repair == Repair::Yes && self.rebuild_layer(&*txn, &row.diff_id).await?;
            if !repaired {
                self.mark_layer(&*txn, &row.diff_id).await?;
            }
            for (what, cause) in problems {
                report.add(what, cause, repaired);
            }
        }
        for (id, cause) in damaged_packs.iter().filter(|(id, _)| !reported.contains(id)) {
            report.add(format!("pack {id}"), format!("{cause}; no layer uses it"), false);
        }
        Ok(())
    }

    /// Marks a layer, and the plain tars that only its pack holds.
    async fn mark_layer(&self, read: &dyn ReadTxn, diff_id: &DiffId) -> Result<()> {
        let blobs = read.blobs_of_layer(diff_id).await?;
        let mut txn = self.store.write("marking a layer as damaged").await?;
        txn.mark_layer_damaged(diff_id).await?;
        for blob in blobs {
            if txn.object(&blob).await?.is_some_and(|row| row.location.is_none()) {
                txn.mark_object_damaged(&blob).await?;
            }
        }
        txn.commit().await
    }

    /// Makes pack and index again from a blob of the layer that is whole.
    async fn rebuild_layer(&self, read: &dyn ReadTxn, diff_id: &DiffId) -> Result<bool> {
        for blob in read.blobs_of_layer(diff_id).await? {
            let Some(row) = self.store.read().await?.object(&blob).await? else { continue };
            let Some(location) = row.location.clone().filter(|_| !row.damaged) else { continue };
            let Ok(bytes) = self.store.inner.blobs.open(&location).await else { continue };
            let (packs, limits) = (self.store.inner.packs.clone(), self.store.layer_limits());
            let unpacked = blocking(move || {
                let none = KnownPacks::none();
                unpack(&blob.to_string(), BufReader::new(Whole { bytes, offset: 0 }), &*packs, &none, &limits)
            })
            .await?;
            match unpacked {
                Ok(unpacked) if unpacked.index().diff_id == *diff_id => {
                    self.store.replace_layer(self.lease, unpacked).await?;
                    return Ok(true);
                }
                Ok(_) | Err(StoreError::MalformedLayer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Views are a cache: a wrong one is removed, and made again when it is wanted.
    async fn views(&self, report: &mut FsckReport) -> Result<()> {
        let views = self.store.read().await?.views().await?;
        for (chain, location) in views {
            report.checked += 1;
            let whole = match self.store.inner.blobs.open(&location).await {
                Ok(bytes) if self.depth == Depth::Full => {
                    report.bytes += bytes.size();
                    blocking(move || crate::view::view_is_intact(&*bytes)).await?
                }
                Ok(_) => true,
                Err(_) => false,
            };
            if !whole {
                self.store.forget_view(&chain).await?;
                report.add(format!("view {chain}"), "its file is missing or damaged; it will be made again", true);
            }
        }
        Ok(())
    }

    /// Files that no row names. Young ones may belong to a process that is about to publish them.
    async fn unknown_files(&self, report: &mut FsckReport) -> Result<()> {
        if self.repair == Repair::No {
            return Ok(());
        }
        let known = self.known_locations().await?;
        let limit = self.store.now() - DAY;
        let blobs = self.store.inner.blobs.scan().await?.into_iter().map(|file| (DoomedKind::Blob, file));
        let packs = self.store.inner.packs.scan()?.into_iter().map(|file| (DoomedKind::Pack, file));
        for (kind, file) in blobs.chain(packs) {
            if known.contains(&file.location) || file.modified > limit {
                continue;
            }
            match kind {
                DoomedKind::Blob => self.store.inner.blobs.remove(&file.location).await?,
                DoomedKind::Pack => self.store.inner.packs.remove(&file.location)?,
            }
            report.add(format!("file {}", file.location.0), "nothing refers to it; it is removed", true);
        }
        Ok(())
    }

    async fn known_locations(&self) -> Result<HashSet<Location>> {
        let txn = self.store.read().await?;
        let mut known: HashSet<Location> = txn.objects().await?.into_iter().filter_map(|row| row.location).collect();
        known.extend(txn.layers().await?.into_iter().map(|row| row.index));
        known.extend(txn.packs().await?.into_iter().map(|row| row.location));
        known.extend(txn.views().await?.into_iter().map(|(_, location)| location));
        known.extend(txn.doomed().await?.into_iter().map(|row| row.location));
        Ok(known)
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(crate::publish::panicked)
}

fn hash_bytes(digest: Digest, bytes: &[u8]) -> Digest {
    let mut hasher = digest.hasher();
    hasher.update(bytes);
    hasher.finish()
}

fn hash_file(digest: Digest, bytes: &dyn BlobBytes) -> std::io::Result<Digest> {
    let mut hasher = digest.hasher();
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        match bytes.read_at(offset, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => {
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
        }
    }
}

/// What is wrong with a pack: its footer, or the first content whose bytes do not have its digest.
fn pack_problem(file: &dyn PackFile) -> Option<String> {
    if !file.footer_is_intact() {
        return Some("its footer is damaged".into());
    }
    let mut buffer = vec![0; CHUNK];
    for (digest, offset, length) in file.contents() {
        let mut hasher = ContentDigest::hasher();
        let mut done = 0;
        while done < length {
            let count = CHUNK.min((length - done) as usize);
            if let Err(error) = file.read_exact_at(offset + done, &mut buffer[..count]) {
                return Some(format!("it cannot be read: {error}"));
            }
            hasher.update(&buffer[..count]);
            done += count as u64;
        }
        if hasher.finish() != digest {
            return Some(format!("the content at offset {offset} is damaged"));
        }
    }
    None
}

/// Reads stored bytes from their start.
pub(crate) struct Whole {
    pub(crate) bytes: Arc<dyn BlobBytes>,
    pub(crate) offset: u64,
}

impl std::io::Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.bytes.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}
