//! Layers: one pass over a tar into a pack and an index, the exact tar out of them again, and the merge of the indexes
//! of an image into one view.
//!
//! A layer at rest is three files (`layer-storage`): the *blob* as received, the *pack* with the contents of its regular
//! files that the store did not have yet, and the *index* with every entry in tar order and the tar's other bytes. This
//! crate computes them over `Read` and `Write`; it does not know where bytes go, and nothing in it depends on a parent
//! layer until [`view`] merges indexes.

pub mod entry;

pub use entry::{
    Content, ContentDigest, ContentHasher, EntryRef, IndexBuilder, Kind, LayerIndex, Metadata, NewEntry, PackId, Timestamp, Xattrs,
};
pub mod view;
pub use view::{
    Change, ChangeKind, ImageView, Inode, InodeId, MergeCause, MergeError, ResolveError, diff, merge,
};
