//! Getting in: what a registry asks for, and the tokens it gave (registry token specification; OAuth2 variant).
//!
//! A [`Session`] belongs to one repository on one host. Requests start without credentials until the registry's first
//! challenge; from then on they carry what it asked for. Tokens are fetched once for any number of waiting requests.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use strata_model::{ErrorKind, Host};
use strata_transfer::TransferError;
use url::Url;

use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::endpoint::authority;
use crate::failure::{Failure, Outcome};
use crate::retry::Attempts;
use crate::scope::Scopes;
use crate::secret::Secret;
use crate::transport::{Message, Transport, lock};

const CLIENT_ID: &str = "strata";
/// The specification's lifetime of a token that does not tell its own, and the shortest there is.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);
const MAX_TOKEN_ANSWER: usize = 1 << 20;

/// Whether a login wants a token that outlives the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Requests,
    Login,
}

/// What is known about getting into one repository on one host.
pub(crate) struct Session {
    host: Host,
    credentials: Option<Credentials>,
    purpose: Purpose,
    challenge: Mutex<Option<Challenge>>,
    /// By what they are for. Held while a token is fetched, so that others wait for it instead of fetching their own.
    tokens: tokio::sync::Mutex<HashMap<String, Token>>,
    refresh_token: Mutex<Option<Secret>>,
}

struct Token {
    header: HeaderValue,
    fetched: Instant,
    lifetime: Duration,
}

impl Token {
    /// Whether it will still be good when the request arrives.
    fn is_fresh(&self) -> bool {
        self.fetched.elapsed() < self.lifetime.mul_f64(0.9)
    }
}

impl Session {
    pub(crate) fn new(host: Host, credentials: Option<Credentials>, purpose: Purpose) -> Session {
        Session {
            host,
            credentials,
            purpose,
            challenge: Mutex::new(None),
            tokens: tokio::sync::Mutex::new(HashMap::new()),
            refresh_token: Mutex::new(None),
        }
    }

    /// Whether there are credentials at all.
    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The token for later logins, if the token service gave one.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        lock(&self.refresh_token).clone()
    }

    /// The `Authorization` for a request; `None` while nothing is asked for. `more` is what a challenge added to `scopes`.
    pub(crate) async fn authorization(
        &self,
        transport: &Transport,
        origin: &Url,
        scopes: &Scopes,
        more: &Scopes,
    ) -> Outcome<Option<HeaderValue>> {
        if let Some(Credentials::RegistryToken(token)) = &self.credentials {
            return bearer(token.expose()).map(Some);
        }
        let challenge = lock(&self.challenge).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => self.credentials.as_ref().map(basic).transpose(),
            Some(Challenge::Bearer { realm, service, .. }) => {
                let key = scopes.text();
                let mut tokens = self.tokens.lock().await;
                if let Some(token) = tokens.get(&key).filter(|token| token.is_fresh()) {
                    return Ok(Some(token.header.clone()));
                }
                let request = TokenRequest { session: self, transport, origin, service, scopes: scopes.union(more) };
                let token = request.fetch(&realm).await?;
                let header = token.header.clone();
                tokens.insert(key, token);
                Ok(Some(header))
            }
        }
    }

    /// Takes notice of a refusal of a request that carried `used`.
    ///
    /// `None` when asking again is of no use; else what the registry wants beyond the scopes asked for.
    pub(crate) async fn learn(
        &self,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
        scopes: &Scopes,
    ) -> Option<Scopes> {
        let challenge = Challenge::choose(headers)?;
        if let Some(Credentials::RegistryToken(_)) = &self.credentials {
            return None;
        }
        *lock(&self.challenge) = Some(challenge.clone());
        match challenge {
            Challenge::Basic => (self.has_credentials() && used.is_none()).then(Scopes::none),
            Challenge::Bearer { scopes: wanted, .. } => {
                let mut tokens = self.tokens.lock().await;
                let key = scopes.text();
                // Another task may have fetched a new one since.
                if tokens.get(&key).is_some_and(|token| Some(&token.header) == used) {
                    tokens.remove(&key);
                }
                Some(wanted)
            }
        }
    }
}

fn basic(credentials: &Credentials) -> Outcome<HeaderValue> {
    let (username, password) = match credentials {
        Credentials::Password { username, password } => (username.as_str(), password),
        Credentials::IdentityToken { username, token } => (username.as_str(), token),
        Credentials::RegistryToken(token) => return bearer(token.expose()),
    };
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose()))))
}

fn bearer(token: &str) -> Outcome<HeaderValue> {
    secret_header(&format!("Bearer {token}"))
}

fn secret_header(text: &str) -> Outcome<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::new(TransferError::new(ErrorKind::Invalid, "the credentials hold characters that no header can carry"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a token service answers; the names of both its protocols.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Secret,
    #[serde(default)]
    access_token: Secret,
    expires_in: Option<f64>,
    refresh_token: Option<Secret>,
}

struct TokenRequest<'a> {
    session: &'a Session,
    transport: &'a Transport,
    origin: &'a Url,
    service: Option<String>,
    scopes: Scopes,
}

