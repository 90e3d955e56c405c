//! What is mounted, from `/proc/self/mountinfo`, and taking it away.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::erofs::UNMOUNT;
use crate::error::RootfsError;

/// A mount of this process's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number in this namespace.
    pub id: u32,
    /// The mount it lies on.
    pub parent: u32,
    /// Where it appears.
    pub target: PathBuf,
    /// Type of its file system.
    pub filesystem: String,
    /// What is mounted, as the file system calls it.
    pub source: OsString,
    /// Whether it is read-only here.
    pub read_only: bool,
}

/// All mounts, in the order in which they were made.
pub fn mounts() -> Result<Vec<Mount>, RootfsError> {
    const PATH: &str = "/proc/self/mountinfo";
    let text = std::fs::read(PATH).map_err(|cause| RootfsError::system("reading", PATH, cause))?;
    Ok(parse_mountinfo(&text))
}

/// The mounts at `directory` and below it, the last one first: the order in which they can be unmounted.
/// `directory` is compared as it is, so it should be absolute and without links.
pub fn mounts_below(directory: &Path) -> Result<Vec<Mount>, RootfsError> {
    let mut mounts: Vec<Mount> = mounts()?.into_iter().filter(|mount| mount.target.starts_with(directory)).collect();
    mounts.reverse();
    Ok(mounts)
}

/// The mounts in the text of a `mountinfo` file (proc_pid_mountinfo(5)); lines that make no sense are left out.
pub fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse().ok();
    let id = number(fields.next())?;
    let parent = number(fields.next())?;
    let target = PathBuf::from(OsString::from_vec(unescape(fields.nth(2)?)));
    let read_only = fields.next()?.split(|byte| *byte == b',').any(|option| option == b"ro");
    fields.find(|field| *field == b"-")?;
    let filesystem = String::from_utf8(unescape(fields.next()?)).ok()?;
    let source = OsString::from_vec(unescape(fields.next()?));
    Some(Mount { id, parent, target, filesystem, source, read_only })
}

/// Undoes `\040` and its like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits =
            tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        let value = digits.map(|digits| digits.iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Takes away what is mounted last at `target`. Fails with `Conflict` while it is in use and with `NotFound` when nothing
/// is mounted there.
pub fn unmount(target: &Path) -> Result<(), RootfsError> {
    rustix::mount::unmount(target, UNMOUNT).map_err(|cause| RootfsError::system("unmounting", target, cause))
}

/// Takes a mount away from the name space at once; the file system goes when its last user does.
pub fn detach(target: &Path) -> Result<(), RootfsError> {
    rustix::mount::unmount(target, UNMOUNT | UnmountFlags::DETACH)
        .map_err(|cause| RootfsError::system("unmounting", target, cause))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines() {
        let text = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
            37 36 0:44 / /a\\040b\\134c ro,nodev - erofs none ro\nnonsense\n38 x 0:1 / / rw - t s o\n39 1 0:1 / /q rw\n";
        let mounts = parse_mountinfo(text);
        let short: Vec<_> = mounts.iter().map(|mount| (mount.id, mount.parent, mount.read_only)).collect();
        assert_eq!(short, [(36, 35, false), (37, 36, true)]);
        assert_eq!(mounts[0].source, "/dev/root");
        assert_eq!((mounts[1].target.to_str(), mounts[1].filesystem.as_str()), (Some("/a b\\c"), "erofs"));
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(mounts().unwrap().iter().any(|mount| mount.target == Path::new("/")));
        assert!(mounts_below(Path::new("/nothing/is/mounted/here")).unwrap().is_empty());
    }

    #[test]
    fn nothing_to_unmount_is_not_found_or_denied() {
        use strata_model::ErrorKind::{Denied, NotFound};
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(unmount(directory.path()).unwrap_err().kind(), NotFound | Denied));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), line in "[0-9 /\\\\-]{0,60}") {
            parse_mountinfo(&bytes);
            parse_mountinfo(line.as_bytes());
        }
    }
}
