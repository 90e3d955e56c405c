//! The contract of [`Catalog`].

use bytes::Bytes;
use strata_layer::PackId;
use strata_model::{ChainId, DiffId, Digest, ErrorKind, ImageId, MediaType};

use super::{containers, digest};
use crate::{
    Catalog, DigestNameRow, DoomedKind, DoomedRow, EventRow, ImageRow, LayerRow, LeaseItem, LeaseRow, LinkKind,
    Location, NameRow, ObjectRow, PackRow, ReadTxn, RegistryAction, RegistryHistoryRow, RegistryReviewRow, WriteTxn,
};

/// Every method of [`ReadTxn`] and [`WriteTxn`], isolation, and what is refused.
///
/// # Panics
/// Where the contract is broken.
pub async fn catalog_suite<C: Catalog>(make: impl Fn() -> C) {
    objects_are_kept(&make()).await;
    what_is_referred_to_stays(&make()).await;
    absent_children_are_promoted(&make()).await;
    layers_and_packs(&make()).await;
    images_and_names(&make()).await;
    deleting_an_image_takes_its_names(&make()).await;
    views(&make()).await;
    leases_hold_until_they_end(&make()).await;
    doomed_bytes_and_events(&make()).await;
    containers::containers(&make()).await;
    containers::volumes(&make()).await;
    containers::networks(&make()).await;
    registry(&make()).await;
    registry_history(&make()).await;
    registry_reviews(&make()).await;
    registry_uses(&make()).await;
    snapshots_and_rollback(&make()).await;
    writers_wait_for_each_other(&make()).await;
    assert_eq!(make().check().await.unwrap(), Vec::<String>::new());
}

fn location(text: &str) -> Location {
    Location(text.to_owned())
}

fn object(text: &str) -> ObjectRow {
    ObjectRow {
        digest: digest(text),
        media_type: MediaType::OCI_LAYER_GZIP,
        size: 7,
        location: Some(location(text)),
        bytes: None,
        created: 1,
        damaged: false,
    }
}

fn image(name: &str, manifest: &str) -> ImageRow {
    ImageRow {
        id: ImageId(digest(name)),
        manifest: digest(manifest),
        platform: "linux/amd64".into(),
        created: -5,
        size: 1 << 40,
        added: 10,
        used: 11,
        tagged: 0,
    }
}

fn name(repository: &str, tag: &str, image: &str) -> NameRow {
    NameRow {
        repository: repository.into(),
        tag: tag.into(),
        platform: "linux/amd64".into(),
        image: ImageId(digest(image)),
        updated: 3,
    }
}

fn layer(text: &str) -> LayerRow {
    LayerRow {
        diff_id: DiffId(digest(text)),
        index: location(text),
        tar_size: 1,
        content_size: 2,
        entries: 3,
        shared_size: 4,
        damaged: false,
    }
}

fn pack(number: u8) -> PackRow {
    PackRow { id: PackId([number; 16]), location: location(&format!("pack {number}")), length: 512, damaged: false }
}

pub(super) async fn write(catalog: &impl Catalog) -> Box<dyn WriteTxn> {
    catalog.write("testing").await.unwrap()
}

pub(super) async fn read(catalog: &impl Catalog) -> Box<dyn ReadTxn> {
    catalog.read().await.unwrap()
}

pub(super) fn refused(result: crate::Result<()>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Conflict);
}

async fn objects_are_kept(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    let manifest = ObjectRow {
        bytes: Some(Bytes::from_static(b"{}")),
        location: None,
        media_type: MediaType::parse("application/x-unheard-of"),
        ..object("manifest")
    };
    assert!(txn.insert_object(&manifest).await.unwrap());
    assert!(txn.insert_object(&object("blob")).await.unwrap());
    assert!(!txn.insert_object(&ObjectRow { size: 8, ..object("blob") }).await.unwrap());
    txn.mark_object_damaged(&digest("blob")).await.unwrap();
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    let found = txn.object(&manifest.digest).await.unwrap().unwrap();
    assert_eq!((found.bytes.as_deref(), found.location, found.damaged), (Some(&b"{}"[..]), None, false));
    assert_eq!((found.digest, found.media_type, found.size), (manifest.digest, manifest.media_type, 7));
    let blob = txn.object(&digest("blob")).await.unwrap().unwrap();
    assert_eq!((blob.size, blob.location, blob.damaged), (7, Some(location("blob")), true));
    assert!(txn.object(&digest("absent")).await.unwrap().is_none());
    let asked = [digest("absent"), digest("blob"), digest("manifest")];
    assert_eq!(txn.present(&asked).await.unwrap(), [digest("manifest")]);
    let all = txn.objects().await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| row.bytes.is_none()));
    drop(txn);

    let mut txn = write(catalog).await;
    txn.heal_object(&digest("blob"), Some(&location("elsewhere")), None).await.unwrap();
    txn.heal_object(&digest("manifest"), Some(&location("m")), Some(&Bytes::from_static(b"[]"))).await.unwrap();
    txn.delete_object(&digest("absent")).await.unwrap();
    txn.commit().await.unwrap();
    let txn = read(catalog).await;
    let blob = txn.object(&digest("blob")).await.unwrap().unwrap();
    assert_eq!((blob.location, blob.damaged, blob.bytes), (Some(location("elsewhere")), false, None));
    assert_eq!(txn.object(&digest("manifest")).await.unwrap().unwrap().bytes.as_deref(), Some(&b"[]"[..]));
}

