//! Contents are stored once, in this layer's pack or in another's.

mod support;

use std::collections::HashSet;

use strata_layer::{
    ContentDigest, Contents as _, FOREIGN_PACKS, LayerLimits, NothingKnown, PackFooter, PackId, PackWriter,
    read_layer_hashed_elsewhere, write_tar,
};
use strata_model::{DiffId, Digest};
use support::{END, MemoryFile, MemoryPacks, content_of, member, read};

fn count(packs: &MemoryPacks, pack: u8) -> usize {
    let file = &packs.0[&PackId([pack; 16])];
    PackFooter::parse(file.len() as u64, file).unwrap().len()
}

/// Bytes that differ by seed.
fn content(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|position| (position / 7) as u8 ^ seed).collect()
}

#[test]
fn equal_contents_of_a_layer_are_stored_once() {
    let large = content(1, 3 << 20);
    let tar = [
        member("small", b'0', b"x"),
        member("large", b'0', &large),
        member("small again", b'0', b"x"),
        member("large again", b'0', &large),
        member("other", b'0', &content(2, 5000)),
        END.to_vec(),
    ]
    .concat();
    let mut packs = MemoryPacks::default();
    let layer = read(&tar, &mut packs, false).unwrap();
    assert_eq!(count(&packs, 1), 3);
    let length = packs.0[&PackId([1; 16])].len();
    assert!(length < (3 << 20) + 16384, "{length}");
    assert_eq!(layer.index.content_size, 2 * (1 + (3 << 20)) + 5000);
    assert!(content_of(&layer.index, &packs, b"large again") == large);
    assert!(content_of(&layer.index, &packs, b"other") == content(2, 5000));
}

#[test]
fn contents_of_other_packs_are_referred_to() {
    let (large, middle, small) = (content(1, 2 << 20), content(2, 4096), content(3, 4095));
    let files =
        [member("large", b'0', &large), member("middle", b'0', &middle), member("small", b'0', &small)].concat();
    let base = [&files[..], &END].concat();
    let next = [&files[..], &member("new", b'0', &content(4, 10_000)), &END].concat();
    let mut packs = MemoryPacks::default();
    read(&base, &mut packs, true).unwrap();
    let layer = read(&next, &mut packs, true).unwrap();
    assert_eq!(count(&packs, 2), 2);
    assert_eq!(layer.index.packs, [PackId([1; 16]), PackId([2; 16])]);
    let users: Vec<_> = layer.index.entries().map(|entry| entry.content.unwrap().pack).collect();
    assert_eq!(users, [0, 0, 1, 1]);
    let mut written = Vec::new();
    write_tar(&layer.index, &layer.skeleton, &packs, &mut written).unwrap();
    assert!(written == next);

    // All of it known: no content of its own.
    let again = read(&[&member("x", b'0', &large)[..], &END].concat(), &mut packs, true).unwrap();
    assert_eq!((count(&packs, 3), again.index.packs.len()), (0, 1));
}

#[test]
fn the_number_of_foreign_packs_is_bounded() {
    let mut packs = MemoryPacks::default();
    let files: Vec<_> = (0..40).map(|seed| member(&format!("file{seed}"), b'0', &content(seed, 5000))).collect();
    for file in &files {
        read(&[&file[..], &END].concat(), &mut packs, false).unwrap();
    }
    let all = [files.concat(), END.to_vec()].concat();
    let layer = read(&all, &mut packs, true).unwrap();
    assert_eq!(layer.index.packs.len(), FOREIGN_PACKS + 1);
    assert_eq!(layer.index.packs.iter().collect::<HashSet<_>>().len(), FOREIGN_PACKS + 1);
    assert_eq!(count(&packs, 41), 40 - FOREIGN_PACKS);
    let mut written = Vec::new();
    write_tar(&layer.index, &layer.skeleton, &packs, &mut written).unwrap();
    assert!(written == all);
}

#[test]
fn a_wrong_content_is_noticed() {
    let tar = [member("file", b'0', b"content"), END.to_vec()].concat();
    let mut packs = MemoryPacks::default();
    let layer = read(&tar, &mut packs, false).unwrap();
    packs.0.get_mut(&PackId([1; 16])).unwrap()[0] ^= 1;
    let error = write_tar(&layer.index, &layer.skeleton, &packs, Vec::new()).unwrap_err();
    assert_eq!(error.kind(), strata_model::ErrorKind::Corrupt);
    packs.0.clear();
    let error = write_tar(&layer.index, &layer.skeleton, &packs, Vec::new()).unwrap_err();
    assert_eq!(error.kind(), strata_model::ErrorKind::Storage);
    assert!(packs.read(PackId([1; 16]), &ContentDigest::of(b"content"), 0, &mut [0; 7]).is_err());
}

#[test]
fn the_diff_id_may_come_from_elsewhere() {
    let tar = [member("file", b'0', b"content"), END.to_vec()].concat();
    let diff_id = DiffId(Digest::of(&tar));
    let read = |claimed| {
        let mut pack = PackWriter::new(PackId([1; 16]), MemoryFile::default());
        read_layer_hashed_elsewhere(&tar[..], &mut pack, &NothingKnown, &LayerLimits::default(), || claimed)
    };
    assert_eq!(read(Ok(diff_id)).unwrap().index.diff_id, diff_id);
    assert!(read(Err(std::io::ErrorKind::BrokenPipe.into())).is_err());
}
