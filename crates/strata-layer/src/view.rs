//! The merge of an image's layers into one tree.

/// Identity of an inode in an [`ImageView`]; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub u32);

/// The file system of an image.
pub struct ImageView {}
