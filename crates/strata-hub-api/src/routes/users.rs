//! Signing in to the hub's API, and one's own account.

use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::records::{AccountKind, AccountRow, MemberRole};
use strata_hub::{AccountUpdate, Hub, HubError, NewUser, SignedIn};

use crate::error::{Failure, Result};
use crate::identity::{Client, Signed};
use crate::input::Input;
use crate::output::time;

/// Lifetime of a token of `/v2/auth/token` in seconds, as on Docker Hub.
const SHORT: u32 = 600;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(super::both("/v2/users/login", post(log_in)))
        .merge(super::both("/v2/auth/token", post(auth_token)))
        .merge(super::both("/v2/users", post(register)))
        .merge(super::both("/v2/users/{name}", get(user)))
        .merge(super::both("/v2/user", get(own).patch(change)))
        .merge(super::both("/v2/user/orgs", get(organizations)))
        .merge(super::both("/api/v1/account/password", post(change_password)))
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct Credentials {
    identifier: String,
    secret: String,
}

#[derive(Deserialize)]
struct Registration {
    username: String,
    password: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    full_name: String,
}

#[derive(Deserialize)]
struct PasswordChange {
    username: String,
    password: String,
    new_password: String,
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    full_name: Option<String>,
    description: Option<String>,
    link: Option<String>,
    location: Option<String>,
    email: Option<String>,
    private_by_default: Option<bool>,
}

/// `POST /v2/users/login`: a session, or what to come back with and a code.
async fn log_in(State(hub): State<Hub>, client: Client, Input(login): Input<Login>) -> Result {
    let signed = hub.sign_in(&login.username, &login.password, Some(client.peer)).await.map_err(incorrect)?;
    Ok(match signed {
        SignedIn::Yes(identity) => {
            let token = hub.session(&identity, session_seconds(&hub), &client.agent).await?;
            Json(json!({ "token": token })).into_response()
        }
        SignedIn::NeedsCode(token) => {
            let detail = "Require secondary authentication on MFA enabled account";
            let document = json!({ "detail": detail, "message": detail, "login_2fa_token": token });
            (StatusCode::UNAUTHORIZED, Json(document)).into_response()
        }
    })
}

/// Lifetime of a session in seconds.
pub(super) fn session_seconds(hub: &Hub) -> u32 {
    hub.settings().accounts.session_hours.saturating_mul(3600)
}

/// A failed sign-in in Docker Hub's words.
pub(super) fn incorrect(error: HubError) -> Failure {
    match error {
        HubError::Unauthenticated(_) => Failure::new(StatusCode::UNAUTHORIZED, "Incorrect authentication credentials"),
        error => error.into(),
    }
}

/// `POST /v2/auth/token`: a session of ten minutes.
async fn auth_token(State(hub): State<Hub>, client: Client, Input(shown): Input<Credentials>) -> Result<Json<Value>> {
    let identity = hub.authenticate(&shown.identifier, &shown.secret, Some(client.peer)).await.map_err(incorrect)?;
    Ok(Json(json!({ "access_token": hub.session(&identity, SHORT, &client.agent).await? })))
}

/// `POST /v2/users`: an account for oneself, where that is allowed.
async fn register(
    State(hub): State<Hub>,
    client: Client,
    Input(new): Input<Registration>,
) -> Result<(StatusCode, Json<Value>)> {
    let new = NewUser {
        name: new.username,
        password: Some(new.password),
        full_name: new.full_name,
        email: new.email,
        is_administrator: false,
    };
    let account = hub.register(new, Some(client.peer)).await?;
    Ok((StatusCode::CREATED, Json(public(&account))))
}

/// `GET /v2/users/{name}`: what everybody may know of an account.
async fn user(State(hub): State<Hub>, Path(name): Path<String>) -> Result<Json<Value>> {
    Ok(Json(public(&hub.account(&name).await?)))
}

/// `GET /v2/user`: one's own account.
async fn own(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<Value>> {
    Ok(Json(complete(&hub.account(&who.account).await?)))
}

/// `PATCH /v2/user`.
async fn change(State(hub): State<Hub>, Signed(who): Signed, Input(change): Input<Change>) -> Result<Json<Value>> {
    let update = AccountUpdate {
        full_name: change.full_name,
        description: change.description,
        link: change.link,
        location: change.location,
        email: change.email,
        private_by_default: change.private_by_default,
        ..AccountUpdate::default()
    };
    Ok(Json(complete(&hub.update_account(&who, &who.account, update).await?)))
}

/// `GET /v2/user/orgs`: the organizations that one is in.
async fn organizations(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<Value>> {
    let organizations = hub.organizations_of(&who).await?;
    let results: Vec<Value> = organizations.iter().map(|(account, role)| membership(account, *role)).collect();
    Ok(Json(json!({ "count": results.len(), "next": null, "previous": null, "results": results })))
}

fn membership(account: &AccountRow, role: MemberRole) -> Value {
    let mut document = public(account);
    document["orgname"] = json!(account.name);
    document["role"] = json!(role.as_str());
    document
}

/// `POST /api/v1/account/password`: another password, by showing the old one, and a code where a second factor is on; the
/// only thing that a one-time password is good for.
async fn change_password(
    State(hub): State<Hub>,
    client: Client,
    Input(change): Input<PasswordChange>,
) -> Result<StatusCode> {
    let PasswordChange { username, password, new_password, code } = change;
    hub.change_password(&username, &password, &new_password, &code, Some(client.peer)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What everybody may know of an account.
pub(super) fn public(account: &AccountRow) -> Value {
    json!({
        "id": account.name,
        "username": account.name,
        "full_name": account.full_name,
        "description": account.description,
        "link": account.link,
        "location": account.location,
        "date_joined": time(account.created),
        "type": match account.kind {
            AccountKind::User => "User",
            AccountKind::Organization => "Organization",
        },
        "badge": account.is_verified_publisher.then_some("verified_publisher"),
    })
}

/// What an account itself and administrators may know.
pub(super) fn complete(account: &AccountRow) -> Value {
    let mut document = public(account);
    document["email"] = json!(account.email);
    document["private_by_default"] = json!(account.private_by_default);
    document["quota"] = json!(account.quota);
    document["is_admin"] = json!(account.is_administrator);
    document["is_active"] = json!(!account.is_disabled);
    document["password_is_one_time"] = json!(account.password_is_one_time);
    document
}
