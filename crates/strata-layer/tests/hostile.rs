//! Damaged and hostile bytes end in errors, never in panics; limits hold.

mod support;

use proptest::prelude::*;
use strata_layer::{
    LayerError, LayerLimits, NothingKnown, PackId, PackWriter, decode_index, decode_skeleton, encode_index, read_layer,
    write_tar,
};
use support::{END, MemoryFile, MemoryPacks, header, link, member, padded, pax, read};

/// A small tar with something of every form.
fn sample() -> Vec<u8> {
    [
        member("directory/", b'5', b""),
        member("././@LongLink", b'L', &[b'n'; 150]),
        member("cut", b'0', &[1; 1000]),
        pax(&[
            ("path", b"other"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.user.a", b"value"),
            ("LIBARCHIVE.xattr.user.b", b"aGk="),
        ]),
        member("cut", b'0', &[2; 600]),
        pax(&[("GNU.sparse.size", b"4000"), ("GNU.sparse.name", b"sparse"), ("GNU.sparse.map", b"0,10,2000,20")]),
        member("cut", b'0', &[3; 30]),
        pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"4000"),
        ]),
        member("cut", b'0', &[padded(b"1\n100\n5\n"), b"12345".to_vec()].concat()),
        header(b"old-sparse", b'S', 512, |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[386..397].copy_from_slice(b"00000002000");
            block[398..409].copy_from_slice(b"00000001000");
            block[483..494].copy_from_slice(b"00000004000");
        }),
        vec![4; 512],
        link("symlink", b'2', "target"),
        link("hardlink", b'1', "other"),
        member("device", b'3', b""),
        END.to_vec(),
    ]
    .concat()
}

/// Reads; what is read must also be written again.
fn survive(tar: &[u8]) {
    let mut packs = MemoryPacks::default();
    if let Ok(layer) = read(tar, &mut packs, false) {
        let mut written = Vec::new();
        write_tar(&layer.index, &layer.skeleton, &packs, &mut written).unwrap();
        assert!(written == tar);
    }
}

/// Damages a tar and mends the checksums of its headers, so that the damage gets behind the first check.
fn mend(tar: &mut [u8]) {
    for block in tar.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

#[test]
fn the_sample_is_read() {
    assert_eq!(support::round_trip(&sample(), "sample").len(), 9);
}

#[test]
fn truncation_anywhere_is_survived() {
    let tar = sample();
    for length in (0..=tar.len()).step_by(512).chain((0..tar.len()).step_by(101)) {
        survive(&tar[..length]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flipped_bytes_are_survived(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut tar = sample();
        for (position, value) in &flips {
            let position = position.index(tar.len());
            tar[position] = *value;
        }
        survive(&tar);
        mend(&mut tar);
        survive(&tar);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        survive(&bytes);
        let mut with_header = header(b"file", b'x', bytes.len() as u64, |_| {});
        with_header.extend_from_slice(&padded(&bytes));
        survive(&with_header);
        let _ = decode_index(&bytes);
        let _ = decode_skeleton(&bytes);
    }

    #[test]
    fn damaged_index_files_are_refused(position in any::<prop::sample::Index>(), value in 1u8.., cut in any::<bool>()) {
        let layer = read(&sample(), &mut MemoryPacks::default(), false).unwrap();
        let mut file = encode_index(&layer.index, &layer.skeleton).unwrap();
        let position = position.index(file.len());
        if cut { file.truncate(position) } else { file[position] ^= value }
        prop_assert!(decode_index(&file).is_err() || decode_skeleton(&file).is_err());
    }
}

/// Reads with these limits; says which was exceeded.
fn exceeded(tar: &[u8], limits: LayerLimits) -> &'static str {
    let mut pack = PackWriter::new(PackId([0; 16]), MemoryFile::default());
    match read_layer(tar, &mut pack, &NothingKnown, &limits) {
        Err(LayerError::Limit { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn limits_hold() {
    let tar = sample();
    let limits = LayerLimits::default;
    assert_eq!(exceeded(&tar, LayerLimits { entries: 8, ..limits() }), "number of entries");
    assert_eq!(exceeded(&tar, LayerLimits { file_size: 3999, ..limits() }), "size of a file");
    assert_eq!(exceeded(&tar, LayerLimits { holes: 5000, ..limits() }), "size of all holes");
    assert_eq!(exceeded(&tar, LayerLimits { tar_size: 5000, ..limits() }), "size of the tar");
    let metadata = "size of names, attributes and headers";
    assert_eq!(exceeded(&tar, LayerLimits { metadata_size: 100, ..limits() }), metadata);
    let huge_hole = [pax(&[("GNU.sparse.size", b"500000000000"), ("GNU.sparse.map", b"0,1")]), member("x", b'0', b"x")];
    assert_eq!(exceeded(&huge_hole.concat(), limits()), "size of all holes");
    let garbage: Vec<u8> =
        (0..2_000_000u64).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect();
    let trailing = [&END[..], &garbage].concat();
    assert_eq!(exceeded(&trailing, LayerLimits { metadata_size: 1 << 20, ..limits() }), metadata);
}
