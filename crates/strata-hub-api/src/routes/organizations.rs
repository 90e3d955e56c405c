//! Organizations: members, teams (which Docker's API calls groups), settings, and roles on repositories.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::NoContent;
use serde::{Deserialize, Serialize};
use strata_hub::records::{AccountRow, GrantRow, Grantee, MemberRole, Role, TeamRow};
use strata_hub::{AccountUpdate, Hub, Member};
use utoipa::ToSchema;

use super::users::{PublicAccount, public};
use crate::endpoints::{Created, Endpoints};
use crate::error::Result;
use crate::identity::Signed;
use crate::input::{Input, Query, malformed};
use crate::output::{List, Place, time};

pub(super) fn endpoints() -> Endpoints {
    const SETTINGS: &str = "/v2/orgs/{organization}/settings";
    const MEMBERS: &str = "/v2/orgs/{organization}/members";
    const MEMBER: &str = "/v2/orgs/{organization}/members/{user}";
    const TEAMS: &str = "/v2/orgs/{organization}/groups";
    const TEAM: &str = "/v2/orgs/{organization}/groups/{team}";
    const TEAM_MEMBERS: &str = "/v2/orgs/{organization}/groups/{team}/members";
    const GRANTS: &str = "/api/v1/grants/{*repository}";
    Endpoints::about("organizations")
        .post("/v2/orgs", "Make an organization", create)
        .get("/v2/orgs/{organization}", "An organization", organization)
        .get(SETTINGS, "Its settings", settings)
        .put(SETTINGS, "Change its settings", change_settings)
        .patch(SETTINGS, "Change some of its settings", change_settings)
        .get(MEMBERS, "Its members", members)
        .post(MEMBERS, "Add a member", add_member)
        .put(MEMBER, "Set a member's role", set_member)
        .delete(MEMBER, "Remove a member", remove_member)
        .get(TEAMS, "Its teams", teams)
        .post(TEAMS, "Make a team", create_team)
        .get(TEAM, "A team", team)
        .put(TEAM, "Describe a team", describe_team)
        .patch(TEAM, "Describe a team", describe_team)
        .delete(TEAM, "Remove a team", delete_team)
        .get(TEAM_MEMBERS, "A team's members", team_members)
        .post(TEAM_MEMBERS, "Add a member to a team", add_team_member)
        .delete(
            "/v2/orgs/{organization}/groups/{team}/members/{user}",
            "Take a member out of a team",
            remove_team_member,
        )
        .get("/v2/orgs/{organization}/groups/{team}/repositories", "A team's roles", team_grants)
        .get(GRANTS, "Who has which role on a repository", grants)
        .put(GRANTS, "Give a role to a team or a user", give_role)
        .delete(GRANTS, "Take a role away from `?team=` or `?user=`", take_role)
}

/// An organization to be.
#[derive(Deserialize, ToSchema)]
struct NewOrganization {
    orgname: String,
    #[serde(default)]
    full_name: String,
}

/// What is to change of the settings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SettingsChange {
    full_name: Option<String>,
    description: Option<String>,
    link: Option<String>,
    location: Option<String>,
    private_by_default: Option<bool>,
}

/// A user, to be a member.
#[derive(Deserialize, ToSchema)]
struct NewMember {
    member: String,
    #[serde(default = "NewMember::member")]
    /// `member` or `owner`.
    role: String,
}

impl NewMember {
    fn member() -> String {
        MemberRole::Member.as_str().to_owned()
    }
}

/// What a member is.
#[derive(Deserialize, ToSchema)]
struct MemberPlace {
    /// `member` or `owner`.
    role: String,
}

/// A team to be.
#[derive(Deserialize, ToSchema)]
struct NewTeam {
    name: String,
    #[serde(default)]
    description: String,
}

/// What a team is for.
#[derive(Deserialize, ToSchema)]
struct TeamDescription {
    description: String,
}

/// A member of the organization, to be in a team.
#[derive(Deserialize, ToSchema)]
struct TeamMember {
    member: String,
}

/// A role for a team of the repository's organization, or for a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    team: Option<String>,
    user: Option<String>,
    /// `read`, `write` or `admin`.
    role: String,
}

fn member_role(text: &str) -> Result<MemberRole> {
    MemberRole::parse(text).ok_or_else(|| malformed(format!("role: {text:?} is neither \"member\" nor \"owner\"")))
}

/// An organization.
#[derive(Serialize, ToSchema)]
struct Organization {
    #[serde(flatten)]
    account: PublicAccount,
    orgname: String,
    /// Most bytes that its namespace may hold.
    quota: Option<u64>,
}

