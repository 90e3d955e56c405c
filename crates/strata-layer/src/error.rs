//! The error of this crate.

use std::io;

use strata_model::{DiffId, ErrorKind};

use crate::path::PathError;

/// Why a layer could not be read, kept or written again.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stream of the tar failed: the source, or the decompressor in between.
    #[error("read layer tar at offset {offset}: {cause}")]
    Read {
        /// Offset in the uncompressed tar.
        offset: u64,
        /// What the reader said.
        cause: io::Error,
    },
    /// The tar is malformed or holds something that no layer may hold.
    #[error("read layer tar at offset {offset}: {problem}")]
    Tar {
        /// Offset of the header, or of the block in question, in the uncompressed tar.
        offset: u64,
        /// What is wrong with it.
        problem: TarProblem,
    },
    /// The tar exceeds a limit of [`LayerLimits`](crate::LayerLimits).
    #[error("read layer tar at offset {offset}: {what} exceeds the limit of {limit}")]
    Limit {
        /// Offset in the uncompressed tar.
        offset: u64,
        /// What there is too much of.
        what: &'static str,
        /// The limit: bytes or a number of entries.
        limit: u64,
    },
    /// The sink of the pack failed.
    #[error("write pack: {0}")]
    WritePack(#[source] io::Error),
    /// A footer or trailer of a pack does not have the form of one.
    #[error("read pack: {0}")]
    Pack(&'static str),
    /// An index file does not have the form of one, or its checksums do not match.
    #[error("read layer index: {0}")]
    Index(&'static str),
    /// An index file of a version that this program does not know.
    #[error("read layer index: version {0} is not supported")]
    IndexVersion(u32),
    /// The index does not fit the caps of the index file format.
    #[error("write layer index: {0}")]
    WriteIndex(&'static str),
    /// The content of a file could not be read from its pack.
    #[error("write tar of layer {diff_id}: read content of {path:?}: {cause}")]
    Content {
        /// The layer.
        diff_id: DiffId,
        /// Path of the file in the layer.
        path: String,
        /// What the pack's reader said.
        cause: io::Error,
    },
    /// The tar's receiver failed.
    #[error("write tar of layer {diff_id}: {cause}")]
    WriteTar {
        /// The layer.
        diff_id: DiffId,
        /// What the writer said.
        cause: io::Error,
    },
    /// Index, skeleton and packs do not make the tar they were made from.
    #[error("write tar of layer {expected}: the result has digest {actual}")]
    DiffIdMismatch {
        /// The layer.
        expected: DiffId,
        /// Digest of what was written.
        actual: Box<DiffId>,
    },
}

impl LayerError {
    /// What kind of error this is for a surface.
    pub fn kind(&self) -> ErrorKind {
        match self {
            LayerError::Read { cause, .. } => match cause.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                    ErrorKind::Corrupt
                }
                _ => ErrorKind::Storage,
            },
            LayerError::Tar { problem: TarProblem::Type(_), .. } | LayerError::IndexVersion(_) => {
                ErrorKind::Unsupported
            }
            LayerError::Tar { problem: TarProblem::Truncated | TarProblem::Checksum, .. } => ErrorKind::Corrupt,
            LayerError::Tar { .. } | LayerError::Limit { .. } | LayerError::WriteIndex(_) => ErrorKind::Invalid,
            LayerError::Pack(_) | LayerError::Index(_) | LayerError::DiffIdMismatch { .. } => ErrorKind::Corrupt,
            LayerError::WritePack(_) | LayerError::Content { .. } | LayerError::WriteTar { .. } => ErrorKind::Storage,
        }
    }
}

/// What is wrong with a tar.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarProblem {
    /// It ends within an entry.
    #[error("unexpected end of the tar")]
    Truncated,
    /// A header whose checksum is wrong: not a tar at all, or damaged.
    #[error("invalid tar header: checksum mismatch")]
    Checksum,
    /// A block of zeros that neither another one nor the end follows.
    #[error("invalid tar header: zero block in the middle of the tar")]
    LoneZeroBlock,
    /// A numeric field that is not octal, not base-256, or out of range.
    #[error("invalid tar header: malformed or out of range: {0}")]
    Number(&'static str),
    /// An entry of a type that layers do not have.
    #[error("unhandled tar header type {0}")]
    Type(u8),
    /// An extended header, name or sparse map beyond what any honest tar needs.
    #[error("{what} of {size} bytes exceeds the limit of {limit}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A PAX extended header that is not a list of records, or a record with a value that it cannot have.
    #[error("invalid PAX header: {0}")]
    Pax(&'static str),
    /// A sparse map that is malformed, unordered, or does not match the sizes.
    #[error("invalid sparse map: {0}")]
    Sparse(&'static str),
    /// An extended attribute that no file system takes.
    #[error("invalid extended attribute of {path:?}: {reason}")]
    Xattr {
        /// The entry.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A path that leaves the root or cannot exist.
    #[error("invalid path {path:?}: {reason}")]
    Path {
        /// As it stands in the tar.
        path: String,
        /// Why.
        reason: PathError,
    },
    /// A hard link whose target leaves the root or cannot exist.
    #[error("invalid hardlink {path:?} -> {target:?}: {reason}")]
    HardLink {
        /// The link's path.
        path: String,
        /// Its target as it stands in the tar.
        target: String,
        /// Why.
        reason: PathError,
    },
    /// A symbolic link whose target cannot be one.
    #[error("invalid symlink {path:?} -> {target:?}: {reason}")]
    Symlink {
        /// The link's path.
        path: String,
        /// Its target.
        target: String,
        /// Why.
        reason: PathError,
    },
    /// An entry that would make the root anything but a directory.
    #[error("the root of a layer can only be a directory")]
    Root,
}