impl TokenRequest<'_> {
    async fn fetch(&self, realm: &str) -> Outcome<Token> {
        let realm = self.realm(realm)?;
        let fetched = Instant::now();
        let answer = match &self.session.credentials {
            Some(Credentials::IdentityToken { token, .. }) => match self.send(&self.refresh(&realm, token)).await {
                // The service speaks only the older protocol.
                Err(failure)
                    if matches!(failure.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) =>
                {
                    self.send(&self.get(&realm)?).await?
                }
                answer => answer?,
            },
            _ => self.send(&self.get(&realm)?).await?,
        };
        let token = if answer.token.is_empty() { &answer.access_token } else { &answer.token };
        if token.is_empty() {
            return Err(Failure::new(TransferError::new(
                ErrorKind::Unauthenticated,
                format!("token service {} of registry {}: gave no token", authority(&realm), self.session.host),
            )));
        }
        if let Some(refresh) = answer.refresh_token.filter(|token| !token.is_empty()) {
            *lock(&self.session.refresh_token) = Some(refresh);
        }
        let told = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        Ok(Token { header: bearer(token.expose())?, fetched, lifetime: told.max(SHORTEST_LIFETIME) })
    }

    /// The token service's address. Credentials do not go to it over plain HTTP when the registry has TLS.
    fn realm(&self, realm: &str) -> Outcome<Url> {
        let refused = |cause: &str| {
            Failure::new(TransferError::new(
                ErrorKind::Denied,
                format!("registry {}: its token service {cause}", self.session.host),
            ))
        };
        let realm = self.origin.join(realm).map_err(|_| refused("has a malformed address"))?;
        if !matches!(realm.scheme(), "http" | "https") || realm.host_str().is_none() {
            return Err(refused("has an address that is not HTTP"));
        }
        let exposed = realm.scheme() == "http" && self.origin.scheme() == "https" && self.session.has_credentials();
        if exposed && !self.transport.config.is_insecure(&authority(&realm)) {
            return Err(refused("has no TLS; the credentials were not sent"));
        }
        Ok(realm)
    }

    /// The older protocol: `GET` with Basic.
    fn get(&self, realm: &Url) -> Outcome<Message> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes.texts() {
                query.append_pair("scope", &scope);
            }
            if let Some(username) = self.session.credentials.as_ref().and_then(Credentials::username) {
                query.append_pair("account", username);
            }
            query.append_pair("client_id", CLIENT_ID);
            if self.session.purpose == Purpose::Login {
                query.append_pair("offline_token", "true");
            }
        }
        let message = Message::new(Method::GET, url);
        match &self.session.credentials {
            Some(credentials) => Ok(message.with(AUTHORIZATION, basic(credentials)?)),
            None => Ok(message),
        }
    }

    /// OAuth2: `POST` with an identity token.
    fn refresh(&self, realm: &Url, token: &Secret) -> Message {
        let scopes = self.scopes.text();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
        form.append_pair("service", self.service.as_deref().unwrap_or_default());
        form.append_pair("refresh_token", token.expose());
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes);
        }
        let mut message = Message::new(Method::POST, realm.clone())
            .with(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        message.body = Bytes::from(form.finish());
        message
    }

    async fn send(&self, message: &Message) -> Outcome<TokenAnswer> {
        let mut attempts = Attempts::new(&self.transport.config.retry, None);
        loop {
            match self.send_once(message).await {
                Err(failure) if attempts.again(&failure).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn send_once(&self, message: &Message) -> Outcome<TokenAnswer> {
        let response = self.transport.follow(message).await?;
        if !response.status().is_success() {
            let failure = self.transport.failure(&message.method, &message.url, response).await;
            return Err(self.refusal(failure));
        }
        let body = self.transport.body(response, MAX_TOKEN_ANSWER).await?;
        // The cause could quote the token.
        serde_json::from_slice(&body).map_err(|_| {
            Failure::new(TransferError::new(
                ErrorKind::Unavailable,
                format!(
                    "token service {} of registry {}: answered no token document",
                    authority(&message.url),
                    self.session.host
                ),
            ))
        })
    }

    /// Wrong credentials are reported as docker does: as the registry's own refusal.
    fn refusal(&self, mut failure: Box<Failure>) -> Box<Failure> {
        if failure.status == Some(StatusCode::UNAUTHORIZED) && self.session.has_credentials() {
            let said = failure.said().unwrap_or_else(|| "incorrect username or password".into());
            let said = if failure.entries.iter().any(|entry| !entry.code.is_empty()) {
                said
            } else {
                format!("unauthorized: {said}")
            };
            failure.credentials_refused = true;
            failure.error =
                TransferError::new(ErrorKind::Unauthenticated, format!("Get \"{}v2/\": {said}", self.origin))
                    .with_hint(format!("log in again with `strata login {}`", self.session.host));
        }
        failure
    }
}
