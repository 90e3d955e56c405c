//! Backup while the hub serves, and restoration.
//!
//! Files of the store are written once under names of their own and never changed, so a hard link is a copy; on another
//! file system they are copied. The order makes the copy consistent without stopping anybody:
//!
//! 1. `hub.sqlite` by SQLite's online backup: it remembers how far it has read the registry's history, and must not be ahead
//!    of it. What it lacks it takes in when the restored hub starts.
//! 2. Every file that is there: the long part.
//! 3. `catalog.sqlite` the same way: one consistent state of everything that exists.
//! 4. Files that are not copied yet: what was pushed during step 2, and is named by the catalog of step 3.
//! 5. A quick check of the copy: every file that its catalog names is there in full. Where collection removed one between
//!    3 and 4, both are done again.
//! 6. `backup.json`, synced: only now it is a backup, and `restore` takes it.
//!
//! A file `strata-unfinished` lies in the target of a backup or a restoration from before the first copy until after the last. Whoever
//! finds it there begins anew; no hub opens what it lies in. So a kill at any moment costs the time and nothing else.
//!
//! `archive` makes one file or stream of it.

mod archive;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use strata_cli::{BackupReport, HubResult};
use strata_store::{Depth, Durability, Repair};

use super::{CATALOG, FILES, RECORDS, UNFINISHED};
use archive::{Archive, Staging};

const SEAL: &str = "backup.json";
/// How often catalog and new files are copied until they agree.
const ROUNDS: usize = 10;

/// What says that a backup is complete.
#[derive(Deserialize, Serialize)]
struct Sealed {
    format: u32,
    /// RFC 3339.
    time: String,
    files: u64,
    bytes: u64,
}

const FORMAT: u32 = 1;

impl Sealed {
    fn parse(bytes: &[u8], path: impl std::fmt::Display) -> HubResult<Sealed> {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|cause| format!("{path}: {cause}"))?;
        match sealed.format {
            ..=FORMAT => Ok(sealed),
            newer => Err(format!("the backup has format {newer}, this program knows {FORMAT}").into()),
        }
    }
}

/// Writes a backup of the hub below `root` into `to`: a directory that must not exist or be empty, a new file `….tar` or
/// `….tar.zst`, or standard output (`-`).
pub(super) async fn back_up(root: &Path, to: &Path) -> HubResult<BackupReport> {
    let Some(archive) = Archive::to(to) else { return to_directory(root, to).await };
    archive.check()?; // before everything is gathered for nothing
    let staging = Staging::begin(root)?;
    let report = to_directory(root, &staging.directory).await?;
    tokio::task::spawn_blocking(move || archive::write(&staging.directory, archive)).await??;
    Ok(BackupReport { linked: 0, ..report })
}

async fn to_directory(root: &Path, to: &Path) -> HubResult<BackupReport> {
    begin(to)?;
    let at = |name: &str| (root.join(name), to.join(name));
    let (records, records_copy) = at(RECORDS);
    if records.exists() {
        copy_database(&records, &records_copy).await?;
    }
    let mut report = BackupReport::default();
    copy_new_files(root, to, Sharing::Link, &mut report)?;
    let (catalog, catalog_copy) = at(CATALOG);
    let mut before = Vec::new();
    for round in 1.. {
        remove_database(&catalog_copy)?;
        copy_database(&catalog, &catalog_copy).await?;
        copy_new_files(root, to, Sharing::Link, &mut report)?;
        let problems = problems(to, Durability::Unsynced).await?;
        if problems.is_empty() {
            break;
        }
        if problems == before {
            // What is missing twice is missing in the store itself. A backup of the rest is better than none.
            problems.iter().for_each(|problem| tracing::warn!("the store is damaged, and so is its backup: {problem}"));
            break;
        }
        if round == ROUNDS {
            return Err(format!("the copy is not whole: {}", problems.join("; ")).into());
        }
        before = problems;
    }
    let time = jiff::Timestamp::now().to_string();
    let sealed = Sealed { format: FORMAT, time, files: report.files, bytes: report.bytes };
    sync(to)?;
    fs::write(to.join(SEAL), serde_json::to_vec_pretty(&sealed)?)?;
    end(to)?;
    Ok(report)
}

