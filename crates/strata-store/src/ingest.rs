//! Taking blobs in: from a place over the network, with resumption, or from bytes at hand.
//!
//! A download is staged under its digest and locked by its owner, so that a second process waits for it, and goes on where
//! it stopped when the owner dies. What was staged is hashed and inflated again from its start; then the source is asked
//! for the rest. A layer is published on its own, in one small transaction: a killed pull loses only layers in flight.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use strata_layer::{LayerLimits, SNIFF_LENGTH, sniff};
use strata_model::{Algorithm, Compression, Descriptor, DiffId, Digest, Hasher, MAX_MANIFEST_SIZE, MediaType};
use strata_transfer::{
    BlobOutcome, BlobRole, BlobSpec, ImageSource, Phase, Progress, ProgressEvent, TransferError, Verified,
    read_small_blob,
};

use crate::publish::NewBlob;
use crate::unpack::Unpacking;
use crate::{BlobKind, Durability, Ingest, Lease, LeaseItem, ObjectRow, Result, StageName, Store, StoreError, fault};

/// Plain blobs up to this size (configurations) live in the catalog's row.
const INLINE_LIMIT: u64 = MAX_MANIFEST_SIZE as u64;
/// How often a process looks whether another one's download is done.
const POLL: Duration = Duration::from_millis(30);
/// What is read at once from a staged file.
const STAGED_CHUNK: usize = 256 << 10;

/// A layer that was taken in.
#[derive(Clone, Debug)]
pub struct IngestedLayer {
    /// Digest of its bytes as they came.
    pub blob: Digest,
    /// Number of bytes as they came.
    pub size: u64,
    /// Digest of its tar.
    pub diff_id: DiffId,
    /// How it was compressed.
    pub compression: Compression,
}

