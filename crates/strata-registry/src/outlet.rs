//! Parts of files that a connection sends with `sendfile`, so that their bytes do not pass through this process.
//!
//! hyper writes bodies from memory. Part of a file is handed to it as a mapping that nobody reads: asked to write from such
//! memory, the connection finds by the address which part of which file is meant (see `server/watched`). Only plain HTTP/1 has
//! an outlet: on other connections bytes have to be read, and reading a mapping would turn a failing disk into a signal.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use strata_store::BlobBytes;

use crate::sys::MappedFile;

/// What one connection may send so. Shared by the connection and the bodies on it.
#[derive(Clone, Default)]
pub(crate) struct Outlet(Arc<Mutex<Vec<Part>>>);

/// Memory that stands for part of a file.
struct Part {
    memory: Range<usize>,
    file: Arc<dyn BlobBytes>,
    offset: u64,
}

impl Outlet {
    /// Memory that stands for `length` bytes of `file` from `offset` on until it is dropped; `None` when the file cannot be
    /// mapped.
    pub(crate) fn offer(&self, file: &Arc<dyn BlobBytes>, offset: u64, length: u64) -> Option<Bytes> {
        let mapping = MappedFile::new(file.file()?, offset, length).ok()?;
        Some(self.offer_memory(mapping, Arc::clone(file), offset))
    }

    fn offer_memory<M>(&self, memory: M, file: Arc<dyn BlobBytes>, offset: u64) -> Bytes
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        let addresses = memory.as_ref().as_ptr_range();
        let addresses = addresses.start.addr()..addresses.end.addr();
        let start = addresses.start;
        self.parts().push(Part { memory: addresses, file, offset });
        Bytes::from_owner(Offered { memory, start, outlet: self.clone() })
    }

    /// The file and the place in it that `bytes` stand for.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<(Arc<dyn BlobBytes>, u64)> {
        let start = bytes.as_ptr().addr();
        let parts = self.parts();
        let part = parts.iter().find(|part| part.memory.contains(&start))?;
        Some((Arc::clone(&part.file), part.offset + (start - part.memory.start) as u64))
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Withdraws its part before the memory is given back, which may then become something else's.
struct Offered<M> {
    memory: M,
    start: usize,
    outlet: Outlet,
}

impl<M: AsRef<[u8]>> AsRef<[u8]> for Offered<M> {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref()
    }
}

impl<M> Drop for Offered<M> {
    fn drop(&mut self) {
        self.outlet.parts().retain(|part| part.memory.start != self.start);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// A file whose bytes are not those of the memory that stands for it, so that a test sees which of them were sent.
    pub(crate) struct TestFile(pub(crate) File);

    impl BlobBytes for TestFile {
        fn size(&self) -> u64 {
            self.0.metadata().map_or(0, |metadata| metadata.len())
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(buffer, offset)
        }

        fn file(&self) -> Option<&File> {
            Some(&self.0)
        }
    }

    impl Outlet {
        pub(crate) fn offer_zeros(&self, file: File, offset: u64, length: usize) -> Bytes {
            self.offer_memory(vec![0; length], Arc::new(TestFile(file)), offset)
        }
    }

    #[test]
    fn memory_stands_for_its_file_until_it_is_dropped() {
        let outlet = Outlet::default();
        let file = tempfile::tempfile().unwrap();
        let bytes = outlet.offer_zeros(file.try_clone().unwrap(), 7, 100);
        let other = outlet.offer_zeros(file, 1000, 100);
        let offset = |bytes: &[u8]| outlet.find(bytes).map(|(_, offset)| offset);
        assert_eq!(offset(&bytes), Some(7));
        let part = bytes.slice(40..50);
        drop(bytes);
        assert_eq!(offset(&part), Some(47));
        assert_eq!(offset(&other[99..]), Some(1099));
        assert_eq!(offset(&[0; 100]), None);
        drop((part, other));
        assert!(outlet.parts().is_empty());
    }

    #[test]
    fn a_mapping_has_the_files_bytes() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..20_000u32).map(|number| number as u8).collect();
        file.write_all_at(&content, 0).unwrap();
        let file: Arc<dyn BlobBytes> = Arc::new(TestFile(file));
        let mapped = Outlet::default().offer(&file, 5001, 10_000).unwrap();
        assert_eq!(mapped, content[5001..15_001]);
        assert!(crate::sys::is_resident(&mapped));
    }
}