/// Makes a hub below `root`, which must hold none, from a backup: a directory, a file, or standard input (`-`).
pub(super) async fn restore(from: &Path, root: &Path) -> HubResult<BackupReport> {
    let report = match Archive::from(from) {
        Some(archive) => {
            begin(root)?;
            let root = root.to_owned();
            tokio::task::spawn_blocking(move || archive::read(archive, &root)).await??
        }
        None => from_directory(from, root).await?,
    };
    let problems = problems(root, Durability::Synced).await?;
    problems.iter().for_each(|problem| tracing::warn!("the backup is damaged: {problem}"));
    end(root)?;
    Ok(report)
}

async fn from_directory(from: &Path, root: &Path) -> HubResult<BackupReport> {
    if from.join(UNFINISHED).exists() {
        return Err(format!("{} is no complete backup: it was not written to the end", from.display()).into());
    }
    let seal = from.join(SEAL);
    let sealed = fs::read(&seal)
        .map_err(|cause| format!("{} is no complete backup: reading {SEAL}: {cause}", from.display()))?;
    Sealed::parse(&sealed, seal.display())?;
    begin(root)?;
    let mut report = BackupReport::default();
    copy_new_files(from, root, Sharing::Copy, &mut report)?;
    for name in [CATALOG, RECORDS] {
        if from.join(name).exists() {
            copy_database(&from.join(name), &root.join(name)).await?;
        }
    }
    Ok(report)
}

/// What a quick check finds. Missing views are no problem: they are a cache.
async fn problems(root: &Path, durability: Durability) -> HubResult<Vec<String>> {
    let report = super::open_store(root, durability)?.fsck(Depth::Quick, Repair::No).await?;
    let open = report.problems.into_iter().filter(|problem| !problem.repaired);
    Ok(open.map(|problem| format!("{}: {}", problem.what, problem.cause)).collect())
}

/// An empty directory for its owner only, marked as unfinished. What an attempt left that was killed goes.
fn begin(directory: &Path) -> HubResult<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|cause| format!("making {}: {cause}", directory.display()))?;
    let mark = directory.join(UNFINISHED);
    if mark.exists() {
        clear(directory).map_err(|cause| format!("clearing {}: {cause}", directory.display()))?;
    } else if fs::read_dir(directory)?.next().is_some() {
        return Err(format!("{} is not empty", directory.display()).into());
    }
    fs::write(mark, "")?;
    Ok(sync(directory)?)
}

/// Removes what an unfinished attempt wrote, the mark excepted.
fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != UNFINISHED {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Takes the mark away once everything is on the disk.
fn end(directory: &Path) -> io::Result<()> {
    sync(directory)?;
    fs::remove_file(directory.join(UNFINISHED))?;
    sync(directory)
}

async fn copy_database(from: &Path, to: &Path) -> HubResult<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    Ok(tokio::task::spawn_blocking(move || strata_catalog_sql::copy_database(&from, &to)).await??)
}

fn remove_database(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        match fs::remove_file(file) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// A second name of the same file where the file system allows it.
    Link,
    /// Bytes of its own.
    Copy,
}

/// Copies the files that are not in `to` yet. Those that vanish meanwhile were collected.
fn copy_new_files(from: &Path, to: &Path, sharing: Sharing, report: &mut BackupReport) -> HubResult<()> {
    let mut folders: Vec<_> = FILES.iter().map(|name| (from.join(name), to.join(name))).collect();
    while let Some((source, target)) = folders.pop() {
        let entries = match fs::read_dir(&source) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(format!("listing {}: {cause}", source.display()).into()),
        };
        fs::create_dir_all(&target)?;
        for entry in entries {
            let entry = entry?;
            let (source, target) = (entry.path(), target.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                folders.push((source, target));
            } else if !target.exists() {
                copy_file(&source, &target, sharing, report)
                    .map_err(|cause| format!("copying {}: {cause}", source.display()))?;
            }
        }
    }
    Ok(())
}

fn copy_file(source: &Path, target: &Path, sharing: Sharing, report: &mut BackupReport) -> io::Result<()> {
    let is_linked = sharing == Sharing::Link && fs::hard_link(source, target).is_ok();
    let copied = if is_linked { fs::metadata(target).map(|metadata| metadata.len()) } else { fs::copy(source, target) };
    let bytes = match copied {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    };
    report.files += 1;
    report.bytes += bytes;
    report.linked += u64::from(is_linked);
    Ok(())
}

/// Everything on the file system of `directory` reaches the disk.
fn sync(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
}
