//! A backup as one tar, in a file or as a stream.
//!
//! A backup is made in a directory inside the store first, where it is hard links and takes no room but for the databases;
//! then it is written out and the directory removed. Members are the files of a backup in a directory under the same names;
//! the seal `backup.json` is the last one, and tells how many there are: what was cut off anywhere is told from the whole.
//! A file gets its name when all of it is on the disk. Compressed by zstd, with checksums, if its name ends in `.zst`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use rustix::fs::FlockOperation;
use strata_archive::tar::{END, Header, Kind, TarReader, padding};
use strata_cli::{BackupReport, HubResult};
use strata_layer::decompressor;

use super::{CATALOG, FILES, RECORDS, SEAL, Sealed};

/// Where a backup is gathered that is to be an archive, below the store's root.
const STAGING: &str = "backup-staging";
/// Held while that directory is in use.
const LOCK: &str = "backup-staging.lock";
/// zstd's level: most of what a hub has is compressed already.
const LEVEL: i32 = 3;

/// Where an archive goes or comes from.
pub(super) enum Archive {
    /// Standard output or input: `-`.
    Stream,
    /// A file.
    File(PathBuf),
}

impl Archive {
    /// The archive that a backup is to be written to; `None` if it is a directory.
    pub(super) fn to(path: &Path) -> Option<Archive> {
        let name = path.to_string_lossy();
        let is_archive = [".tar", ".tar.zst", ".tzst"].iter().any(|ending| name.ends_with(ending));
        match () {
            () if name == "-" => Some(Archive::Stream),
            () if is_archive && !path.is_dir() => Some(Archive::File(path.to_owned())),
            () => None,
        }
    }

    /// A file that is there is not written over.
    pub(super) fn check(&self) -> HubResult<()> {
        match self {
            Archive::File(path) if path.exists() => {
                Err(format!("writing {}: {}", path.display(), io::Error::from(io::ErrorKind::AlreadyExists)).into())
            }
            _ => Ok(()),
        }
    }

    /// The archive that is to be restored; `None` if it is a directory.
    pub(super) fn from(path: &Path) -> Option<Archive> {
        match () {
            () if path == Path::new("-") => Some(Archive::Stream),
            () if path.is_file() => Some(Archive::File(path.to_owned())),
            () => None,
        }
    }
}

/// A directory of its own inside the store, removed with the value. A killed backup's is cleared by the next one.
pub(super) struct Staging {
    pub(super) directory: PathBuf,
    _lock: File,
}

impl Staging {
    pub(super) fn begin(root: &Path) -> HubResult<Staging> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!("another backup of {} into an archive is under way", root.display()).into());
        }
        let directory = root.join(STAGING);
        match fs::remove_dir_all(&directory) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(format!("clearing {}: {cause}", directory.display()).into())
            }
            _ => Ok(Staging { directory, _lock: lock }),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, "{} could not be removed", self.directory.display());
        }
    }
}

/// Writes the complete backup in `directory`.
pub(super) fn write(directory: &Path, to: Archive) -> HubResult<()> {
    match to {
        Archive::Stream => {
            let mut out = BufWriter::new(io::stdout().lock());
            write_tar(directory, &mut out).map_err(|cause| format!("writing the archive: {cause}"))?;
            Ok(out.flush()?)
        }
        Archive::File(path) => {
            write_file(directory, &path).map_err(|cause| format!("writing {}: {cause}", path.display()).into())
        }
    }
}

fn write_file(directory: &Path, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.{}", super::UNFINISHED));
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    let written = write_whole(directory, file, name.ends_with("zst"));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished); // it holds secrets
    }
    written?;
    fs::rename(&unfinished, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn write_whole(directory: &Path, file: File, is_compressed: bool) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    if is_compressed {
        let mut encoder = zstd::Encoder::new(&mut out, LEVEL)?;
        encoder.include_checksum(true)?;
        write_tar(directory, &mut encoder)?;
        encoder.finish()?;
    } else {
        write_tar(directory, &mut out)?;
    }
    out.into_inner()?.sync_all()
}

