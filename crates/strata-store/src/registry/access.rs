//! The registry's question: who may do this? Asked by surfaces before anything else; plain data, no HTTP.

use std::net::IpAddr;

use async_trait::async_trait;
use strata_model::{Digest, Repository};

/// What a request wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read manifests, blobs, tags, referrers.
    Pull,
    /// Write blobs, manifests, tags.
    Push,
    /// Remove them.
    Delete,
}

/// What a request needs before it is answered.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// To be known (`GET /v2/`).
    Identity,
    /// The list of repositories.
    Catalog,
    /// Something of a repository.
    Repository(&'a Repository, Action),
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The header `Authorization`, as sent. Never to be logged.
    pub authorization: Option<&'a str>,
    /// Where the connection comes from.
    pub peer: IpAddr,
    /// `https://host[:port]` or `http://…` as the client addresses this server; challenges name a realm below it.
    pub origin: &'a str,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Caller {
    /// The account's name; `None` for anybody.
    pub account: Option<String>,
    /// Where the connection comes from.
    pub peer: Option<IpAddr>,
}

impl Caller {
    /// The name that history keeps: the account's, or nothing.
    pub fn name(&self) -> &str {
        self.account.as_deref().unwrap_or_default()
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401 with this challenge (`WWW-Authenticate`): whoever signs in may be allowed. Also for what does not exist.
    Unauthenticated {
        /// Value of `WWW-Authenticate`.
        challenge: String,
        /// What a person should read.
        message: String,
    },
    /// 403: signed in, and not allowed.
    Denied {
        /// What a person should read.
        message: String,
    },
    /// 429: too many attempts or pulls.
    RateLimited {
        /// Seconds after which to try again.
        retry_after: u64,
        /// What a person should read.
        message: String,
    },
    /// 500 or 503: it cannot be found out.
    Failed {
        /// What went wrong.
        message: String,
    },
}

/// How many pulls are left, for the headers `ratelimit-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullAllowance {
    /// Pulls in a window.
    pub limit: u64,
    /// Pulls left in this window.
    pub remaining: u64,
    /// Length of the window in seconds.
    pub window: u64,
    /// Whom the limit counts: an address or an account.
    pub source: String,
}

/// A manifest that was served.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Whose.
    pub repository: Repository,
    /// By which tag, if by one.
    pub tag: Option<String>,
    /// Which.
    pub digest: Digest,
}

/// Decides who may do what, and hears what was done. Implementations are quick: a signed token needs no lookup.
#[async_trait]
pub trait Access: Send + Sync {
    /// Allows all of `needs`, or refuses.
    async fn authorize(&self, credentials: &Credentials<'_>, needs: &[Need<'_>]) -> Result<Caller, Refusal>;

    /// Which of these repositories (in the same order) the caller may know of.
    async fn visible(&self, caller: &Caller, repositories: Vec<String>) -> Result<Vec<String>, Refusal>;

    /// Whether `caller` may let a tag that points to `from` (`None`: a new tag) point to something else: tags can be made immutable.
    async fn may_set_tag(
        &self,
        caller: &Caller,
        repository: &Repository,
        tag: &str,
        from: Option<&Digest>,
    ) -> Result<(), Refusal>;

    /// Whether `caller` may remove a tag, by itself or with its manifest.
    async fn may_delete_tag(&self, caller: &Caller, repository: &Repository, tag: &str) -> Result<(), Refusal>;

    /// Bytes that may still be pushed to the repository's namespace; `None` without a quota.
    async fn push_allowance(&self, caller: &Caller, repository: &Repository) -> Result<Option<u64>, Refusal>;

    /// Counts a pull of a manifest (`counts`: by GET) or only tells what is left (HEAD); `None` without a limit.
    async fn pull_allowance(&self, caller: &Caller, counts: bool) -> Result<Option<PullAllowance>, Refusal>;

    /// A manifest was served. Must not wait: what cannot be kept is dropped.
    fn pulled(&self, caller: &Caller, pull: Pull);
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

#[async_trait]
impl Access for Everybody {
    async fn authorize(&self, credentials: &Credentials<'_>, _needs: &[Need<'_>]) -> Result<Caller, Refusal> {
        Ok(Caller { account: None, peer: Some(credentials.peer) })
    }

    async fn visible(&self, _caller: &Caller, repositories: Vec<String>) -> Result<Vec<String>, Refusal> {
        Ok(repositories)
    }

    async fn may_set_tag(
        &self,
        _caller: &Caller,
        _repository: &Repository,
        _tag: &str,
        _from: Option<&Digest>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    async fn may_delete_tag(&self, _caller: &Caller, _repository: &Repository, _tag: &str) -> Result<(), Refusal> {
        Ok(())
    }

    async fn push_allowance(&self, _caller: &Caller, _repository: &Repository) -> Result<Option<u64>, Refusal> {
        Ok(None)
    }

    async fn pull_allowance(&self, _caller: &Caller, _counts: bool) -> Result<Option<PullAllowance>, Refusal> {
        Ok(None)
    }

    fn pulled(&self, _caller: &Caller, _pull: Pull) {}
}
