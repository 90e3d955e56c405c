//! `copy`: an image from any place to any other.
//!
//! Registries and layouts give and take single blobs: between two of these everything streams, and the store is not
//! touched. An archive (and docker's engine, which speaks in archives) gives or takes all of an image at once: it passes
//! through the store under a lease and without names, and nothing of it remains when the lease ends.

mod choice;
mod conversion;
mod pipe;
mod place;
mod staging;

use std::sync::Arc;

use strata_model::{Descriptor, Digest, Platform, Reference, Tag, Target};
use strata_registry_client::{DockerDaemon, RegistryClient};
use strata_store::{Lease, LeaseItem, Store, StoreSink, StoreSource};
use strata_transfer::{
    BlobOutcome, BlobSpec, Copied, CopyLimits, CopyPlan, ImageSink, ImageSource, Phase, PlatformChoice, Progress,
    ProgressEvent, Silent, copy,
};

pub(crate) use pipe::ChunkReader;
pub use place::{ArchiveEntry, Place};

use crate::copy::choice::Wanted;
use crate::copy::conversion::OciSource;
use crate::layout_directory::LayoutDirectory;
use crate::lookup::FoundBy;
use crate::pull::platform_choice;
use crate::push::{complete_index, compressed_manifest, mount_candidates};
use crate::view::{ViewAcceptance, ViewPolicy};
use crate::{EngineError, Result, event, find_image};

/// How to copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Every platform: an index keeps its digest.
    pub all: bool,
    /// The platform to take of an index; `None` is this machine's.
    pub platform: Option<Platform>,
    /// How much at once.
    pub limits: CopyLimits,
    /// Layers that are held as plain tars go to registries as they are. Without it they are compressed first, as `push`
    /// does, which gives the image another digest.
    pub preserve_digests: bool,
    /// The type of manifests at the target.
    pub format: ManifestFormat,
    /// Where docker's engine listens, as `unix:///path` or `tcp://127.0.0.1:2375`; `None` is what `DOCKER_HOST` says.
    pub docker_host: Option<String>,
    /// Whether images that come into the store are prepared for mounting.
    pub view: ViewPolicy,
}

/// The type of manifests at the target of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManifestFormat {
    /// As they are: digests are kept.
    #[default]
    Keep,
    /// OCI's. A manifest of Docker's type becomes one with another digest; skopeo and umoci see no other ones in layouts.
    Oci,
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// Digest of the manifest or index at the target.
    pub digest: Digest,
    /// Digest of what the source's name points at: the same, or an index of which one platform was copied.
    pub resolved: Digest,
    /// Bytes of blobs that were written to the target.
    pub transferred: u64,
    /// Blobs that the target had.
    pub existed: usize,
    /// Blobs that were written to the target or linked there.
    pub copied: usize,
}

/// Copies an image. Nothing is visible at the target before all of it is there; a repeated copy takes up what an
/// interrupted one left.
///
/// # Errors
/// `NotFound` when the source or its platform does not exist; what either place reports.
pub async fn copy_images(
    store: &Store,
    client: &RegistryClient,
    from: &Place,
    to: &Place,
    options: &CopyOptions,
    progress: Arc<dyn Progress>,
) -> Result<CopyReport> {
    let job = Job { store, client, options, progress, started: store.now() };
    if from.streams() && to.streams() {
        let source = job.streaming_source(from)?;
        return job.copy_streaming(&source, to).await;
    }
    let lease = Arc::new(store.lease("copy").await?);
    let result = job.copy_leased(from, to, &lease).await;
    // A lease that a worker still holds ends by itself.
    if let Some(lease) = Arc::into_inner(lease) {
        let released = store.release(lease).await;
        if result.is_ok() {
            released?;
        }
    }
    result
}

struct Job<'a> {
    store: &'a Store,
    client: &'a RegistryClient,
    options: &'a CopyOptions,
    progress: Arc<dyn Progress>,
    /// When the copy began, nanoseconds since 1970.
    started: i64,
}

