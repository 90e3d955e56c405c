//! The contract of [`Blobs`].

use super::digest;
use crate::{BlobBytes, BlobKind, Blobs, Durability, Ingest, Location, StageName};

/// Staging, sealing, owning, reading, removing.
///
/// # Panics
/// Where the contract is broken.
pub async fn blobs_suite<B: Blobs>(make: impl Fn() -> B) {
    an_empty_storage_is_empty(&make()).await;
    sealed_bytes_are_read_back(&make()).await;
    unsealed_bytes_vanish(&make()).await;
    equal_bytes_lie_apart(&make()).await;
    a_staged_name_has_one_owner(&make()).await;
    staged_bytes_are_resumed(&make()).await;
    staged_bytes_start_again(&make()).await;
    sealed_bytes_never_change(&make()).await;
    removing_is_idempotent(&make()).await;
    foreign_locations_are_refused(&make()).await;
    sweeping_spares_owned_and_young(&make()).await;
}

/// Later than anything.
const EVER: i64 = i64::MAX;

fn all_of(bytes: &dyn BlobBytes) -> Vec<u8> {
    let mut all = vec![0; bytes.size() as usize + 1];
    let mut length = 0;
    loop {
        match bytes.read_at(length as u64, &mut all[length..]).unwrap() {
            0 => break,
            count => length += count,
        }
    }
    all.truncate(length);
    all
}

async fn read(blobs: &dyn Blobs, at: &Location) -> Vec<u8> {
    all_of(&*blobs.open(at).await.unwrap())
}

async fn put(blobs: &dyn Blobs, kind: BlobKind, bytes: &[u8], durability: Durability) -> Location {
    let mut ingest = blobs.begin(kind).await.unwrap();
    ingest.write(bytes).await.unwrap();
    let location = ingest.seal(durability).await.unwrap();
    ingest.finish().await.unwrap();
    location
}

async fn stage(blobs: &dyn Blobs, name: &StageName) -> Box<dyn Ingest> {
    blobs.stage(name).await.unwrap().expect("nobody else owns it")
}

fn download() -> StageName {
    StageName::Download(digest("download"))
}

async fn an_empty_storage_is_empty(blobs: &dyn Blobs) {
    assert!(blobs.scan().await.unwrap().is_empty());
    assert_eq!(blobs.sweep_staged(EVER).await.unwrap(), 0);
}

async fn sealed_bytes_are_read_back(blobs: &dyn Blobs) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    for kind in [BlobKind::Object, BlobKind::Index, BlobKind::View] {
        for durability in [Durability::Synced, Durability::Unsynced] {
            let mut ingest = blobs.begin(kind).await.unwrap();
            for part in large.chunks(700_001) {
                ingest.write(part).await.unwrap();
            }
            assert_eq!(ingest.length(), large.len() as u64);
            assert!(all_of(&*ingest.staged().unwrap()) == large);
            let location = ingest.seal(durability).await.unwrap();
            assert!(read(blobs, &location).await == large);
            ingest.finish().await.unwrap();
            let opened = blobs.open(&location).await.unwrap();
            assert!(all_of(&*opened) == large);
            let mut middle = [0; 5];
            assert_eq!(opened.read_at(1_000_000, &mut middle).unwrap(), 5);
            assert_eq!(middle, large[1_000_000..1_000_005]);
            assert_eq!(opened.read_at(large.len() as u64 + 7, &mut middle).unwrap(), 0);
            let usage = blobs.usage(&location).await.unwrap().unwrap();
            assert_eq!(usage.length, large.len() as u64);
        }
    }
    let empty = put(blobs, BlobKind::Object, b"", Durability::Synced).await;
    assert_eq!(read(blobs, &empty).await, b"");
    let scanned = blobs.scan().await.unwrap();
    assert_eq!(scanned.len(), 7);
    for found in scanned {
        let size = blobs.open(&found.location).await.unwrap().size();
        assert_eq!(found.usage.length, size);
        assert!(found.modified > 0);
    }
}

async fn unsealed_bytes_vanish(blobs: &dyn Blobs) {
    let mut ingest = blobs.begin(BlobKind::Object).await.unwrap();
    ingest.write(b"never sealed").await.unwrap();
    assert!(blobs.scan().await.unwrap().is_empty());
    drop(ingest);
    assert!(blobs.scan().await.unwrap().is_empty());
    assert_eq!(blobs.sweep_staged(EVER).await.unwrap(), 0);
}

async fn equal_bytes_lie_apart(blobs: &dyn Blobs) {
    let one = put(blobs, BlobKind::Object, b"equal", Durability::Unsynced).await;
    let two = put(blobs, BlobKind::Object, b"equal", Durability::Unsynced).await;
    assert_ne!(one, two);
    blobs.remove(&one).await.unwrap();
    assert_eq!(read(blobs, &two).await, b"equal");
    assert_eq!(blobs.scan().await.unwrap().len(), 1);
}

async fn a_staged_name_has_one_owner(blobs: &dyn Blobs) {
    let first = stage(blobs, &download()).await;
    assert!(blobs.stage(&download()).await.unwrap().is_none());
    let upload = StageName::Upload("0b3c-session_1".into());
    let other = stage(blobs, &upload).await;
    let reader = first.staged().unwrap();
    drop(first);
    let second = stage(blobs, &download()).await;
    drop(reader);
    assert!(blobs.stage(&download()).await.unwrap().is_none());
    assert!(blobs.stage(&upload).await.unwrap().is_none());
    second.finish().await.unwrap();
    drop(other);
    stage(blobs, &download()).await.finish().await.unwrap();
    stage(blobs, &upload).await.finish().await.unwrap();
    for hostile in ["", "../../etc/passwd", "a/b", "..", "x\0y", &"long".repeat(100)] {
        assert!(blobs.stage(&StageName::Upload(hostile.into())).await.is_err(), "{hostile:?}");
    }
    assert!(blobs.scan().await.unwrap().is_empty());
}

