//! Access tokens: one's own, and those of organizations for robots.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::NoContent;
use serde::{Deserialize, Serialize};
use strata_hub::records::{AccessTokenRow, Role, TokenReach, TokenScope};
use strata_hub::{AccessTokenUpdate, Hub, NewAccessToken, highest_scope, role_of_scopes, scopes_of_role};
use utoipa::ToSchema;

use crate::endpoints::{Created, Endpoints};
use crate::error::{Failure, Result};
use crate::identity::{Client, Signed};
use crate::input::{self, Input, malformed};
use crate::output::{List, Place, time};

pub(super) fn endpoints() -> Endpoints {
    const PERSONAL: &str = "/v2/access-tokens/{id}";
    const ROBOTS: &str = "/v2/orgs/{organization}/access-tokens";
    const ROBOT: &str = "/v2/orgs/{organization}/access-tokens/{id}";
    Endpoints::about("access tokens")
        .get("/v2/access-tokens", "One's access tokens", personal_tokens)
        .post("/v2/access-tokens", "Make an access token", create_personal)
        .get(PERSONAL, "An access token", personal_token)
        .patch(PERSONAL, "Change an access token", update_personal)
        .delete(PERSONAL, "Remove an access token", delete_personal)
        .get(ROBOTS, "An organization's robots", robot_tokens)
        .post(ROBOTS, "Make a robot's token", create_robot)
        .get(ROBOT, "A robot's token", robot_token)
        .patch(ROBOT, "Change a robot's token", update_robot)
        .delete(ROBOT, "Remove a robot's token", delete_robot)
}

/// A token of one's own to be.
#[derive(Deserialize, ToSchema)]
struct NewPersonal {
    token_label: String,
    scopes: Vec<String>,
    expires_at: Option<String>,
}

/// What is to change of it.
#[derive(Deserialize, ToSchema)]
struct PersonalUpdate {
    token_label: Option<String>,
    is_active: Option<bool>,
    scopes: Option<Vec<String>>,
}

/// A robot's token to be.
#[derive(Deserialize, ToSchema)]
struct NewRobot {
    label: String,
    #[serde(default)]
    description: String,
    resources: Vec<Resource>,
    expires_at: Option<String>,
}

/// What is to change of it.
#[derive(Deserialize, ToSchema)]
struct RobotUpdate {
    label: Option<String>,
    description: Option<String>,
    is_active: Option<bool>,
    resources: Option<Vec<Resource>>,
}

/// Repositories that a robot is let to: `{"type":"TYPE_REPO","path":"acme/app","scopes":["scope-image-pull"]}`.
#[derive(Serialize, Deserialize, ToSchema)]
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

/// A personal token as its owner sees it.
#[derive(Serialize, ToSchema)]
struct PersonalToken {
    uuid: String,
    client_id: &'static str,
    creator_ip: String,
    creator_ua: String,
    created_at: String,
    last_used: Option<String>,
    generated_by: &'static str,
    is_active: bool,
    /// The secret, in the answer that makes it; else empty.
    token: String,
    token_label: String,
    scopes: Vec<&'static str>,
    expires_at: Option<String>,
}

fn personal(row: AccessTokenRow, secret: String) -> PersonalToken {
    PersonalToken {
        uuid: row.id,
        client_id: "",
        creator_ip: row.creator_address,
        creator_ua: row.creator_agent,
        created_at: time(row.created),
        last_used: row.last_used.map(time),
        generated_by: "manual",
        is_active: row.is_active,
        token: secret,
        token_label: row.label,
        scopes: match row.reach {
            TokenReach::Personal(scope) => vec![scope.as_str()],
            TokenReach::Robot(_) => Vec::new(),
        },
        expires_at: row.expires.map(time),
    }
}

