//! Access tokens: one's own, and those of organizations for robots.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::records::{AccessTokenRow, Role, TokenReach, TokenScope};
use strata_hub::{AccessTokenUpdate, Hub, NewAccessToken, highest_scope, role_of_scopes, scopes_of_role};

use crate::error::{Failure, Result};
use crate::identity::{Client, Signed};
use crate::input::{self, Input, Page, malformed};
use crate::output::{list, time};

pub(super) fn routes() -> Router<Hub> {
    let personal = get(personal_token).patch(update_personal).delete(delete_personal);
    let robot = get(robot_token).patch(update_robot).delete(delete_robot);
    Router::new()
        .merge(super::both("/v2/access-tokens", get(personal_tokens).post(create_personal)))
        .merge(super::both("/v2/access-tokens/{id}", personal))
        .merge(super::both("/v2/orgs/{organization}/access-tokens", get(robot_tokens).post(create_robot)))
        .merge(super::both("/v2/orgs/{organization}/access-tokens/{id}", robot))
}

#[derive(Deserialize)]
struct NewPersonal {
    token_label: String,
    scopes: Vec<String>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct PersonalUpdate {
    token_label: Option<String>,
    is_active: Option<bool>,
    scopes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NewRobot {
    label: String,
    #[serde(default)]
    description: String,
    resources: Vec<Resource>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct RobotUpdate {
    label: Option<String>,
    description: Option<String>,
    is_active: Option<bool>,
    resources: Option<Vec<Resource>>,
}

/// Repositories that a robot is let to: `{"type":"TYPE_REPO","path":"acme/app","scopes":["scope-image-pull"]}`.
#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "type", default = "Resource::repository")]
    kind: String,
    path: String,
    scopes: Vec<String>,
}

impl Resource {
    fn repository() -> String {
        "TYPE_REPO".to_owned()
    }

    fn role(self) -> Result<(String, Role)> {
        if self.kind != "TYPE_REPO" {
            return Err(malformed(format!("resources: type {:?} is not supported", self.kind)));
        }
        let role = role_of_scopes(&self.scopes);
        let unknown = || malformed(format!("resources: scopes {:?} of {} are not supported", self.scopes, self.path));
        Ok((self.path.clone(), role.ok_or_else(unknown)?))
    }
}

fn personal_reach(scopes: &[String]) -> Result<TokenReach> {
    let known =
        [TokenScope::Admin, TokenScope::Write, TokenScope::Read, TokenScope::PublicRead].map(TokenScope::as_str);
    let scope = highest_scope(scopes).ok_or_else(|| malformed(format!("scopes: must be of {}", known.join(", "))))?;
    Ok(TokenReach::Personal(scope))
}

fn robot_reach(resources: Vec<Resource>) -> Result<TokenReach> {
    Ok(TokenReach::Robot(resources.into_iter().map(Resource::role).collect::<Result<_>>()?))
}

fn expiry(text: Option<String>) -> Result<Option<i64>, Failure> {
    text.filter(|text| !text.is_empty()).map(|text| input::time("expires_at", &text)).transpose()
}

/// A personal token as its owner sees it; the secret only once.
fn personal(row: &AccessTokenRow, secret: &str) -> Value {
    let scopes: Vec<_> = match &row.reach {
        TokenReach::Personal(scope) => vec![scope.as_str()],
        TokenReach::Robot(_) => Vec::new(),
    };
    json!({
        "uuid": row.id,
        "client_id": "",
        "creator_ip": row.creator_address,
        "creator_ua": row.creator_agent,
        "created_at": time(row.created),
        "last_used": row.last_used.map(time),
        "generated_by": "manual",
        "is_active": row.is_active,
        "token": secret,
        "token_label": row.label,
        "scopes": scopes,
        "expires_at": row.expires.map(time),
    })
}

/// An organization's token as its owners see it.
fn robot(row: &AccessTokenRow) -> Value {
    let resource =
        |(path, role): &(String, Role)| json!({ "type": "TYPE_REPO", "path": path, "scopes": scopes_of_role(*role) });
    let resources: Vec<Value> = match &row.reach {
        TokenReach::Robot(repositories) => repositories.iter().map(resource).collect(),
        TokenReach::Personal(_) => Vec::new(),
    };
    json!({
        "id": row.id,
        "label": row.label,
        "description": row.description,
        "created_by": row.created_by,
        "is_active": row.is_active,
        "created_at": time(row.created),
        "expires_at": row.expires.map(time),
        "last_used_at": row.last_used.map(time),
        "resources": resources,
    })
}

/// `GET /v2/access-tokens`.
async fn personal_tokens(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    page: Page,
    uri: Uri,
) -> Result<Json<Value>> {
    let rows = hub.access_tokens(&who, &who.account).await?;
    let count = rows.len() as u64;
    let results = page.cut(rows).map(|row| personal(&row, "")).collect();
    Ok(Json(list(&client.origin, &uri, page, count, results)))
}

/// `POST /v2/access-tokens`.
async fn create_personal(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    Input(new): Input<NewPersonal>,
) -> Result<(StatusCode, Json<Value>)> {
    let new = NewAccessToken {
        label: new.token_label,
        description: String::new(),
        reach: personal_reach(&new.scopes)?,
        expires: expiry(new.expires_at)?,
        agent: client.agent,
    };
    let created = hub.create_access_token(&who, &who.account, new).await?;
    Ok((StatusCode::CREATED, Json(personal(&created.row, &created.secret))))
}

/// `GET /v2/access-tokens/{uuid}`.
async fn personal_token(State(hub): State<Hub>, Signed(who): Signed, Path(id): Path<String>) -> Result<Json<Value>> {
    Ok(Json(personal(&hub.access_token(&who, &who.account, &id).await?, "")))
}

/// `PATCH /v2/access-tokens/{uuid}`.
async fn update_personal(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Input(update): Input<PersonalUpdate>,
) -> Result<Json<Value>> {
    let update = AccessTokenUpdate {
        label: update.token_label,
        description: None,
        is_active: update.is_active,
        reach: update.scopes.as_deref().map(personal_reach).transpose()?,
    };
    Ok(Json(personal(&hub.update_access_token(&who, &who.account, &id, update).await?, "")))
}

/// `DELETE /v2/access-tokens/{uuid}`.
async fn delete_personal(State(hub): State<Hub>, Signed(who): Signed, Path(id): Path<String>) -> Result<StatusCode> {
    hub.delete_access_token(&who, &who.account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v2/orgs/{organization}/access-tokens`.
async fn robot_tokens(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    Path(organization): Path<String>,
    page: Page,
    uri: Uri,
) -> Result<Json<Value>> {
    let rows = hub.access_tokens(&who, &organization).await?;
    let count = rows.len() as u64;
    let results = page.cut(rows).map(|row| robot(&row)).collect();
    let mut document = list(&client.origin, &uri, page, count, results);
    document["total"] = json!(count);
    Ok(Json(document))
}

/// `POST /v2/orgs/{organization}/access-tokens`.
async fn create_robot(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    Path(organization): Path<String>,
    Input(new): Input<NewRobot>,
) -> Result<(StatusCode, Json<Value>)> {
    let new = NewAccessToken {
        label: new.label,
        description: new.description,
        reach: robot_reach(new.resources)?,
        expires: expiry(new.expires_at)?,
        agent: client.agent,
    };
    let created = hub.create_access_token(&who, &organization, new).await?;
    let mut document = robot(&created.row);
    document["token"] = json!(created.secret);
    Ok((StatusCode::CREATED, Json(document)))
}

/// `GET /v2/orgs/{organization}/access-tokens/{id}`.
async fn robot_token(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
) -> Result<Json<Value>> {
    Ok(Json(robot(&hub.access_token(&who, &organization, &id).await?)))
}

/// `PATCH /v2/orgs/{organization}/access-tokens/{id}`.
async fn update_robot(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
    Input(update): Input<RobotUpdate>,
) -> Result<Json<Value>> {
    let update = AccessTokenUpdate {
        label: update.label,
        description: update.description,
        is_active: update.is_active,
        reach: update.resources.map(robot_reach).transpose()?,
    };
    Ok(Json(robot(&hub.update_access_token(&who, &organization, &id, update).await?)))
}

/// `DELETE /v2/orgs/{organization}/access-tokens/{id}`.
async fn delete_robot(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    hub.delete_access_token(&who, &organization, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
