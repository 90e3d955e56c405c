//! `pull`: from a registry into the store, under the same name.

use strata_model::{Descriptor, Digest, ImageId, Manifest, Platform, Reference, Tag};
use strata_registry_client::RegistryClient;
use strata_store::{EventRow, Store, StoreSink};
use strata_transfer::{
    BlobOutcome, BlobRole, BlobSpec, CopyLimits, CopyPlan, ImageSource, PlatformChoice, Progress, copy_resolved,
    read_small_blob,
};

use crate::view::{ViewAcceptance, ViewPolicy};
use crate::{EngineError, Result, event};

const MAX_CONFIG_SIZE: u64 = 8 << 20;

/// What to pull, and how.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image; without tag and digest, `latest` is meant.
    pub reference: Reference,
    /// The platform; `None` is this machine's.
    pub platform: Option<Platform>,
    /// How much at once.
    pub limits: CopyLimits,
    /// Whether to prepare the image for mounting.
    pub view: ViewPolicy,
}

/// Whether a pull changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullOutcome {
    /// The name pointed there already, and everything was here.
    UpToDate,
    /// Something came, or the name is new.
    Downloaded,
}

/// What a pull did.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Digest that the name resolved to: of the index for images of several platforms.
    pub digest: Digest,
    /// The image.
    pub image: ImageId,
    /// Whether anything changed.
    pub outcome: PullOutcome,
    /// Compressed bytes that came over the network.
    pub transferred: u64,
}

/// Pulls one image. Its blobs come in parallel, each is visible when it is complete; the name is set last.
///
/// A pull that was killed goes on where it stopped when it is repeated.
///
/// # Errors
/// With docker's wording for what the registry refuses.
pub async fn pull(
    store: &Store,
    client: &RegistryClient,
    request: &PullRequest,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let reference = request.reference.clone().with_default_tag();
    refuse_reserved(&reference)?;
    let source = client.repository(reference.host(), reference.repository());
    let resolved = source.resolve(&reference.target()).await?;
    if let Some(image) = up_to_date(store, &reference, &resolved, request.platform.as_ref()).await? {
        return Ok(Pulled { digest: resolved.digest, image, outcome: PullOutcome::UpToDate, transferred: 0 });
    }
    let lease = store.lease("pull").await?;
    strata_store::fault::point("lease-started");
    let names: Vec<(String, String)> = match (reference.digest(), reference.tag()) {
        (None, Some(tag)) => vec![(reference.name(), tag.to_string())],
        _ => Vec::new(),
    };
    let acceptance = ViewAcceptance { store, policy: request.view };
    let sink = StoreSink::new(store, &lease, names, Some(reference.name()), Some(pull_event(store, &reference)))
        .with_acceptance(&acceptance);
    let plan = CopyPlan {
        target: reference.target(),
        platforms: platform_choice(request.platform.as_ref()),
        limits: request.limits,
    };
    let copied = copy_resolved(&source, &sink, resolved, &plan, progress).await?;
    let published = sink.published();
    let image = published
        .first()
        .map(|published| published.row.id)
        .ok_or_else(|| EngineError::invalid(format!("{}: the registry sent no image", reference.familiar())))?;
    store.release(lease).await?;
    crate::event::snapshot(store).await;
    let came = |(spec, outcome): &(BlobSpec, BlobOutcome)| match outcome {
        BlobOutcome::Copied => spec.descriptor.size,
        BlobOutcome::Existed | BlobOutcome::Mounted => 0,
    };
    let transferred = copied.blobs.iter().map(came).sum();
    Ok(Pulled { digest: copied.resolved.digest, image, outcome: PullOutcome::Downloaded, transferred })
}

/// The tags of a repository that `pull --all-tags` pulls, in the registry's order.
///
/// # Errors
/// What the registry refuses.
pub async fn all_tags(client: &RegistryClient, reference: &Reference) -> Result<Vec<Tag>> {
    Ok(client.repository(reference.host(), reference.repository()).tags().await?)
}

/// What a pull would do.
#[derive(Clone, Debug)]
pub struct PullPlan {
    /// Digest that the name resolves to.
    pub digest: Digest,
    /// Platform of the image that would be pulled.
    pub platform: Option<Platform>,
    /// Its blobs, configuration first, and whether each is here already.
    pub blobs: Vec<(Descriptor, bool)>,
}

