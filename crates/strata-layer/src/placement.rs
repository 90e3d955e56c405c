//! Where the contents of a layer go: into its own pack, unless a pack of another layer has them.

use std::io;

use crate::entry::{Content, ContentDigest, ContentHasher, PackId};
use crate::pack::{Appending, PackSink, PackWriter};

/// Contents smaller than this are never taken from another layer's pack: what they save is less than what the
/// dependency costs.
pub const SHARED_SIZE: u64 = 4096;
/// Most packs of other layers that a layer may refer to: each is a device of the mount and an open file.
pub const FOREIGN_PACKS: usize = 32;

/// The contents that are known already: those of packs that are published, and that the caller's lease keeps alive
/// until the new layer is.
pub trait KnownContents {
    /// A pack that holds the content with this digest and logical size (at least [`SHARED_SIZE`]).
    fn find(&self, digest: &ContentDigest, size: u64) -> Option<PackId>;
}

/// Knows no contents: the layer shares nothing.
pub struct NothingKnown;

impl KnownContents for NothingKnown {
    fn find(&self, _: &ContentDigest, _: u64) -> Option<PackId> {
        None
    }
}

/// The packs of a layer, in the order of their first use.
pub(crate) struct PackTable<'a> {
    known: &'a dyn KnownContents,
    own: PackId,
    packs: Vec<PackId>,
}

impl<'a> PackTable<'a> {
    pub(crate) fn new(own: PackId, known: &'a dyn KnownContents) -> PackTable<'a> {
        PackTable { known, own, packs: Vec::new() }
    }

    pub(crate) fn into_packs(self) -> Vec<PackId> {
        self.packs
    }

    /// Stores `bytes` in `pack` if no pack has them.
    pub(crate) fn place<S: PackSink>(&mut self, pack: &mut PackWriter<S>, bytes: &[u8]) -> io::Result<Content> {
        let digest = ContentDigest::of(bytes);
        let size = bytes.len() as u64;
        if pack.find(&digest).is_none() {
            if let Some(foreign) = self.foreign(&digest, size) {
                return Ok(Content { digest, pack: foreign, size });
            }
            pack.store(digest, bytes)?;
        }
        Ok(Content { digest, pack: self.own(), size })
    }

    /// Appends a content of `size` bytes that is too large for one piece, and takes it back if a pack has it. `feed`
    /// gives it piece by piece.
    pub(crate) fn place_stream<S: PackSink, E: From<PackFailure>>(
        &mut self,
        pack: &mut PackWriter<S>,
        size: u64,
        feed: impl FnOnce(&mut Stream<'_, S>) -> Result<(), E>,
    ) -> Result<Content, E> {
        let appending = pack.append(size).map_err(PackFailure)?;
        let mut stream = Stream { appending, hasher: ContentDigest::hasher() };
        feed(&mut stream)?;
        let digest = stream.hasher.finish();
        if !stream.appending.is_known(&digest)
            && let Some(foreign) = self.foreign(&digest, size)
        {
            stream.appending.take_back();
            return Ok(Content { digest, pack: foreign, size });
        }
        stream.appending.record(digest);
        Ok(Content { digest, pack: self.own(), size })
    }

    fn own(&mut self) -> u16 {
        self.position(self.own).unwrap_or_else(|| self.add(self.own))
    }

    fn foreign(&mut self, digest: &ContentDigest, size: u64) -> Option<u16> {
        if size < SHARED_SIZE {
            return None;
        }
        let pack = self.known.find(digest, size)?;
        let foreign = self.packs.iter().filter(|&&known| known != self.own).count();
        self.position(pack).or_else(|| (foreign < FOREIGN_PACKS).then(|| self.add(pack)))
    }

    fn position(&self, pack: PackId) -> Option<u16> {
        self.packs.iter().position(|&known| known == pack).map(|position| position as u16)
    }

    fn add(&mut self, pack: PackId) -> u16 {
        self.packs.push(pack);
        self.packs.len() as u16 - 1
    }
}

/// The pack could not be written.
pub(crate) struct PackFailure(pub(crate) io::Error);

/// A content that goes to the pack and into its digest at once.
pub(crate) struct Stream<'a, S> {
    appending: Appending<'a, S>,
    hasher: ContentHasher,
}

impl<S: PackSink> Stream<'_, S> {
    /// Adds bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), PackFailure> {
        self.hasher.update(bytes);
        self.appending.put(bytes).map_err(PackFailure)
    }

    /// Adds a hole, which counts as zeros in the digest.
    pub(crate) fn hole(&mut self, length: u64) -> Result<(), PackFailure> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let now = left.min(ZEROS.len() as u64);
            self.hasher.update(&ZEROS[..now as usize]);
            left -= now;
        }
        self.appending.hole(length).map_err(PackFailure)
    }
}
