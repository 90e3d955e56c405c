//! Pack storage on a directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata_layer::{ContentDigest, LayerError, PackFooter, PackId, PackSink, PackTrailer, pack::TRAILER_LENGTH};
use strata_store::{Durability, Location, NewPack, PackFile, Packs, Result, Scanned, StoreError, Usage};

use crate::file_layer::{FileLayer, SystemFiles};
use crate::root::{Directory, Root, Source, random, unique};
use crate::sys::MappedTail;

/// Packs below a directory. Several processes may use one.
pub struct FsPacks {
    root: Arc<Root>,
}

impl FsPacks {
    /// Packs below `root`. Touches nothing: the directory is made when the first pack is written.
    pub fn open(root: impl AsRef<Path>) -> FsPacks {
        FsPacks::on(root.as_ref(), Box::new(SystemFiles))
    }

    pub(crate) fn on(root: &Path, files: Box<dyn FileLayer>) -> FsPacks {
        FsPacks { root: Arc::new(Root::new(root, files)) }
    }

    fn locate(&self, at: &Location) -> Result<PathBuf> {
        self.root.locate(at, &[Directory::Packs])
    }
}

impl Packs for FsPacks {
    fn create(&self) -> Result<Box<dyn NewPack>> {
        self.create_version(PackId(random()))
    }

    fn create_version(&self, id: PackId) -> Result<Box<dyn NewPack>> {
        let (file, temporary) = self.root.create(Directory::Packs)?;
        Ok(Box::new(UnsealedPack { root: Arc::clone(&self.root), id, file, temporary }))
    }

    fn open(&self, at: &Location) -> Result<Arc<dyn PackFile>> {
        let path = self.locate(at)?;
        let file = File::open(&path).map_err(|cause| StoreError::file("opening", &path, cause))?;
        SealedPack::new(file).map(|pack| Arc::new(pack) as Arc<dyn PackFile>).map_err(|failure| match failure {
            Failure::File(cause) => StoreError::file("reading", &path, cause),
            Failure::Shape(cause) => StoreError::DamagedPack { pack: pack_id(at), cause: cause.to_string() },
        })
    }

    fn path(&self, at: &Location) -> Result<PathBuf> {
        self.locate(at)
    }

    fn usage(&self, at: &Location) -> Result<Option<Usage>> {
        Root::usage(&self.locate(at)?)
    }

    fn remove(&self, at: &Location) -> Result<()> {
        self.root.remove(&self.locate(at)?)
    }

    fn scan(&self) -> Result<Vec<Scanned>> {
        self.root.scan(Directory::Packs)
    }
}

/// The identity in a pack's file name: a pack does not hold its own.
fn pack_id(at: &Location) -> PackId {
    let hex = at.0.split_once('/').and_then(|(_, name)| name.get(..32)).unwrap_or_default();
    PackId(u128::from_str_radix(hex, 16).unwrap_or_default().to_be_bytes())
}

/// A pack that has no location yet.
struct UnsealedPack {
    root: Arc<Root>,
    id: PackId,
    file: File,
    /// Its name in staging where files cannot be without one.
    temporary: Option<PathBuf>,
}

impl PackSink for UnsealedPack {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.root.files.write_at(&self.file, bytes, offset)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.root.files.set_length(&self.file, length)
    }
}

impl NewPack for UnsealedPack {
    fn id(&self) -> PackId {
        self.id
    }

    fn seal(self: Box<Self>, durability: Durability) -> Result<Location> {
        let source = self.temporary.as_deref().map_or(Source::Anonymous, Source::Named);
        let name = format!("{}.{}", self.id, unique());
        self.root.seal(&self.file, source, Directory::Packs, &name, durability)
    }
}

impl Drop for UnsealedPack {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary
            && let Err(error) = self.root.remove(path)
        {
            tracing::warn!(%error, "a staged pack could not be removed");
        }
    }
}

/// A pack with its footer in memory.
struct SealedPack {
    file: File,
    length: u64,
    tail: MappedTail,
}

enum Failure {
    File(io::Error),
    Shape(LayerError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::File(error)
    }
}

impl From<LayerError> for Failure {
    fn from(error: LayerError) -> Failure {
        Failure::Shape(error)
    }
}

impl SealedPack {
    fn new(file: File) -> Result<SealedPack, Failure> {
        let length = file.metadata()?.len();
        let mut trailer = [0; TRAILER_LENGTH];
        let Some(trailer_offset) = length.checked_sub(TRAILER_LENGTH as u64) else {
            return Err(LayerError::Pack("it is shorter than a trailer").into());
        };
        file.read_exact_at(&mut trailer, trailer_offset)?;
        let footer_offset = PackTrailer::parse(length, &trailer)?.footer_offset;
        let tail = MappedTail::new(&file, footer_offset, length)?;
        PackFooter::parse(length, tail.bytes())?;
        Ok(SealedPack { file, length, tail })
    }

    /// Constant time.
    fn footer(&self) -> Result<PackFooter<'_>, LayerError> {
        PackFooter::parse(self.length, self.tail.bytes())
    }
}

impl PackFile for SealedPack {
    fn file(&self) -> &File {
        &self.file
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn place(&self, digest: &ContentDigest) -> Option<(u64, u64)> {
        let place = self.footer().ok()?.find(digest)?;
        Some((place.offset, place.length))
    }

    fn contents(&self) -> Vec<(ContentDigest, u64, u64)> {
        let Ok(footer) = self.footer() else { return Vec::new() };
        footer.iter().map(|(digest, place)| (digest, place.offset, place.length)).collect()
    }

    fn footer_is_intact(&self) -> bool {
        self.footer().is_ok_and(|footer| footer.verify().is_ok())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}