/// Finds out what a pull would fetch, without changing the store.
///
/// # Errors
/// As [`pull`].
pub async fn plan_pull(store: &Store, client: &RegistryClient, request: &PullRequest) -> Result<PullPlan> {
    let reference = request.reference.clone().with_default_tag();
    refuse_reserved(&reference)?;
    let source = client.repository(reference.host(), reference.repository());
    let resolved = source.resolve(&reference.target()).await?;
    let (image, _) = choose_image(&source, &resolved, &platform_choice(request.platform.as_ref())).await?;
    let manifest = source.manifest(&image).await?;
    let Manifest::Image(manifest) = manifest.value() else {
        return Err(EngineError::invalid(format!("{}: nested indexes cannot be planned", image.digest)));
    };
    let config = read_small_blob(&source, &manifest.config, MAX_CONFIG_SIZE).await?;
    let platform = strata_model::ImageConfig::parse(&config).ok().map(|config| config.platform());
    let spec = |descriptor: &Descriptor, role| BlobSpec { descriptor: descriptor.clone(), role };
    let mut wanted = vec![spec(&manifest.config, BlobRole::Plain)];
    wanted.extend(manifest.layers.iter().map(|layer| spec(layer, BlobRole::Layer { diff_id: None })));
    let missing = store.missing(&wanted).await?;
    let is_here = |digest: Digest| missing.iter().all(|spec| spec.descriptor.digest != digest);
    let blobs = wanted.into_iter().map(|spec| (spec.descriptor.clone(), is_here(spec.descriptor.digest))).collect();
    Ok(PullPlan { digest: resolved.digest, platform, blobs })
}

/// The image manifest that a platform choice means below a resolved descriptor, and that of the index if there is one.
pub(crate) async fn choose_image(
    source: &dyn ImageSource,
    resolved: &Descriptor,
    choice: &PlatformChoice,
) -> Result<(Descriptor, Option<Descriptor>)> {
    let manifest = source.manifest(resolved).await?;
    match manifest.value() {
        Manifest::Image(_) => Ok((resolved.clone(), None)),
        Manifest::Index(index) => {
            let child = strata_transfer::choose_platform(&index.manifests, choice)?;
            Ok((child.clone(), Some(resolved.clone())))
        }
    }
}

pub(crate) fn platform_choice(platform: Option<&Platform>) -> PlatformChoice {
    PlatformChoice::Best(platform.cloned().unwrap_or_else(Platform::host))
}

fn refuse_reserved(reference: &Reference) -> Result<()> {
    match reference.familiar_name().as_str() {
        "scratch" => Err(EngineError::ReservedName("scratch".into())),
        _ => Ok(()),
    }
}

/// The image, when the name (or digest) means it already and all of it is here.
async fn up_to_date(
    store: &Store,
    reference: &Reference,
    resolved: &Descriptor,
    platform: Option<&Platform>,
) -> Result<Option<ImageId>> {
    let txn = store.read().await?;
    let known = txn.digest_names_of_repository(&reference.name()).await?;
    let images = known.iter().filter(|row| row.digest == resolved.digest);
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    for row in images {
        let Some(image) = txn.image(&row.image).await? else { continue };
        let suits = image.platform.parse().is_ok_and(|offered: Platform| wanted.rank(&offered).is_some());
        // An image of one platform is what a name without a choice means, whatever this machine is.
        let suits = suits || image.manifest == resolved.digest;
        let named = match (reference.digest(), reference.tag()) {
            (None, Some(tag)) => txn
                .names_of_image(&image.id)
                .await?
                .iter()
                .any(|name| name.repository == reference.name() && name.tag == tag.as_str()),
            _ => true,
        };
        if suits && named && is_whole(store, &*txn, &image).await? {
            return Ok(Some(image.id));
        }
    }
    Ok(None)
}

async fn is_whole(store: &Store, txn: &dyn strata_store::ReadTxn, image: &strata_store::ImageRow) -> Result<bool> {
    let Ok(documents) = crate::load_documents(txn, image).await else { return Ok(false) };
    let wanted: Vec<BlobSpec> = documents
        .image()
        .layers
        .iter()
        .map(|layer| BlobSpec { descriptor: layer.clone(), role: BlobRole::Layer { diff_id: None } })
        .collect();
    Ok(store.missing(&wanted).await?.is_empty())
}

fn pull_event(store: &Store, reference: &Reference) -> EventRow {
    event::image_event(store.now(), "pull", &reference.familiar(), &reference.familiar_name())
}
