//! Organizations as their owners manage them: members, teams, what teams may do. Others are told that there is no such page.

use axum::extract::Path;
use strata_hub::records::{AccountRow, Grantee, MemberRole, Role};
use strata_hub::{Identity, Member};

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, invalid, sections, tabs};
use crate::pages::{audit, profile};
use crate::site::{Values, Visit};
use crate::views::Step;

const NEW: &str = "/orgs/new";
const PLACES: [(&str, &str); 2] = [("member", "Member"), ("owner", "Owner")];
pub(crate) const ROLES: [(&str, &str); 3] = [("read", "Read"), ("write", "Write"), ("admin", "Admin")];

/// An organization that the visitor owns.
pub(crate) async fn owned(visit: &Visit, name: &str) -> Result<AccountRow> {
    let found = visit.hub.owned_organization(visit.identity.as_ref(), name).await;
    found.map_err(|_| Failure::not_found(visit, "page"))
}

/// The pages of an organization's owners.
pub(crate) fn organization_tabs(name: &str, current: &str) -> Vec<Step> {
    let page = |part: &str| format!("/orgs/{name}/{part}");
    let steps = [
        ("Repositories", format!("/u/{name}")),
        ("Members", page("members")),
        ("Teams", page("teams")),
        ("Access tokens", page("tokens")),
        ("Signing keys", page("keys")),
        ("Audit log", page("audit")),
        ("Settings", page("settings")),
    ];
    tabs(&steps, current)
}

fn new(visit: &Visit, refused: Option<Refused>) -> Result {
    visit.signed_in(NEW)?;
    let hint = "Its images are NAME/…; it can never be changed.";
    let form = Form::post(NEW, "Make organization")
        .with(Field::line("name", "Name", "").required().hint(hint))
        .with(Field::line("full_name", "Full name", "").hint("Optional; everybody sees it."));
    let text = "An organization is a namespace that several people keep. You become its first owner.";
    let parts = vec![Part::Text(text.into()), Part::Form(form)];
    sections(visit, "New organization", Vec::new(), vec![Section::new("", parts)], refused)
}

/// `GET /orgs/new`.
pub(crate) async fn new_form(visit: Visit) -> Result {
    new(&visit, None)
}

/// `POST /orgs/new`.
pub(crate) async fn create(visit: Visit, form: String) -> Result {
    let who = visit.signed_in(NEW)?;
    let values = Values::of(&form);
    match visit.hub.create_organization(who, values.first("name").trim(), values.first("full_name").trim()).await {
        Ok(row) => Ok(visit.told(&format!("/orgs/{}/members", row.name), "The organization is made. Add its members.")),
        Err(error) => new(&visit, Some(Refused { values, error })),
    }
}

/// An organization whose page its owner looks at.
struct Desk<'a> {
    visit: &'a Visit,
    who: &'a Identity,
    account: AccountRow,
}

