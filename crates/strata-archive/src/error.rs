//! What can go wrong with an archive. Where docker has words for it, they are docker's (spec section "load").

use strata_model::{Digest, ErrorKind, ManifestError, ReferenceError};

/// The error of whoever stores or delivers blobs; it is carried along unchanged and can be downcast.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream under the archive failed.
    #[error("reading the archive: {0}")]
    Read(#[source] std::io::Error),
    /// The stream that the archive is written to failed.
    #[error("writing the archive: {0}")]
    Write(#[source] std::io::Error),
    /// The bytes are not a tar.
    #[error("malformed archive: byte {offset}: {problem}")]
    Tar {
        /// Where, counted from the start of the stream.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The stream ended within a member.
    #[error("malformed archive: byte {offset}: unexpected EOF")]
    Truncated {
        /// Length of the stream.
        offset: u64,
    },
    /// A tar, but of something else.
    #[error(
        "not an image archive: open repositories: no such file or directory (nor manifest.json, nor index.json with oci-layout)"
    )]
    NotAnArchive,
    /// `manifest.json` is `null`.
    #[error("invalid manifest, manifest cannot be null (but can be [])")]
    NullManifest,
    /// `manifest.json` and the configuration disagree on the number of layers.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {got}")]
    LayersMismatch {
        /// Layers that the manifest lists.
        expected: usize,
        /// Diff IDs that the configuration lists.
        got: usize,
    },
    /// A layer is not what the configuration says.
    #[error("invalid diffID for layer {layer}: expected \"{expected}\", got \"{got}\"")]
    DiffId {
        /// Position, lowest is 0.
        layer: usize,
        /// As the configuration says.
        expected: Box<Digest>,
        /// As the bytes say.
        got: Box<Digest>,
    },
    /// A name without a tag.
    #[error("invalid tag {0:?}")]
    InvalidTag(String),
    /// A name that is no reference.
    #[error("invalid tag {name:?}: {cause}")]
    InvalidName {
        /// The name as written in the archive.
        name: String,
        /// Why it is none.
        cause: ReferenceError,
    },
    /// A document names a member that the archive lacks.
    #[error("{document} names {path:?}, which is not in the archive")]
    Missing {
        /// The document.
        document: String,
        /// The missing member.
        path: String,
    },
    /// Links that lead in a circle.
    #[error("archive member {0:?}: too many levels of symbolic links")]
    LinkLoop(String),
    /// A document that is not the JSON it should be.
    #[error("archive member {path:?}: {cause}")]
    Document {
        /// The member.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A manifest or index that cannot be understood.
    #[error("archive member {path:?}: {cause}")]
    Manifest {
        /// The member.
        path: String,
        /// What is wrong with it.
        cause: ManifestError,
    },
    /// A blob whose bytes do not have the digest that a document says.
    #[error("archive member {path:?}: expected digest {expected}, got {got}")]
    DigestMismatch {
        /// The member.
        path: String,
        /// As named.
        expected: Box<Digest>,
        /// As stored.
        got: Box<Digest>,
    },
    /// A blob whose length is not what a document says.
    #[error("archive member {path:?}: expected {expected} bytes, got {got}")]
    SizeMismatch {
        /// The member.
        path: String,
        /// As named, in bytes.
        expected: u64,
        /// As stored, in bytes.
        got: u64,
    },
    /// A newer layout.
    #[error("unsupported OCI layout version {0:?}")]
    LayoutVersion(String),
    /// A feature of tar that image archives do not use.
    #[error("archive member {path:?}: {feature} is not supported")]
    Unsupported {
        /// The member.
        path: String,
        /// The feature.
        feature: &'static str,
    },
    /// More than a reader is willing to keep.
    #[error("archive has {what} beyond the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much is taken.
        limit: u64,
    },
    /// The layers of old images refer to each other in a circle.
    #[error("image {0} is its own ancestor")]
    Cycle(String),
    /// No such reference in a layout, or more than one.
    #[error("no descriptor found for reference {0:?}")]
    NoReference(String),
    /// The sink could not take a member, or a source not deliver a blob.
    #[error("archive member {path:?}: {cause}")]
    Blob {
        /// The member.
        path: String,
        /// Its error.
        #[source]
        cause: SinkError,
    },
}

impl ArchiveError {
    /// The kind that surfaces choose exit codes and statuses by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ArchiveError::Read(_) | ArchiveError::Write(_) | ArchiveError::Blob { .. } => ErrorKind::Storage,
            ArchiveError::Tar { .. }
            | ArchiveError::Truncated { .. }
            | ArchiveError::DiffId { .. }
            | ArchiveError::DigestMismatch { .. }
            | ArchiveError::SizeMismatch { .. } => ErrorKind::Corrupt,
            ArchiveError::LayoutVersion(_) | ArchiveError::Unsupported { .. } => ErrorKind::Unsupported,
            ArchiveError::NoReference(_) => ErrorKind::NotFound,
            ArchiveError::NotAnArchive
            | ArchiveError::NullManifest
            | ArchiveError::LayersMismatch { .. }
            | ArchiveError::InvalidTag(_)
            | ArchiveError::InvalidName { .. }
            | ArchiveError::Missing { .. }
            | ArchiveError::LinkLoop(_)
            | ArchiveError::Document { .. }
            | ArchiveError::Manifest { .. }
            | ArchiveError::Limit { .. }
            | ArchiveError::Cycle(_) => ErrorKind::Invalid,
        }
    }
}