/// An organization's token as its owners see it.
#[derive(Serialize, ToSchema)]
struct RobotToken {
    id: String,
    label: String,
    description: String,
    created_by: String,
    is_active: bool,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    resources: Vec<Resource>,
    /// The secret, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

fn robot(row: AccessTokenRow, token: Option<String>) -> RobotToken {
    let resource = |(path, role)| Resource {
        kind: Resource::repository(),
        path,
        scopes: scopes_of_role(role).iter().map(|scope| (*scope).to_owned()).collect(),
    };
    RobotToken {
        id: row.id,
        label: row.label,
        description: row.description,
        created_by: row.created_by,
        is_active: row.is_active,
        created_at: time(row.created),
        expires_at: row.expires.map(time),
        last_used_at: row.last_used.map(time),
        resources: match row.reach {
            TokenReach::Robot(repositories) => repositories.into_iter().map(resource).collect(),
            TokenReach::Personal(_) => Vec::new(),
        },
        token,
    }
}

/// An organization's tokens, which Docker Hub counts twice.
#[derive(Serialize, ToSchema)]
struct RobotTokens {
    #[serde(flatten)]
    list: List<RobotToken>,
    total: u64,
}

/// `GET /v2/access-tokens`.
async fn personal_tokens(State(hub): State<Hub>, Signed(who): Signed, place: Place) -> Result<List<PersonalToken>> {
    let rows = hub.access_tokens(&who, &who.account).await?;
    Ok(List::cut(place, rows, |row| personal(row, String::new())))
}

/// `POST /v2/access-tokens`.
async fn create_personal(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    Input(new): Input<NewPersonal>,
) -> Result<Created<PersonalToken>> {
    let new = NewAccessToken {
        label: new.token_label,
        description: String::new(),
        reach: personal_reach(&new.scopes)?,
        expires: expiry(new.expires_at)?,
        agent: client.agent,
    };
    let created = hub.create_access_token(&who, &who.account, new).await?;
    Ok(Created(personal(created.row, created.secret)))
}

/// `GET /v2/access-tokens/{uuid}`.
async fn personal_token(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<PersonalToken>> {
    Ok(Json(personal(hub.access_token(&who, &who.account, &id).await?, String::new())))
}

/// `PATCH /v2/access-tokens/{uuid}`.
async fn update_personal(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Input(update): Input<PersonalUpdate>,
) -> Result<Json<PersonalToken>> {
    let update = AccessTokenUpdate {
        label: update.token_label,
        description: None,
        is_active: update.is_active,
        reach: update.scopes.as_deref().map(personal_reach).transpose()?,
    };
    Ok(Json(personal(hub.update_access_token(&who, &who.account, &id, update).await?, String::new())))
}

/// `DELETE /v2/access-tokens/{uuid}`.
async fn delete_personal(State(hub): State<Hub>, Signed(who): Signed, Path(id): Path<String>) -> Result<NoContent> {
    hub.delete_access_token(&who, &who.account, &id).await?;
    Ok(NoContent)
}

/// `GET /v2/orgs/{organization}/access-tokens`.
async fn robot_tokens(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(organization): Path<String>,
    place: Place,
) -> Result<Json<RobotTokens>> {
    let rows = hub.access_tokens(&who, &organization).await?;
    let total = rows.len() as u64;
    Ok(Json(RobotTokens { list: List::cut(place, rows, |row| robot(row, None)), total }))
}

/// `POST /v2/orgs/{organization}/access-tokens`.
async fn create_robot(
    State(hub): State<Hub>,
    client: Client,
    Signed(who): Signed,
    Path(organization): Path<String>,
    Input(new): Input<NewRobot>,
) -> Result<Created<RobotToken>> {
    let new = NewAccessToken {
        label: new.label,
        description: new.description,
        reach: robot_reach(new.resources)?,
        expires: expiry(new.expires_at)?,
        agent: client.agent,
    };
    let created = hub.create_access_token(&who, &organization, new).await?;
    Ok(Created(robot(created.row, Some(created.secret))))
}

/// `GET /v2/orgs/{organization}/access-tokens/{id}`.
async fn robot_token(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
) -> Result<Json<RobotToken>> {
    Ok(Json(robot(hub.access_token(&who, &organization, &id).await?, None)))
}

/// `PATCH /v2/orgs/{organization}/access-tokens/{id}`.
async fn update_robot(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
    Input(update): Input<RobotUpdate>,
) -> Result<Json<RobotToken>> {
    let update = AccessTokenUpdate {
        label: update.label,
        description: update.description,
        is_active: update.is_active,
        reach: update.resources.map(robot_reach).transpose()?,
    };
    Ok(Json(robot(hub.update_access_token(&who, &organization, &id, update).await?, None)))
}

/// `DELETE /v2/orgs/{organization}/access-tokens/{id}`.
async fn delete_robot(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((organization, id)): Path<(String, String)>,
) -> Result<NoContent> {
    hub.delete_access_token(&who, &organization, &id).await?;
    Ok(NoContent)
}
