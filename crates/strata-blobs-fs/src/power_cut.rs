//! A disk that loses power: it forgets whatever was not synced, in any order that the rules allow.
//!
//! Operations go to a real directory at once, so that readers see them. Beside it the disk remembers what was made
//! durable: the bytes of each inode by [`FileLayer::sync_data`], the names in each directory by
//! [`FileLayer::sync_directory`]. A power cut decides for each other change by chance whether it reached the disk, each on
//! its own, and rebuilds the directory accordingly. A disk can also stop working after a number of operations.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::file_layer::{FileLayer, SystemFiles};

/// A disk below a real directory.
#[derive(Clone)]
pub(crate) struct PowerCut(Arc<Disk>);

struct Disk {
    root: PathBuf,
    /// Changes that it will still take.
    budget: AtomicUsize,
    durable: Mutex<Durable>,
}

#[derive(Default)]
struct Durable {
    bytes: HashMap<u64, Vec<u8>>,
    names: HashMap<PathBuf, BTreeMap<OsString, Entry>>,
    /// Keeps the numbers of removed inodes from being used again.
    held: HashMap<u64, File>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(u64),
    Directory,
}

/// What a power cut leaves: directories and files, hard links resolved by inode.
type Remains = Vec<(PathBuf, Option<(u64, Vec<u8>)>)>;

impl PowerCut {
    pub(crate) fn new(root: &Path) -> PowerCut {
        let budget = AtomicUsize::new(usize::MAX);
        PowerCut(Arc::new(Disk { root: root.to_owned(), budget, durable: Mutex::default() }))
    }

    /// Stops working after `changes` more changes.
    pub(crate) fn fail_after(&self, changes: usize) {
        self.0.budget.store(changes, Ordering::SeqCst);
    }

    /// Changes that were left when they were limited; 0 when it stopped working.
    pub(crate) fn left(&self) -> usize {
        self.0.budget.load(Ordering::SeqCst)
    }

    /// Loses power and comes back.
    pub(crate) fn power_cut(&self, seed: u64) {
        let mut durable = self.durable();
        let mut remains = Remains::new();
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        remains_of(&self.0.root, &durable, &mut chance, &mut HashMap::new(), &mut remains);
        for entry in std::fs::read_dir(&self.0.root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        *durable = Durable::default();
        drop(durable);
        self.fail_after(usize::MAX);
        self.rebuild(&remains);
    }

    fn rebuild(&self, remains: &Remains) {
        let mut first_names: HashMap<u64, &PathBuf> = HashMap::new();
        for (path, content) in remains {
            match content {
                None => self.make_directory(path).unwrap(),
                Some((inode, bytes)) => match first_names.get(inode) {
                    Some(first) => self.link(first, path).unwrap(),
                    None => {
                        let file = self.open_or_create(path).unwrap();
                        self.write_at(&file, bytes, 0).unwrap();
                        self.sync_data(&file).unwrap();
                        first_names.insert(*inode, path);
                    }
                },
            }
        }
        self.sync_directory(&self.0.root).unwrap();
        for (path, _) in remains.iter().filter(|(_, content)| content.is_none()) {
            self.sync_directory(path).unwrap();
        }
    }

    fn durable(&self) -> MutexGuard<'_, Durable> {
        self.0.durable.lock().unwrap()
    }

    fn spend(&self) -> io::Result<()> {
        let spent = self.0.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| io::Error::from_raw_os_error(5))
    }

    fn hold(&self, file: File) -> io::Result<File> {
        let inode = file.metadata()?.ino();
        // Opened anew: a duplicate would share the lock.
        let again = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))?;
        self.durable().held.entry(inode).or_insert(again);
        Ok(file)
    }
}

fn listing(directory: &Path) -> BTreeMap<OsString, Entry> {
    let Ok(entries) = std::fs::read_dir(directory) else { return BTreeMap::new() };
    let entry = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let kind = if metadata.is_dir() { Entry::Directory } else { Entry::File(metadata.ino()) };
        (entry.file_name(), kind)
    };
    entries.map(|found| entry(found.unwrap())).collect()
}

fn remains_of(
    directory: &Path,
    durable: &Durable,
    chance: &mut Chance,
    contents: &mut HashMap<u64, Vec<u8>>,
    remains: &mut Remains,
) {
    let synced = durable.names.get(directory).cloned().unwrap_or_default();
    let present = listing(directory);
    let names: std::collections::BTreeSet<&OsString> = synced.keys().chain(present.keys()).collect();
    for name in names {
        let (before, now) = (synced.get(name), present.get(name));
        let path = directory.join(name);
        match if before == now || chance.take(2) == 0 { before } else { now } {
            None => {}
            Some(Entry::Directory) => {
                remains.push((path.clone(), None));
                remains_of(&path, durable, chance, contents, remains);
            }
            Some(Entry::File(inode)) => {
                let bytes = contents.entry(*inode).or_insert_with(|| bytes_left(*inode, durable, chance)).clone();
                remains.push((path, Some((*inode, bytes))));
            }
        }
    }
}

/// Bytes that were changed after they were synced may be old, new, zeros or cut off.
fn bytes_left(inode: u64, durable: &Durable, chance: &mut Chance) -> Vec<u8> {
    let file = &durable.held[&inode];
    let mut now = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut now, 0).unwrap();
    let synced = durable.bytes.get(&inode);
    if synced == Some(&now) {
        return now;
    }
    match chance.take(4) {
        0 => synced.cloned().unwrap_or_default(),
        1 => now,
        2 => vec![0; now.len()],
        _ => now[..now.len() / 2].to_vec(),
    }
}

/// Numbers by chance (xorshift), the same for the same seed.
struct Chance(u64);

impl Chance {
    fn take(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % below
    }
}

impl FileLayer for PowerCut {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        SystemFiles.make_directory(path)
    }

    fn create_anonymous(&self, directory: &Path) -> io::Result<File> {
        self.spend()?;
        SystemFiles.create_anonymous(directory).and_then(|file| self.hold(file))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        self.spend()?;
        SystemFiles.open_or_create(path).and_then(|file| self.hold(file))
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.spend()?;
        SystemFiles.write_at(file, bytes, offset)
    }

    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.spend()?;
        SystemFiles.set_length(file, length)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.spend()?;
        let metadata = file.metadata()?;
        let mut bytes = vec![0; metadata.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        self.durable().bytes.insert(metadata.ino(), bytes);
        Ok(())
    }

    fn link_anonymous(&self, file: &File, to: &Path) -> io::Result<()> {
        self.spend()?;
        SystemFiles.link_anonymous(file, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.spend()?;
        SystemFiles.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.spend()?;
        SystemFiles.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        SystemFiles.unlink(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        let names = listing(path);
        self.durable().names.insert(path.to_owned(), names);
        Ok(())
    }
}

/// Files on a file system without `O_TMPFILE`.
pub(crate) struct WithoutAnonymous;

impl FileLayer for WithoutAnonymous {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        SystemFiles.make_directory(path)
    }

    fn create_anonymous(&self, _directory: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        SystemFiles.open_or_create(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        SystemFiles.write_at(file, bytes, offset)
    }

    fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        SystemFiles.set_length(file, length)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        SystemFiles.sync_data(file)
    }

    fn link_anonymous(&self, _file: &File, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        SystemFiles.unlink(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemFiles.sync_directory(path)
    }
}
