//! Copying a content out of a pack: shared blocks where the file system can, holes left as holes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

/// Contents up to this size are copied without asking for holes, in bytes.
const SMALL: u64 = 1 << 20;

/// Makes `out`, an empty file, equal to `size` bytes of `pack` from `offset` on.
pub(crate) fn copy_content(pack: &File, offset: u64, size: u64, out: &mut File) -> io::Result<()> {
    let end = offset.checked_add(size).ok_or(io::ErrorKind::InvalidInput)?;
    if pack.metadata()?.len() < end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if size <= SMALL {
        return copy_range(pack, offset, out, 0, size);
    }
    out.set_len(size)?;
    let mut position = offset;
    while let Some((start, length)) = next_data(pack, position, end)? {
        copy_range(pack, start, out, start - offset, length)?;
        position = start + length;
    }
    Ok(())
}

/// The next stretch of data in `position..end`. The seeks move the file's own position, which nobody uses.
fn next_data(pack: &File, position: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    if position >= end {
        return Ok(None);
    }
    match seek(pack, SeekFrom::Data(position)) {
        Ok(start) if start >= end => Ok(None),
        Ok(start) => {
            let stop = seek(pack, SeekFrom::Hole(start))?.clamp(start + 1, end);
            Ok(Some((start, stop - start)))
        }
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(Some((position, end - position))),
        Err(error) => Err(error.into()),
    }
}

fn copy_range(pack: &File, from: u64, out: &mut File, to: u64, length: u64) -> io::Result<()> {
    let (mut from_position, mut to_position) = (from, to);
    let end = from + length;
    while from_position < end {
        let rest = usize::try_from(end - from_position).unwrap_or(usize::MAX);
        match copy_file_range(pack, Some(&mut from_position), &*out, Some(&mut to_position), rest) {
            // Some file systems answer 0 for what they cannot copy; the plain way tells whether it is the end.
            Ok(0) => return copy_plain(pack, from_position, out, to_position, end - from_position),
            Ok(_) => {}
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_plain(pack, from_position, out, to_position, end - from_position);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_plain(pack: &File, mut from: u64, out: &mut File, mut to: u64, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; length.min(1 << 18) as usize];
    let end = from + length;
    while from < end {
        let count = (end - from).min(buffer.len() as u64) as usize;
        pack.read_exact_at(&mut buffer[..count], from)?;
        out.write_all_at(&buffer[..count], to)?;
        from += count as u64;
        to += count as u64;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn copies_data_and_keeps_holes() {
        let mut pack = tempfile::tempfile().unwrap();
        pack.write_all(&[1; 1024]).unwrap();
        pack.write_all_at(b"data", 4 << 20).unwrap();
        pack.set_len(9 << 20).unwrap();
        for (offset, size) in [(0, 0), (512, 100), (512, (1 << 20) + 1), (512, 8 << 20)] {
            let mut out = tempfile::tempfile().unwrap();
            copy_content(&pack, offset, size, &mut out).unwrap();
            let (mut expected, mut found) = (vec![0; size as usize], vec![0; size as usize]);
            pack.read_exact_at(&mut expected, offset).unwrap();
            out.read_exact_at(&mut found, 0).unwrap();
            assert!(expected == found && out.metadata().unwrap().len() == size, "{offset} {size}");
            assert!(out.metadata().unwrap().blocks() * 512 <= 2 << 20, "holes stay holes");
        }
        let mut out = tempfile::tempfile().unwrap();
        let short = copy_content(&pack, 9 << 20, 1, &mut out).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
