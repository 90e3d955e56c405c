//! Organizations: members, teams (which Docker's API calls groups), settings, and roles on repositories.

use axum::extract::{Path, State};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::records::{AccountRow, GrantRow, Grantee, MemberRole, Role, TeamRow};
use strata_hub::{AccountUpdate, Hub, Member};

use super::users::public;
use crate::error::Result;
use crate::identity::{Client, Signed};
use crate::input::{Input, Page, Query, malformed};
use crate::output::{list, time};

pub(super) fn routes() -> Router<Hub> {
    let team = get(team).put(describe_team).patch(describe_team).delete(delete_team);
    let settings = get(settings).put(change_settings).patch(change_settings);
    let grants = get(grants).put(give_role).delete(take_role);
    Router::new()
        .merge(super::both("/v2/orgs", post(create)))
        .merge(super::both("/v2/orgs/{organization}", get(organization)))
        .merge(super::both("/v2/orgs/{organization}/settings", settings))
        .merge(super::both("/v2/orgs/{organization}/members", get(members).post(add_member)))
        .merge(super::both("/v2/orgs/{organization}/members/{user}", put(set_member).delete(remove_member)))
        .merge(super::both("/v2/orgs/{organization}/groups", get(teams).post(create_team)))
        .merge(super::both("/v2/orgs/{organization}/groups/{team}", team))
        .merge(super::both("/v2/orgs/{organization}/groups/{team}/members", get(team_members).post(add_team_member)))
        .merge(super::both("/v2/orgs/{organization}/groups/{team}/members/{user}", delete(remove_team_member)))
        .merge(super::both("/v2/orgs/{organization}/groups/{team}/repositories", get(team_grants)))
        .route("/api/v1/grants/{*repository}", grants)
}

#[derive(Deserialize)]
struct NewOrganization {
    orgname: String,
    #[serde(default)]
    full_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    full_name: Option<String>,
    description: Option<String>,
    link: Option<String>,
    location: Option<String>,
    private_by_default: Option<bool>,
}

#[derive(Deserialize)]
struct NewMember {
    member: String,
    #[serde(default = "NewMember::member")]
    role: String,
}

impl NewMember {
    fn member() -> String {
        MemberRole::Member.as_str().to_owned()
    }
}

#[derive(Deserialize)]
struct MemberPlace {
    role: String,
}

#[derive(Deserialize)]
struct NewTeam {
    name: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct TeamDescription {
    description: String,
}

#[derive(Deserialize)]
struct TeamMember {
    member: String,
}

/// A role for a team of the repository's organization, or for a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    team: Option<String>,
    user: Option<String>,
    role: String,
}

fn member_role(text: &str) -> Result<MemberRole> {
    MemberRole::parse(text).ok_or_else(|| malformed(format!("role: {text:?} is neither \"member\" nor \"owner\"")))
}

fn organization_document(account: &AccountRow) -> Value {
    let mut document = public(account);
    document["orgname"] = json!(account.name);
    document["quota"] = json!(account.quota);
    document
}

fn settings_document(account: &AccountRow) -> Value {
    json!({
        "full_name": account.full_name,
        "description": account.description,
        "link": account.link,
        "location": account.location,
        "private_by_default": account.private_by_default,
        // Clients of Docker Hub expect these; there is no such restriction here.
        "restricted_images": { "enabled": false, "allow_official_images": true, "allow_verified_publishers": true },
    })
}

fn member_document(member: &Member) -> Value {
    json!({
        "username": member.account.name,
        "full_name": member.account.full_name,
        "email": member.account.email,
        "type": "User",
        "role": match member.row.role {
            MemberRole::Owner => "Owner",
            MemberRole::Member => "Member",
        },
        "groups": member.teams,
        "date_joined": time(member.row.added),
        "is_guest": false,
    })
}

fn team_document(row: &TeamRow) -> Value {
    json!({ "id": row.name, "name": row.name, "description": row.description, "created_at": time(row.created) })
}

fn grant_document(row: &GrantRow) -> Value {
    match &row.grantee {
        Grantee::Team { team, .. } => json!({ "repository": row.repository, "team": team, "role": row.role.as_str() }),
        Grantee::User(user) => json!({ "repository": row.repository, "user": user, "role": row.role.as_str() }),
    }
}

/// `POST /v2/orgs`.
async fn create(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Input(new): Input<NewOrganization>,
) -> Result<(StatusCode, Json<Value>)> {
    let account = hub.create_organization(&who, &new.orgname, &new.full_name).await?;
    Ok((StatusCode::CREATED, Json(organization_document(&account))))
}

