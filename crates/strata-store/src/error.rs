//! Errors of the store and of the adapters behind it.

use std::path::PathBuf;

use strata_layer::PackId;
use strata_model::{DiffId, Digest, ErrorKind};

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was being done, such as `writing`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The catalog failed.
    #[error("catalog: {doing}: {cause}")]
    Catalog {
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        cause: String,
        /// `Storage` for a full disk or a read-only file, `Corrupt`, `Unavailable` when busy, else `Internal`.
        kind: ErrorKind,
    },
    /// The store on disk was written by a newer Strata.
    #[error("the store has format {found}, this strata knows formats up to {known}")]
    NewerFormat {
        /// What the store says.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// Bytes of an object do not hash to its digest, or are missing.
    #[error("object {digest}: {cause}")]
    DamagedObject {
        /// The object.
        digest: Digest,
        /// What is wrong.
        cause: String,
    },
    /// A layer's index or pack is damaged.
    #[error("layer {diff_id}: {cause}")]
    DamagedLayer {
        /// The layer.
        diff_id: DiffId,
        /// What is wrong.
        cause: String,
    },
    /// A pack is damaged or missing.
    #[error("pack {pack}: {cause}")]
    DamagedPack {
        /// The pack.
        pack: PackId,
        /// What is wrong.
        cause: String,
    },
    /// An object is not in the store.
    #[error("object {0} is not in the store")]
    UnknownObject(Digest),
    /// A layer is not in the store.
    #[error("layer {0} is not in the store")]
    UnknownLayer(DiffId),
    /// A manifest refers to something that is not in the store.
    #[error("manifest {manifest} refers to {child}, which is not in the store")]
    MissingReference {
        /// The manifest.
        manifest: Digest,
        /// What it refers to.
        child: Digest,
    },
    /// A layer's tar does not have the digest that the configuration claims.
    #[error("layer {blob}: its tar has digest {found}, but the image's configuration says {claimed}")]
    DiffIdMismatch {
        /// The compressed blob.
        blob: Digest,
        /// What the tar hashes to.
        found: DiffId,
        /// What the configuration says.
        claimed: DiffId,
    },
    /// A layer's bytes are not a tar that can be unpacked safely.
    #[error("layer {blob}: {cause}")]
    MalformedLayer {
        /// The compressed blob, or the layer's position in an archive.
        blob: String,
        /// What is wrong with it.
        cause: String,
        /// `Invalid`, `Corrupt` or `Unsupported`.
        kind: ErrorKind,
    },
    /// The layers of an image contradict each other.
    #[error("image {image}: {cause}")]
    Merge {
        /// The image.
        image: String,
        /// What is wrong.
        cause: Box<strata_layer::MergeError>,
    },
    /// A document is malformed.
    #[error("{what}: {cause}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl StoreError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::File { .. } => ErrorKind::Storage,
            StoreError::Catalog { kind, .. } | StoreError::MalformedLayer { kind, .. } => *kind,
            StoreError::NewerFormat { .. } => ErrorKind::Unsupported,
            StoreError::DamagedObject { .. }
            | StoreError::DamagedLayer { .. }
            | StoreError::DamagedPack { .. }
            | StoreError::DiffIdMismatch { .. } => ErrorKind::Corrupt,
            StoreError::Merge { cause, .. } => cause.kind(),
            StoreError::UnknownObject(_) | StoreError::UnknownLayer(_) => ErrorKind::NotFound,
            StoreError::MissingReference { .. } | StoreError::Malformed { .. } => ErrorKind::Invalid,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::File { source, path, .. } => match source.raw_os_error() {
                Some(28 | 122) => Some(
                    "the disk is full: `strata system df` shows what the store uses, `strata image prune` frees it"
                        .into(),
                ),
                Some(30) => Some(format!("{} lies on a read-only file system", path.display())),
                Some(13 | 1) => Some(
                    "no permission: run as the store's owner, or choose another store with --root or STRATA_ROOT"
                        .into(),
                ),
                _ => None,
            },
            StoreError::Catalog { kind: ErrorKind::Storage, .. } => {
                Some("check free space and permissions of the store's directory".into())
            }
            StoreError::NewerFormat { .. } => {
                Some("install a newer strata, or choose another store with --root".into())
            }
            StoreError::DamagedObject { .. } | StoreError::DamagedLayer { .. } | StoreError::DamagedPack { .. } => {
                Some(
                    "`strata fsck --repair` mends what it can; the next `strata pull` of the image fetches the rest"
                        .into(),
                )
            }
            _ => None,
        }
    }

    /// A failed file operation.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> StoreError {
        StoreError::File { doing, path: path.into(), source }
    }
}

impl From<StoreError> for strata_transfer::TransferError {
    fn from(error: StoreError) -> strata_transfer::TransferError {
        strata_transfer::TransferError {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
            retryable: false,
        }
    }
}
