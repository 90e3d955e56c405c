//! `/token`: tokens for the registry, in Docker's form (GET) and OAuth 2's (POST).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use strata_hub::{Hub, HubError, Identity, RegistryToken, TokenRequest, audience};

use crate::error::Failure;
use crate::identity::Client;
use crate::input::Query;
use crate::output::time;

pub(super) fn routes() -> Router<Hub> {
    super::both("/token", get(by_header).post(by_form))
}

/// `GET /token?service=&scope=&offline_token=&client_id=`, with `Authorization: Basic` or for anybody.
async fn by_header(State(hub): State<Hub>, client: Client, query: Query) -> Response {
    let request = TokenRequest {
        scopes: query.all("scope").map(str::to_owned).collect(),
        audience: audience(&client.origin).to_owned(),
        client: query.first("client_id").unwrap_or(&client.agent).to_owned(),
        offline: query.first("offline_token") == Some("true"),
    };
    let answer = async {
        let identity = hub.identify(client.authorization.as_deref(), Some(client.peer)).await?;
        let token = hub.registry_token(identity.as_ref(), &request).await?;
        let mut document = common(&token);
        document["token"] = json!(token.token);
        if let Some(refresh_token) = &token.refresh_token {
            document["refresh_token"] = json!(refresh_token);
        }
        Ok(document)
    };
    respond(&client, answer.await)
}

/// `POST /token` with `grant_type=password` or `grant_type=refresh_token`.
async fn by_form(State(hub): State<Hub>, client: Client, body: String) -> Response {
    let form = Query::parse(&body);
    let request = TokenRequest {
        scopes: form.all("scope").map(str::to_owned).collect(),
        audience: audience(&client.origin).to_owned(),
        client: form.first("client_id").unwrap_or(&client.agent).to_owned(),
        offline: form.first("access_type") == Some("offline"),
    };
    let answer = async {
        let identity = grantee(&hub, &client, &form).await?;
        let old = form.first("refresh_token");
        // The refresh token that was shown stays good.
        let request = TokenRequest { offline: request.offline && old.is_none(), ..request };
        let token = hub.registry_token(Some(&identity), &request).await?;
        let mut document = common(&token);
        document["scope"] = json!(token.scope);
        if let Some(refresh_token) = token.refresh_token.as_deref().or(old) {
            document["refresh_token"] = json!(refresh_token);
        }
        Ok(document)
    };
    respond(&client, answer.await)
}

async fn grantee(hub: &Hub, client: &Client, form: &Query) -> Result<Identity, HubError> {
    let needed = |name: &'static str| {
        form.first(name).ok_or_else(|| HubError::Invalid { what: "form", why: format!("has no {name}") })
    };
    match needed("grant_type")? {
        "password" => hub.authenticate(needed("username")?, needed("password")?, Some(client.peer)).await,
        "refresh_token" => hub.by_refresh_token(needed("refresh_token")?, Some(client.peer)).await,
        other => Err(HubError::Invalid { what: "grant_type", why: format!("{other:?} is not supported") }),
    }
}

fn common(token: &RegistryToken) -> Value {
    json!({ "access_token": token.token, "expires_in": token.expires_in, "issued_at": time(token.issued) })
}

fn respond(client: &Client, answer: Result<Value, HubError>) -> Response {
    let mut response = match answer {
        Ok(document) => Json(document).into_response(),
        Err(error) => refusal(client, error),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A failure as clients of the registry and of OAuth 2 (RFC 6749, section 5.2) read it.
fn refusal(client: &Client, error: HubError) -> Response {
    let (code, oauth) = match &error {
        HubError::Unauthenticated(_) => ("UNAUTHORIZED", "invalid_grant"),
        HubError::Denied(_) => ("DENIED", "access_denied"),
        HubError::RateLimited { .. } => ("TOOMANYREQUESTS", "temporarily_unavailable"),
        HubError::Invalid { what: "grant_type", .. } => ("UNSUPPORTED", "unsupported_grant_type"),
        HubError::Invalid { .. } => ("UNSUPPORTED", "invalid_request"),
        _ => ("UNAVAILABLE", "server_error"),
    };
    let is_unauthenticated = matches!(error, HubError::Unauthenticated(_));
    let failure = Failure::from(error);
    let (status, message) = (failure.status, failure.message.clone());
    let document = json!({
        "errors": [{ "code": code, "message": message, "detail": null }],
        "details": message,
        "error": oauth,
        "error_description": message,
    });
    // Keeps the header `Retry-After`, and the log of what the server is to blame for.
    let retry_after = failure.into_response().headers().get(RETRY_AFTER).cloned();
    let mut response = (status, Json(document)).into_response();
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, retry_after);
    }
    let challenge = HeaderValue::try_from(format!("Basic realm=\"{}\"", audience(&client.origin)));
    if let Some(challenge) = challenge.ok().filter(|_| is_unauthenticated) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    debug_assert!(status != StatusCode::OK);
    response
}