/// A source, and what is wanted of it.
struct Source {
    place: Box<dyn ImageSource>,
    target: Target,
    platforms: PlatformChoice,
    /// The manifest or index in the store that is to be copied whole.
    stored: Option<Digest>,
    /// Whether other places know the image by the same digest.
    digest_is_known: bool,
}

impl Job<'_> {
    fn platforms(&self) -> PlatformChoice {
        if self.options.all { PlatformChoice::All } else { platform_choice(self.options.platform.as_ref()) }
    }

    fn daemon(&self) -> Result<DockerDaemon> {
        Ok(match &self.options.docker_host {
            Some(address) => DockerDaemon::at(address)?,
            None => DockerDaemon::from_environment()?,
        })
    }

    /// A registry or layout to be read.
    fn streaming_source(&self, from: &Place) -> Result<Source> {
        let (place, target): (Box<dyn ImageSource>, Target) = match from {
            Place::Registry(reference) => {
                (Box::new(self.client.repository(reference.host(), reference.repository())), reference.target())
            }
            Place::Layout { directory, name } => {
                (Box::new(LayoutDirectory::open(directory, name.clone())?), Target::Tag(Tag::latest()))
            }
            other => return Err(EngineError::invalid(format!("{other} does not stream"))),
        };
        Ok(Source { place, target, platforms: self.platforms(), stored: None, digest_is_known: true })
    }

    /// Something in the store, to be copied whole.
    fn stored_source(&self, root: Digest, digest_is_known: bool) -> Source {
        Source {
            place: Box::new(StoreSource::new(self.store, root)),
            target: Target::Digest(root),
            platforms: PlatformChoice::All,
            stored: Some(root),
            digest_is_known,
        }
    }

    /// Copies to a registry or layout.
    async fn copy_streaming(&self, source: &Source, to: &Place) -> Result<CopyReport> {
        match to {
            Place::Registry(reference) => {
                let mounts = match source.stored {
                    Some(_) => mount_candidates(self.store, reference).await?,
                    None => Vec::new(),
                };
                let repository = self.client.repository(reference.host(), reference.repository());
                let sink = repository.with_target(reference.target()).with_mount_candidates(mounts);
                self.send(source, &sink, &*self.progress).await.map(|copied| report(&copied))
            }
            Place::Layout { directory, name } => {
                let sink = LayoutDirectory::create(directory, name.clone())?;
                self.send(source, &sink, &*self.progress).await.map(|copied| report(&copied))
            }
            other => Err(EngineError::invalid(format!("{other} does not stream"))),
        }
    }

    async fn send(&self, source: &Source, sink: &dyn ImageSink, progress: &dyn Progress) -> Result<Copied> {
        let (target, platforms) = (source.target.clone(), source.platforms.clone());
        let plan = CopyPlan { target, platforms, limits: self.options.limits };
        match self.options.format {
            ManifestFormat::Keep => Ok(copy(&*source.place, sink, &plan, progress).await?),
            ManifestFormat::Oci => {
                let converted = OciSource::new(&*source.place, &source.platforms);
                Ok(copy(&converted, sink, &plan, progress).await?)
            }
        }
    }

    /// Copies with the store at one end or in between.
    async fn copy_leased(&self, from: &Place, to: &Place, lease: &Arc<Lease>) -> Result<CopyReport> {
        // What cannot be a target is said before anything is read.
        let names = target_names(to)?;
        let mut source = match from {
            Place::Registry(_) | Place::Layout { .. } => self.streaming_source(from)?,
            Place::Store(text) => self.stored_image(text, lease).await?,
            Place::OciArchive { file, name } => self.staged_file(file, Wanted::Entry(name.as_deref()), lease).await?,
            Place::DockerArchive { file, image } => {
                self.staged_file(file, Wanted::Docker(image.as_ref()), lease).await?
            }
            Place::DockerDaemon(name) => self.staged_from_daemon(name, lease).await?,
        };
        match to {
            Place::Registry(_) => {
                if let Some(root) = source.stored.filter(|_| !self.options.preserve_digests) {
                    let known = source.digest_is_known;
                    source = self.stored_source(self.compressed(root, lease).await?, known);
                }
                self.copy_streaming(&source, to).await
            }
            Place::Layout { .. } => self.copy_streaming(&source, to).await,
            Place::Store(_) => self.copy_to_store(&source, from, &names, lease).await,
            Place::OciArchive { file, name } => {
                let (staged, report) = self.stage(&source, lease).await?;
                let image = staging::saved_image(self.store, staged, names).await?;
                let writer = staging::oci_writer(image, name.as_deref())?;
                staging::write_file(self.store, writer, file, self.progress.clone()).await?;
                Ok(report)
            }
            Place::DockerArchive { file, .. } => {
                let (staged, report) = self.stage(&source, lease).await?;
                let image = staging::saved_image(self.store, staged, names).await?;
                let writer = staging::docker_writer(image)?;
                staging::write_file(self.store, writer, file, self.progress.clone()).await?;
                Ok(report)
            }
            Place::DockerDaemon(_) => {
                let daemon = self.daemon()?;
                let (staged, report) = self.stage(&source, lease).await?;
                let image = staging::saved_image(self.store, staged, names).await?;
                let writer = staging::docker_writer(image)?;
                staging::load_into(&daemon, self.store, writer, self.progress.clone()).await?;
                Ok(report)
            }
        }
    }

    /// A local image; with `all` the index that its name stands for, when all of it is here.
    async fn stored_image(&self, text: &str, lease: &Lease) -> Result<Source> {
        let found = find_image(self.store, text, self.options.platform.as_ref()).await?;
        let mut root = found.row.manifest;
        if self.options.all {
            let repository = match &found.by {
                FoundBy::Name(name) => Some(&name.repository),
                FoundBy::Digest(name) => Some(&name.repository),
                FoundBy::Id => None,
            };
            let txn = self.store.read().await?;
            if let Some(repository) = repository {
                root = complete_index(&*txn, &found.row, repository).await?.unwrap_or(root);
            }
        }
        self.store.protect(lease, &[LeaseItem::Object(root)]).await?;
        // Of a single image nobody says whether its manifest came from a registry or was made here.
        Ok(self.stored_source(root, root != found.row.manifest))
    }

    async fn staged_file(&self, file: &std::path::Path, wanted: Wanted<'_>, lease: &Arc<Lease>) -> Result<Source> {
        let input = std::fs::File::open(file).map_err(|source| EngineError::file("opening", file, source))?;
        let staged = staging::read_archive(self.store, lease, input, &wanted, self.options, self.on_the_way()).await?;
        Ok(self.stored_source(staged.root, !staged.synthesized))
    }

    async fn staged_from_daemon(&self, name: &str, lease: &Arc<Lease>) -> Result<Source> {
        let daemon = self.daemon()?;
        let name = match name.strip_prefix("sha256:") {
            Some(_) => name.to_owned(),
            None => Reference::parse(name)?.with_default_tag().familiar(),
        };
        let input = pipe::ChunkReader::of(daemon.image_archive(&name).await?);
        let wanted = Wanted::Entry(None);
        let staged = staging::read_archive(self.store, lease, input, &wanted, self.options, self.on_the_way()).await?;
        Ok(self.stored_source(staged.root, !staged.synthesized))
    }

    /// The same image with compressed layers; indexes and artifacts as they are.
    async fn compressed(&self, root: Digest, lease: &Lease) -> Result<Digest> {
        let documents = {
            let txn = self.store.read().await?;
            crate::lookup::documents_of_manifest(&*txn, &root).await?
        };
        match documents {
            Some(documents) => Ok(compressed_manifest(self.store, lease, root, &documents).await?.0),
            None => Ok(root),
        }
    }

    /// Brings an image into the store without a name; what is there already stays where it is.
    async fn stage(&self, source: &Source, lease: &Lease) -> Result<(Digest, CopyReport)> {
        let sink = staging::StagingSink::new(self.store, lease);
        let copied = self.send(source, &sink, &*self.on_the_way()).await?;
        // Wherever they were before: the archive gets every blob.
        let written = copied.blobs.iter().map(|(spec, _)| (spec.clone(), BlobOutcome::Copied)).collect();
        Ok((copied.image.digest, report(&Copied { blobs: written, ..copied })))
    }

    /// The progress of what passes through the store: bytes move, but no blob is done before it is at its target.
    fn on_the_way(&self) -> Arc<dyn Progress> {
        let progress = self.progress.clone();
        Arc::new(move |event: ProgressEvent| {
            if matches!(event.phase, Phase::Waiting | Phase::Downloading | Phase::Extracting | Phase::Retrying { .. }) {
                progress.event(event);
            }
        })
    }

    async fn copy_to_store(
        &self,
        source: &Source,
        from: &Place,
        names: &[Reference],
        lease: &Lease,
    ) -> Result<CopyReport> {
        let rows = names.iter().filter_map(|name| Some((name.name(), name.tag()?.to_string()))).collect();
        let repository = names.first().filter(|_| source.digest_is_known).map(Reference::name);
        let action = if matches!(from, Place::Registry(_)) { "pull" } else { "load" };
        let event = names
            .first()
            .map(|name| event::image_event(self.store.now(), action, &name.familiar(), &name.familiar_name()));
        let acceptance = ViewAcceptance { store: self.store, policy: self.options.view };
        let sink = StoreSink::new(self.store, lease, rows, repository, event).with_acceptance(&acceptance);
        if matches!(from, Place::Registry(_) | Place::Layout { .. } | Place::Store(_)) {
            return Ok(report(&self.send(source, &sink, &*self.progress).await?));
        }
        let mut copied = self.send(source, &sink, &Silent).await?;
        self.tell_what_came(&mut copied.blobs).await?;
        Ok(report(&copied))
    }

    /// What was read from an archive is all in the store when the copy begins: what is not older than the lease came now.
    async fn tell_what_came(&self, blobs: &mut [(BlobSpec, BlobOutcome)]) -> Result<()> {
        let txn = self.store.read().await?;
        for (spec, outcome) in blobs {
            let Descriptor { digest, size, .. } = spec.descriptor;
            let phase = match txn.object(&digest).await? {
                Some(row) if row.created >= self.started => Phase::Complete,
                _ => Phase::Existed,
            };
            if phase == Phase::Complete {
                *outcome = BlobOutcome::Copied;
            }
            self.progress.event(ProgressEvent { digest, phase, current: size, total: size });
        }
        Ok(())
    }
}