/// `GET /v2/orgs/{organization}`.
async fn organization(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<Json<Value>> {
    Ok(Json(organization_document(&hub.organization(&who, &name).await?)))
}

/// `GET /v2/orgs/{organization}/settings`.
async fn settings(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<Json<Value>> {
    Ok(Json(settings_document(&hub.organization(&who, &name).await?)))
}

/// `PUT /v2/orgs/{organization}/settings`.
async fn change_settings(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<Settings>,
) -> Result<Json<Value>> {
    let update = AccountUpdate {
        full_name: new.full_name,
        description: new.description,
        link: new.link,
        location: new.location,
        private_by_default: new.private_by_default,
        ..AccountUpdate::default()
    };
    Ok(Json(settings_document(&hub.update_account(&who, &name, update).await?)))
}

/// `GET /v2/orgs/{organization}/members`.
async fn members(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    place: Place,
) -> Result<Json<Value>> {
    Ok(listed(place, hub.members(&who, &name).await?, member_document))
}

/// `POST /v2/orgs/{organization}/members`.
async fn add_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<NewMember>,
) -> Result<StatusCode> {
    hub.put_member(&who, &name, &new.member, member_role(&new.role)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v2/orgs/{organization}/members/{user}`.
async fn set_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, user)): Path<(String, String)>,
    Input(place): Input<MemberPlace>,
) -> Result<StatusCode> {
    hub.put_member(&who, &name, &user, member_role(&place.role)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v2/orgs/{organization}/members/{user}`.
async fn remove_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode> {
    hub.remove_member(&who, &name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v2/orgs/{organization}/groups`.
async fn teams(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    place: Place,
) -> Result<Json<Value>> {
    Ok(listed(place, hub.teams(&who, &name).await?, team_document))
}

/// `POST /v2/orgs/{organization}/groups`.
async fn create_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<NewTeam>,
) -> Result<(StatusCode, Json<Value>)> {
    let row = hub.create_team(&who, &name, &new.name, &new.description).await?;
    Ok((StatusCode::CREATED, Json(team_document(&row))))
}

/// `GET /v2/orgs/{organization}/groups/{team}`.
async fn team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let (row, members) = hub.team(&who, &name, &team).await?;
    let mut document = team_document(&row);
    document["member_count"] = json!(members.len());
    Ok(Json(document))
}

/// `PUT /v2/orgs/{organization}/groups/{team}`.
async fn describe_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    Input(new): Input<TeamDescription>,
) -> Result<Json<Value>> {
    Ok(Json(team_document(&hub.describe_team(&who, &name, &team, &new.description).await?)))
}

/// `DELETE /v2/orgs/{organization}/groups/{team}`.
async fn delete_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<StatusCode> {
    hub.delete_team(&who, &name, &team).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v2/orgs/{organization}/groups/{team}/members`.
async fn team_members(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    place: Place,
) -> Result<Json<Value>> {
    let (_, members) = hub.team(&who, &name, &team).await?;
    Ok(listed(place, members, |user| json!({ "username": user })))
}

/// `POST /v2/orgs/{organization}/groups/{team}/members`.
async fn add_team_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    Input(new): Input<TeamMember>,
) -> Result<StatusCode> {
    hub.put_team_member(&who, &name, &team, &new.member).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v2/orgs/{organization}/groups/{team}/members/{user}`.
async fn remove_team_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team, user)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    hub.remove_team_member(&who, &name, &team, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v2/orgs/{organization}/groups/{team}/repositories`.
async fn team_grants(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<Json<Value>> {
    Ok(all_grants(&hub.grants_of_team(&who, &name, &team).await?))
}

/// `GET /api/v1/grants/{repository}`.
async fn grants(State(hub): State<Hub>, Signed(who): Signed, Path(repository): Path<String>) -> Result<Json<Value>> {
    Ok(all_grants(&hub.grants_on(&who, &repository).await?))
}

/// `PUT /api/v1/grants/{repository}`: `{"team" or "user", "role"}`.
async fn give_role(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(repository): Path<String>,
    Input(new): Input<NewGrant>,
) -> Result<StatusCode> {
    let unknown = || malformed(format!("role: {:?} is none of read, write, admin", new.role));
    let role = Role::parse(&new.role).ok_or_else(unknown)?;
    hub.give_role(&who, &repository, grantee(&repository, new.team, new.user)?, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/grants/{repository}?team=` or `?user=`.
async fn take_role(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(repository): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let text = |name| query.first(name).map(str::to_owned);
    hub.take_role(&who, &repository, &grantee(&repository, text("team"), text("user"))?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a list was asked for.
type Place = (Client, Uri, Page);

/// The page of a list that is in memory.
fn listed<T>((client, uri, page): Place, entries: Vec<T>, document: impl Fn(&T) -> Value) -> Json<Value> {
    let count = entries.len() as u64;
    let results = page.cut(entries).map(|entry| document(&entry)).collect();
    Json(list(&client.origin, &uri, page, count, results))
}

fn all_grants(grants: &[GrantRow]) -> Json<Value> {
    let results: Vec<Value> = grants.iter().map(grant_document).collect();
    Json(json!({ "count": results.len(), "results": results }))
}

fn grantee(repository: &str, team: Option<String>, user: Option<String>) -> Result<Grantee> {
    let organization = repository.split_once('/').map_or("library", |(namespace, _)| namespace).to_owned();
    match (team, user) {
        (Some(team), None) => Ok(Grantee::Team { organization, team }),
        (None, Some(user)) => Ok(Grantee::User(user)),
        _ => Err(malformed("either a team or a user must be named")),
    }
}
