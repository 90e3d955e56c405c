//! Records of where `image mount` shows images: what tells a removal that an image is in use.
//!
//! On disk: one file a target in the store's `mounts/`, named by the SHA-256 of the target's path. It has three parts, each
//! ended by a newline but the last: the image, `mounted` or `copied`, and the path's bytes.
//!
//! A record is locked by the process that mounts, from before anything appears at the target until all of it has. After
//! that it counts while the mount (or a file of the copy) is there. What is left of a crash, a restart or an `umount` by
//! hand counts no more, and is removed by whoever reads it next. Mounts of other mount namespaces are not seen.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use strata_model::{Digest, ImageId};
use strata_rootfs::{Mount, mounts};

use crate::{EngineError, Result};

/// An image that is shown in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedImage {
    /// The image.
    pub image: ImageId,
    /// The directory.
    pub target: PathBuf,
}

/// How an image is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// By a mount of its EROFS image.
    Mounted,
    /// By files written there.
    Copied,
}

/// The images that `image mount` shows at this moment. `root` is the store's directory.
///
/// # Errors
/// When the records, or what is mounted, cannot be read.
pub fn mounted_images(root: &Path) -> Result<Vec<MountedImage>> {
    let folder = folder(root);
    let failed = |source| EngineError::file("reading", &folder, source);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mounts = mounts()?;
    let mut images = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        images.extend(live_record(&path, &mounts).map_err(|source| EngineError::file("reading", &path, source))?);
    }
    images.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(images)
}

/// Reads a record; one that counts no more is removed.
fn live_record(path: &Path, mounts: &[Mount]) -> io::Result<Option<MountedImage>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let is_being_made = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let record = Record::read(&mut file)?;
    match record {
        Some(record) if is_being_made || record.is_live(mounts) => Ok(Some(record.at)),
        _ if is_being_made => Ok(None),
        _ => {
            // Nobody writes it while it is locked here. Who may not remove it reads it in vain each time.
            let _ = fs::remove_file(path);
            Ok(None)
        }
    }
}

struct Record {
    at: MountedImage,
    shown: Shown,
}

impl Record {
    fn read(file: &mut File) -> io::Result<Option<Record>> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Record::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Record> {
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let image = std::str::from_utf8(parts.next()?).ok()?.parse::<Digest>().ok()?;
        let shown = match parts.next()? {
            b"mounted" => Shown::Mounted,
            b"copied" => Shown::Copied,
            _ => return None,
        };
        let target = PathBuf::from(std::ffi::OsString::from_vec(parts.next()?.to_vec()));
        Some(Record { at: MountedImage { image: ImageId(image), target }, shown })
    }

    fn is_live(&self, mounts: &[Mount]) -> bool {
        match self.shown {
            Shown::Mounted => mounts.iter().any(|mount| mount.target == self.at.target && mount.filesystem == "erofs"),
            Shown::Copied => fs::read_dir(&self.at.target).is_ok_and(|mut children| children.next().is_some()),
        }
    }
}

/// A record that is locked, while its mount is being made or taken away.
pub(crate) struct LockedRecord {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl LockedRecord {
    /// Takes the record of a target, which need not be there yet. Waits for others that work on the same target.
    pub(crate) fn lock(root: &Path, target: &Path) -> Result<LockedRecord> {
        let name = Digest::of(target.as_os_str().as_bytes());
        let path = folder(root).join(name.hex());
        let failed = |source| EngineError::file("opening", &path, source);
        fs::create_dir_all(folder(root)).map_err(failed)?;
        loop {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(failed)?;
            file.lock().map_err(failed)?;
            // Whoever held it before may have removed the name of what is locked now.
            let is_current =
                fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if is_current {
                return Ok(LockedRecord { file, path: path.clone(), target: target.to_owned() });
            }
        }
    }

    /// Notes what is about to appear.
    pub(crate) fn write(&mut self, image: &ImageId, shown: Shown) -> Result<()> {
        let word: &[u8] = match shown {
            Shown::Mounted => b"mounted",
            Shown::Copied => b"copied",
        };
        let text = [image.to_string().as_bytes(), word, self.target.as_os_str().as_bytes()].join(&b'\n');
        let written = self.file.rewind().and_then(|()| self.file.set_len(0)).and_then(|()| self.file.write_all(&text));
        written.map_err(|source| EngineError::file("writing", &self.path, source))
    }

    /// How an image is shown at the target, if the record tells of one.
    pub(crate) fn shown(&mut self) -> Result<Option<Shown>> {
        let record = self.file.rewind().and_then(|()| Record::read(&mut self.file));
        let record = record.map_err(|source| EngineError::file("reading", &self.path, source))?;
        Ok(record.filter(|record| record.at.target == self.target).map(|record| record.shown))
    }

    /// Removes the record.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|source| EngineError::file("removing", &self.path, source))
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("mounts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageId {
        ImageId(Digest::of(b"image"))
    }

    #[test]
    fn a_record_counts_while_it_is_made_and_while_something_is_there() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("two\nlines");
        fs::create_dir(&target).unwrap();
        assert_eq!(mounted_images(root.path()).unwrap(), []);

        let mut record = LockedRecord::lock(root.path(), &target).unwrap();
        record.write(&image(), Shown::Mounted).unwrap();
        record.write(&image(), Shown::Copied).unwrap();
        let shown = MountedImage { image: image(), target: target.clone() };
        assert_eq!(mounted_images(root.path()).unwrap(), std::slice::from_ref(&shown), "being made");
        fs::write(target.join("file"), "").unwrap();
        drop(record);
        assert_eq!(mounted_images(root.path()).unwrap(), [shown], "made");

        fs::remove_file(target.join("file")).unwrap();
        assert_eq!(mounted_images(root.path()).unwrap(), [], "gone");
        assert_eq!(fs::read_dir(root.path().join("mounts")).unwrap().count(), 0, "a stale record is removed");
    }

    #[test]
    fn a_mount_that_is_gone_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let mut record = LockedRecord::lock(root.path(), root.path()).unwrap();
        record.write(&image(), Shown::Mounted).unwrap();
        assert_eq!(record.shown().unwrap(), Some(Shown::Mounted));
        drop(record);
        assert_eq!(mounted_images(root.path()).unwrap(), []);
    }

    #[test]
    fn records_that_make_no_sense_are_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(folder(root.path())).unwrap();
        fs::write(folder(root.path()).join("x"), "nonsense").unwrap();
        assert_eq!(mounted_images(root.path()).unwrap(), []);
        assert_eq!(fs::read_dir(folder(root.path())).unwrap().count(), 0);
    }
}
