//! Strata's own client against Strata's registry.

use strata_model::{ErrorKind, Host, Platform, Repository, Tag, Target};
use strata_registry_client::{ClientConfig, CredentialFiles, RegistryClient, RepositoryClient};
use strata_store::StoreSink;
use strata_testkit::{Image, ImageBuilder, Index, Layer};
use strata_transfer::{BlobOutcome, CopyLimits, CopyPlan, ImageSource as _, PlatformChoice, Silent, copy};

use crate::support::Server;

fn client() -> RegistryClient {
    let (credentials, certificate_directories) = (CredentialFiles::default(), Vec::new());
    RegistryClient::new(ClientConfig { credentials, certificate_directories, ..ClientConfig::default() })
}

fn repository(server: &Server, name: &str) -> RepositoryClient {
    let host: Host = server.address.parse().unwrap();
    client().repository(&host, &name.parse().unwrap())
}

fn plan(platforms: PlatformChoice) -> CopyPlan {
    CopyPlan { target: Target::Tag(Tag::latest()), platforms, limits: CopyLimits::default() }
}

fn index() -> Index {
    let image = |platform: &str| {
        let layers = [Layer::of_noise(8, 2_000_000), Layer::of_file("platform", platform)];
        let [base, top] = layers;
        ImageBuilder::new().platform(platform).layer(base).layer(top).build()
    };
    Index::new(vec![image("linux/amd64"), image("linux/arm64")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_moves_between_repositories_and_registries() {
    let (one, two) = (Server::start().await, Server::start().await);
    let index = index();
    one.push_index("team/app", "latest", &index).await;
    let latest = || Target::Tag(Tag::latest());
    for target in [repository(&two, "team/app").with_target(latest()), repository(&one, "copy").with_target(latest())] {
        let source = repository(&one, "team/app");
        let copied = copy(&source, &target, &plan(PlatformChoice::All), &Silent).await.unwrap();
        assert_eq!(copied.resolved.digest, index.digest());
        let copied_bytes = copied.blobs.iter().any(|(_, outcome)| *outcome == BlobOutcome::Copied);
        assert_eq!(copied_bytes, target.host() != source.host(), "{:?}", copied.blobs);
        assert_eq!(target.resolve(&latest()).await.unwrap().digest, index.digest());
        assert_eq!(target.tags().await.unwrap(), [Tag::latest()]);
    }
    for server in [&one, &two] {
        assert_eq!(server.files("staging"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_below_pulls_from_itself() {
    let server = Server::start().await;
    let index = index();
    server.push_index("app", "latest", &index).await;
    let lease = server.store.lease("pull").await.unwrap();
    let name = (format!("{}/app", server.address), "latest".to_owned());
    let sink = StoreSink::new(&server.store, &lease, vec![name.clone()], Some(name.0.clone()), None);
    let platform: Platform = "linux/arm64".parse().unwrap();
    copy(&repository(&server, "app"), &sink, &plan(PlatformChoice::Best(platform)), &Silent).await.unwrap();
    let [published] = &sink.published()[..] else { panic!("one image is published") };
    assert_eq!(published.row.id, index.images[1].id());
    server.store.release(lease).await.unwrap();
    let files = server.files("blobs");

    // Deleted in the registry, it stays as an image; and the registry goes on serving the other platform.
    server.send("DELETE", &format!("/v2/app/manifests/{}", index.digest())).await;
    server.send("DELETE", &format!("/v2/app/manifests/{}", index.images[1].digest())).await;
    for layer in &index.images[1].layers {
        let reader = server.store.open_layer(&layer.diff_id()).await.unwrap();
        let mut tar = Vec::new();
        reader.write_tar(&mut tar).unwrap();
        assert!(tar == layer.tar);
    }
    let other = Image::clone(&index.images[0]);
    for (digest, bytes) in other.blobs() {
        assert!(server.get(&format!("/v2/app/blobs/{digest}")).await.body == bytes);
    }
    assert!(server.files("blobs") <= files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_search_are_understood() {
    let server = Server::start().await;
    let subject = Image::small("subject");
    for name in ["library/nginx", "acme/nginx"] {
        server.push_image(name, "latest", &subject).await;
    }
    let host: Host = server.address.parse().unwrap();
    let names: Vec<Repository> = client().catalog(&host).await.unwrap();
    assert_eq!(names.iter().map(Repository::as_str).collect::<Vec<_>>(), ["acme/nginx", "library/nginx"]);
    let found = client().search(&host, "nginx", 10).await.unwrap();
    let found: Vec<(&str, bool)> = found.iter().map(|image| (image.name.as_str(), image.is_official)).collect();
    assert_eq!(found, [("nginx", true), ("acme/nginx", false)]);
    assert!(repository(&server, "acme/nginx").referrers(&subject.digest(), None).await.unwrap().is_empty());
    let absent = repository(&server, "none").resolve(&Target::Tag(Tag::latest())).await.unwrap_err();
    assert_eq!(absent.kind, ErrorKind::NotFound);
}