impl<'a> Desk<'a> {
    async fn of(visit: &'a Visit, name: &str) -> Result<Desk<'a>> {
        let account = owned(visit, name).await?;
        Ok(Desk { visit, who: visit.signed_in("/")?, account })
    }

    fn name(&self) -> &str {
        &self.account.name
    }

    fn path(&self, part: &str) -> String {
        format!("/orgs/{}/{part}", self.account.name)
    }

    fn failed(&self, error: strata_hub::HubError) -> Failure {
        Failure::of(self.visit, error)
    }

    fn show(&self, heading: &str, current: &str, list: Vec<Section>, refused: Option<Refused>) -> Result {
        let tabs = organization_tabs(self.name(), current);
        sections(self.visit, format!("{}: {heading}", self.name()), tabs, list, refused)
    }

    async fn members(&self, refused: Option<Refused>) -> Result {
        let members = self.visit.hub.members(self.who, self.name()).await.map_err(|error| self.failed(error))?;
        let rows = members.into_iter().map(|member| self.member_row(member)).collect();
        let table =
            Table { heads: &["Member", "Full name", "Teams", "Since", "Place", ""], rows, empty: "Nobody.".into() };
        let form = Form::post(self.path("members"), "Add member")
            .with(Field::line("user", "User", "").required().hint("The name of an account on this hub."))
            .with(Field::one("role", "Place", &PLACES, "member"));
        let text = "Members may do what their teams may; owners may do everything.";
        let list = vec![
            Section::new("Members", vec![Part::Text(text.into()), Part::Table(table)]),
            Section::new("Add a member", vec![Part::Form(form)]),
        ];
        self.show("members", &self.path("members"), list, refused)
    }

    fn member_row(&self, member: Member) -> Vec<Cell> {
        let name = &member.row.account;
        let place = Form::post(self.path(&format!("members/{name}/place")), "Set").inline().with(Field::one(
            "role",
            "Place",
            &PLACES,
            member.row.role.as_str(),
        ));
        let remove = Form::post(self.path(&format!("members/{name}/remove")), "Remove").inline().dangerous();
        vec![
            Cell::link(name, format!("/u/{name}")),
            Cell::Text(member.account.full_name),
            Cell::Text(member.teams.join(", ")),
            Cell::when(Some(member.row.added), self.visit.now, ""),
            Cell::Forms(vec![place]),
            Cell::Forms(vec![remove]),
        ]
    }

    async fn teams(&self, refused: Option<Refused>) -> Result {
        let teams = self.visit.hub.teams(self.who, self.name()).await.map_err(|error| self.failed(error))?;
        let rows = teams.into_iter().map(|team| {
            let address = self.path(&format!("teams/{}", team.name));
            vec![Cell::link(team.name, address), Cell::Text(team.description)]
        });
        let table = Table { heads: &["Team", "What it is for"], rows: rows.collect(), empty: "No team yet.".into() };
        let form = Form::post(self.path("teams"), "Make team")
            .with(Field::line("name", "Name", "").required())
            .with(Field::line("description", "What it is for", ""));
        let list =
            vec![Section::new("Teams", vec![Part::Table(table)]), Section::new("New team", vec![Part::Form(form)])];
        self.show("teams", &self.path("teams"), list, refused)
    }

    async fn team(&self, team: &str, refused: Option<Refused>) -> Result {
        let hub = &self.visit.hub;
        let failed = |error| self.failed(error);
        let (row, members) = hub.team(self.who, self.name(), team).await.map_err(failed)?;
        let grants = hub.grants_of_team(self.who, self.name(), team).await.map_err(failed)?;
        let others = hub.members(self.who, self.name()).await.map_err(failed)?;
        let path = |part: &str| self.path(&format!("teams/{}/{part}", row.name));

        let members_rows = members.iter().map(|name| {
            let remove = Form::post(path("remove-member"), "Remove").inline().dangerous();
            vec![Cell::link(name, format!("/u/{name}")), Cell::Forms(vec![remove.with(Field::hidden("user", name))])]
        });
        let members_table = Table { heads: &["Member", ""], rows: members_rows.collect(), empty: "Nobody yet.".into() };
        let others: Vec<&str> = others.iter().map(|member| member.row.account.as_str()).collect();
        let free: Vec<(&str, &str)> =
            others.into_iter().filter(|name| !members.iter().any(|member| member == name)).map(|n| (n, n)).collect();
        let add = Form::post(path("add-member"), "Add member").with(Field::one("user", "Member", &free, ""));

        let grant_rows = grants.iter().map(|grant| {
            let take = Form::post(path("take-role"), "Take away").inline().dangerous();
            vec![
                Cell::link(&grant.repository, format!("/r/{}", grant.repository)),
                Cell::text(grant.role.as_str()),
                Cell::Forms(vec![take.with(Field::hidden("repository", &grant.repository))]),
            ]
        });
        let grants_table =
            Table { heads: &["Repository", "Role", ""], rows: grant_rows.collect(), empty: "No role yet.".into() };
        let give = Form::post(path("give-role"), "Give role")
            .with(Field::line("repository", "Repository", &format!("{}/", self.name())).required())
            .with(Field::one("role", "Role", &ROLES, "read"));
        let describe =
            Form::post(path("describe"), "Save").with(Field::line("description", "What it is for", &row.description));
        let mut members_parts = vec![Part::Table(members_table)];
        members_parts.push(match free.is_empty() {
            true => Part::Text("Every member of the organization is in it.".into()),
            false => Part::Form(add),
        });
        let list = vec![
            Section::new("Members", members_parts),
            Section::new("Roles on repositories", vec![Part::Table(grants_table), Part::Form(give)]),
            Section::new("Description", vec![Part::Form(describe)]),
            Section::new(
                "Remove the team",
                vec![
                    Part::Text("Its members stay in the organization, without the roles that it has.".into()),
                    Part::Form(Form::post(path("delete"), "Remove team").dangerous()),
                ],
            ),
        ];
        self.show(&format!("team {}", row.name), &self.path("teams"), list, refused)
    }

    async fn change_team(&self, team: &str, action: &str, values: &Values) -> strata_hub::Result<&'static str> {
        let (hub, who, name) = (&self.visit.hub, self.who, self.name());
        let user = values.first("user").trim().to_ascii_lowercase();
        let repository = values.first("repository").trim();
        let grantee = || Grantee::Team { organization: name.to_owned(), team: team.to_owned() };
        match action {
            "add-member" => hub.put_team_member(who, name, team, &user).await.map(|()| "The member is added."),
            "remove-member" => hub.remove_team_member(who, name, team, &user).await.map(|()| "The member is removed."),
            "give-role" => {
                let role = Role::parse(values.first("role")).ok_or_else(|| invalid("role", "choose one"))?;
                hub.give_role(who, repository, grantee(), role).await.map(|()| "The role is given.")
            }
            "take-role" => hub.take_role(who, repository, &grantee()).await.map(|()| "The role is taken away."),
            "describe" => {
                let described = hub.describe_team(who, name, team, values.first("description").trim()).await;
                described.map(|_| "The description is saved.")
            }
            "delete" => hub.delete_team(who, name, team).await.map(|()| "The team is removed."),
            _ => Err(strata_hub::HubError::NotFound("page".into())),
        }
    }

