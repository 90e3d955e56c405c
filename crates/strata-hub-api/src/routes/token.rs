//! `/token`: tokens for the registry, in Docker's form (GET) and OAuth 2's (POST).

use axum::Json;
use axum::extract::rejection::StringRejection;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use strata_hub::{Hub, HubError, Identity, TokenRequest, audience};
use utoipa::ToSchema;

use crate::endpoints::{Answer, Draft, Endpoints, Taken};
use crate::error::Failure;
use crate::identity::Client;
use crate::input::Query;
use crate::output::time;

type NotStored<T> = ([(HeaderName, &'static str); 1], Json<T>);

const NO_STORE: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("sign-in").get("/token", "A token for the registry (Docker)", by_header).post(
        "/token",
        "The same, by form (OAuth 2)",
        by_form,
    )
}

/// A token for the registry.
#[derive(Serialize, ToSchema)]
struct TokenBody {
    access_token: String,
    /// Its lifetime in seconds.
    expires_in: u32,
    issued_at: String,
    /// The same again, in Docker's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// What it allows, in OAuth 2's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// What a token is asked for with.
#[derive(ToSchema)]
struct TokenForm {
    /// `password` or `refresh_token`.
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
    /// May come more than once.
    scope: Vec<String>,
    client_id: Option<String>,
    /// `offline` for a refresh token.
    access_type: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for TokenForm {
    type Rejection = StringRejection;

    async fn from_request(request: Request, state: &S) -> Result<TokenForm, StringRejection> {
        let form = Query::parse(&String::from_request(request, state).await?);
        let text = |name| form.first(name).map(str::to_owned);
        Ok(TokenForm {
            grant_type: text("grant_type"),
            username: text("username"),
            password: text("password"),
            refresh_token: text("refresh_token"),
            scope: form.all("scope").map(str::to_owned).collect(),
            client_id: text("client_id"),
            access_type: text("access_type"),
        })
    }
}

impl Taken for TokenForm {
    fn describe(draft: Draft) -> Draft {
        draft.takes::<TokenForm>("application/x-www-form-urlencoded")
    }
}

/// `GET /token?service=&scope=&offline_token=&client_id=`, with `Authorization: Basic` or for anybody.
async fn by_header(State(hub): State<Hub>, client: Client, query: Query) -> Result<NotStored<TokenBody>, Refusal> {
    let request = TokenRequest {
        scopes: query.all("scope").map(str::to_owned).collect(),
        audience: audience(&client.origin).to_owned(),
        client: query.first("client_id").unwrap_or(&client.agent).to_owned(),
        offline: query.first("offline_token") == Some("true"),
    };
    let answer = async {
        let identity = hub.identify(client.authorization.as_deref(), Some(client.peer)).await?;
        let token = hub.registry_token(identity.as_ref(), &request).await?;
        Ok(TokenBody {
            access_token: token.token.clone(),
            expires_in: token.expires_in,
            issued_at: time(token.issued),
            token: Some(token.token),
            scope: None,
            refresh_token: token.refresh_token,
        })
    };
    answered(&client, answer.await)
}

/// `POST /token` with `grant_type=password` or `grant_type=refresh_token`.
async fn by_form(State(hub): State<Hub>, client: Client, form: TokenForm) -> Result<NotStored<TokenBody>, Refusal> {
    let answer = async {
        let identity = grantee(&hub, &client, &form).await?;
        let request = TokenRequest {
            scopes: form.scope,
            audience: audience(&client.origin).to_owned(),
            client: form.client_id.unwrap_or_else(|| client.agent.clone()),
            // The refresh token that was shown stays good.
            offline: form.access_type.as_deref() == Some("offline") && form.refresh_token.is_none(),
        };
        let token = hub.registry_token(Some(&identity), &request).await?;
        Ok(TokenBody {
            access_token: token.token,
            expires_in: token.expires_in,
            issued_at: time(token.issued),
            token: None,
            scope: Some(token.scope),
            refresh_token: token.refresh_token.or(form.refresh_token),
        })
    };
    answered(&client, answer.await)
}

async fn grantee(hub: &Hub, client: &Client, form: &TokenForm) -> Result<Identity, HubError> {
    let needed = |name, value: &'_ Option<String>| {
        value.clone().ok_or_else(|| HubError::Invalid { what: "form", why: format!("has no {name}") })
    };
    match needed("grant_type", &form.grant_type)?.as_str() {
        "password" => {
            let (name, password) = (needed("username", &form.username)?, needed("password", &form.password)?);
            hub.authenticate(&name, &password, Some(client.peer)).await
        }
        "refresh_token" => {
            hub.by_refresh_token(&needed("refresh_token", &form.refresh_token)?, Some(client.peer)).await
        }
        other => Err(HubError::Invalid { what: "grant_type", why: format!("{other:?} is not supported") }),
    }
}

fn answered(client: &Client, answer: Result<TokenBody, HubError>) -> Result<NotStored<TokenBody>, Refusal> {
    match answer {
        Ok(token) => Ok(([NO_STORE], Json(token))),
        Err(error) => Err(Refusal { error, realm: audience(&client.origin).to_owned() }),
    }
}

/// A failure as clients of the registry and of OAuth 2 (RFC 6749, section 5.2) read it.
struct Refusal {
    error: HubError,
    realm: String,
}

/// Why there is no token: for the registry's clients, for Docker Hub's, and for OAuth 2's.
#[derive(Serialize, ToSchema)]
struct RefusalBody {
    errors: [RegistryError; 1],
    details: String,
    error: &'static str,
    error_description: String,
}

/// An error as the registry writes it.
#[derive(Serialize, ToSchema)]
struct RegistryError {
    code: &'static str,
    message: String,
    detail: Option<String>,
}

impl Answer for Refusal {
    fn describe(draft: Draft) -> Draft {
        draft.answers::<RefusalBody>("4XX", "Refused")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, oauth) = match &self.error {
            HubError::Unauthenticated(_) => ("UNAUTHORIZED", "invalid_grant"),
            HubError::Denied(_) => ("DENIED", "access_denied"),
            HubError::RateLimited { .. } => ("TOOMANYREQUESTS", "temporarily_unavailable"),
            HubError::Invalid { what: "grant_type", .. } => ("UNSUPPORTED", "unsupported_grant_type"),
            HubError::Invalid { .. } => ("UNSUPPORTED", "invalid_request"),
            _ => ("UNAVAILABLE", "server_error"),
        };
        let is_unauthenticated = matches!(self.error, HubError::Unauthenticated(_));
        let failure = Failure::from(self.error);
        let (status, message) = (failure.status, failure.message.clone());
        let document = RefusalBody {
            errors: [RegistryError { code, message: message.clone(), detail: None }],
            details: message.clone(),
            error: oauth,
            error_description: message,
        };
        // Keeps the header `Retry-After`, and the log of what the server is to blame for.
        let retry_after = failure.into_response().headers().get(RETRY_AFTER).cloned();
        let mut response = (status, [NO_STORE], Json(document)).into_response();
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, retry_after);
        }
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{}\"", self.realm));
        if let Some(challenge) = challenge.ok().filter(|_| is_unauthenticated) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        debug_assert!(status != StatusCode::OK);
        response
    }
}
