//! The values of the image world: digests, references, platforms, media types, descriptors, manifests and
//! image configurations.
//!
//! This crate is pure: bytes and values, no IO, no clock, no async. A value that exists is valid: the only way to
//! make a [`Digest`] or a [`Reference`] is to parse one. A digest is always of bytes that were held, never of a value
//! that was serialized again; [`Raw`] keeps a document together with its exact bytes.

mod config;
mod descriptor;
mod digest;
mod document;
mod error;
mod manifest;
mod media_type;
mod platform;
mod reference;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::{Annotations, Descriptor};
pub use digest::{Algorithm, ChainId, DiffId, Digest, DigestError, Hasher, ImageId};
pub use document::Raw;
pub use error::{ErrorKind, system_words};
pub use manifest::{Edge, EdgeRole, ImageIndex, ImageManifest, MAX_MANIFEST_SIZE, Manifest, ManifestError};
pub use media_type::{Compression, MediaType};
pub use platform::{Platform, PlatformError};
pub use reference::{Host, Reference, ReferenceError, Repository, Tag, Target};
