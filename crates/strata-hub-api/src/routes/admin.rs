//! `/api/v1/admin`: accounts as administrators of the hub manage them.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Deserializer, Serialize};
use strata_hub::{AccountUpdate, Hub, NewUser};
use utoipa::ToSchema;

use super::users::{Account, complete};
use crate::endpoints::{Created, Endpoints};
use crate::error::Result;
use crate::identity::Signed;
use crate::input::{Input, Page, Query};

pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("administration")
        .get("/api/v1/admin/accounts", "Every account by name, from the one after `after` on", accounts)
        .get("/api/v1/admin/accounts/{name}", "An account, with the bytes that its namespace holds", account)
        .patch("/api/v1/admin/accounts/{name}", "Change an account", update)
        .post("/api/v1/admin/users", "Make a user; without a password, with a one-time password", create)
        .post("/api/v1/admin/users/{name}/password", "Give a user another password, or a one-time one", reset_password)
}

/// A user to be.
#[derive(Deserialize, ToSchema)]
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

/// What is to change of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdministratorsChange {
    full_name: Option<String>,
    email: Option<String>,
    private_by_default: Option<bool>,
    is_active: Option<bool>,
    is_admin: Option<bool>,
    is_verified_publisher: Option<bool>,
    /// Most bytes that its namespace may hold; null for any.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    quota: Option<Option<u64>>,
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Another password; a one-time one if it is not given.
#[derive(Deserialize, ToSchema)]
struct PasswordReset {
    password: Option<String>,
}

/// Accounts, by name.
#[derive(Serialize, ToSchema)]
struct Accounts {
    results: Vec<Account>,
}

/// An account, and what it holds.
#[derive(Serialize, ToSchema)]
struct StoredAccount {
    #[serde(flatten)]
    account: Account,
    stored_bytes: u64,
}

/// An account that was made.
#[derive(Serialize, ToSchema)]
struct NewAccount {
    #[serde(flatten)]
    account: Account,
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password: Option<String>,
}

/// Whose password was changed.
#[derive(Serialize, ToSchema)]
struct NewPassword {
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password: Option<String>,
}

/// `GET …/accounts?after=&page_size=`: by name, from the one after `after` on.
async fn accounts(State(hub): State<Hub>, Signed(who): Signed, query: Query) -> Result<Json<Accounts>> {
    let size = Page::with_default(&query, 100)?.size;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let rows = hub.accounts(&who, query.first("after").unwrap_or_default(), size).await?;
    Ok(Json(Accounts { results: rows.iter().map(complete).collect() }))
}

/// `GET …/accounts/{name}`, with the bytes that its namespace holds.
async fn account(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<Json<StoredAccount>> {
    who.administers()?;
    let account = complete(&hub.account(&name).await?);
    Ok(Json(StoredAccount { account, stored_bytes: hub.stored_bytes(&name).await? }))
}

/// `PATCH …/accounts/{name}`.
async fn update(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(update): Input<AdministratorsChange>,
) -> Result<Json<Account>> {
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
) -> Result<Created<NewAccount>> {
    let new = NewUser {
        name: new.username,
        password: new.password,
        full_name: new.full_name,
        email: new.email,
        is_administrator: new.is_admin,
    };
    let (account, one_time) = hub.create_user(&who, new).await?;
    let one_time_password = one_time.map(|one_time| one_time.password);
    Ok(Created(NewAccount { account: complete(&account), one_time_password }))
}

/// `POST …/users/{name}/password`; without a password the answer has a one-time password.
async fn reset_password(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(reset): Input<PasswordReset>,
) -> Result<Json<NewPassword>> {
    let one_time = hub.reset_password(&who, &name, reset.password).await?;
    Ok(Json(NewPassword { username: name, one_time_password: one_time.map(|one_time| one_time.password) }))
}
