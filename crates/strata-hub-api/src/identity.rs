//! Who sends a request: extractors that every endpoint uses.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use strata_hub::{Hub, Identity};
use strata_registry::{ForwardedHeaders, Sender};

use crate::error::Failure;

/// Who sends the request, if anybody known. Credentials that are not good are refused, not ignored.
pub(crate) struct MaybeSigned(pub(crate) Option<Identity>);

/// Who sends the request: 401 for nobody known.
pub(crate) struct Signed(pub(crate) Identity);

/// Where the request comes from, and with what.
pub(crate) struct Client {
    /// The address.
    pub(crate) peer: IpAddr,
    /// How the client calls this server: `https://host[:port]`.
    pub(crate) origin: String,
    /// The header `Authorization`.
    pub(crate) authorization: Option<String>,
    /// What the program calls itself; may be empty.
    pub(crate) agent: String,
}

impl Client {
    fn of(parts: &Parts) -> Client {
        let forwarded = parts.extensions.get::<ForwardedHeaders>().copied();
        let sender = Sender::of(parts, forwarded.unwrap_or(ForwardedHeaders::Ignored));
        let header = |name| parts.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        Client {
            peer: sender.peer,
            origin: sender.origin,
            authorization: header(AUTHORIZATION).map(str::to_owned),
            agent: header(USER_AGENT).unwrap_or_default().to_owned(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Client, Infallible> {
        Ok(Client::of(parts))
    }
}

impl FromRequestParts<Hub> for MaybeSigned {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<MaybeSigned, Failure> {
        let client = Client::of(parts);
        Ok(MaybeSigned(hub.identify(client.authorization.as_deref(), Some(client.peer)).await?))
    }
}

impl FromRequestParts<Hub> for Signed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Signed, Failure> {
        let MaybeSigned(identity) = MaybeSigned::from_request_parts(parts, hub).await?;
        let nobody = || Failure::new(StatusCode::UNAUTHORIZED, "authentication required");
        identity.map(Signed).ok_or_else(nobody)
    }
}
