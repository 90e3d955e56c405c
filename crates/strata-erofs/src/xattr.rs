//! Extended attributes, which lie directly behind their inode.

use crate::format::XATTR_HEADER;

/// The number of a name's prefix and the rest of the name; `None` when no Linux file system keeps such a name.
pub(crate) fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => return Some((2, b"")),
        b"system.posix_acl_default" => return Some((3, b"")),
        _ => {}
    }
    [(1, &b"user."[..]), (4, b"trusted."), (6, b"security.")]
        .into_iter()
        .find_map(|(number, prefix)| Some((number, name.strip_prefix(prefix)?)))
        .filter(|(_, rest)| !rest.is_empty() && !rest.contains(&0))
}

/// The prefix with this number.
pub(crate) fn prefix(number: u8) -> Option<&'static [u8]> {
    match number {
        1 => Some(b"user."),
        2 => Some(b"system.posix_acl_access"),
        3 => Some(b"system.posix_acl_default"),
        4 => Some(b"trusted."),
        6 => Some(b"security."),
        _ => None,
    }
}

/// How many bytes a set takes on disk; 0 when nothing of it can be kept. `None` when it is too large for the format.
pub(crate) fn encoded_size(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Option<usize> {
    let mut size = XATTR_HEADER;
    for (name, value) in xattrs {
        let Some((_, rest)) = split_name(name) else { continue };
        if rest.len() > 255 || value.len() > usize::from(u16::MAX) {
            return None;
        }
        size += (4 + rest.len() + value.len()).next_multiple_of(4);
    }
    match size {
        XATTR_HEADER => Some(0),
        _ => (entry_count(size) <= usize::from(u16::MAX)).then_some(size),
    }
}

/// What `i_xattr_icount` says for a set of this size.
pub(crate) fn entry_count(size: usize) -> usize {
    if size == 0 { 0 } else { (size - XATTR_HEADER) / 4 + 1 }
}

/// The inverse of [`entry_count`].
pub(crate) fn size_of_count(count: u16) -> usize {
    if count == 0 { 0 } else { XATTR_HEADER + 4 * (usize::from(count) - 1) }
}

/// The set on disk: a header of zeros (no filter, no shared entries) and the entries, each padded to four bytes.
pub(crate) fn encode(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; XATTR_HEADER];
    for (name, value) in xattrs {
        let Some((number, rest)) = split_name(name) else { continue };
        bytes.extend([rest.len() as u8, number]);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(rest);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
