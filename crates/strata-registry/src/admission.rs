//! Asking who may do what, and saying what came of it (`strata_store::registry::Access`).

use http::header::{AUTHORIZATION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use strata_model::Repository;
use strata_store::registry::{Caller, Credentials, Need, PullAllowance, Refusal};

use crate::error::{Failure, Result};
use crate::service::{RegistryService, Sender};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const SOURCE: HeaderName = HeaderName::from_static("docker-ratelimit-source");

/// Who sent a request, if it may do all of `needs`.
pub(crate) async fn admit(service: &RegistryService, parts: &Parts, needs: &[Need<'_>]) -> Result<Caller> {
    let sender = Sender::of(parts, service.forwarded);
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = Credentials { authorization, peer: sender.peer, origin: &sender.origin };
    Ok(service.access.authorize(&credentials, needs).await?)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let with = |failure: Failure, name, value: String| match HeaderValue::try_from(value) {
            Ok(value) => failure.with_header(name, value),
            Err(_) => failure,
        };
        match refusal {
            Refusal::Unauthenticated { challenge, message } => {
                with(Failure::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message), WWW_AUTHENTICATE, challenge)
            }
            Refusal::Denied { message } => Failure::new(StatusCode::FORBIDDEN, "DENIED", message),
            Refusal::RateLimited { retry_after, message } => {
                let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message);
                with(failure, RETRY_AFTER, retry_after.to_string())
            }
            Refusal::Failed { message } => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message),
        }
    }
}

/// The headers that tell a client how many pulls it has left, in Docker's form.
pub(crate) fn allowance_headers(allowance: &PullAllowance) -> Vec<(HeaderName, String)> {
    let PullAllowance { limit, remaining, window, source } = allowance;
    vec![
        (LIMIT, format!("{limit};w={window}")),
        (REMAINING, format!("{remaining};w={window}")),
        (SOURCE, source.clone()),
    ]
}

/// How much a push may still bring.
#[derive(Clone, Copy)]
pub(crate) struct Quota(Option<u64>);

impl Quota {
    pub(crate) async fn of(service: &RegistryService, caller: &Caller, repository: &Repository) -> Result<Quota> {
        Ok(Quota(service.access.push_allowance(caller, repository).await?))
    }

    /// Fails when `size` bytes are more.
    pub(crate) fn check(self, size: u64) -> Result<()> {
        match self.0 {
            Some(left) if size > left => {
                let message = format!("the namespace is over its quota: {left} bytes are left, {size} were sent");
                Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "DENIED", message))
            }
            _ => Ok(()),
        }
    }
}
