//! The contract of [`Packs`].

use strata_layer::{ContentDigest, PackId, PackWriter};

use crate::unpack::PackTarget;
use crate::{Durability, Location, NewPack, Packs};

/// Writing, sealing, finding, removing.
///
/// # Panics
/// Where the contract is broken.
pub fn packs_suite<P: Packs>(make: impl Fn() -> P) {
    contents_are_found(&make());
    an_empty_pack_is_a_pack(&make());
    unsealed_packs_vanish(&make());
    versions_lie_apart(&make());
    removed_packs_keep_their_readers(&make());
}

/// Contents of every alignment.
fn contents() -> Vec<Vec<u8>> {
    [0, 1, 511, 512, 513, 4096, 70_000, 2_000_000]
        .into_iter()
        .map(|length: usize| (0..length).map(|position| (position * length % 253) as u8).collect())
        .collect()
}

fn write(pack: Box<dyn NewPack>, contents: &[Vec<u8>], durability: Durability) -> (PackId, u64, Location) {
    let id = pack.id();
    let mut writer = PackWriter::new(id, PackTarget(pack));
    for content in contents {
        writer.store(ContentDigest::of(content), content).unwrap();
    }
    let (summary, sink) = writer.finish().unwrap();
    (id, summary.file_length, sink.0.seal(durability).unwrap())
}

fn contents_are_found(packs: &dyn Packs) {
    assert!(packs.scan().unwrap().is_empty());
    let contents = contents();
    for durability in [Durability::Synced, Durability::Unsynced] {
        let (_, length, location) = write(packs.create().unwrap(), &contents, durability);
        let pack = packs.open(&location).unwrap();
        assert_eq!(pack.length(), length);
        assert_eq!(pack.length() % 512, 0);
        assert!(pack.footer_is_intact());
        for content in &contents {
            let (offset, length) = pack.place(&ContentDigest::of(content)).unwrap();
            assert_eq!((offset % 512, length), (0, content.len() as u64));
            let mut read = vec![0; content.len()];
            pack.read_exact_at(offset, &mut read).unwrap();
            assert!(read == *content);
        }
        assert_eq!(pack.place(&ContentDigest::of(b"absent")), None);
        let listed = pack.contents();
        assert_eq!(listed.len(), contents.len());
        assert!(listed.is_sorted_by(|one, next| one.0.0 < next.0.0));
        assert!(listed.iter().all(|(digest, offset, length)| pack.place(digest) == Some((*offset, *length))));
        let end = pack.read_exact_at(length - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(packs.usage(&location).unwrap().unwrap().length, length);
        assert_eq!(pack.file().metadata().unwrap().len(), length);
    }
    let scanned = packs.scan().unwrap();
    assert_eq!(scanned.len(), 2);
    assert!(scanned.iter().all(|found| packs.open(&found.location).unwrap().length() == found.usage.length));
}

fn an_empty_pack_is_a_pack(packs: &dyn Packs) {
    let (_, length, location) = write(packs.create().unwrap(), &[], Durability::Unsynced);
    let pack = packs.open(&location).unwrap();
    assert!(pack.footer_is_intact() && pack.contents().is_empty());
    assert_eq!((pack.length(), length), (512, 512));
}

fn unsealed_packs_vanish(packs: &dyn Packs) {
    let mut pack = packs.create().unwrap();
    pack.write_at(0, b"never sealed").unwrap();
    assert!(packs.scan().unwrap().is_empty());
    drop(pack);
    assert!(packs.scan().unwrap().is_empty());
}

fn versions_lie_apart(packs: &dyn Packs) {
    let contents = contents();
    let (id, _, old) = write(packs.create().unwrap(), &contents, Durability::Unsynced);
    assert_ne!(packs.create().unwrap().id(), id);
    let (same, _, new) = write(packs.create_version(id).unwrap(), &contents[..2], Durability::Unsynced);
    assert_eq!(same, id);
    assert_ne!(old, new);
    let (old, new) = (packs.open(&old).unwrap(), packs.open(&new).unwrap());
    assert_eq!((old.contents().len(), new.contents().len()), (contents.len(), 2));
}

fn removed_packs_keep_their_readers(packs: &dyn Packs) {
    let contents = contents();
    let (_, _, location) = write(packs.create().unwrap(), &contents, Durability::Unsynced);
    let pack = packs.open(&location).unwrap();
    packs.remove(&location).unwrap();
    packs.remove(&location).unwrap();
    assert!(packs.open(&location).is_err());
    assert_eq!(packs.usage(&location).unwrap(), None);
    assert!(pack.footer_is_intact());
    let (offset, length) = pack.place(&ContentDigest::of(&contents[7])).unwrap();
    let mut read = vec![0; length as usize];
    pack.read_exact_at(offset, &mut read).unwrap();
    assert!(read == contents[7]);
    assert!(packs.open(&Location("packs/../../etc/passwd".into())).is_err());
}
