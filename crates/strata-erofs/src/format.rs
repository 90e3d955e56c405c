//! Numbers and records of the EROFS format, little-endian, as the kernel's `erofs_fs.h` has them.

use strata_layer::Kind;

/// Block size in bytes and its exponent.
pub(crate) const BLOCK: u64 = 512;
pub(crate) const BLOCK_BITS: u8 = 9;

/// Where the superblock lies, and how long it is.
pub(crate) const SUPERBLOCK: u64 = 1024;
pub(crate) const SUPERBLOCK_SIZE: u64 = 128;
pub(crate) const MAGIC: u32 = 0xE0F5_E1E2;
/// Compatible feature: inodes hold the time of last change.
pub(crate) const MTIME: u32 = 2;
/// Incompatible features: chunk-based files, a table of devices.
pub(crate) const CHUNKED_FILE: u32 = 4;
pub(crate) const DEVICE_TABLE: u32 = 8;

/// Size of a slot in the device table, which starts at a multiple of it.
pub(crate) const DEVICE_SLOT: u64 = 128;

/// Inodes start at multiples of this; the number of an inode is its position in these units.
pub(crate) const INODE_UNIT: u64 = 32;
pub(crate) const INODE_SIZE: u64 = 64;
/// Bit of `i_format`: an inode of 64 bytes.
pub(crate) const EXTENDED: u16 = 1;

pub(crate) const LAYOUT_PLAIN: u16 = 0;
pub(crate) const LAYOUT_INLINE: u16 = 2;
pub(crate) const LAYOUT_CHUNKS: u16 = 4;

/// Chunk format: indexes of eight bytes.
pub(crate) const CHUNK_INDEXES: u32 = 0x20;
/// Exponent of the chunk size, less that of the block size: the largest possible, so that one chunk is 1 TiB.
pub(crate) const CHUNK_BITS: u32 = 31;
pub(crate) const CHUNK: u64 = BLOCK << CHUNK_BITS;

pub(crate) const DIRENT_SIZE: usize = 12;

pub(crate) const XATTR_HEADER: usize = 12;

/// File type in a directory entry.
pub(crate) fn dirent_type(kind: Kind) -> u8 {
    match kind {
        Kind::Regular | Kind::HardLink => 1,
        Kind::Directory => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Symlink => 7,
    }
}

/// File type in `st_mode`.
pub(crate) fn mode_type(kind: Kind) -> u16 {
    match kind {
        Kind::Regular | Kind::HardLink => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::CharDevice => 0o020_000,
        Kind::BlockDevice => 0o060_000,
        Kind::Fifo => 0o010_000,
        Kind::Symlink => 0o120_000,
    }
}

/// The kind that a mode says.
pub(crate) fn kind_of_mode(mode: u16) -> Option<Kind> {
    let kinds = [Kind::Regular, Kind::Directory, Kind::CharDevice, Kind::BlockDevice, Kind::Fifo, Kind::Symlink];
    kinds.into_iter().find(|kind| mode_type(*kind) == mode & 0o170_000)
}

/// A device number in 32 bits; `None` when it does not fit (12 bits of major, 20 of minor).
pub(crate) fn encode_device((major, minor): (u32, u32)) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20).then_some((minor & 0xff) | major << 8 | (minor & !0xff) << 12)
}

/// The inverse of [`encode_device`].
pub(crate) fn decode_device(number: u32) -> (u32, u32) {
    (number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & !0xff))
}

/// An inode of 64 bytes.
pub(crate) struct InodeHeader {
    pub(crate) layout: u16,
    pub(crate) xattr_count: u16,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// First block, chunk format or device number.
    pub(crate) union: u32,
    pub(crate) serial: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) links: u32,
}

impl InodeHeader {
    pub(crate) fn encode(&self) -> [u8; INODE_SIZE as usize] {
        let mut bytes = [0; INODE_SIZE as usize];
        bytes[0..2].copy_from_slice(&(EXTENDED | self.layout << 1).to_le_bytes());
        bytes[2..4].copy_from_slice(&self.xattr_count.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.mode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.union.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.serial.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.uid.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.gid.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.nanoseconds.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.links.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers() {
        for device in [(0, 0), (1, 3), (259, 70_001), (4095, (1 << 20) - 1)] {
            assert_eq!(encode_device(device).map(decode_device), Some(device));
        }
        assert_eq!(encode_device((259, 70_001)), Some(259 << 8 | 0x71 | (70_001 & !0xff) << 12));
        assert_eq!((encode_device((4096, 0)), encode_device((0, 1 << 20))), (None, None));
    }
}
