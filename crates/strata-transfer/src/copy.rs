//! The one mover: from any source to any sink, blobs in parallel, manifests last.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_model::{
    Descriptor, DiffId, Digest, ErrorKind, ImageConfig, ImageManifest, Manifest, MediaType, Platform, Raw, Target,
};

use crate::{
    BlobOutcome, BlobRole, BlobSpec, BlobStream, ImageSink, ImageSource, Origin, Phase, Progress, ProgressEvent,
    Result, TransferError, Verified,
};

/// Largest configuration that is read, in bytes.
const MAX_CONFIG_SIZE: u64 = 8 << 20;
/// Most indexes within indexes that are followed.
const MAX_INDEX_DEPTH: usize = 4;

/// Which images of an index are wanted.
#[derive(Clone, Debug)]
pub enum PlatformChoice {
    /// The one that runs best on this platform.
    Best(Platform),
    /// The one for exactly this platform.
    Exactly(Platform),
    /// Every entry, attestations too: the index keeps its digest.
    All,
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct CopyLimits {
    /// Blobs in flight.
    pub blobs: usize,
    /// Tries of a blob, the first one included.
    pub tries: u32,
    /// Pause before the second try; each further pause is one such longer.
    pub retry_pause: Duration,
}

impl Default for CopyLimits {
    fn default() -> CopyLimits {
        CopyLimits { blobs: 3, tries: 5, retry_pause: Duration::from_secs(5) }
    }
}

/// What is to be copied.
#[derive(Clone, Debug)]
pub struct CopyPlan {
    /// Tag or digest at the source.
    pub target: Target,
    /// Which platforms.
    pub platforms: PlatformChoice,
    /// How much at once.
    pub limits: CopyLimits,
}

/// What was copied.
#[derive(Debug)]
pub struct Copied {
    /// What the target pointed at.
    pub resolved: Descriptor,
    /// The topmost manifest that was copied whole.
    pub image: Descriptor,
    /// What became of each distinct blob, in the order of the manifests.
    pub blobs: Vec<(BlobSpec, BlobOutcome)>,
}

/// Copies an image (or an index with all its images) from `source` to `sink`.
///
/// Nothing is visible under the sink's name before everything it refers to is complete there. A copy that fails or is
/// dropped leaves finished blobs behind, which the next one finds.
///
/// # Errors
/// `NotFound` when the target or the platform does not exist; otherwise what source or sink report. A blob's retryable
/// error is returned only after `limits.tries` tries.
pub async fn copy(
    source: &dyn ImageSource,
    sink: &dyn ImageSink,
    plan: &CopyPlan,
    progress: &dyn Progress,
) -> Result<Copied> {
    let resolved = source.resolve(&plan.target).await?;
    copy_resolved(source, sink, resolved, plan, progress).await
}

/// Copies what the caller resolved already; `plan.target` is not asked for again.
///
/// # Errors
/// As [`copy`].
pub async fn copy_resolved(
    source: &dyn ImageSource,
    sink: &dyn ImageSink,
    resolved: Descriptor,
    plan: &CopyPlan,
    progress: &dyn Progress,
) -> Result<Copied> {
    let mover = Mover { source, sink, plan, progress };
    let mut blobs = Vec::new();
    let image = mover.copy_manifest(&resolved, 0, &mut blobs).await?;
    sink.finish(&resolved, &image).await?;
    Ok(Copied { resolved, image, blobs })
}

struct Mover<'a> {
    source: &'a dyn ImageSource,
    sink: &'a dyn ImageSink,
    plan: &'a CopyPlan,
    progress: &'a dyn Progress,
}

type Outcomes = Vec<(BlobSpec, BlobOutcome)>;

