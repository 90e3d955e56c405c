//! `manifest`: manifests as a registry has them, and manifest lists put together here.
//!
//! Lists that are being put together lie in a directory of the caller's, as docker keeps them, so that both programs can go
//! on with each other's:
//!
//! ```text
//! docker.io_me_app-1/                       the list docker.io/me/app:1
//!   docker.io_me_app-arm                    one manifest of it: its reference, descriptor and exact bytes, as JSON
//! ```
//! Every file is replaced atomically. Nothing locks the directory: two programs that change one entry at once leave one of
//! the two versions.

mod inspected;
mod lists;
mod push;

pub use inspected::{InspectedManifest, ManifestInspection};
pub use lists::{Annotation, ManifestLists};
pub use push::{PushedList, push_list};

use strata_model::{Descriptor, Digest, ErrorKind, ImageConfig, Manifest, Platform, Raw, Reference};
use strata_registry_client::{RegistryClient, RepositoryClient};
use strata_transfer::{ImageSource as _, TransferError, read_small_blob};

use crate::{EngineError, Result};

const MAX_CONFIG_SIZE: u64 = 8 << 20;

/// Fetches a manifest or a list. With `verbose`, the manifests of a list are fetched too.
///
/// # Errors
/// `NotFound` with docker's words.
pub async fn manifest_inspect(
    client: &RegistryClient,
    reference: &Reference,
    verbose: bool,
) -> Result<ManifestInspection> {
    let reference = reference.clone().with_default_tag();
    let repository = client.repository(reference.host(), reference.repository());
    let (descriptor, manifest) = fetch(client, &reference).await?;
    let Manifest::Index(index) = manifest.value() else {
        let platform = if verbose { platform_of(&repository, &manifest).await? } else { None };
        let descriptor = Descriptor { platform, ..descriptor };
        let image = InspectedManifest { reference: reference.to_string(), descriptor, manifest };
        return Ok(ManifestInspection::Single(Box::new(image)));
    };
    let mut manifests = Vec::new();
    for entry in index.manifests.iter().filter(|entry| verbose && entry.media_type.is_manifest()) {
        let child = repository.manifest(entry).await?;
        let plain = Descriptor::new(entry.media_type.clone(), entry.digest, child.size());
        manifests.push(InspectedManifest {
            reference: with_digest(&reference, &entry.digest),
            descriptor: Descriptor { platform: entry.platform.clone(), ..plain },
            manifest: child,
        });
    }
    Ok(ManifestInspection::List { raw: manifest.bytes().clone(), manifests })
}

/// One image manifest with the platform of its configuration, as an entry of a list.
///
/// # Errors
/// `Invalid` with docker's words when it is a list.
async fn fetch_image(client: &RegistryClient, reference: &Reference) -> Result<InspectedManifest> {
    let (descriptor, manifest) = fetch(client, reference).await?;
    if let Manifest::Index(_) = manifest.value() {
        return Err(EngineError::invalid(format!("{reference} is a manifest list")));
    }
    let repository = client.repository(reference.host(), reference.repository());
    let descriptor = Descriptor { platform: platform_of(&repository, &manifest).await?, ..descriptor };
    Ok(InspectedManifest { reference: reference.to_string(), descriptor, manifest })
}

async fn fetch(client: &RegistryClient, reference: &Reference) -> Result<(Descriptor, Raw<Manifest>)> {
    let repository = client.repository(reference.host(), reference.repository());
    let unknown = |error: TransferError| match error.kind {
        ErrorKind::NotFound => TransferError { message: format!("no such manifest: {reference}"), ..error },
        _ => error,
    };
    let resolved = repository.resolve(&reference.target()).await.map_err(unknown)?;
    let manifest = repository.manifest(&resolved).await.map_err(unknown)?;
    let descriptor = Descriptor::new(manifest.value().media_type(), resolved.digest, manifest.size());
    Ok((descriptor, manifest))
}

/// What the configuration of an image says of its platform; `None` for artifacts.
async fn platform_of(repository: &RepositoryClient, manifest: &Raw<Manifest>) -> Result<Option<Platform>> {
    let Manifest::Image(image) = manifest.value() else { return Ok(None) };
    if !image.config.media_type.is_image_config() {
        return Ok(None);
    }
    let bytes = read_small_blob(repository, &image.config, MAX_CONFIG_SIZE).await?;
    let config = ImageConfig::parse(&bytes)
        .map_err(|cause| EngineError::invalid(format!("image configuration {}: {cause}", image.config.digest)))?;
    let platform = Platform { os_version: config.os_version.clone(), ..config.platform() };
    Ok(Some(platform))
}

/// The reference with a digest behind its tag, as docker names the entries of a list.
fn with_digest(reference: &Reference, digest: &Digest) -> String {
    match reference.digest() {
        Some(_) => reference.with_digest(*digest).to_string(),
        None => format!("{reference}@{digest}"),
    }
}
