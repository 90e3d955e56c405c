//! A hub on a free port of this machine with some accounts, and a small client.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::{SqliteCatalog, SqliteHubCatalog};
use strata_hub::records::{Grantee, MemberRole, Role};
use strata_hub::{Hub, HubCatalog, HubSettings, Identity, NewRepository, NewUser};
use strata_model::Digest;
use strata_registry::{Registry, RegistryRules, RegistryService, Search, serve};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{Image, ImageBuilder, Layer};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse";
/// Sizes and digests of this image must not be told to those who may not see it.
pub(crate) const SECRET: &str = "acme/secret";
pub(crate) const PUBLIC: &str = "acme/public";

/// A running hub: `acme` is an organization of `ann` with member `carl`; `rita` may read and `will` may write its
/// repositories `acme/public` and `acme/secret`, by a team and by a grant; `otto` is nobody special.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) records: Arc<SqliteHubCatalog>,
    pub(crate) address: String,
    pub(crate) image: Image,
    pub(crate) directory: TempDir,
    client: Client,
}

impl World {
    pub(crate) async fn start() -> World {
        World::with(HubSettings::default()).await
    }

    /// A hub with nobody but the administrator.
    pub(crate) async fn empty(settings: HubSettings) -> World {
        let directory = TempDir::new().unwrap();
        let catalog = SqliteCatalog::open_with(directory.path().join("catalog.sqlite"), Durability::Unsynced).unwrap();
        let records = SqliteHubCatalog::open(directory.path().join("hub.sqlite"), Durability::Unsynced).unwrap();
        let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
        let (blobs, packs) = (FsBlobs::open(directory.path()), FsPacks::open(directory.path()));
        let store = Store::new(Arc::new(blobs), Arc::new(packs), Arc::new(catalog), options);
        let registry = Registry::new(store, RegistryRules::default());
        let records = Arc::new(records);
        let hub = Hub::new(registry.clone(), records.clone(), settings);
        assert_eq!(hub.first_start(Some(PASSWORD.into())).await.unwrap(), None);

        let service =
            RegistryService { access: Arc::new(hub.clone()), search: Search::Elsewhere, ..RegistryService::default() };
        let router = strata_hub_api::router(hub.clone()).merge(strata_registry::router(registry, service));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { serve(listener, router, std::future::pending()).await.unwrap() });
        let image = ImageBuilder::new().layer(Layer::of_noise(41, 34_567)).build();
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        World { hub, records, address, image, directory, client }
    }

    pub(crate) async fn with(settings: HubSettings) -> World {
        let world = World::empty(settings).await;
        let operator = Identity::operator();
        for name in ["ann", "carl", "rita", "will", "otto"] {
            let new = NewUser { name: name.into(), password: Some(PASSWORD.into()), ..NewUser::default() };
            world.hub.create_user(&operator, new).await.unwrap();
        }
        let ann = world.hub.authenticate("ann", PASSWORD, None).await.unwrap();
        world.hub.create_organization(&ann, "acme", "ACME").await.unwrap();
        for name in ["carl", "rita"] {
            world.hub.put_member(&ann, "acme", name, MemberRole::Member).await.unwrap();
        }
        world.hub.create_team(&ann, "acme", "readers", "").await.unwrap();
        world.hub.put_team_member(&ann, "acme", "readers", "rita").await.unwrap();
        for (name, is_private) in [("public", false), ("secret", true)] {
            let new = NewRepository {
                namespace: "acme".into(),
                name: name.into(),
                is_private: Some(is_private),
                ..NewRepository::default()
            };
            world.hub.create_repository(new).await.unwrap();
            let repository = format!("acme/{name}");
            let readers = Grantee::Team { organization: "acme".into(), team: "readers".into() };
            world.hub.give_role(&ann, &repository, readers, Role::Read).await.unwrap();
            world.hub.give_role(&ann, &repository, Grantee::User("will".into()), Role::Write).await.unwrap();
            world.push(&repository, "1.0", &basic("ann", PASSWORD)).await;
        }
        world
    }

    pub(crate) async fn send(&self, method: &str, path: &str, authorization: Option<&str>, body: Body<'_>) -> Answer {
        let verb = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(verb, format!("http://{}{path}", self.address));
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        request = match body {
            Body::None => request,
            Body::Json(document) => request.header("Content-Type", "application/json").body(document.to_string()),
            Body::Form(text) => {
                request.header("Content-Type", "application/x-www-form-urlencoded").body(text.to_owned())
            }
            Body::Bytes(media_type, bytes) => request.header("Content-Type", media_type).body(bytes.to_vec()),
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap().to_vec();
        crate::description::check(method, path, status, &body);
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str, authorization: Option<&str>) -> Answer {
        self.send("GET", path, authorization, Body::None).await
    }

    pub(crate) async fn post(&self, path: &str, authorization: Option<&str>, document: Value) -> Answer {
        self.send("POST", path, authorization, Body::Json(&document)).await
    }

    /// Pushes the image.
    pub(crate) async fn push(&self, repository: &str, tag: &str, authorization: &str) {
        let authorization = Some(authorization);
        for (digest, bytes) in self.image.blobs() {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let body = Body::Bytes("application/octet-stream", &bytes);
            self.send("POST", &path, authorization, body).await.is(StatusCode::CREATED);
        }
        let body = Body::Bytes(self.image.media_type.as_str(), &self.image.manifest);
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.send("PUT", &path, authorization, body).await.is(StatusCode::CREATED);
    }

    /// A token for the registry, as clients get one.
    pub(crate) async fn token(&self, scope: &str, authorization: Option<&str>) -> String {
        let path = format!("/token?service={}&scope={scope}", self.address);
        let answer = self.get(&path, authorization).await.is(StatusCode::OK);
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    }

    /// A personal access token.
    pub(crate) async fn personal(&self, name: &str, scope: &str, expires: Option<String>) -> String {
        let document = json!({ "token_label": "test", "scopes": [scope], "expires_at": expires });
        let answer = self.post("/v2/access-tokens", Some(&basic(name, PASSWORD)), document).await;
        let token = answer.is(StatusCode::CREATED).json()["token"].as_str().unwrap().to_owned();
        basic(name, &token)
    }

    /// An access token of `acme` for a robot.
    pub(crate) async fn robot(&self, label: &str, path: &str, scopes: &[&str]) -> String {
        let resource = json!({ "type": "TYPE_REPO", "path": path, "scopes": scopes });
        let document = json!({ "label": label, "resources": [resource] });
        let answer = self.post("/v2/orgs/acme/access-tokens", Some(&basic("ann", PASSWORD)), document).await;
        let token = answer.is(StatusCode::CREATED).json()["token"].as_str().unwrap().to_owned();
        basic("acme", &token)
    }

    /// The token with other claims, signed by the hub's own key.
    pub(crate) async fn signed_anew(&self, token: &str, change: impl FnOnce(&mut Value)) -> String {
        let token = token.strip_prefix("Bearer ").unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        change(&mut claims);
        let text = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()));
        let key = self.records.read().await.unwrap().signing_keys().await.unwrap().remove(0);
        let pair = Ed25519KeyPair::from_pkcs8(&key.pkcs8).unwrap();
        format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())))
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.image.manifest)
    }
}

pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    Form(&'a str),
    Bytes(&'a str, &'a [u8]),
}

pub(crate) fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: StatusCode) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no document: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Everything in it, but for what differs from one request to the next.
    pub(crate) fn everything(&self) -> String {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        format!("{}\n{}\n{}", self.status, headers.join("\n"), self.text())
    }
}
