//! The client: one for a process, cheap to clone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use strata_model::{Host, Repository};
use strata_transfer::Result;

use crate::authorization::{Purpose, Session};
use crate::config::ClientConfig;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, Outcome};
use crate::rate_limit::RateLimit;
use crate::repository::RepositoryClient;
use crate::retry::Attempts;
use crate::scope::Scopes;
use crate::transport::{Message, Transport, lock};

/// Repositories whose tokens are kept. A server asks for what its clients name; beyond this, tokens are asked for anew.
const SESSIONS: usize = 4096;

/// Speaks with registries. Clones share connections, tokens and what was learnt about hosts.
///
/// It needs the process to have a TLS provider installed (`rustls::crypto::CryptoProvider::install_default`).
#[derive(Clone)]
pub struct RegistryClient {
    pub(crate) transport: Arc<Transport>,
    sessions: Arc<Mutex<Sessions>>,
    /// Credentials that come before all files.
    given: Arc<HashMap<Host, Credentials>>,
}

/// By host and repository.
type Sessions = HashMap<(Host, String), Arc<Session>>;

/// A request to a registry, made again when that may help.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// Name of the repository at the endpoint, empty when it is about none.
    pub(crate) repository: String,
    /// What the request needs to be allowed.
    pub(crate) scopes: Scopes,
    pub(crate) message: Message,
    /// Tries in all, when not as configured.
    pub(crate) tries: Option<u32>,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl RegistryClient {
    /// A client; no connection is made yet.
    pub fn new(config: ClientConfig) -> RegistryClient {
        RegistryClient { transport: Arc::new(Transport::new(config)), sessions: Arc::default(), given: Arc::default() }
    }

    /// The same client with these credentials for a host instead of stored ones. Connections stay shared, tokens do not.
    #[must_use]
    pub fn with_credentials(&self, host: &Host, credentials: Credentials) -> RegistryClient {
        let mut given = HashMap::clone(&self.given);
        given.insert(host.clone(), credentials);
        RegistryClient { transport: Arc::clone(&self.transport), sessions: Arc::default(), given: Arc::new(given) }
    }

    /// The configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.transport.config
    }

    /// A repository as a place that images are copied from and to.
    pub fn repository(&self, host: &Host, repository: &Repository) -> RepositoryClient {
        RepositoryClient::new(self.clone(), host.clone(), repository.clone())
    }

    /// The limit of pulls that a registry told with its last answer that had one.
    pub fn rate_limit(&self, host: &Host) -> Option<RateLimit> {
        self.transport.rate_limit(host)
    }

    /// Asks whether a registry is there and speaks version 2 of the protocol; whether it lets us in does not matter.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be reached, `NotFound` when what is there is no registry.
    pub async fn ping(&self, host: &Host) -> Result<()> {
        let endpoint = self.endpoint(host).await?;
        let response = self.transport.follow(&Message::new(Method::GET, endpoint.plain_url("v2/"))).await?;
        if response.status().is_success() || response.status() == StatusCode::UNAUTHORIZED {
            return Ok(());
        }
        Err(self.transport.failure(&Method::GET, &endpoint.plain_url("v2/"), response).await.into())
    }

    /// The registry's own endpoint.
    pub(crate) async fn endpoint(&self, host: &Host) -> Outcome<Endpoint> {
        Ok(Endpoint::registry(host, self.transport.origin(host).await?))
    }

    /// The endpoints that answer for reading: mirrors in their order, then the registry.
    pub(crate) async fn reading_endpoints(&self, host: &Host) -> Outcome<Vec<Endpoint>> {
        let mirrors = self.transport.config.mirrors.get(host).into_iter().flatten();
        let mut endpoints: Vec<Endpoint> = mirrors.filter_map(|mirror| Endpoint::mirror(host, mirror)).collect();
        endpoints.push(self.endpoint(host).await?);
        Ok(endpoints)
    }

    /// What is known about getting into a repository.
    pub(crate) async fn session(&self, host: &Host, repository: &str) -> Outcome<Arc<Session>> {
        let key = (host.clone(), repository.to_owned());
        if let Some(session) = lock(&self.sessions).get(&key) {
            return Ok(Arc::clone(session));
        }
        let credentials = match self.given.get(host) {
            Some(given) => Some(given.clone()),
            None => self.config().credentials.find(host, repository).await.map_err(Failure::new)?,
        };
        let session = Arc::new(Session::new(host.clone(), credentials, Purpose::Requests));
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS {
            sessions.clear();
        }
        Ok(Arc::clone(sessions.entry(key).or_insert(session)))
    }

    /// Makes a call until it succeeds or there is no use; the body is left to the caller.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Outcome<Response> {
        let mut attempts = Attempts::new(&self.transport.config.retry, call.tries);
        loop {
            match self.call_once(call).await {
                Err(failure) if attempts.again(&failure).await => {}
                Err(failure) => return Err(tried_enough(failure)),
                answer => return answer,
            }
        }
    }

    /// As [`RegistryClient::call`], and reads the body of at most `limit` bytes; a break in it is a failed try.
    pub(crate) async fn fetch(&self, call: &Call<'_>, limit: usize) -> Outcome<Answer> {
        let mut attempts = Attempts::new(&self.transport.config.retry, call.tries);
        loop {
            match self.fetch_once(call, limit).await {
                Err(failure) if attempts.again(&failure).await => {}
                Err(failure) => return Err(tried_enough(failure)),
                answer => return answer,
            }
        }
    }

    async fn fetch_once(&self, call: &Call<'_>, limit: usize) -> Outcome<Answer> {
        let response = self.call_once(call).await?;
        let headers = response.headers().clone();
        Ok(Answer { headers, body: self.transport.body(response, limit).await? })
    }

    async fn call_once(&self, call: &Call<'_>) -> Outcome<Response> {
        let session = self.session(&call.endpoint.host, &call.repository).await?;
        call_with(&self.transport, &session, call).await
    }
}

/// All tries were made: whoever asked need not make them again.
fn tried_enough(mut failure: Box<Failure>) -> Box<Failure> {
    failure.error.retryable = false;
    failure
}

/// One try of a call; a first refusal is answered with what the registry asks for.
pub(crate) async fn call_with(transport: &Transport, session: &Session, call: &Call<'_>) -> Outcome<Response> {
    let mut more = Scopes::none();
    let mut first = true;
    loop {
        let authorization = session.authorization(transport, &call.endpoint.origin, &call.scopes, &more).await?;
        let mut message = call.message.clone();
        if let Some(value) = &authorization
            // An upload's location can lie on another host, which the token is not for.
            && message.url.origin() == call.endpoint.origin.origin()
        {
            message.headers.insert(AUTHORIZATION, value.clone());
        }
        let response = transport.follow(&message).await?;
        transport.note_rate_limit(&call.endpoint.host, response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        if first
            && response.status() == StatusCode::UNAUTHORIZED
            && let Some(wanted) = session.learn(response.headers(), authorization.as_ref(), &call.scopes).await
        {
            more = wanted;
            first = false;
            continue;
        }
        return Err(transport.failure(&message.method, &message.url, response).await);
    }
}