fn shown(account: &AccountRow) -> Organization {
    Organization { account: public(account), orgname: account.name.clone(), quota: account.quota }
}

/// An organization's settings.
#[derive(Serialize, ToSchema)]
struct Settings {
    full_name: String,
    description: String,
    link: String,
    location: String,
    /// Whether repositories that a push makes are private.
    private_by_default: bool,
    restricted_images: RestrictedImages,
}

/// Clients of Docker Hub expect these; there is no such restriction here.
#[derive(Serialize, ToSchema)]
struct RestrictedImages {
    enabled: bool,
    allow_official_images: bool,
    allow_verified_publishers: bool,
}

fn shown_settings(account: AccountRow) -> Settings {
    Settings {
        full_name: account.full_name,
        description: account.description,
        link: account.link,
        location: account.location,
        private_by_default: account.private_by_default,
        restricted_images: RestrictedImages {
            enabled: false,
            allow_official_images: true,
            allow_verified_publishers: true,
        },
    }
}

/// A member.
#[derive(Serialize, ToSchema)]
struct MemberBody {
    username: String,
    full_name: String,
    email: Option<String>,
    r#type: &'static str,
    /// `Owner` or `Member`.
    role: &'static str,
    /// The teams the member is in.
    groups: Vec<String>,
    date_joined: String,
    is_guest: bool,
}

fn shown_member(member: Member) -> MemberBody {
    MemberBody {
        username: member.account.name,
        full_name: member.account.full_name,
        email: member.account.email,
        r#type: "User",
        role: match member.row.role {
            MemberRole::Owner => "Owner",
            MemberRole::Member => "Member",
        },
        groups: member.teams,
        date_joined: time(member.row.added),
        is_guest: false,
    }
}

/// A team.
#[derive(Serialize, ToSchema)]
struct Team {
    id: String,
    name: String,
    description: String,
    created_at: String,
    /// Only where a single team is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    member_count: Option<usize>,
}

fn shown_team(row: TeamRow) -> Team {
    Team {
        id: row.name.clone(),
        name: row.name,
        description: row.description,
        created_at: time(row.created),
        member_count: None,
    }
}

/// A member of a team.
#[derive(Serialize, ToSchema)]
struct TeamMemberBody {
    username: String,
}

/// Roles on repositories.
#[derive(Serialize, ToSchema)]
struct Grants {
    count: usize,
    results: Vec<Grant>,
}

/// A role on a repository, of a team of its organization or of a user.
#[derive(Serialize, ToSchema)]
struct Grant {
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// `read`, `write` or `admin`.
    role: &'static str,
}

fn shown_grants(rows: Vec<GrantRow>) -> Json<Grants> {
    let shown = |row: GrantRow| {
        let (team, user) = match row.grantee {
            Grantee::Team { team, .. } => (Some(team), None),
            Grantee::User(user) => (None, Some(user)),
        };
        Grant { repository: row.repository, team, user, role: row.role.as_str() }
    };
    Json(Grants { count: rows.len(), results: rows.into_iter().map(shown).collect() })
}

/// `POST /v2/orgs`.
async fn create(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Input(new): Input<NewOrganization>,
) -> Result<Created<Organization>> {
    let account = hub.create_organization(&who, &new.orgname, &new.full_name).await?;
    Ok(Created(shown(&account)))
}

/// `GET /v2/orgs/{organization}`.
async fn organization(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<Organization>> {
    Ok(Json(shown(&hub.organization(&who, &name).await?)))
}

/// `GET /v2/orgs/{organization}/settings`.
async fn settings(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<Json<Settings>> {
    Ok(Json(shown_settings(hub.organization(&who, &name).await?)))
}

/// `PUT /v2/orgs/{organization}/settings`.
async fn change_settings(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<SettingsChange>,
) -> Result<Json<Settings>> {
    let update = AccountUpdate {
        full_name: new.full_name,
        description: new.description,
        link: new.link,
        location: new.location,
        private_by_default: new.private_by_default,
        ..AccountUpdate::default()
    };
    Ok(Json(shown_settings(hub.update_account(&who, &name, update).await?)))
}

/// `GET /v2/orgs/{organization}/members`.
async fn members(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    place: Place,
) -> Result<List<MemberBody>> {
    Ok(List::cut(place, hub.members(&who, &name).await?, shown_member))
}

/// `POST /v2/orgs/{organization}/members`.
async fn add_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<NewMember>,
) -> Result<NoContent> {
    hub.put_member(&who, &name, &new.member, member_role(&new.role)?).await?;
    Ok(NoContent)
}

/// `PUT /v2/orgs/{organization}/members/{user}`.
async fn set_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, user)): Path<(String, String)>,
    Input(place): Input<MemberPlace>,
) -> Result<NoContent> {
    hub.put_member(&who, &name, &user, member_role(&place.role)?).await?;
    Ok(NoContent)
}