fn write_tar(directory: &Path, out: &mut impl Write) -> io::Result<()> {
    for name in [RECORDS, CATALOG].into_iter().filter(|name| directory.join(name).exists()) {
        write_member(directory, name, out)?;
    }
    let mut folders: Vec<String> = FILES.iter().rev().map(|name| (*name).to_owned()).collect();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(directory.join(&folder)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|_| io::Error::other("a name is not text"))?;
            let path = format!("{folder}/{name}");
            match entry.file_type()?.is_dir() {
                true => folders.push(path),
                false => write_member(directory, &path, out)?,
            }
        }
    }
    write_member(directory, SEAL, out)?;
    out.write_all(&END)
}

fn write_member(directory: &Path, path: &str, out: &mut impl Write) -> io::Result<()> {
    let file = File::open(directory.join(path))?;
    let size = file.metadata()?.len();
    out.write_all(&Header { path, size, directory: false, modified: 0 }.blocks())?;
    let copied = io::copy(&mut file.take(size), out)?;
    if copied != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} became shorter")));
    }
    out.write_all(&END[..padding(size) as usize])
}

/// Unpacks a backup into `root`, which was made for it.
pub(super) fn read(from: Archive, root: &Path) -> HubResult<BackupReport> {
    let (name, reader): (String, Box<dyn Read + Send>) = match from {
        Archive::Stream => ("the archive".to_owned(), Box::new(io::stdin())),
        Archive::File(path) => (path.display().to_string(), Box::new(File::open(&path)?)),
    };
    let incomplete = |cause: String| format!("{name} is no complete backup: {cause}");
    let (_, mut reader) = decompressor(reader).map_err(|cause| incomplete(cause.to_string()))?;
    let mut tar = TarReader::new(&mut reader);
    let (mut report, mut seal) = (BackupReport::default(), None);
    while let Some(entry) = tar.next_entry().map_err(|cause| incomplete(cause.to_string()))? {
        if seal.is_some() {
            return Err(incomplete(format!("{} comes after {SEAL}", entry.path)).into());
        }
        if entry.kind != Kind::File {
            return Err(incomplete(format!("{} is no file", entry.path)).into());
        }
        if entry.path == SEAL {
            let mut bytes = Vec::new();
            tar.by_ref().take(1 << 20).read_to_end(&mut bytes).map_err(|cause| incomplete(cause.to_string()))?;
            seal = Some(Sealed::parse(&bytes, SEAL)?);
            continue;
        }
        let place = place(&entry.path).ok_or_else(|| incomplete(format!("{} does not belong to one", entry.path)))?;
        let target = root.join(place);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create_new(&target).map_err(|cause| format!("making {}: {cause}", target.display()))?;
        io::copy(&mut tar, &mut file).map_err(|cause| incomplete(format!("{}: {cause}", entry.path)))?;
        if place.components().count() > 1 {
            report.files += 1;
            report.bytes += entry.size;
        }
    }
    // To the end: the checksum of what was compressed comes last.
    io::copy(&mut reader, &mut io::sink()).map_err(|cause| incomplete(cause.to_string()))?;
    let sealed = seal.ok_or_else(|| incomplete(format!("it ends without {SEAL}")))?;
    if report.files != sealed.files {
        return Err(incomplete(format!("it has {} files of {}", report.files, sealed.files)).into());
    }
    Ok(report)
}

/// Where a member goes: the databases, and files of the store's folders.
fn place(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let parts: Vec<&str> = path
        .components()
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let is_known = match parts.as_slice() {
        [name] => [CATALOG, RECORDS].contains(name),
        [folder, _, ..] => FILES.contains(folder),
        [] => false,
    };
    is_known.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_where_a_backup_has_them() {
        for (path, is_taken) in [
            ("catalog.sqlite", true),
            ("hub.sqlite", true),
            ("blobs/sha256/ab/abcd", true),
            ("packs/p/1", true),
            ("blobs", false),
            ("backup.json", false),
            ("strata-unfinished", false),
            ("blobs/../catalog.sqlite", false),
            ("../blobs/x", false),
            ("/blobs/x", false),
            ("", false),
            ("staging/x", false),
        ] {
            assert_eq!(place(path).is_some(), is_taken, "{path:?}");
        }
    }

    #[test]
    fn names_say_what_is_written() {
        let is_archive = |name: &str| Archive::to(Path::new(name)).is_some();
        for name in ["-", "hub.tar", "/backup/hub.tar.zst", "hub.tzst"] {
            assert!(is_archive(name), "{name}");
        }
        for name in ["backup", "/backup/hub-2026-11-23", "hub.zst", "./-"] {
            assert!(!is_archive(name), "{name}");
        }
    }
}
