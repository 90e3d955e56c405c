//! Errors of the registry's rules. A surface gives each its code.

use strata_model::{Digest, ErrorKind, ManifestError, MediaType};

use crate::StoreError;

/// Result of a registry operation.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why a repository could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such repository.
    #[error("repository {0} is not known")]
    RepositoryUnknown(String),
    /// The repository does not show such a blob, or the blob is damaged.
    #[error("blob {digest} is not in repository {repository}")]
    BlobUnknown {
        /// The repository.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// The repository has no such tag or manifest.
    #[error("manifest {target} is not in repository {repository}")]
    ManifestUnknown {
        /// The repository.
        repository: String,
        /// Tag or digest.
        target: String,
    },
    /// No such upload: it never was, ended, was cancelled or expired.
    #[error("upload {0} is not known")]
    UploadUnknown(String),
    /// Another request writes to the upload right now.
    #[error("upload {0} is being written to by another request")]
    UploadBusy(String),
    /// The bytes have another digest than the client says.
    #[error("the content has digest {found}, not {expected}")]
    DigestMismatch {
        /// What the client says.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// The bytes are no manifest.
    #[error(transparent)]
    ManifestMalformed(#[from] ManifestError),
    /// The manifest's own media type is not the one that it was sent with, or not one of a manifest.
    #[error("the manifest says that it is {inside}, but it was sent as {outside}")]
    MediaType {
        /// What the document says.
        inside: MediaType,
        /// What it was sent as, or what is expected.
        outside: String,
    },
    /// The manifest refers to what its repository does not have.
    #[error("the manifest refers to {} that repository {repository} does not have: {}", things(.missing), list(.missing))]
    ReferencesUnknown {
        /// The repository.
        repository: String,
        /// What is missing.
        missing: Vec<Digest>,
    },
    /// The manifest belongs to an index.
    #[error("manifest {digest} belongs to index {index}: delete that first")]
    InUse {
        /// The manifest.
        digest: Digest,
        /// The index.
        index: Digest,
    },
    /// A tag points to something else than the caller saw.
    #[error("tag {tag} of repository {repository} was moved meanwhile")]
    TagMoved {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// The repository mirrors another registry and takes no pushes.
    #[error("repository {0} mirrors another registry: it can only be pulled from")]
    MirrorOnly(String),
    /// The registry that is mirrored cannot be asked, or says something odd.
    #[error("mirrored registry {registry}: {message}")]
    Upstream {
        /// Its name.
        registry: String,
        /// What kind of failure it is.
        kind: ErrorKind,
        /// What went wrong.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RegistryError::RepositoryUnknown(_)
            | RegistryError::BlobUnknown { .. }
            | RegistryError::ManifestUnknown { .. }
            | RegistryError::UploadUnknown(_) => ErrorKind::NotFound,
            RegistryError::UploadBusy(_) => ErrorKind::Unavailable,
            RegistryError::DigestMismatch { .. }
            | RegistryError::ManifestMalformed(_)
            | RegistryError::MediaType { .. }
            | RegistryError::ReferencesUnknown { .. } => ErrorKind::Invalid,
            RegistryError::InUse { .. } | RegistryError::TagMoved { .. } => ErrorKind::Conflict,
            RegistryError::MirrorOnly(_) => ErrorKind::Unsupported,
            RegistryError::Upstream { kind, .. } => *kind,
            RegistryError::Store(error) => error.kind(),
        }
    }
}

fn things(missing: &[Digest]) -> &'static str {
    if missing.len() == 1 { "something" } else { "things" }
}

fn list(missing: &[Digest]) -> String {
    missing.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}