/// `DELETE /v2/orgs/{organization}/members/{user}`.
async fn remove_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, user)): Path<(String, String)>,
) -> Result<NoContent> {
    hub.remove_member(&who, &name, &user).await?;
    Ok(NoContent)
}

/// `GET /v2/orgs/{organization}/groups`.
async fn teams(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    place: Place,
) -> Result<List<Team>> {
    Ok(List::cut(place, hub.teams(&who, &name).await?, shown_team))
}

/// `POST /v2/orgs/{organization}/groups`.
async fn create_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Input(new): Input<NewTeam>,
) -> Result<Created<Team>> {
    let row = hub.create_team(&who, &name, &new.name, &new.description).await?;
    Ok(Created(shown_team(row)))
}

/// `GET /v2/orgs/{organization}/groups/{team}`.
async fn team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<Json<Team>> {
    let (row, members) = hub.team(&who, &name, &team).await?;
    Ok(Json(Team { member_count: Some(members.len()), ..shown_team(row) }))
}

/// `PUT /v2/orgs/{organization}/groups/{team}`.
async fn describe_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    Input(new): Input<TeamDescription>,
) -> Result<Json<Team>> {
    Ok(Json(shown_team(hub.describe_team(&who, &name, &team, &new.description).await?)))
}

/// `DELETE /v2/orgs/{organization}/groups/{team}`.
async fn delete_team(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<NoContent> {
    hub.delete_team(&who, &name, &team).await?;
    Ok(NoContent)
}

/// `GET /v2/orgs/{organization}/groups/{team}/members`.
async fn team_members(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    place: Place,
) -> Result<List<TeamMemberBody>> {
    let (_, members) = hub.team(&who, &name, &team).await?;
    Ok(List::cut(place, members, |username| TeamMemberBody { username }))
}

/// `POST /v2/orgs/{organization}/groups/{team}/members`.
async fn add_team_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
    Input(new): Input<TeamMember>,
) -> Result<NoContent> {
    hub.put_team_member(&who, &name, &team, &new.member).await?;
    Ok(NoContent)
}

/// `DELETE /v2/orgs/{organization}/groups/{team}/members/{user}`.
async fn remove_team_member(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team, user)): Path<(String, String, String)>,
) -> Result<NoContent> {
    hub.remove_team_member(&who, &name, &team, &user).await?;
    Ok(NoContent)
}

/// `GET /v2/orgs/{organization}/groups/{team}/repositories`.
async fn team_grants(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((name, team)): Path<(String, String)>,
) -> Result<Json<Grants>> {
    Ok(shown_grants(hub.grants_of_team(&who, &name, &team).await?))
}

/// `GET /api/v1/grants/{repository}`.
async fn grants(State(hub): State<Hub>, Signed(who): Signed, Path(repository): Path<String>) -> Result<Json<Grants>> {
    Ok(shown_grants(hub.grants_on(&who, &repository).await?))
}

/// `PUT /api/v1/grants/{repository}`: `{"team" or "user", "role"}`.
async fn give_role(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(repository): Path<String>,
    Input(new): Input<NewGrant>,
) -> Result<NoContent> {
    let unknown = || malformed(format!("role: {:?} is none of read, write, admin", new.role));
    let role = Role::parse(&new.role).ok_or_else(unknown)?;
    hub.give_role(&who, &repository, grantee(&repository, new.team, new.user)?, role).await?;
    Ok(NoContent)
}

/// `DELETE /api/v1/grants/{repository}?team=` or `?user=`.
async fn take_role(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(repository): Path<String>,
    query: Query,
) -> Result<NoContent> {
    let text = |name| query.first(name).map(str::to_owned);
    hub.take_role(&who, &repository, &grantee(&repository, text("team"), text("user"))?).await?;
    Ok(NoContent)
}

fn grantee(repository: &str, team: Option<String>, user: Option<String>) -> Result<Grantee> {
    let organization = repository.split_once('/').map_or("library", |(namespace, _)| namespace).to_owned();
    match (team, user) {
        (Some(team), None) => Ok(Grantee::Team { organization, team }),
        (None, Some(user)) => Ok(Grantee::User(user)),
        _ => Err(malformed("either a team or a user must be named")),
    }
}