impl Mover<'_> {
    /// Copies what `descriptor` names; returns the topmost manifest that was copied whole.
    async fn copy_manifest(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        outcomes: &mut Outcomes,
    ) -> Result<Descriptor> {
        if depth > MAX_INDEX_DEPTH {
            return Err(TransferError::new(
                ErrorKind::Invalid,
                format!("index {}: indexes are nested more than {MAX_INDEX_DEPTH} deep", descriptor.digest),
            ));
        }
        let manifest = self.source.manifest(descriptor).await?;
        match manifest.value() {
            Manifest::Image(image) => {
                self.copy_image(image, outcomes).await?;
                self.sink.put_manifest(&manifest, descriptor).await?;
                Ok(descriptor.clone())
            }
            Manifest::Index(index) => match &self.plan.platforms {
                PlatformChoice::Best(_) | PlatformChoice::Exactly(_) => {
                    let child = choose_platform(&index.manifests, &self.plan.platforms)?;
                    let image = Box::pin(self.copy_manifest(child, depth + 1, outcomes)).await?;
                    if self.sink.keeps_sparse_indexes() {
                        self.sink.put_manifest(&manifest, descriptor).await?;
                    }
                    Ok(image)
                }
                PlatformChoice::All => {
                    for child in &index.manifests {
                        Box::pin(self.copy_manifest(child, depth + 1, outcomes)).await?;
                    }
                    self.sink.put_manifest(&manifest, descriptor).await?;
                    Ok(descriptor.clone())
                }
            },
        }
    }

    async fn copy_image(&self, image: &ImageManifest, outcomes: &mut Outcomes) -> Result<()> {
        let config = self.config_bytes(image).await?;
        let wanted = wanted(image, config.as_deref())?;
        let source = Remembering { source: self.source, digest: image.config.digest, bytes: config.map(Bytes::from) };
        let source = &source;
        let missing: HashSet<Digest> =
            self.sink.missing(&wanted).await?.iter().map(|spec| spec.descriptor.digest).collect();
        for spec in &wanted {
            let phase = if missing.contains(&spec.descriptor.digest) { Phase::Queued } else { Phase::Existed };
            self.report(spec, phase);
        }
        let mut todo: Vec<&BlobSpec> = wanted.iter().filter(|spec| missing.contains(&spec.descriptor.digest)).collect();
        // The largest first: what is started last should be short.
        todo.sort_by_key(|spec| std::cmp::Reverse(spec.descriptor.size));
        // Boxed: the compiler does not see through closures and borrowed traits that a copy may move between threads.
        let copies = todo.into_iter().map(|spec| -> BoxFuture<'_, Result<(Digest, BlobOutcome)>> {
            Box::pin(async move { Ok((spec.descriptor.digest, self.copy_blob(source, spec).await?)) })
        });
        let copies: Vec<BoxFuture<'_, _>> = copies.collect();
        let done: Vec<(Digest, BlobOutcome)> =
            futures_util::stream::iter(copies).buffer_unordered(self.plan.limits.blobs.max(1)).try_collect().await?;
        outcomes.extend(wanted.into_iter().map(|spec| {
            let outcome = done.iter().find(|(digest, _)| *digest == spec.descriptor.digest);
            (spec, outcome.map_or(BlobOutcome::Existed, |(_, outcome)| *outcome))
        }));
        Ok(())
    }

    /// The configuration of a container image; `None` for artifacts.
    async fn config_bytes(&self, image: &ImageManifest) -> Result<Option<Vec<u8>>> {
        if !image.config.media_type.is_image_config() {
            return Ok(None);
        }
        read_small_blob(self.source, &image.config, MAX_CONFIG_SIZE).await.map(Some)
    }

    /// Copies one blob, again after errors that another try may mend.
    async fn copy_blob(&self, source: &dyn ImageSource, spec: &BlobSpec) -> Result<BlobOutcome> {
        let limits = self.plan.limits;
        let mut tries = 1;
        loop {
            match self.sink.put_blob(source, spec, self.progress).await {
                Err(error) if error.retryable && tries < limits.tries => {
                    tracing::debug!(digest = %spec.descriptor.digest, %error, "transfer broke; trying again");
                    self.pause(spec, limits.retry_pause * tries).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Waits, counting down once a second as docker does.
    async fn pause(&self, spec: &BlobSpec, pause: Duration) {
        let mut left = pause;
        while left > Duration::ZERO {
            let seconds = left.as_secs_f64().ceil() as u64;
            self.report(spec, Phase::Retrying { seconds });
            let step = left.min(Duration::from_secs(1));
            tokio::time::sleep(step).await;
            left -= step;
        }
    }

    fn report(&self, spec: &BlobSpec, phase: Phase) {
        let Descriptor { digest, size, .. } = spec.descriptor;
        self.progress.event(ProgressEvent { digest, phase, current: 0, total: size });
    }
}

/// The distinct blobs of an image: configuration first, then layers, lowest first.
fn wanted(image: &ImageManifest, config: Option<&[u8]>) -> Result<Vec<BlobSpec>> {
    let diff_ids = config.map(|config| diff_ids(image, config)).transpose()?;
    let mut wanted = vec![BlobSpec { descriptor: image.config.clone(), role: BlobRole::Plain }];
    let mut seen = HashSet::from([image.config.digest]);
    for (position, layer) in image.layers.iter().enumerate() {
        if !seen.insert(layer.digest) {
            continue;
        }
        let role = match &diff_ids {
            // Attestations have an image configuration, but their layers are statements.
            Some(diff_ids) if layer.media_type.is_layer() => BlobRole::Layer { diff_id: Some(diff_ids[position]) },
            _ => BlobRole::Plain,
        };
        wanted.push(BlobSpec { descriptor: layer.clone(), role });
    }
    Ok(wanted)
}

/// The diff IDs that a configuration claims, one for each layer.
fn diff_ids(image: &ImageManifest, config: &[u8]) -> Result<Vec<DiffId>> {
    let config = ImageConfig::parse(config).map_err(|cause| {
        TransferError::new(ErrorKind::Invalid, format!("image configuration {}: {cause}", image.config.digest))
    })?;
    let (found, expected) = (image.layers.len(), config.rootfs.diff_ids.len());
    if expected != found {
        return Err(TransferError::new(
            ErrorKind::Invalid,
            format!("invalid manifest, layers length mismatch: expected {expected}, got {found}"),
        ));
    }
    Ok(config.rootfs.diff_ids)
}

/// A source whose configuration was read already: it is not asked for twice.
struct Remembering<'a> {
    source: &'a dyn ImageSource,
    digest: Digest,
    bytes: Option<Bytes>,
}

#[async_trait]
impl ImageSource for Remembering<'_> {
    fn origin(&self) -> Origin {
        self.source.origin()
    }

    async fn resolve(&self, target: &Target) -> Result<Descriptor> {
        self.source.resolve(target).await
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        self.source.manifest(descriptor).await
    }

    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream> {
        match &self.bytes {
            Some(bytes) if descriptor.digest == self.digest => {
                let rest = bytes.slice(bytes.len().min(from as usize)..);
                Ok(BlobStream { from, stream: Box::pin(futures_util::stream::once(async move { Ok(rest) })) })
            }
            _ => self.source.blob(descriptor, from).await,
        }
    }
}

/// The entry of an index that a choice means.
///
/// # Errors
/// `NotFound` with docker's wording when there is none, or when the choice is for all of them.
pub fn choose_platform<'a>(entries: &'a [Descriptor], choice: &PlatformChoice) -> Result<&'a Descriptor> {
    let images = || {
        entries.iter().filter(|entry| !entry.is_attestation()).filter_map(|entry| {
            let platform = entry.platform.as_ref()?;
            (!platform.is_unknown()).then_some((platform, entry))
        })
    };
    let (found, wanted) = match choice {
        PlatformChoice::All => {
            return Err(TransferError::new(ErrorKind::Invalid, "one platform must be chosen"));
        }
        PlatformChoice::Best(platform) => (platform.choose(images()), platform),
        PlatformChoice::Exactly(platform) => {
            (images().find(|(offered, _)| platform.is_same(offered)).map(|(_, entry)| entry), platform)
        }
    };
    // An index that names no platforms at all and has one entry means that entry.
    let only = || {
        let mut real = entries.iter().filter(|entry| !entry.is_attestation());
        let first = real.next()?;
        (first.platform.is_none() && real.next().is_none()).then_some(first)
    };
    found.or_else(only).ok_or_else(|| {
        let offered: Vec<String> = images().map(|(platform, _)| platform.to_string()).collect();
        let error = TransferError::new(
            ErrorKind::NotFound,
            format!("no matching manifest for {wanted} in the manifest list entries"),
        );
        if offered.is_empty() { error } else { error.with_hint(format!("available: {}", offered.join(", "))) }
    })
}

