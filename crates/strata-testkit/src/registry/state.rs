//! What the registry holds and remembers.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use strata_model::Digest;

use super::fault::FaultRule;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header's scheme, `Basic` or `Bearer`.
    pub authorization: Option<String>,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Status of the answer; 0 when there was none.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
}

#[derive(Clone)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) bytes: Arc<[u8]>,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: HashMap<Digest, Arc<[u8]>>,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<String, Digest>,
    pub(super) uploads: HashMap<String, Vec<u8>>,
}

impl Repository {
    pub(super) fn manifest(&self, reference: &str) -> Option<&Manifest> {
        let digest = match reference.parse() {
            Ok(digest) => digest,
            Err(_) => *self.tags.get(reference)?,
        };
        self.manifests.get(&digest)
    }

    /// Stores a manifest; a digest as reference need not be that of the bytes.
    pub(super) fn put_manifest(&mut self, reference: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.into() };
        let digest = Digest::of(bytes);
        match reference.parse::<Digest>() {
            Ok(named) => drop(self.manifests.insert(named, manifest.clone())),
            Err(_) => drop(self.tags.insert(reference.to_owned(), digest)),
        }
        self.manifests.insert(digest, manifest);
        digest
    }
}

pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) anonymous_pull: bool,
}

pub(super) struct State {
    pub(super) address: SocketAddr,
    repositories: BTreeMap<String, Repository>,
    pub(super) account: Option<Account>,
    /// Scopes by token.
    pub(super) tokens: HashMap<String, Vec<String>>,
    pub(super) faults: Vec<FaultRule>,
    pub(super) records: Vec<Record>,
    pub(super) chunk_limit: usize,
    counter: u64,
}

impl State {
    pub(super) fn new(address: SocketAddr) -> State {
        State {
            address,
            repositories: BTreeMap::new(),
            account: None,
            tokens: HashMap::new(),
            faults: Vec::new(),
            records: Vec::new(),
            chunk_limit: 0,
            counter: 0,
        }
    }

    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn known_repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// A name that was not given before.
    pub(super) fn next_name(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}-{}", self.counter)
    }
}
