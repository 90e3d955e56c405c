//! Blobs and packs in a directory.
