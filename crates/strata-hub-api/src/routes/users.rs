//! Signing in to the hub's API, and one's own account.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, NoContent, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strata_hub::records::{AccountKind, AccountRow, MemberRole};
use strata_hub::{AccountUpdate, Hub, HubError, NewUser, SignedIn};
use utoipa::ToSchema;

use crate::endpoints::{Answer, Created, Draft, Endpoints};
use crate::error::{Failure, Result};
use crate::identity::{Client, Signed};
use crate::input::Input;
use crate::output::{List, time};

/// Lifetime of a token of `/v2/auth/token` in seconds, as on Docker Hub.
const SHORT: u32 = 600;

pub(super) fn endpoints() -> Endpoints {
    let sign_in = Endpoints::about("sign-in")
        .post("/v2/users/login", "A session, by name and password; or what to come back with and a code", log_in)
        .post("/v2/auth/token", "A session of ten minutes, by name and password or access token", auth_token);
    Endpoints::about("accounts")
        .post("/v2/users", "Make an account for oneself, where that is allowed", register)
        .get("/v2/users/{name}", "What everybody may know of an account", user)
        .get("/v2/user", "Oneself", own)
        .patch("/v2/user", "Change oneself", change)
        .get("/v2/user/orgs", "One's organizations", organizations)
        .post("/api/v1/account/password", "Choose another password", change_password)
        .merge(sign_in)
}

/// A name and a password.
#[derive(Deserialize, ToSchema)]
struct Login {
    username: String,
    password: String,
}

/// A name, and a password or an access token.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    identifier: String,
    secret: String,
}

/// An account to be.
#[derive(Deserialize, ToSchema)]
struct Registration {
    username: String,
    password: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    full_name: String,
}

/// The old password, and a new one.
#[derive(Deserialize, ToSchema)]
struct PasswordChange {
    username: String,
    password: String,
    new_password: String,
    /// Where a second factor is on.
    #[serde(default)]
    code: String,
}

/// What is to change of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    full_name: Option<String>,
    description: Option<String>,
    link: Option<String>,
    location: Option<String>,
    email: Option<String>,
    private_by_default: Option<bool>,
}

/// A session of the hub's API: what `Authorization: Bearer` takes.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionToken {
    pub(super) token: String,
}

/// A session of the hub's API, under OAuth's name.
#[derive(Serialize, ToSchema)]
struct AccessToken {
    access_token: String,
}

/// The password was right, and a code is needed besides.
#[derive(Serialize, ToSchema)]
struct CodeNeeded {
    detail: &'static str,
    message: &'static str,
    /// What to come to `/v2/users/2fa-login` with.
    login_2fa_token: String,
}

/// Why a login did not give a session.
enum Unfinished {
    Failed(Failure),
    NeedsCode(String),
}

impl<E: Into<Failure>> From<E> for Unfinished {
    fn from(error: E) -> Unfinished {
        Unfinished::Failed(error.into())
    }
}

impl IntoResponse for Unfinished {
    fn into_response(self) -> Response {
        match self {
            Unfinished::Failed(failure) => failure.into_response(),
            Unfinished::NeedsCode(login_2fa_token) => {
                let detail = "Require secondary authentication on MFA enabled account";
                let document = CodeNeeded { detail, message: detail, login_2fa_token };
                (StatusCode::UNAUTHORIZED, Json(document)).into_response()
            }
        }
    }
}

impl Answer for Unfinished {
    fn describe(draft: Draft) -> Draft {
        Failure::describe(draft).answers::<CodeNeeded>("401", "A code is needed, or it is refused as others are")
    }
}