/// Reads a small blob whole and verified.
///
/// # Errors
/// `Invalid` when the descriptor says that it is larger than `limit`; `Corrupt` when size or digest differ.
pub async fn read_small_blob(source: &dyn ImageSource, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
    if descriptor.size > limit {
        return Err(TransferError::new(
            ErrorKind::Invalid,
            format!(
                "{} {}: {} bytes are more than the limit of {limit}",
                kind_of(descriptor),
                descriptor.digest,
                descriptor.size
            ),
        ));
    }
    let mut verified = Verified::new(descriptor);
    let mut bytes = Vec::with_capacity(descriptor.size as usize);
    let mut blob = source.blob(descriptor, 0).await?;
    while let Some(chunk) = blob.stream.try_next().await? {
        verified.update(&chunk)?;
        bytes.extend_from_slice(&chunk);
    }
    verified.finish()?;
    Ok(bytes)
}

fn kind_of(descriptor: &Descriptor) -> &'static str {
    if descriptor.media_type.is_image_config() { "image configuration" } else { "blob" }
}

/// Parses a manifest that was fetched for `descriptor` and checks it against the descriptor's digest and size.
///
/// # Errors
/// `Corrupt` when digest or size differ, `Invalid` when it is no manifest.
pub fn check_manifest(
    bytes: bytes::Bytes,
    descriptor: &Descriptor,
    media_type: Option<&MediaType>,
) -> Result<Raw<Manifest>> {
    let digest = {
        let mut hasher = descriptor.digest.hasher();
        hasher.update(&bytes);
        hasher.finish()
    };
    if digest != descriptor.digest {
        return Err(TransferError::new(
            ErrorKind::Corrupt,
            format!("manifest {}: its bytes have digest {digest}", descriptor.digest),
        ));
    }
    if descriptor.size != 0 && descriptor.size != bytes.len() as u64 {
        return Err(TransferError::new(
            ErrorKind::Corrupt,
            format!("manifest {digest}: got {} bytes, expected {}", bytes.len(), descriptor.size),
        ));
    }
    Raw::parse(bytes, |bytes| Manifest::parse(bytes, media_type))
        .map_err(|cause| TransferError::new(ErrorKind::Invalid, format!("manifest {digest}: {cause}")))
}
