//! Names and documents of the image world.

use strata_model::{Digest, ImageConfig, Manifest, MediaType, Platform, Reference};

use crate::text;

/// References as people write them. What is printed means the same again. So does the familiar form, unless its first
/// part reads as a host or all of it as an image ID, which docker does not mind either.
pub fn reference(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = Reference::parse_strict(text);
    let Ok(reference) = Reference::parse(text) else { return };
    let printed = reference.to_string();
    assert_eq!(Reference::parse(&printed).as_ref(), Ok(&reference), "{printed:?} of {text:?}");
    let first = reference.repository().as_str().split('/').next().unwrap_or_default();
    if !first.contains('.')
        && first != "localhost"
        && let Ok(again) = Reference::parse(&reference.familiar())
    {
        assert_eq!(again, reference, "{text:?}");
    }
}

/// Digests.
pub fn digest(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(digest) = text.parse::<Digest>() else { return };
    assert_eq!(digest.to_string(), text);
    assert_eq!(Digest::from_raw(digest.algorithm(), digest.raw()), Some(digest));
}

/// Media types of headers and documents.
pub fn media_type(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let media_type = MediaType::parse(text);
    assert_eq!(MediaType::parse(media_type.as_str()), media_type);
    assert!(media_type.is_manifest() == (media_type.is_index() || media_type.is_image_manifest()));
}

/// Platforms as in `--platform`.
pub fn platform(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(platform) = text.parse::<Platform>() else { return };
    let printed = platform.to_string();
    let again = printed.parse::<Platform>().unwrap_or_else(|error| panic!("{printed:?} of {text:?}: {error}"));
    assert!(again.is_same(&platform), "{printed:?} of {text:?}");
    assert_eq!(platform.normalized().normalized(), platform.normalized());
    let _ = Platform::host().rank(&platform);
}

/// Manifests and indexes, delivered as any media type.
pub fn manifest(bytes: &[u8]) {
    let delivered = [
        None,
        Some(MediaType::OCI_MANIFEST),
        Some(MediaType::OCI_INDEX),
        Some(MediaType::DOCKER_MANIFEST),
        Some(MediaType::DOCKER_LIST),
    ];
    for delivered in delivered {
        let Ok(manifest) = Manifest::parse(bytes, delivered.as_ref()) else { continue };
        let media_type = manifest.media_type();
        assert!(!media_type.is_manifest() || media_type.is_index() == matches!(manifest, Manifest::Index(_)));
        assert!(manifest.edges().all(|edge| edge.descriptor.digest.raw().len() >= 32));
    }
}

/// Configurations of images.
pub fn image_config(bytes: &[u8]) {
    let Ok(config) = ImageConfig::parse(bytes) else { return };
    let _ = config.platform().normalized();
}
