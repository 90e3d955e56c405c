//! `/api/v1/admin`: accounts as administrators of the hub manage them.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use strata_hub::{AccountUpdate, Hub, NewUser, OneTimePassword};

use super::users::complete;
use crate::error::Result;
use crate::identity::Signed;
use crate::input::{Input, Page, Query};

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(super::both("/api/v1/admin/accounts", get(accounts)))
        .merge(super::both("/api/v1/admin/accounts/{name}", get(account).patch(update)))
        .merge(super::both("/api/v1/admin/users", post(create)))
        .merge(super::both("/api/v1/admin/users/{name}/password", post(reset_password)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUserDocument {
    username: String,
    password: Option<String>,
    #[serde(default)]
    full_name: String,
    email: Option<String>,
    #[serde(default)]
    is_admin: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    full_name: Option<String>,
    email: Option<String>,
    private_by_default: Option<bool>,
    is_active: Option<bool>,
    is_admin: Option<bool>,
    is_verified_publisher: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    quota: Option<Option<u64>>,
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Reset {
    password: Option<String>,
}

fn with_password(mut document: Value, one_time: Option<OneTimePassword>) -> Value {
    if let Some(one_time) = one_time {
        document["one_time_password"] = json!(one_time.password);
    }
    document
}

/// `GET …/accounts?after=&page_size=`: by name, from the one after `after` on.
async fn accounts(State(hub): State<Hub>, Signed(who): Signed, query: Query) -> Result<Json<Value>> {
    let size = Page::with_default(&query, 100)?.size;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let rows = hub.accounts(&who, query.first("after").unwrap_or_default(), size).await?;
    Ok(Json(json!({ "results": rows.iter().map(complete).collect::<Vec<_>>() })))
}

/// `GET …/accounts/{name}`, with the bytes that its namespace holds.
async fn account(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<Json<Value>> {
    who.administers()?;
    let mut document = complete(&hub.account(&name).await?);
    document["stored_bytes"] = json!(hub.stored_bytes(&name).await?);
    Ok(Json(document))
}

/// `PATCH …/accounts/{name}`.
async fn update(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(update): Input<Update>,
) -> Result<Json<Value>> {
    who.administers()?;
    let update = AccountUpdate {
        full_name: update.full_name,
        email: update.email,
        private_by_default: update.private_by_default,
        is_disabled: update.is_active.map(|is_active| !is_active),
        is_administrator: update.is_admin,
        is_verified_publisher: update.is_verified_publisher,
        quota: update.quota,
        ..AccountUpdate::default()
    };
    Ok(Json(complete(&hub.update_account(&who, &name, update).await?)))
}

/// `POST …/users`; without a password the answer has a one-time password.
async fn create(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Input(new): Input<NewUserDocument>,
) -> Result<(StatusCode, Json<Value>)> {
    let new = NewUser {
        name: new.username,
        password: new.password,
        full_name: new.full_name,
        email: new.email,
        is_administrator: new.is_admin,
    };
    let (account, one_time) = hub.create_user(&who, new).await?;
    Ok((StatusCode::CREATED, Json(with_password(complete(&account), one_time))))
}

/// `POST …/users/{name}/password`; without a password the answer has a one-time password.
async fn reset_password(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(reset): Input<Reset>,
) -> Result<Json<Value>> {
    let one_time = hub.reset_password(&who, &name, reset.password).await?;
    Ok(Json(with_password(json!({ "username": name }), one_time)))
}