/// The names that an image gets at its target; none for places whose names are no references.
fn target_names(to: &Place) -> Result<Vec<Reference>> {
    match to {
        Place::Store(text) => Ok(vec![crate::tag::parse_name(text)?]),
        Place::DockerDaemon(text) => {
            let reference = Reference::parse(text)?.with_default_tag();
            match reference.digest() {
                None => Ok(vec![reference]),
                Some(_) => {
                    Err(EngineError::invalid(format!("docker-daemon:{text}: a target needs a tag, not a digest")))
                }
            }
        }
        Place::DockerArchive { image: Some(ArchiveEntry::Name(name)), .. } => Ok(vec![name.clone()]),
        Place::DockerArchive { image: Some(ArchiveEntry::Position(_)), .. } => {
            Err(EngineError::invalid(format!("{to}: a position is for reading only")))
        }
        Place::OciArchive { name: Some(name), .. } if name.contains(['/', ':']) => {
            Ok(Reference::parse(name).map(Reference::with_default_tag).into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}

fn report(copied: &Copied) -> CopyReport {
    let bytes = |(spec, outcome): &(BlobSpec, BlobOutcome)| match outcome {
        BlobOutcome::Copied => spec.descriptor.size,
        BlobOutcome::Existed | BlobOutcome::Mounted => 0,
    };
    let existed = copied.blobs.iter().filter(|(_, outcome)| *outcome == BlobOutcome::Existed).count();
    CopyReport {
        digest: copied.image.digest,
        resolved: copied.resolved.digest,
        transferred: copied.blobs.iter().map(bytes).sum(),
        existed,
        copied: copied.blobs.len() - existed,
    }
}
