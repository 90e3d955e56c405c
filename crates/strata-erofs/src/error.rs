//! Why an image cannot be written.

use std::io;

use strata_layer::PackId;
use strata_model::ErrorKind;

/// Why [`write_image`](crate::write_image) failed. What was written by then is no image.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output failed.
    #[error("writing file system image: {0}")]
    Output(#[from] io::Error),
    /// A content is not in the pack that should hold it.
    #[error("file system image: content of \"{path}\" is not in pack {pack}")]
    ContentMissing {
        /// The file.
        path: String,
        /// The pack.
        pack: PackId,
    },
    /// A content does not start at a multiple of 512, goes beyond the end of its pack, or lies above 2 TiB.
    #[error("file system image: content of \"{path}\" cannot lie at byte {offset} of pack {pack}")]
    Misplaced {
        /// The file.
        path: String,
        /// The pack.
        pack: PackId,
        /// Where it was said to lie.
        offset: u64,
    },
    /// The length of a pack is not a multiple of 512: the kernel could not read its last block.
    #[error("file system image: length {length} of pack {pack} is not a multiple of 512")]
    PackLength {
        /// The pack.
        pack: PackId,
        /// Its length in bytes.
        length: u64,
    },
    /// An attribute that the format cannot hold: a name above 255 bytes, a value above 65,535, or too many of them.
    #[error("file system image: extended attributes of \"{path}\" are too large")]
    XattrsTooLarge {
        /// The file.
        path: String,
    },
    /// A major number above 4,095 or a minor number above 1,048,575.
    #[error("file system image: device number {major}:{minor} of \"{path}\" is out of range")]
    DeviceNumber {
        /// The device.
        path: String,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// More packs than the kernel takes, or more metadata than 128 GiB.
    #[error("file system image: {0}")]
    TooLarge(&'static str),
}

impl WriteError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            WriteError::Output(_) => ErrorKind::Storage,
            WriteError::ContentMissing { .. } | WriteError::Misplaced { .. } | WriteError::PackLength { .. } => {
                ErrorKind::Corrupt
            }
            WriteError::XattrsTooLarge { .. } | WriteError::DeviceNumber { .. } | WriteError::TooLarge(_) => {
                ErrorKind::Unsupported
            }
        }
    }
}
