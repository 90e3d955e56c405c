//! Layers: one pass over a tar into a pack and an index, the exact tar out of them again, and the merge of the indexes
//! of an image into one view.
//!
//! A layer at rest is three files (`layer-storage`): the *blob* as received, the *pack* with the contents of its regular
//! files that the store did not have yet, and the *index* with every entry in tar order and the tar's other bytes. This
//! crate computes them over `Read` and `Write`; it does not know where bytes go, and nothing in it depends on a parent
//! layer until [`view`] merges indexes.

pub mod compression;
pub mod entry;
mod error;
pub mod file;
mod gzip;
mod input;
mod members;
pub mod pack;
pub mod path;
mod placement;
mod read;
mod records;
mod skeleton;
mod tar;
mod varint;
pub mod view;
mod write;

pub use compression::{Bounded, SNIFF_LENGTH, decompressor, layer_decompressor, sniff};
pub use entry::{
    Content, ContentDigest, ContentHasher, EntryRef, IndexBuilder, Kind, LayerIndex, Metadata, NewEntry, PackId,
    Timestamp, Xattrs,
};
pub use error::{LayerError, TarProblem};
pub use file::{INDEX_MAGIC, decode_index, decode_skeleton, encode_index};
pub use members::{Member, Members};
pub use pack::{PackFooter, PackSink, PackSummary, PackTrailer, PackWriter, Place};
pub use placement::{FOREIGN_PACKS, KnownContents, NothingKnown, SHARED_SIZE};
pub use read::{LayerLimits, ReadLayer, read_layer, read_layer_hashed_elsewhere};
pub use skeleton::Skeleton;
pub use view::{Change, ChangeKind, ImageView, Inode, InodeId, MergeCause, MergeError, ResolveError, diff, merge};
pub use write::{Contents, write_tar};
