//! Logging in and out: checking credentials with the registry, and keeping them.

use http::Method;
use strata_model::Host;
use strata_transfer::Result;

use crate::authorization::{Purpose, Session};
use crate::client::{Call, RegistryClient, call_with};
use crate::credentials::{Credentials, StoredIn, server_key};
use crate::failure::{Failure, Outcome, request_line};
use crate::scope::Scopes;
use crate::transport::Message;

/// What a login came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The registry.
    pub host: Host,
    /// The key that the credentials are kept under.
    pub key: String,
    /// Where they were put.
    pub stored: StoredIn,
}

/// What a logout came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// The registry.
    pub host: Host,
    /// The key that was looked for.
    pub key: String,
    /// Whether there were credentials.
    pub was_logged_in: bool,
}

impl RegistryClient {
    /// Checks credentials with a registry and keeps them. `server` is what the user wrote; nothing means Docker Hub.
    ///
    /// When the registry gives a token for later logins, that is kept instead of the password.
    ///
    /// # Errors
    /// `Unauthenticated` when the registry refuses them; then nothing is kept.
    pub async fn login(&self, server: &str, credentials: Credentials) -> Result<Login> {
        let (key, host) = server_key(server)?;
        let kept = self.verify(&host, credentials).await?;
        let stored = self.config().credentials.store(&key, &kept).await?;
        Ok(Login { host, key, stored })
    }

    /// Checks credentials with a registry without keeping them. Returns what is to be kept.
    ///
    /// # Errors
    /// `Unauthenticated` when the registry refuses them.
    pub async fn verify(&self, host: &Host, credentials: Credentials) -> Result<Credentials> {
        let username = credentials.username().unwrap_or_default().to_owned();
        let session = Session::new(host.clone(), Some(credentials.clone()), Purpose::Login);
        self.knock(host, &session).await?;
        Ok(match session.refresh_token() {
            Some(token) => Credentials::IdentityToken { username, token },
            None => credentials,
        })
    }

    /// Forgets the credentials of a registry. Never having logged in is no error.
    ///
    /// # Errors
    /// When the file or the credential helper fails.
    pub async fn logout(&self, server: &str) -> Result<Logout> {
        let (key, host) = server_key(server)?;
        let was_logged_in = self.config().credentials.erase(&key).await?;
        Ok(Logout { host, key, was_logged_in })
    }

    async fn knock(&self, host: &Host, session: &Session) -> Outcome<()> {
        let endpoint = self.endpoint(host).await?;
        let url = endpoint.plain_url("v2/");
        let message = Message::new(Method::GET, url.clone());
        let call =
            Call { endpoint: &endpoint, repository: String::new(), scopes: Scopes::none(), message, tries: None };
        let mut attempts = crate::retry::Attempts::new(&self.config().retry, None);
        loop {
            match call_with(&self.transport, session, &call).await {
                Ok(_) => return Ok(()),
                Err(failure) if attempts.again(&failure).await => {}
                Err(failure) => return Err(unauthorized(failure, &url)),
            }
        }
    }
}

/// A refusal without words gets docker's.
fn unauthorized(mut failure: Box<Failure>, url: &url::Url) -> Box<Failure> {
    if failure.status == Some(http::StatusCode::UNAUTHORIZED)
        && failure.said().is_none()
        && !failure.credentials_refused
    {
        failure.error.message =
            format!("{}: unauthorized: incorrect username or password", request_line(&Method::GET, url));
    }
    failure
}
