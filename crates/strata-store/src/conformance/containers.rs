//! The contract of a catalog's containers, volumes and networks.

use bytes::Bytes;
use strata_model::{ImageId, MediaType};

use super::catalog::{read, refused, write};
use super::digest;
use crate::{Catalog, ContainerPhase, ContainerRow, EndpointRow, NetworkRow, ObjectRow, VolumeRow, WriteTxn};

fn container(id: char, name: &str, created: i64) -> ContainerRow {
    ContainerRow {
        id: String::from(id).repeat(64),
        name: name.into(),
        image: ImageId(digest("image")),
        manifest: digest("manifest"),
        created,
        phase: ContainerPhase::Ready,
        document: "{}".into(),
        volumes: Vec::new(),
    }
}

fn volume(name: &str) -> VolumeRow {
    VolumeRow { name: name.into(), created: 5, is_anonymous: name.starts_with('0'), document: "{}".into() }
}

async fn insert_manifest(txn: &mut dyn WriteTxn) {
    let row = ObjectRow {
        digest: digest("manifest"),
        media_type: MediaType::OCI_MANIFEST,
        size: 2,
        location: None,
        bytes: Some(Bytes::from_static(b"{}")),
        created: 0,
        damaged: false,
    };
    txn.insert_object(&row).await.unwrap();
}

pub(super) async fn containers(catalog: &impl Catalog) {
    let mut txn = write(catalog).await;
    refused(txn.insert_container(&container('a', "first", 1)).await);
    insert_manifest(&mut *txn).await;
    txn.insert_container(&container('a', "first", 1)).await.unwrap();
    refused(txn.insert_container(&container('b', "first", 2)).await);
    txn.insert_container(&container('b', "second", 2)).await.unwrap();
    refused(txn.delete_object(&digest("manifest")).await);
    txn.commit().await.unwrap();

    let txn = read(catalog).await;
    let ids = |rows: Vec<ContainerRow>| rows.iter().map(|row| row.id[..1].to_owned()).collect::<String>();
    assert!(txn.object_is_held(&digest("manifest"), 0).await.unwrap());
    assert_eq!(txn.container(&"a".repeat(64)).await.unwrap(), Some(container('a', "first", 1)));
    assert_eq!(txn.container_named("second").await.unwrap(), Some(container('b', "second", 2)));
    assert_eq!(txn.container_named("third").await.unwrap(), None);
    assert_eq!(ids(txn.containers().await.unwrap()), "ba");
    assert_eq!(ids(txn.containers_of_image(&ImageId(digest("image"))).await.unwrap()), "ba");
    assert!(txn.containers_of_image(&ImageId(digest("other"))).await.unwrap().is_empty());
    assert_eq!(ids(txn.containers_by_prefix("a", 2).await.unwrap()), "a");
    assert_eq!(ids(txn.containers_by_prefix("", 2).await.unwrap()), "ab");
    assert!(txn.containers_by_prefix("A", 2).await.unwrap().is_empty());
    drop(txn);

    let mut txn = write(catalog).await;
    let changed =
        ContainerRow { phase: ContainerPhase::Removing, document: "[]".into(), ..container('a', "renamed", 1) };
    txn.update_container(&changed).await.unwrap();
    refused(txn.update_container(&container('a', "second", 1)).await);
    assert_eq!(txn.container_named("renamed").await.unwrap(), Some(changed));
    assert!(txn.delete_container(&"a".repeat(64)).await.unwrap());
    assert!(!txn.delete_container(&"a".repeat(64)).await.unwrap());
    assert!(txn.delete_container(&"b".repeat(64)).await.unwrap());
    assert!(!txn.object_is_held(&digest("manifest"), 0).await.unwrap());
    txn.commit().await.unwrap();
}

pub(super) async fn volumes(catalog: &impl Catalog) {
    let user = ContainerRow { volumes: vec!["0123".into(), "data".into()], ..container('a', "user", 1) };
    let mut txn = write(catalog).await;
    insert_manifest(&mut *txn).await;
    refused(txn.insert_container(&user).await);
    txn.commit().await.unwrap();
    let mut txn = write(catalog).await;
    assert!(txn.insert_volume(&volume("data")).await.unwrap());
    assert!(!txn.insert_volume(&volume("data")).await.unwrap());
    assert!(txn.insert_volume(&volume("0123")).await.unwrap());
    let _ = txn.delete_container(&user.id).await.unwrap();
    txn.insert_container(&user).await.unwrap();
    txn.commit().await.unwrap();

    let mut txn = write(catalog).await;
    assert_eq!(txn.volumes().await.unwrap(), [volume("0123"), volume("data")]);
    assert_eq!(txn.volume("data").await.unwrap(), Some(volume("data")));
    assert_eq!(txn.containers_of_volume("data").await.unwrap(), std::slice::from_ref(&user));
    refused(txn.delete_volume("data").await.map(drop));
    txn.delete_container(&user.id).await.unwrap();
    assert!(txn.delete_volume("data").await.unwrap());
    assert!(!txn.delete_volume("data").await.unwrap());
    txn.commit().await.unwrap();
}

pub(super) async fn networks(catalog: &impl Catalog) {
    let network =
        |id: &str, name: &str| NetworkRow { id: id.into(), name: name.into(), created: 1, document: "{}".into() };
    let endpoint = |container: char, address: Option<&str>| EndpointRow {
        network: "one".into(),
        container: String::from(container).repeat(64),
        address: address.map(str::to_owned),
        document: "{}".into(),
    };
    let mut txn = write(catalog).await;
    insert_manifest(&mut *txn).await;
    txn.insert_container(&container('a', "a", 1)).await.unwrap();
    txn.insert_container(&container('b', "b", 1)).await.unwrap();
    refused(txn.put_endpoint(&endpoint('a', None)).await);
    txn.insert_network(&network("one", "web")).await.unwrap();
    refused(txn.insert_network(&network("two", "web")).await);
    txn.insert_network(&network("two", "database")).await.unwrap();
    txn.put_endpoint(&endpoint('a', None)).await.unwrap();
    txn.put_endpoint(&endpoint('b', Some("10.0.0.2"))).await.unwrap();
    refused(txn.put_endpoint(&endpoint('a', Some("10.0.0.2"))).await);
    txn.put_endpoint(&endpoint('a', Some("10.0.0.3"))).await.unwrap();
    txn.commit().await.unwrap();

    let mut txn = write(catalog).await;
    assert_eq!(txn.networks().await.unwrap(), [network("two", "database"), network("one", "web")]);
    let all = [endpoint('a', Some("10.0.0.3")), endpoint('b', Some("10.0.0.2"))];
    assert_eq!(txn.endpoints_of_network("one").await.unwrap(), all);
    assert_eq!(txn.endpoints_of_container(&"b".repeat(64)).await.unwrap(), all[1..]);
    refused(txn.delete_network("one").await.map(drop));
    assert!(txn.delete_endpoint("one", &"b".repeat(64)).await.unwrap());
    assert!(!txn.delete_endpoint("one", &"b".repeat(64)).await.unwrap());
    txn.delete_container(&"a".repeat(64)).await.unwrap();
    assert!(txn.delete_network("one").await.unwrap());
    assert!(!txn.delete_network("one").await.unwrap());
    txn.commit().await.unwrap();
}
