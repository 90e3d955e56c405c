//! Checksums made right again, so that hostile bytes get behind them.

use strata_layer::pack::TRAILER_LENGTH;

/// Puts the right checksum into every block of a tar that looks like a header.
pub(crate) fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    for block in mended.as_chunks_mut::<512>().0 {
        let header = &block[257..262] == b"ustar" || (block[0] != 0 && block[148..155].iter().all(u8::is_ascii_digit));
        if header {
            strata_testkit::tar::seal(block);
        }
    }
    mended
}

/// The length of an index file's header, and where its sections are described (`strata_layer::file`).
const INDEX_HEADER: usize = strata_layer::file::INDEX_HEADER_LENGTH;
const SECTIONS: [usize; 2] = [96, 144];

/// Puts the right digests into an index file, as far as its sections are there.
pub(crate) fn index(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut mended = bytes.to_vec();
    let (header, mut rest) = mended.split_at_mut_checked(INDEX_HEADER)?;
    for section in SECTIONS {
        let length = u64::from_le_bytes(*header[section..].first_chunk()?);
        let (stored, after) = rest.split_at_mut_checked(usize::try_from(length).ok()?)?;
        header[section + 16..section + 48].copy_from_slice(blake3::hash(stored).as_bytes());
        rest = after;
    }
    let (signed, digest) = header.split_at_mut(INDEX_HEADER - 32);
    digest.copy_from_slice(blake3::hash(signed).as_bytes());
    Some(mended)
}

/// Stores the entries of an index file as they are before compression, so that single bytes of them can be changed.
pub(crate) fn plain_index(file: &[u8]) -> Option<Vec<u8>> {
    let [stored, length] =
        [0, 8].map(|offset| u64::from_le_bytes(*file[SECTIONS[0] + offset..].first_chunk().unwrap()));
    let end = INDEX_HEADER + usize::try_from(stored).ok()?;
    let entries = match stored == length {
        true => file[INDEX_HEADER..end].to_vec(),
        false => zstd::bulk::decompress(&file[INDEX_HEADER..end], usize::try_from(length).ok()?).ok()?,
    };
    let mut plain = [&file[..INDEX_HEADER], &entries, &file[end..]].concat();
    plain[SECTIONS[0]..SECTIONS[0] + 8].copy_from_slice(&length.to_le_bytes());
    index(&plain)
}

/// Puts the right digest into a pack's trailer, if its footer is there.
pub(crate) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    const RECORD: u64 = 48;
    let mut mended = bytes.to_vec();
    let (body, trailer) = mended.split_at_mut_checked(bytes.len().checked_sub(TRAILER_LENGTH)?)?;
    let [count, start] = [16, 24].map(|offset| u64::from_le_bytes(*trailer[offset..].first_chunk().unwrap()));
    let end = count.checked_mul(RECORD)?.checked_add(start)?;
    let footer = body.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
    trailer[32..64].copy_from_slice(blake3::hash(footer).as_bytes());
    Some(mended)
}
