//! Who was given a role on a repository.

use strata_hub::records::{AccountKind, GrantRow, Grantee, Role};

use super::{Cell, Desk, Done};
use crate::failure::Result;
use crate::forms::{Field, Form, Part, Section, Table, invalid};
use crate::pages::organization::ROLES;
use crate::site::Values;

impl Desk<'_> {
    pub(super) async fn access(&self) -> Result<Vec<Section>> {
        let failed = |error| self.failed(error);
        let hub = &self.visit.hub;
        let grants = hub.grants_on(self.who, &self.name).await.map_err(failed)?;
        let table = Table {
            heads: &["Who", "Role", ""],
            rows: grants.iter().map(|grant| self.grant_row(grant)).collect(),
            empty: "Nobody was given a role.".into(),
        };
        let give = Form::post(self.path("give-role"), "Give role")
            .with(Field::line("user", "User", "").required().hint("The name of an account on this hub."))
            .with(Field::one("role", "Role", &ROLES, "read"));
        let text = "Read: see and pull, also while it is private. Write: push as well. Admin: delete, describe, and give \
                    roles. Owners of the namespace may do everything.";
        let mut list = vec![
            Section::new("Roles", vec![Part::Text(text.into()), Part::Table(table)]),
            Section::new("Give a user a role", vec![Part::Form(give)]),
        ];
        let namespace = hub.account(&self.row.namespace).await.ok();
        if namespace.is_some_and(|account| account.kind == AccountKind::Organization) {
            // An admin by grant alone is no member, and sees no teams.
            let teams = hub.teams(self.who, &self.row.namespace).await.unwrap_or_default();
            let teams: Vec<(&str, &str)> = teams.iter().map(|team| (team.name.as_str(), team.name.as_str())).collect();
            if !teams.is_empty() {
                let give = Form::post(self.path("give-team-role"), "Give role")
                    .with(Field::one("team", "Team", &teams, ""))
                    .with(Field::one("role", "Role", &ROLES, "read"));
                list.push(Section::new("Give a team a role", vec![Part::Form(give)]));
            }
        }
        Ok(list)
    }

    fn grant_row(&self, grant: &GrantRow) -> Vec<Cell> {
        let (kind, name, shown) = match &grant.grantee {
            Grantee::User(user) => ("user", user, Cell::link(user, format!("/u/{user}"))),
            Grantee::Team { team, .. } => ("team", team, Cell::Text(format!("team {team}"))),
        };
        let set = Form::post(self.path("set-role"), "Set").inline().with(Field::hidden(kind, name)).with(Field::one(
            "role",
            "Role",
            &ROLES,
            grant.role.as_str(),
        ));
        let take = Form::post(self.path("take-role"), "Take away").inline().dangerous().with(Field::hidden(kind, name));
        vec![shown, Cell::Forms(vec![set]), Cell::Forms(vec![take])]
    }

    pub(super) async fn change_role(&self, action: &str, values: &Values) -> strata_hub::Result<Done> {
        let grantee = match values.first("team") {
            "" => Grantee::User(values.first("user").trim().to_ascii_lowercase()),
            team => Grantee::Team { organization: self.row.namespace.clone(), team: team.to_owned() },
        };
        let text = match action {
            "take-role" => {
                self.visit.hub.take_role(self.who, &self.name, &grantee).await?;
                "The role is taken away."
            }
            _ => {
                let role = Role::parse(values.first("role")).ok_or_else(|| invalid("role", "choose one"))?;
                self.visit.hub.give_role(self.who, &self.name, grantee, role).await?;
                "The role is given."
            }
        };
        Ok(Done::Told(self.path("access"), text.into()))
    }
}