    fn settings(&self, refused: Option<Refused>) -> Result {
        let form = profile::about(Form::post(self.path("settings"), "Save"), &self.account)
            .with(Field::of_type("email", "email", "E-mail", self.account.email.as_deref().unwrap_or_default()))
            .with(Field::check(
                "private",
                "Repositories that a push makes are private",
                self.account.private_by_default,
            ));
        self.show("settings", &self.path("settings"), vec![Section::new("", vec![Part::Form(form)])], refused)
    }
}

fn place(values: &Values) -> strata_hub::Result<MemberRole> {
    MemberRole::parse(values.first("role")).ok_or_else(|| invalid("role", "choose one"))
}

/// `GET /orgs/{name}/members`.
pub(crate) async fn members(visit: Visit, Path(name): Path<String>) -> Result {
    Desk::of(&visit, &name).await?.members(None).await
}

/// `POST /orgs/{name}/members`.
pub(crate) async fn add_member(visit: Visit, Path(name): Path<String>, form: String) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let values = Values::of(&form);
    let added = match place(&values) {
        Ok(place) => visit.hub.put_member(desk.who, &name, values.first("user").trim(), place).await,
        Err(error) => Err(error),
    };
    match added {
        Ok(()) => Ok(visit.told(&desk.path("members"), "The member is added.")),
        Err(error) => desk.members(Some(Refused { values, error })).await,
    }
}

/// `POST /orgs/{name}/members/{user}/{action}`: `place`, `remove`.
pub(crate) async fn change_member(
    visit: Visit,
    Path((name, user, action)): Path<(String, String, String)>,
    form: String,
) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let values = Values::of(&form);
    let changed = match (action.as_str(), place(&values)) {
        ("remove", _) => visit.hub.remove_member(desk.who, &name, &user).await,
        ("place", Ok(place)) => visit.hub.put_member(desk.who, &name, &user, place).await,
        ("place", Err(error)) => Err(error),
        _ => return Err(Failure::not_found(&visit, "page")),
    };
    match changed {
        // Who removes oneself may not see the members any more.
        Ok(()) if action == "remove" && user == desk.who.account => Ok(visit.told("/account", "You left it.")),
        Ok(()) => Ok(visit.told(&desk.path("members"), "The members are changed.")),
        Err(error) => desk.members(Some(Refused { values, error })).await,
    }
}

/// `GET /orgs/{name}/teams`.
pub(crate) async fn teams(visit: Visit, Path(name): Path<String>) -> Result {
    Desk::of(&visit, &name).await?.teams(None).await
}

/// `POST /orgs/{name}/teams`.
pub(crate) async fn create_team(visit: Visit, Path(name): Path<String>, form: String) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let values = Values::of(&form);
    let (team, description) = (values.first("name").trim(), values.first("description").trim());
    match visit.hub.create_team(desk.who, &name, team, description).await {
        Ok(row) => Ok(visit.told(&desk.path(&format!("teams/{}", row.name)), "The team is made.")),
        Err(error) => desk.teams(Some(Refused { values, error })).await,
    }
}

/// `GET /orgs/{name}/teams/{team}`.
pub(crate) async fn team(visit: Visit, Path((name, team)): Path<(String, String)>) -> Result {
    Desk::of(&visit, &name).await?.team(&team, None).await
}

/// `POST /orgs/{name}/teams/{team}/{action}`.
pub(crate) async fn change_team(
    visit: Visit,
    Path((name, team, action)): Path<(String, String, String)>,
    form: String,
) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let values = Values::of(&form);
    match desk.change_team(&team, &action, &values).await {
        Ok(text) if action == "delete" => Ok(visit.told(&desk.path("teams"), text)),
        Ok(text) => Ok(visit.told(&desk.path(&format!("teams/{team}")), text)),
        Err(error) => desk.team(&team, Some(Refused { values, error })).await,
    }
}

/// `GET /orgs/{name}/audit`: what was done to it, for its owners.
pub(crate) async fn audit(visit: Visit, Path(name): Path<String>) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let path = desk.path("audit");
    let parts = audit::parts(&visit, desk.who, &path, Some(desk.name())).await?;
    desk.show("audit log", &path, vec![Section::new("", parts)], None)
}

/// `GET /orgs/{name}/settings`.
pub(crate) async fn settings(visit: Visit, Path(name): Path<String>) -> Result {
    Desk::of(&visit, &name).await?.settings(None)
}

/// `POST /orgs/{name}/settings`.
pub(crate) async fn describe(visit: Visit, Path(name): Path<String>, form: String) -> Result {
    let desk = Desk::of(&visit, &name).await?;
    let values = Values::of(&form);
    match visit.hub.update_account(desk.who, &name, profile::about_update(&values)).await {
        Ok(_) => Ok(visit.told(&desk.path("settings"), "The organization is saved.")),
        Err(error) => desk.settings(Some(Refused { values, error })),
    }
}