async fn log_in(
    State(hub): State<Hub>,
    client: Client,
    Input(login): Input<Login>,
) -> Result<Json<SessionToken>, Unfinished> {
    match hub.sign_in(&login.username, &login.password, Some(client.peer)).await.map_err(incorrect)? {
        SignedIn::Yes(identity) => {
            let token = hub.session(&identity, session_seconds(&hub), &client.agent).await?;
            Ok(Json(SessionToken { token }))
        }
        SignedIn::NeedsCode(token) => Err(Unfinished::NeedsCode(token)),
    }
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
async fn auth_token(
    State(hub): State<Hub>,
    client: Client,
    Input(shown): Input<Credentials>,
) -> Result<Json<AccessToken>> {
    let identity = hub.authenticate(&shown.identifier, &shown.secret, Some(client.peer)).await.map_err(incorrect)?;
    Ok(Json(AccessToken { access_token: hub.session(&identity, SHORT, &client.agent).await? }))
}

/// `POST /v2/users`: an account for oneself, where that is allowed.
async fn register(
    State(hub): State<Hub>,
    client: Client,
    Input(new): Input<Registration>,
) -> Result<Created<PublicAccount>> {
    let new = NewUser {
        name: new.username,
        password: Some(new.password),
        full_name: new.full_name,
        email: new.email,
        is_administrator: false,
    };
    let account = hub.register(new, Some(client.peer)).await?;
    Ok(Created(public(&account)))
}

/// `GET /v2/users/{name}`: what everybody may know of an account.
async fn user(State(hub): State<Hub>, Path(name): Path<String>) -> Result<Json<PublicAccount>> {
    Ok(Json(public(&hub.account(&name).await?)))
}

/// `GET /v2/user`: one's own account.
async fn own(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<Account>> {
    Ok(Json(complete(&hub.account(&who.account).await?)))
}

/// `PATCH /v2/user`.
async fn change(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Input(change): Input<AccountChange>,
) -> Result<Json<Account>> {
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
async fn organizations(State(hub): State<Hub>, Signed(who): Signed) -> Result<List<Membership>> {
    let organizations = hub.organizations_of(&who).await?;
    Ok(List::whole(organizations.iter().map(|(account, role)| membership(account, *role)).collect()))
}

/// An organization that one is in.
#[derive(Serialize, ToSchema)]
struct Membership {
    #[serde(flatten)]
    account: PublicAccount,
    orgname: String,
    /// `member` or `owner`.
    role: &'static str,
}

fn membership(account: &AccountRow, role: MemberRole) -> Membership {
    Membership { account: public(account), orgname: account.name.clone(), role: role.as_str() }
}

/// `POST /api/v1/account/password`: another password, by showing the old one, and a code where a second factor is on; the
/// only thing that a one-time password is good for.
async fn change_password(
    State(hub): State<Hub>,
    client: Client,
    Input(change): Input<PasswordChange>,
) -> Result<NoContent> {
    let PasswordChange { username, password, new_password, code } = change;
    hub.change_password(&username, &password, &new_password, &code, Some(client.peer)).await?;
    Ok(NoContent)
}

/// What everybody may know of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct PublicAccount {
    id: String,
    username: String,
    full_name: String,
    description: String,
    link: String,
    location: String,
    date_joined: String,
    /// `User` or `Organization`.
    r#type: &'static str,
    /// `verified_publisher`.
    badge: Option<&'static str>,
}

/// What an account itself and administrators may know.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    #[serde(flatten)]
    public: PublicAccount,
    email: Option<String>,
    private_by_default: bool,
    /// Most bytes that its namespace may hold.
    quota: Option<u64>,
    is_admin: bool,
    is_active: bool,
    password_is_one_time: bool,
}

pub(super) fn public(account: &AccountRow) -> PublicAccount {
    PublicAccount {
        id: account.name.clone(),
        username: account.name.clone(),
        full_name: account.full_name.clone(),
        description: account.description.clone(),
        link: account.link.clone(),
        location: account.location.clone(),
        date_joined: time(account.created),
        r#type: match account.kind {
            AccountKind::User => "User",
            AccountKind::Organization => "Organization",
        },
        badge: account.is_verified_publisher.then_some("verified_publisher"),
    }
}

pub(super) fn complete(account: &AccountRow) -> Account {
    Account {
        public: public(account),
        email: account.email.clone(),
        private_by_default: account.private_by_default,
        quota: account.quota,
        is_admin: account.is_administrator,
        is_active: !account.is_disabled,
        password_is_one_time: account.password_is_one_time,
    }
}