impl Store {
    /// Takes a blob from `source`, verified, and publishes it under `lease`. The same blob is fetched once, however many
    /// tasks and processes ask for it.
    ///
    /// # Errors
    /// Retryable ones when the stream broke; what arrived stays staged.
    pub async fn fetch(
        &self,
        lease: &Lease,
        source: &dyn ImageSource,
        spec: &BlobSpec,
        progress: &dyn Progress,
    ) -> Result<BlobOutcome, TransferError> {
        if spec.role == BlobRole::Plain && spec.descriptor.size <= INLINE_LIMIT {
            let bytes = read_small_blob(source, &spec.descriptor, INLINE_LIMIT).await?;
            self.put_small_object(lease, &spec.descriptor.media_type, spec.descriptor.digest, bytes.into()).await?;
            return Ok(BlobOutcome::Copied);
        }
        let name = StageName::Download(spec.descriptor.digest);
        let mut waited = false;
        loop {
            let staged = self.inner.blobs.stage(&name).await?;
            // Another owner may have published between our first look and now.
            if self.missing(std::slice::from_ref(spec)).await?.is_empty() {
                if let Some(staged) = staged {
                    staged.finish().await?;
                }
                self.protect_blob(lease, spec).await?;
                report(progress, spec, Phase::Existed, 0);
                return Ok(BlobOutcome::Existed);
            }
            if let Some(staged) = staged {
                Download { store: self, lease, source, spec, progress }.run(staged).await?;
                return Ok(BlobOutcome::Copied);
            }
            if !waited {
                report(progress, spec, Phase::Waiting, 0);
                waited = true;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn protect_blob(&self, lease: &Lease, spec: &BlobSpec) -> Result<()> {
        let mut items = vec![LeaseItem::Object(spec.descriptor.digest)];
        if let Some(diff_id) = self.read().await?.layer_of_blob(&spec.descriptor.digest).await? {
            items.push(LeaseItem::Layer(diff_id));
        }
        self.protect(lease, &items).await
    }

    /// Publishes a small object (a configuration, or an artifact's blob) whose bytes are at hand.
    ///
    /// # Errors
    /// `DamagedObject` when the bytes have another digest.
    pub async fn put_small_object(
        &self,
        lease: &Lease,
        media_type: &MediaType,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<()> {
        let mut hasher = digest.hasher();
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != digest {
            return Err(StoreError::DamagedObject { digest, cause: format!("its bytes have digest {found}") });
        }
        let row = self.small_object_row(media_type, digest, bytes).await?;
        self.publish_object(lease, &row).await
    }

    /// The row of a small object: its bytes are durable in the catalog, and written through to blob storage, where only a
    /// rebuild of the catalog reads them.
    pub(crate) async fn small_object_row(
        &self,
        media_type: &MediaType,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<ObjectRow> {
        let mut ingest = self.inner.blobs.begin(BlobKind::Object).await?;
        ingest.write(&bytes).await?;
        let location = ingest.seal(Durability::Unsynced).await?;
        ingest.finish().await?;
        Ok(ObjectRow {
            digest,
            media_type: media_type.clone(),
            size: bytes.len() as u64,
            location: Some(location),
            bytes: Some(bytes),
            created: self.now(),
            damaged: false,
        })
    }

    /// Starts to take in a layer whose bytes are at hand (an archive's member). `name` is what errors call it.
    ///
    /// # Errors
    /// What the backends report.
    pub async fn begin_layer(&self, lease: &Lease, name: &str) -> Result<LayerIngest> {
        let known = self.known_packs(lease).await?;
        let unpacking = Unpacking::start(name.to_owned(), self.inner.packs.clone(), known, self.layer_limits());
        let hasher = Hasher::new(Algorithm::Sha256);
        Ok(LayerIngest { store: self.clone(), unpacking, hasher, size: 0, copy: Copy::Undecided })
    }

    pub(crate) fn layer_limits(&self) -> LayerLimits {
        LayerLimits { tar_size: self.inner.options.max_layer_size, ..LayerLimits::default() }
    }
}

/// Whether a layer's bytes are kept besides its pack.
enum Copy {
    Undecided,
    /// A compressed layer is kept as it came.
    Kept(Box<dyn Ingest>),
    /// A plain tar is not stored a second time: pack and index hold it byte for byte. A layer in bzip2 or xz, which no
    /// registry knows, becomes one.
    Unneeded,
}

/// A layer being taken in from bytes at hand.
pub struct LayerIngest {
    store: Store,
    unpacking: Unpacking,
    hasher: Hasher,
    size: u64,
    copy: Copy,
}

impl LayerIngest {
    /// Takes bytes. The first call must bring at least six of them, or all there are.
    ///
    /// # Errors
    /// What the backends report; what is wrong with the layer itself, [`LayerIngest::finish`] tells.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if let Copy::Undecided = self.copy {
            let start = &bytes[..bytes.len().min(SNIFF_LENGTH)];
            self.copy = match sniff(start) {
                Compression::None | Compression::Bzip2 | Compression::Xz => Copy::Unneeded,
                Compression::Gzip | Compression::Zstd => {
                    Copy::Kept(self.store.inner.blobs.begin(BlobKind::Object).await?)
                }
            };
        }
        self.hasher.update(&bytes);
        self.size += bytes.len() as u64;
        if let Copy::Kept(copy) = &mut self.copy {
            copy.write(&bytes).await?;
        }
        self.unpacking.feed(bytes).await;
        Ok(())
    }

    /// Ends the layer and publishes it under `lease`. `claimed` is the diff ID that a configuration says, if known.
    ///
    /// # Errors
    /// `MalformedLayer`, `DiffIdMismatch`, or what the backends report.
    pub async fn finish(self, lease: &Lease, claimed: Option<DiffId>) -> Result<IngestedLayer> {
        let unpacked = self.unpacking.finish().await?;
        let diff_id = unpacked.index().diff_id;
        let (digest, size, compression) = match unpacked.compression {
            kept @ (Compression::Gzip | Compression::Zstd) => (self.hasher.finish(), self.size, kept),
            Compression::None | Compression::Bzip2 | Compression::Xz => {
                (diff_id.0, unpacked.index().tar_size, Compression::None)
            }
        };
        check_claim(claimed, diff_id, digest)?;
        let copy = match self.copy {
            Copy::Kept(copy) => Some(copy),
            Copy::Undecided | Copy::Unneeded => None,
        };
        let blob = NewBlob { digest, size, media_type: layer_media_type(compression), bytes: copy };
        self.store.publish_layer(lease, blob, unpacked).await?;
        Ok(IngestedLayer { blob: digest, size, diff_id, compression })
    }
}

/// The OCI media type of a layer in this compression; what has none of its own is plain bytes to a registry.
pub fn layer_media_type(compression: Compression) -> MediaType {
    match compression {
        Compression::None => MediaType::OCI_LAYER,
        Compression::Gzip => MediaType::OCI_LAYER_GZIP,
        Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
        Compression::Bzip2 | Compression::Xz => MediaType::OCTET_STREAM,
    }
}

fn check_claim(claimed: Option<DiffId>, found: DiffId, blob: Digest) -> Result<()> {
    match claimed {
        Some(claimed) if claimed != found => Err(StoreError::DiffIdMismatch { blob, found, claimed }),
        _ => Ok(()),
    }
}

/// One download of one blob by the owner of its staged bytes.
struct Download<'a> {
    store: &'a Store,
    lease: &'a Lease,
    source: &'a dyn ImageSource,
    spec: &'a BlobSpec,
    progress: &'a dyn Progress,
}

impl Download<'_> {
    async fn run(&self, mut staged: Box<dyn Ingest>) -> Result<(), TransferError> {
        fault::point("download-started");
        let Descriptor { digest, size, .. } = self.spec.descriptor;
        if staged.length() > size {
            staged.restart().await?;
        }
        let unpacking = match self.spec.role {
            BlobRole::Plain => None,
            BlobRole::Layer { .. } => Some(self.start_unpacking().await?),
        };
        let mut sink = Taking { verified: Verified::new(&self.spec.descriptor), unpacking };
        let unpacking = match self.receive(&mut *staged, &mut sink).await {
            Ok(()) => match sink.verified.finish() {
                Ok(_) => sink.unpacking,
                Err(error) => {
                    if !error.retryable {
                        staged.restart().await?;
                    }
                    return Err(error);
                }
            },
            Err(error) => return Err(error),
        };
        fault::point("download-complete");
        report(self.progress, self.spec, Phase::DownloadComplete, size);
        let blob = NewBlob { digest, size, media_type: self.spec.descriptor.media_type.clone(), bytes: Some(staged) };
        match unpacking {
            None => self.store.publish_blob(self.lease, blob).await?,
            Some(unpacking) => {
                report(self.progress, self.spec, Phase::Extracting, size);
                let unpacked = unpacking.finish().await?;
                if let BlobRole::Layer { diff_id } = self.spec.role {
                    check_claim(diff_id, unpacked.index().diff_id, digest)?;
                }
                self.store.publish_layer(self.lease, blob, unpacked).await?;
            }
        }
        report(self.progress, self.spec, Phase::Complete, size);
        Ok(())
    }

    async fn start_unpacking(&self) -> Result<Unpacking> {
        let known = self.store.known_packs(self.lease).await?;
        let name = self.spec.descriptor.digest.to_string();
        Ok(Unpacking::start(name, self.store.inner.packs.clone(), known, self.store.layer_limits()))
    }

    /// Takes what is staged, then the rest from the source.
    async fn receive(&self, staged: &mut dyn Ingest, sink: &mut Taking) -> Result<(), TransferError> {
        let size = self.spec.descriptor.size;
        let have = staged.length();
        if have > 0 {
            self.replay(staged, sink).await?;
        }
        if have == size {
            return Ok(());
        }
        let mut blob = self.source.blob(&self.spec.descriptor, have).await?;
        if blob.from != have {
            // The source cannot start in the middle: everything is taken again.
            staged.restart().await?;
            sink.verified = Verified::new(&self.spec.descriptor);
            if sink.unpacking.is_some() {
                sink.unpacking = Some(self.start_unpacking().await?);
            }
        }
        while let Some(chunk) = blob.stream.try_next().await? {
            sink.verified.update(&chunk)?;
            staged.write(&chunk).await?;
            sink.unpack(chunk).await;
            let count = sink.verified.count();
            report(self.progress, self.spec, Phase::Downloading, count);
            if count >= size / 2 {
                fault::point("download-half");
            }
        }
        Ok(())
    }

    /// Hashes and inflates again what an earlier try left.
    async fn replay(&self, staged: &mut dyn Ingest, sink: &mut Taking) -> Result<(), TransferError> {
        let bytes = staged.staged()?;
        let mut offset = 0;
        while offset < bytes.size() {
            let mut chunk = vec![0; STAGED_CHUNK.min((bytes.size() - offset) as usize)];
            let count = bytes.read_at(offset, &mut chunk).map_err(|source| {
                StoreError::file("reading staged", self.spec.descriptor.digest.to_string(), source)
            })?;
            if count == 0 {
                break;
            }
            chunk.truncate(count);
            offset += count as u64;
            let chunk = Bytes::from(chunk);
            sink.verified.update(&chunk)?;
            sink.unpack(chunk).await;
            report(self.progress, self.spec, Phase::Downloading, sink.verified.count());
        }
        Ok(())
    }
}

/// Where the bytes of a download go besides the staged file.
struct Taking {
    verified: Verified,
    unpacking: Option<Unpacking>,
}

impl Taking {
    async fn unpack(&self, chunk: Bytes) {
        if let Some(unpacking) = &self.unpacking {
            unpacking.feed(chunk).await;
        }
    }
}

fn report(progress: &dyn Progress, spec: &BlobSpec, phase: Phase, current: u64) {
    let Descriptor { digest, size, .. } = spec.descriptor;
    progress.event(ProgressEvent { digest, phase, current, total: size });
}