async fn what_is_referred_to_stays(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    for text in ["index", "manifest", "config", "named", "linked"] {
        txn.insert_object(&object(text)).await.unwrap();
    }
    txn.insert_edge(&digest("index"), &digest("manifest"), "manifest").await.unwrap();
    txn.insert_edge(&digest("manifest"), &digest("config"), "config").await.unwrap();
    txn.insert_edge(&digest("manifest"), &digest("config"), "layer").await.unwrap();
    txn.insert_edge(&digest("manifest"), &digest("config"), "layer").await.unwrap();
    txn.insert_edge(&digest("named"), &digest("manifest"), "subject").await.unwrap();
    refused(txn.insert_edge(&digest("manifest"), &digest("absent"), "layer").await);
    refused(txn.insert_edge(&digest("absent"), &digest("config"), "layer").await);
    txn.put_image(&image("image", "manifest")).await.unwrap();
    refused(txn.put_image(&image("other", "absent")).await);
    let row = DigestNameRow { repository: "r".into(), digest: digest("named"), image: ImageId(digest("image")) };
    txn.put_digest_name(&row).await.unwrap();
    txn.put_registry_link("r", &digest("linked"), LinkKind::Blob).await.unwrap();
    refused(txn.put_registry_link("r", &digest("absent"), LinkKind::Blob).await);
    txn.commit().await.unwrap();

    let mut txn = write(catalog).await;
    assert_eq!(txn.children(&digest("manifest")).await.unwrap(), [digest("config")]);
    assert_eq!(txn.parents(&digest("config")).await.unwrap(), [digest("manifest")]);
    assert_eq!(txn.parents(&digest("manifest")).await.unwrap(), [digest("index")], "what is about it is no parent");
    assert_eq!(txn.referrers(&digest("manifest")).await.unwrap(), [digest("named")]);
    for text in ["manifest", "config", "named", "linked"] {
        assert!(txn.object_is_held(&digest(text), 0).await.unwrap(), "{text}");
        refused(txn.delete_object(&digest(text)).await);
    }
    assert!(!txn.object_is_held(&digest("index"), 0).await.unwrap());
    txn.delete_object(&digest("index")).await.unwrap();
    txn.delete_image(&ImageId(digest("image"))).await.unwrap();
    assert!(txn.delete_registry_link("r", &digest("linked")).await.unwrap());
    for text in ["named", "manifest", "config", "linked"] {
        assert!(!txn.object_is_held(&digest(text), 0).await.unwrap(), "{text}");
        txn.delete_object(&digest(text)).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert!(read(catalog).await.objects().await.unwrap().is_empty());
}

async fn absent_children_are_promoted(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    txn.insert_object(&object("index")).await.unwrap();
    txn.insert_object(&object("signature")).await.unwrap();
    txn.insert_sparse(&digest("index"), &digest("arm"), "manifest").await.unwrap();
    txn.insert_sparse(&digest("index"), &digest("arm"), "manifest").await.unwrap();
    txn.insert_sparse(&digest("index"), &digest("riscv"), "manifest").await.unwrap();
    txn.insert_sparse(&digest("signature"), &digest("arm"), "subject").await.unwrap();
    assert_eq!(txn.referrers(&digest("arm")).await.unwrap(), [digest("signature")]);
    assert_eq!(txn.subject(&digest("signature")).await.unwrap(), Some(digest("arm")));
    assert_eq!(txn.subject(&digest("index")).await.unwrap(), None);
    assert!(txn.children(&digest("index")).await.unwrap().is_empty());
    assert!(!txn.object_is_held(&digest("arm"), 0).await.unwrap());
    txn.commit().await.unwrap();

    let mut txn = write(catalog).await;
    txn.insert_object(&object("arm")).await.unwrap();
    txn.promote_sparse(&digest("arm")).await.unwrap();
    txn.promote_sparse(&digest("arm")).await.unwrap();
    assert_eq!(txn.children(&digest("index")).await.unwrap(), [digest("arm")]);
    assert_eq!(txn.referrers(&digest("arm")).await.unwrap(), [digest("signature")]);
    assert!(txn.object_is_held(&digest("arm"), 0).await.unwrap());
    txn.delete_object(&digest("index")).await.unwrap();
    txn.insert_object(&object("riscv")).await.unwrap();
    txn.promote_sparse(&digest("riscv")).await.unwrap();
    assert!(!txn.object_is_held(&digest("riscv"), 0).await.unwrap());
    txn.commit().await.unwrap();
}

async fn layers_and_packs(catalog: &impl Catalog) {
    let ids = |rows: Vec<PackRow>| rows.into_iter().map(|row| row.id.0[0]).collect::<Vec<_>>();
    let (one, two) = (DiffId(digest("one")), DiffId(digest("two")));
    let mut txn = write(catalog).await;
    for number in [9, 3, 5] {
        txn.insert_pack(&pack(number)).await.unwrap();
        txn.insert_pack(&PackRow { length: 1024, ..pack(number) }).await.unwrap();
    }
    txn.insert_object(&object("blob")).await.unwrap();
    txn.insert_object(&object("twin")).await.unwrap();
    assert!(txn.insert_layer(&layer("one"), &[(pack(9).id, 100), (pack(3).id, 0)]).await.unwrap());
    assert!(!txn.insert_layer(&layer("one"), &[(pack(5).id, 1)]).await.unwrap());
    assert!(txn.insert_layer(&layer("two"), &[(pack(3).id, 8)]).await.unwrap());
    refused(txn.insert_layer(&layer("three"), &[(pack(77).id, 8)]).await.map(drop));
    refused(txn.link_layer_blob(&digest("blob"), &DiffId(digest("absent"))).await);
    txn.delete_layer(&DiffId(digest("three"))).await.unwrap();
    txn.link_layer_blob(&digest("blob"), &two).await.unwrap();
    txn.link_layer_blob(&digest("blob"), &one).await.unwrap();
    txn.link_layer_blob(&digest("twin"), &one).await.unwrap();
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    let row = txn.layer(&one).await.unwrap().unwrap();
    assert_eq!((row.tar_size, row.content_size, row.entries, row.shared_size, row.damaged), (1, 2, 3, 4, false));
    assert_eq!((row.diff_id, row.index), (one, location("one")));
    assert_eq!(txn.layers().await.unwrap().len(), 2);
    assert_eq!(txn.layer_of_blob(&digest("blob")).await.unwrap(), Some(one));
    assert_eq!(txn.layer_of_blob(&digest("absent")).await.unwrap(), None);
    let mut blobs = [digest("blob"), digest("twin")];
    blobs.sort();
    assert_eq!(txn.blobs_of_layer(&one).await.unwrap(), blobs);
    assert!(txn.layer_is_held(&one, 0).await.unwrap() && !txn.layer_is_held(&two, 0).await.unwrap());
    assert_eq!(txn.packs_of_layer(&one).await.unwrap(), [(pack(3).id, 0), (pack(9).id, 100)]);
    assert_eq!(txn.layers_of_pack(&pack(9).id).await.unwrap(), [one]);
    assert_eq!(txn.layers_of_pack(&pack(3).id).await.unwrap().len(), 2);
    assert!(txn.pack_is_held(&pack(9).id, 0).await.unwrap() && !txn.pack_is_held(&pack(5).id, 0).await.unwrap());
    let row = txn.pack(&pack(9).id).await.unwrap().unwrap();
    assert_eq!((row.location, row.length, row.damaged), (location("pack 9"), 512, false));
    assert_eq!(ids(txn.packs().await.unwrap()), [3, 5, 9]);
    assert_eq!(ids(txn.newest_packs(2).await.unwrap()), [5, 3]);
    drop(txn);

    let mut txn = write(catalog).await;
    txn.mark_layer_damaged(&two).await.unwrap();
    txn.mark_pack_damaged(&pack(5).id).await.unwrap();
    assert!(txn.layer(&two).await.unwrap().unwrap().damaged);
    assert!(txn.pack(&pack(5).id).await.unwrap().unwrap().damaged);
    assert_eq!(ids(txn.newest_packs(5).await.unwrap()), [3, 9]);
    txn.heal_layer(&LayerRow { index: location("new"), ..layer("two") }, &[(pack(5).id, 8)]).await.unwrap();
    txn.replace_pack(&PackRow { location: location("smaller"), length: 0, ..pack(5) }).await.unwrap();
    let row = txn.layer(&two).await.unwrap().unwrap();
    assert_eq!((row.index, row.damaged), (location("new"), false));
    assert_eq!(txn.packs_of_layer(&two).await.unwrap(), [(pack(5).id, 8)]);
    let row = txn.pack(&pack(5).id).await.unwrap().unwrap();
    assert_eq!((row.location, row.length, row.damaged), (location("smaller"), 0, false));
    assert_eq!(ids(txn.newest_packs(5).await.unwrap()), [5, 3, 9]);
    refused(txn.delete_pack(&pack(5).id).await);
    refused(txn.delete_layer(&one).await);
    txn.delete_layer(&two).await.unwrap();
    txn.delete_pack(&pack(5).id).await.unwrap();
    txn.delete_object(&digest("blob")).await.unwrap();
    txn.delete_object(&digest("twin")).await.unwrap();
    txn.delete_layer(&one).await.unwrap();
    txn.delete_pack(&pack(9).id).await.unwrap();
    txn.commit().await.unwrap();
    let txn = read(catalog).await;
    assert!(txn.layers().await.unwrap().is_empty());
    assert_eq!(ids(txn.packs().await.unwrap()), [3]);
}

async fn images_and_names(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    txn.insert_object(&object("manifest")).await.unwrap();
    for text in ["a", "b"] {
        txn.put_image(&image(text, "manifest")).await.unwrap();
    }
    txn.put_name(&name("docker.io/library/redis", "7", "a")).await.unwrap();
    txn.put_name(&name("docker.io/library/redis", "latest", "a")).await.unwrap();
    let arm = NameRow { platform: "linux/arm64".into(), ..name("docker.io/library/redis", "7", "b") };
    txn.put_name(&arm).await.unwrap();
    txn.put_name(&name("docker.io/library/nginx", "1", "b")).await.unwrap();
    refused(txn.put_name(&name("docker.io/library/nginx", "2", "absent")).await);
    // A replaced image keeps its names.
    let replaced = ImageRow { tagged: 99, used: 100, ..image("a", "manifest") };
    txn.put_image(&replaced).await.unwrap();
    txn.touch_image(&replaced.id, 200).await.unwrap();
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    let (a, b) = (ImageId(digest("a")), ImageId(digest("b")));
    assert_eq!(txn.image(&a).await.unwrap().unwrap(), ImageRow { used: 200, ..replaced });
    assert_eq!(txn.image(&b).await.unwrap().unwrap(), image("b", "manifest"));
    assert_eq!(txn.images().await.unwrap().len(), 2);
    for length in [0, 1, 12, 64] {
        let found = txn.images_by_prefix(&a.0.hex()[..length]).await.unwrap();
        assert!(found.iter().any(|row| row.id == a), "{length} digits");
        assert!(found.iter().all(|row| row.id.0.hex().starts_with(&a.0.hex()[..length])));
    }
    for nothing in ["x", "%", "g", "sha256:"] {
        assert!(txn.images_by_prefix(nothing).await.unwrap().is_empty(), "{nothing}");
    }
    assert_eq!(txn.names().await.unwrap().len(), 4);
    let redis = txn.names_of_repository("docker.io/library/redis").await.unwrap();
    let expected = [name("docker.io/library/redis", "7", "a"), arm, name("docker.io/library/redis", "latest", "a")];
    assert_eq!(redis, expected);
    assert_eq!(txn.names_of_image(&b).await.unwrap().len(), 2);
    drop(txn);

    let mut txn = write(catalog).await;
    txn.put_name(&name("docker.io/library/redis", "7", "b")).await.unwrap();
    assert_eq!(txn.names_of_image(&a).await.unwrap(), [name("docker.io/library/redis", "latest", "a")]);
    assert!(txn.delete_name("docker.io/library/redis", "7", "linux/amd64").await.unwrap());
    assert!(!txn.delete_name("docker.io/library/redis", "7", "linux/amd64").await.unwrap());
    assert!(!txn.delete_name("docker.io/library/redis", "latest", "linux/arm64").await.unwrap());
    assert_eq!(txn.names().await.unwrap().len(), 3);
    txn.commit().await.unwrap();
}

async fn deleting_an_image_takes_its_names(catalog: &impl Catalog) {
    let (a, b) = (ImageId(digest("a")), ImageId(digest("b")));
    let digest_name = |repository: &str, digest: Digest, image: ImageId| DigestNameRow {
        repository: repository.into(),
        digest,
        image,
    };
    let mut txn = write(catalog).await;
    txn.insert_object(&object("manifest")).await.unwrap();
    txn.put_image(&image("a", "manifest")).await.unwrap();
    txn.put_image(&image("b", "manifest")).await.unwrap();
    txn.put_name(&name("r", "1", "a")).await.unwrap();
    for row in [digest_name("r", digest("manifest"), a), digest_name("r", digest("manifest"), b)] {
        txn.put_digest_name(&row).await.unwrap();
        txn.put_digest_name(&row).await.unwrap();
    }
    txn.put_digest_name(&digest_name("s", digest("manifest"), a)).await.unwrap();
    refused(txn.put_digest_name(&digest_name("s", digest("absent"), a)).await);
    assert_eq!(txn.digest_names().await.unwrap().len(), 3);
    assert_eq!(txn.digest_names_of_image(&a).await.unwrap().len(), 2);
    let of_repository = txn.digest_names_of_repository("r").await.unwrap();
    assert!(!of_repository.is_empty() && of_repository.iter().all(|row| row.repository == "r"), "{of_repository:?}");
    assert!(txn.digest_names_of_repository("nosuch").await.unwrap().is_empty());
    txn.delete_digest_name(&digest_name("s", digest("manifest"), a)).await.unwrap();
    assert_eq!(txn.digest_names_of_image(&a).await.unwrap(), [digest_name("r", digest("manifest"), a)]);
    txn.delete_image(&a).await.unwrap();
    assert!(txn.names().await.unwrap().is_empty());
    assert_eq!(txn.digest_names().await.unwrap(), [digest_name("r", digest("manifest"), b)]);
    assert_eq!(txn.images().await.unwrap().len(), 1);
    txn.commit().await.unwrap();
}

async fn views(catalog: &impl Catalog) {
    let chain = ChainId(digest("chain"));
    let mut txn = write(catalog).await;
    assert_eq!(txn.put_view(&chain, &location("first")).await.unwrap(), None);
    assert_eq!(txn.put_view(&chain, &location("second")).await.unwrap(), Some(location("first")));
    txn.commit().await.unwrap();
    let mut txn = write(catalog).await;
    assert_eq!(txn.view(&chain).await.unwrap(), Some(location("second")));
    assert_eq!(txn.views().await.unwrap(), [(chain, location("second"))]);
    assert_eq!(txn.delete_view(&chain).await.unwrap(), Some(location("second")));
    assert_eq!(txn.delete_view(&chain).await.unwrap(), None);
    assert_eq!(txn.view(&chain).await.unwrap(), None);
    txn.commit().await.unwrap();
}

async fn leases_hold_until_they_end(catalog: &impl Catalog) {
    let lease = |expires| LeaseRow { id: "lease".into(), purpose: "pull".into(), expires };
    let (blob, diff_id, pack_id) = (digest("blob"), DiffId(digest("layer")), pack(1).id);
    let items = [LeaseItem::Layer(diff_id), LeaseItem::Object(blob), LeaseItem::Pack(pack_id)];
    let mut txn = write(catalog).await;
    txn.insert_object(&object("blob")).await.unwrap();
    txn.insert_layer(&layer("layer"), &[]).await.unwrap();
    txn.insert_pack(&pack(1)).await.unwrap();
    refused(txn.add_lease_items("lease", &items).await);
    txn.put_lease(&lease(50)).await.unwrap();
    txn.add_lease_items("lease", &items).await.unwrap();
    txn.add_lease_items("lease", &items[..1]).await.unwrap();
    txn.put_lease(&lease(100)).await.unwrap();
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    assert_eq!(txn.lease_items("lease").await.unwrap(), items);
    assert_eq!(txn.lease("lease").await.unwrap().map(|row| (row.purpose, row.expires)), Some(("pull".to_owned(), 100)));
    assert!(txn.lease("other").await.unwrap().is_none());
    for (now, live) in [(0, true), (99, true), (100, false), (101, false)] {
        assert_eq!(txn.object_is_held(&blob, now).await.unwrap(), live, "at {now}");
        assert_eq!(txn.layer_is_held(&diff_id, now).await.unwrap(), live, "at {now}");
        assert_eq!(txn.pack_is_held(&pack_id, now).await.unwrap(), live, "at {now}");
        assert_eq!(txn.live_leases(now).await.unwrap().len(), usize::from(live));
        let expired = txn.expired_leases(now).await.unwrap();
        assert_eq!(expired.len(), usize::from(!live));
        assert!(
            expired.iter().all(|row| (row.id.as_str(), row.purpose.as_str(), row.expires) == ("lease", "pull", 100))
        );
    }
    drop(txn);

    let mut txn = write(catalog).await;
    txn.delete_lease("lease").await.unwrap();
    assert!(txn.lease_items("lease").await.unwrap().is_empty());
    assert!(!txn.object_is_held(&blob, 0).await.unwrap());
    txn.commit().await.unwrap();
}

async fn doomed_bytes_and_events(catalog: &impl Catalog) {
    let doomed = |text: &str, kind| DoomedRow { location: location(text), kind };
    let rows = [doomed("a", DoomedKind::Blob), doomed("a", DoomedKind::Pack), doomed("b", DoomedKind::Blob)];
    let mut txn = write(catalog).await;
    for row in rows.iter().chain(&rows[..1]) {
        txn.insert_doomed(row).await.unwrap();
    }
    txn.commit().await.unwrap();
    let mut txn = write(catalog).await;
    assert_eq!(txn.doomed().await.unwrap(), rows);
    txn.delete_doomed(&rows[..2]).await.unwrap();
    assert_eq!(txn.doomed().await.unwrap(), rows[2..]);
    for time in 0..6000 {
        let (action, actor) = ("pull".to_owned(), format!("image {time}"));
        txn.insert_event(&EventRow { time, action, actor, attributes: "{}".into() }).await.unwrap();
    }
    txn.commit().await.unwrap();
    let txn = read(catalog).await;
    let all = txn.events(-1, usize::MAX).await.unwrap();
    assert!((2000..6000).contains(&all.len()), "{} events", all.len());
    assert!(all.is_sorted_by_key(|row| row.time));
    let last = txn.events(5996, 2).await.unwrap();
    assert_eq!(last.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(), ["image 5997", "image 5998"]);
    assert_eq!((last[0].action.as_str(), last[0].attributes.as_str()), ("pull", "{}"));
}

async fn registry(catalog: &impl Catalog) {
    let tags = |rows: Vec<crate::RegistryTagRow>| rows.into_iter().map(|row| row.tag).collect::<Vec<_>>();
    let mut txn = write(catalog).await;
    txn.insert_object(&object("manifest")).await.unwrap();
    txn.insert_object(&object("blob")).await.unwrap();
    for repository in ["b", "a/b", "B"] {
        txn.put_registry_link(repository, &digest("blob"), LinkKind::Blob).await.unwrap();
    }
    txn.put_registry_link("b", &digest("manifest"), LinkKind::Manifest).await.unwrap();
    txn.put_registry_link("b", &digest("manifest"), LinkKind::Blob).await.unwrap();
    txn.insert_edge(&digest("manifest"), &digest("blob"), "layer").await.unwrap();
    for tag in ["v2", "V1", "v10", "latest"] {
        txn.put_registry_tag("b", tag, &digest("manifest"), 1).await.unwrap();
    }
    txn.put_registry_tag("b", "latest", &digest("manifest"), 5).await.unwrap();
    refused(txn.put_registry_tag("a/b", "latest", &digest("manifest"), 1).await);
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    assert_eq!(txn.registry_repositories(None, 10).await.unwrap(), ["B", "a/b", "b"]);
    assert_eq!(txn.registry_repositories(Some("B"), 1).await.unwrap(), ["a/b"]);
    assert!(txn.registry_has_repository("a/b").await.unwrap() && !txn.registry_has_repository("a").await.unwrap());
    assert_eq!(txn.registry_link("b", &digest("manifest")).await.unwrap(), Some(LinkKind::Manifest));
    assert_eq!(txn.registry_link("b", &digest("blob")).await.unwrap(), Some(LinkKind::Blob));
    assert_eq!(txn.registry_link("B", &digest("manifest")).await.unwrap(), None);
    assert_eq!(txn.registry_links("b", LinkKind::Manifest).await.unwrap(), [digest("manifest")]);
    assert_eq!(txn.registry_links("b", LinkKind::Blob).await.unwrap(), [digest("blob")]);
    assert_eq!(txn.registry_parent("b", &digest("blob")).await.unwrap(), Some(digest("manifest")));
    let needing = txn.registry_tags_of("b", &digest("manifest")).await.unwrap();
    assert!(!needing.is_empty());
    assert_eq!(txn.registry_tags_needing("b", &digest("blob")).await.unwrap(), needing);
    assert_eq!(txn.registry_tags_needing("b", &digest("manifest")).await.unwrap(), needing);
    assert_eq!(txn.registry_tags_needing("B", &digest("blob")).await.unwrap(), Vec::<String>::new());
    assert_eq!(txn.registry_parent("B", &digest("blob")).await.unwrap(), None);
    assert_eq!(txn.registry_tag("b", "v2").await.unwrap(), Some(digest("manifest")));
    assert_eq!(txn.registry_tag("b", "v3").await.unwrap(), None);
    let all = txn.registry_tags("b", None, 10).await.unwrap();
    assert_eq!((all[1].updated, all[1].digest), (5, digest("manifest")));
    assert_eq!(tags(all), ["V1", "latest", "v10", "v2"]);
    assert_eq!(tags(txn.registry_tags("b", Some("latest"), 1).await.unwrap()), ["v10"]);
    drop(txn);

    assert_eq!(read(catalog).await.registry_tags_of("b", &digest("manifest")).await.unwrap().len(), 4);
    assert_eq!(read(catalog).await.registry_repositories_with(&digest("blob"), 2).await.unwrap(), ["B", "a/b"]);
    let below =
        async |namespace| read(catalog).await.registry_repositories_below(namespace, &digest("blob"), 9).await.unwrap();
    assert_eq!((below("a").await, below("b").await), (vec!["a/b".to_owned()], vec![]));
    let mut txn = write(catalog).await;
    assert!(txn.delete_registry_tag("b", "v2").await.unwrap());
    assert!(!txn.delete_registry_tag("b", "v2").await.unwrap());
    assert!(txn.delete_registry_link("b", &digest("manifest")).await.unwrap());
    assert!(!txn.delete_registry_link("b", &digest("manifest")).await.unwrap());
    assert!(txn.registry_tags("b", None, 10).await.unwrap().is_empty());
    txn.commit().await.unwrap();
}

async fn registry_history(catalog: &impl Catalog) {
    let row = |sequence: i64, tag: &str, action: RegistryAction| RegistryHistoryRow {
        sequence,
        repository: "app".into(),
        tag: tag.into(),
        digest: (action != RegistryAction::Untag).then(|| digest("manifest")),
        previous: (action == RegistryAction::Untag).then(|| digest("manifest")),
        action,
        actor: "alice".into(),
        time: sequence * 10,
    };
    let rows = [
        row(1, "", RegistryAction::Push),
        row(2, "latest", RegistryAction::Tag),
        row(3, "latest", RegistryAction::Untag),
        row(4, "", RegistryAction::Delete),
        row(5, "", RegistryAction::Collect),
    ];
    let mut txn = write(catalog).await;
    for row in &rows {
        txn.insert_registry_history(row).await.unwrap();
    }
    txn.commit().await.unwrap();
    let txn = read(catalog).await;
    assert_eq!(txn.registry_history(0, 10).await.unwrap(), rows);
    assert_eq!(txn.registry_history(3, 1).await.unwrap(), rows[3..4]);
    let of_tag = txn.registry_tag_history("app", "latest", 10).await.unwrap();
    assert_eq!(of_tag, [rows[2].clone(), rows[1].clone()]);
    drop(txn);
    let mut txn = write(catalog).await;
    assert_eq!(txn.prune_registry_history(2, 3, 9).await.unwrap(), 2, "a tag that is not there");
    assert_eq!(txn.prune_registry_history(0, 1000, 9).await.unwrap(), 2, "the newest stays");
    txn.insert_registry_history(&rows[0]).await.unwrap();
    assert_eq!(txn.registry_history(0, 10).await.unwrap().last().unwrap().sequence, 6);
    // Of a tag that is there, the newest entries stay.
    txn.insert_object(&object("manifest")).await.unwrap();
    txn.put_registry_link("app", &digest("manifest"), LinkKind::Manifest).await.unwrap();
    txn.put_registry_tag("app", "latest", &digest("manifest"), 1).await.unwrap();
    for _ in 7..=10 {
        txn.insert_registry_history(&rows[1]).await.unwrap();
    }
    txn.insert_registry_history(&rows[0]).await.unwrap();
    assert_eq!(txn.prune_registry_history(7, 11, 3).await.unwrap(), 1);
    let of_tag = txn.registry_tag_history("app", "latest", 10).await.unwrap();
    assert_eq!(of_tag.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [10, 9, 8]);
    assert_eq!(txn.prune_registry_history(8, 9, 1).await.unwrap(), 2);
}

async fn registry_uses(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    txn.insert_object(&object("manifest")).await.unwrap();
    refused(txn.put_registry_use("mirror/a", &digest("manifest"), 1).await);
    txn.put_registry_link("mirror/a", &digest("manifest"), LinkKind::Manifest).await.unwrap();
    txn.put_registry_use("mirror/a", &digest("manifest"), 1).await.unwrap();
    txn.put_registry_use("mirror/a", &digest("manifest"), 7).await.unwrap();
    assert_eq!(txn.registry_uses("mirror/a").await.unwrap(), [(digest("manifest"), 7)]);
    assert!(txn.registry_uses("mirror/b").await.unwrap().is_empty());
    txn.delete_registry_link("mirror/a", &digest("manifest")).await.unwrap();
    assert!(txn.registry_uses("mirror/a").await.unwrap().is_empty(), "it goes with its link");
    txn.commit().await.unwrap();
}

async fn registry_reviews(catalog: &impl Catalog) {
    let row = |touched, due| RegistryReviewRow { repository: "app".into(), digest: digest("blob"), touched, due };
    let mut txn = write(catalog).await;
    txn.insert_object(&object("blob")).await.unwrap();
    refused(txn.put_registry_review(&row(1, 1)).await);
    txn.put_registry_link("app", &digest("blob"), LinkKind::Blob).await.unwrap();
    txn.put_registry_review(&row(5, 50)).await.unwrap();
    txn.put_registry_review(&row(7, 30)).await.unwrap();
    txn.commit().await.unwrap();
    let txn = read(catalog).await;
    assert_eq!(txn.registry_review("app", &digest("blob")).await.unwrap(), Some(row(7, 50)), "only later");
    assert!(txn.registry_reviews(49, 7, 10).await.unwrap().is_empty(), "not due");
    assert!(txn.registry_reviews(50, 6, 10).await.unwrap().is_empty(), "touched since");
    assert_eq!(txn.registry_reviews(50, 7, 10).await.unwrap(), [row(7, 50)]);
    drop(txn);
    let mut txn = write(catalog).await;
    txn.delete_registry_review("app", &digest("blob")).await.unwrap();
    assert_eq!(txn.registry_review("app", &digest("blob")).await.unwrap(), None);
    txn.put_registry_review(&row(1, 1)).await.unwrap();
    assert!(txn.delete_registry_repository("app").await.unwrap());
    assert!(!txn.delete_registry_repository("app").await.unwrap());
    assert_eq!(txn.registry_link("app", &digest("blob")).await.unwrap(), None);
    assert!(txn.registry_reviews(1, 1, 10).await.unwrap().is_empty());
    txn.commit().await.unwrap();
}

async fn snapshots_and_rollback(catalog: &impl Catalog) {
    let before = read(catalog).await;
    let mut txn = write(catalog).await;
    txn.insert_object(&object("blob")).await.unwrap();
    assert!(txn.object(&digest("blob")).await.unwrap().is_some());
    let during = read(catalog).await;
    txn.commit().await.unwrap();
    assert!(before.object(&digest("blob")).await.unwrap().is_none());
    assert!(during.object(&digest("blob")).await.unwrap().is_none());
    assert!(read(catalog).await.object(&digest("blob")).await.unwrap().is_some());

    let mut txn = write(catalog).await;
    txn.delete_object(&digest("blob")).await.unwrap();
    drop(txn);
    assert!(read(catalog).await.object(&digest("blob")).await.unwrap().is_some());

    // A refused statement does not undo the ones before it.
    let mut txn = write(catalog).await;
    txn.insert_object(&object("other")).await.unwrap();
    refused(txn.insert_edge(&digest("other"), &digest("absent"), "layer").await);
    txn.commit().await.unwrap();
    assert!(read(catalog).await.object(&digest("other")).await.unwrap().is_some());
}

async fn writers_wait_for_each_other(catalog: &impl Catalog) {
    let count = async |txn: &dyn ReadTxn| txn.layers().await.unwrap().len();
    let add = async |number: usize| {
        let mut txn = write(catalog).await;
        let seen = count(&*txn).await;
        txn.insert_layer(&layer(&number.to_string()), &[]).await.unwrap();
        // Gives the others a chance to interfere.
        tokio::task::yield_now().await;
        assert_eq!(count(&*txn).await, seen + 1);
        txn.commit().await.unwrap();
    };
    tokio::join!(add(1), add(2), add(3), add(4));
    assert_eq!(count(&*read(catalog).await).await, 4);
}
