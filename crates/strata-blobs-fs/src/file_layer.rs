//! The file operations on which durability rests, behind a seam: tests replace them with a disk that loses power.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

/// Files are their owner's alone.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// After so many bytes the kernel is told to begin writing them to disk, so that the sync at the end of a large file finds
/// little left to do.
const WRITE_BACK: u64 = 8 << 20;

/// Changes to files and directories. Reading needs no seam.
pub(crate) trait FileLayer: Send + Sync {
    /// Makes a directory whose parent is there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// A file without a name, to be linked into `directory` or one on the same file system. `Unsupported` where the file
    /// system has no such thing.
    fn create_anonymous(&self, directory: &Path) -> io::Result<File>;
    /// Opens a file for reading and writing, made if need be.
    fn open_or_create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends a file.
    fn set_length(&self, file: &File, length: u64) -> io::Result<()>;
    /// Makes the bytes and the length of a file durable.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Gives a file without a name its first one.
    fn link_anonymous(&self, file: &File, to: &Path) -> io::Result<()>;
    /// Gives a file another name. `AlreadyExists` when that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a name over another one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
pub(crate) struct SystemFiles;

impl FileLayer for SystemFiles {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(DIRECTORY_MODE).create(path)
    }

    fn create_anonymous(&self, directory: &Path) -> io::Result<File> {
        let flags = rustix::fs::OFlags::TMPFILE.bits() as i32;
        let file = OpenOptions::new().read(true).write(true).mode(FILE_MODE).custom_flags(flags).open(directory);
        match file.as_ref().err().and_then(Errno::from_io_error) {
            // What kernels and file systems without O_TMPFILE answer.
            Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Err(io::ErrorKind::Unsupported.into()),
            _ => file,
        }
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        if offset / WRITE_BACK != end / WRITE_BACK {
            let start = offset / WRITE_BACK * WRITE_BACK;
            crate::sys::start_write_back(file, start, end / WRITE_BACK * WRITE_BACK - start);
        }
        Ok(())
    }

    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn link_anonymous(&self, file: &File, to: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let through_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::linkat(CWD, through_proc, CWD, to, AtFlags::SYMLINK_FOLLOW) {
            // Without /proc: allowed for the opener since Linux 6.10, for CAP_DAC_READ_SEARCH always.
            Err(Errno::NOENT) => rustix::fs::linkat(file, "", CWD, to, AtFlags::EMPTY_PATH)?,
            result => result?,
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