async fn staged_bytes_are_resumed(blobs: &dyn Blobs) {
    let mut first = stage(blobs, &download()).await;
    assert_eq!(first.length(), 0);
    first.write(b"first ").await.unwrap();
    drop(first);
    let mut second = stage(blobs, &download()).await;
    assert_eq!(second.length(), 6);
    assert_eq!(all_of(&*second.staged().unwrap()), b"first ");
    second.write(b"second").await.unwrap();
    assert!(blobs.scan().await.unwrap().is_empty());
    let location = second.seal(Durability::Synced).await.unwrap();
    assert_eq!(read(blobs, &location).await, b"first second");
    second.finish().await.unwrap();
    assert_eq!(read(blobs, &location).await, b"first second");
    assert_eq!(stage(blobs, &download()).await.length(), 0);
}

async fn staged_bytes_start_again(blobs: &dyn Blobs) {
    let mut ingest = stage(blobs, &download()).await;
    ingest.write(b"wrong bytes").await.unwrap();
    ingest.restart().await.unwrap();
    assert_eq!(ingest.length(), 0);
    assert!(blobs.stage(&download()).await.unwrap().is_none());
    ingest.write(b"right").await.unwrap();
    let location = ingest.seal(Durability::Unsynced).await.unwrap();
    ingest.finish().await.unwrap();
    assert_eq!(read(blobs, &location).await, b"right");
    let mut anonymous = blobs.begin(BlobKind::Index).await.unwrap();
    anonymous.write(b"wrong bytes").await.unwrap();
    anonymous.restart().await.unwrap();
    anonymous.write(b"index").await.unwrap();
    let location = anonymous.seal(Durability::Unsynced).await.unwrap();
    assert_eq!(read(blobs, &location).await, b"index");
}

/// An owner that died between sealing and finishing leaves a staged name beside the sealed bytes.
async fn sealed_bytes_never_change(blobs: &dyn Blobs) {
    let mut first = stage(blobs, &download()).await;
    first.write(b"sealed").await.unwrap();
    let sealed = first.seal(Durability::Synced).await.unwrap();
    drop(first);
    let mut second = stage(blobs, &download()).await;
    assert_eq!(second.length(), 6);
    second.write(b" and more").await.unwrap();
    assert_eq!(read(blobs, &sealed).await, b"sealed");
    let longer = second.seal(Durability::Synced).await.unwrap();
    assert_eq!(read(blobs, &longer).await, b"sealed and more");
    drop(second);
    let mut third = stage(blobs, &download()).await;
    let again = third.seal(Durability::Synced).await.unwrap();
    drop(third);
    let mut fourth = stage(blobs, &download()).await;
    fourth.restart().await.unwrap();
    fourth.write(b"other").await.unwrap();
    assert!(blobs.stage(&download()).await.unwrap().is_none());
    let other = fourth.seal(Durability::Unsynced).await.unwrap();
    fourth.finish().await.unwrap();
    for (location, bytes) in
        [(&sealed, &b"sealed"[..]), (&longer, b"sealed and more"), (&again, b"sealed and more"), (&other, b"other")]
    {
        assert_eq!(read(blobs, location).await, bytes);
    }
    assert_eq!(blobs.scan().await.unwrap().len(), 4);
}

async fn removing_is_idempotent(blobs: &dyn Blobs) {
    let location = put(blobs, BlobKind::View, b"bytes", Durability::Unsynced).await;
    let opened = blobs.open(&location).await.unwrap();
    blobs.remove(&location).await.unwrap();
    blobs.remove(&location).await.unwrap();
    assert_eq!(all_of(&*opened), b"bytes");
    assert!(blobs.open(&location).await.is_err());
    assert_eq!(blobs.usage(&location).await.unwrap(), None);
    assert!(blobs.scan().await.unwrap().is_empty());
}

async fn foreign_locations_are_refused(blobs: &dyn Blobs) {
    for text in ["", "/etc/passwd", "blobs/../../etc/passwd", "no such place"] {
        let location = Location(text.into());
        assert!(blobs.open(&location).await.is_err(), "{text}");
    }
}

async fn sweeping_spares_owned_and_young(blobs: &dyn Blobs) {
    let mut owned = stage(blobs, &download()).await;
    owned.write(b"owned").await.unwrap();
    let left = StageName::Upload("left".into());
    let mut ingest = stage(blobs, &left).await;
    ingest.write(&vec![1; 100_000]).await.unwrap();
    drop(ingest);
    assert_eq!(blobs.sweep_staged(1).await.unwrap(), 0);
    let ingest = stage(blobs, &left).await;
    assert_eq!(ingest.length(), 100_000);
    drop(ingest);
    assert!(blobs.sweep_staged(EVER).await.unwrap() >= 100_000);
    assert_eq!(blobs.sweep_staged(EVER).await.unwrap(), 0);
    assert_eq!(stage(blobs, &left).await.length(), 0);
    let location = owned.seal(Durability::Synced).await.unwrap();
    owned.finish().await.unwrap();
    assert_eq!(read(blobs, &location).await, b"owned");
}
