//! Organizations: members, teams, and roles on repositories that are given to teams and users.

use std::collections::BTreeMap;

use serde_json::json;

use crate::accounts::{add, checked_name, checked_text, fresh, unreserved};
use crate::audit::{AuditAction, Event, log};
use crate::records::{AccountKind, AccountRow, GrantRow, Grantee, MemberRole, MemberRow, Role, TeamRow};
use crate::roles::{Reach, full_name, namespace, role_on};
use crate::{Hub, HubError, HubRead, Identity, Result};

/// A member as lists show it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The place in the organization.
    pub row: MemberRow,
    /// The user.
    pub account: AccountRow,
    /// The teams the user is in.
    pub teams: Vec<String>,
}

fn not_found(organization: &str) -> HubError {
    HubError::NotFound(format!("organization {organization}"))
}

/// The place of `who` in an organization; administrators of the hub count as owners. Who has none is told that there is no
/// such organization.
async fn place(txn: &dyn HubRead, who: &Identity, organization: &str) -> Result<MemberRole> {
    let account = txn.account(organization).await?;
    let member = txn.member(organization, &who.account).await?;
    let is_organization = account.is_some_and(|account| account.kind == AccountKind::Organization);
    let role = match member {
        _ if who.is_administrator => Some(MemberRole::Owner),
        Some(member) if who.is_user() => Some(member.role),
        _ => None,
    };
    role.filter(|_| is_organization).ok_or_else(|| not_found(organization))
}

/// Asserts that `who` is a member of an organization, and may use that with what was shown.
async fn require_member(txn: &dyn HubRead, who: &Identity, organization: &str) -> Result<()> {
    place(txn, who, organization).await?;
    who.may_manage()
}

/// Asserts that `who` may manage an organization.
pub(crate) async fn require_owner(txn: &dyn HubRead, who: &Identity, organization: &str) -> Result<()> {
    match place(txn, who, organization).await? {
        MemberRole::Owner => who.may_manage(),
        MemberRole::Member => Err(HubError::Denied(format!("this is for owners of {organization}"))),
    }
}

async fn require_another_owner(txn: &dyn HubRead, organization: &str) -> Result<()> {
    let members = txn.members(organization).await?;
    match members.iter().any(|member| member.role == MemberRole::Owner) {
        true => Ok(()),
        false => Err(HubError::Conflict(format!("organization {organization} must keep an owner"))),
    }
}

async fn existing_team(txn: &dyn HubRead, organization: &str, team: &str) -> Result<TeamRow> {
    let found = txn.team(organization, team).await?;
    found.ok_or_else(|| HubError::NotFound(format!("team {team} of {organization}")))
}

/// Asserts that `who` may give and take roles on a repository.
async fn require_admin_of(txn: &dyn HubRead, who: &Identity, repository: &str) -> Result<()> {
    let reach = Reach::of(txn, Some(who)).await?;
    match role_on(txn, &reach, repository).await? {
        Some(Role::Admin) => who.may_manage(),
        Some(_) => Err(HubError::Denied(format!("this is for admins of {repository}"))),
        None => Err(HubError::NotFound(format!("repository {repository}"))),
    }
}

impl Hub {
    /// Makes an organization, whose first owner is `who`.
    ///
    /// # Errors
    /// `Denied`, `Invalid`; `Conflict` for a name that is taken.
    pub async fn create_organization(&self, who: &Identity, name: &str, full_name: &str) -> Result<AccountRow> {
        who.may_manage()?;
        let now = self.now();
        let full_name = checked_text("full_name", full_name.to_owned())?;
        let row = AccountRow { full_name, ..fresh(unreserved(checked_name(name)?)?, AccountKind::Organization, now) };
        let mut txn = self.write("making an organization").await?;
        add(&mut *txn, &row).await?;
        if who.is_user() {
            let owner = MemberRow {
                organization: row.name.clone(),
                account: who.account.clone(),
                role: MemberRole::Owner,
                added: now,
            };
            txn.put_member(&owner).await?;
        }
        let event =
            Event { action: AuditAction::ORGANIZATION_CREATE, account: &row.name, name: &row.name, data: json!({}) };
        log(&mut *txn, now, who, event).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// An organization, for its members.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn organization(&self, who: &Identity, name: &str) -> Result<AccountRow> {
        let txn = self.read().await?;
        require_member(&*txn, who, name).await?;
        txn.account(name).await?.ok_or_else(|| not_found(name))
    }

    /// The organizations that a user is in, with the user's place.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn organizations_of(&self, who: &Identity) -> Result<Vec<(AccountRow, MemberRole)>> {
        who.may_manage()?;
        let txn = self.read().await?;
        let mut organizations = Vec::new();
        for member in txn.memberships(&who.account).await? {
            if let Some(account) = txn.account(&member.organization).await? {
                organizations.push((account, member.role));
            }
        }
        Ok(organizations)
    }

    /// The members of an organization, for its members.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn members(&self, who: &Identity, organization: &str) -> Result<Vec<Member>> {
        let txn = self.read().await?;
        require_member(&*txn, who, organization).await?;
        let accounts = txn.member_accounts(organization).await?;
        let mut accounts: BTreeMap<String, AccountRow> =
            accounts.into_iter().map(|account| (account.name.clone(), account)).collect();
        let mut teams: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (account, team) in txn.team_places(organization).await? {
            teams.entry(account).or_default().push(team);
        }
        let member = |row: MemberRow| {
            let account = accounts.remove(&row.account)?;
            Some(Member { teams: teams.remove(&row.account).unwrap_or_default(), account, row })
        };
        Ok(txn.members(organization).await?.into_iter().filter_map(member).collect())
    }

    /// Takes a user into an organization, or changes the user's place.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Conflict` when no owner would be left.
    pub async fn put_member(&self, who: &Identity, organization: &str, user: &str, role: MemberRole) -> Result<()> {
        let mut txn = self.write("adding a member").await?;
        require_owner(&*txn, who, organization).await?;
        let user = user.to_ascii_lowercase();
        let account = txn.account(&user).await?.filter(|account| account.kind == AccountKind::User);
        if account.is_none() {
            return Err(HubError::NotFound(format!("user {user}")));
        }
        let now = self.now();
        txn.put_member(&MemberRow { organization: organization.into(), account: user.clone(), role, added: now })
            .await?;
        require_another_owner(&*txn, organization).await?;
        let data = json!({ "role": role.as_str() });
        log(&mut *txn, now, who, Event { action: AuditAction::MEMBER_ADD, account: organization, name: &user, data })
            .await?;
        Ok(txn.commit().await?)
    }

    /// Removes a member, also from all teams. Members may remove themselves.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Conflict` when no owner would be left.
    pub async fn remove_member(&self, who: &Identity, organization: &str, user: &str) -> Result<()> {
        let mut txn = self.write("removing a member").await?;
        match who.account == user {
            true => require_member(&*txn, who, organization).await?,
            false => require_owner(&*txn, who, organization).await?,
        }
        if !txn.delete_member(organization, user).await? {
            return Err(HubError::NotFound(format!("member {user} of {organization}")));
        }
        require_another_owner(&*txn, organization).await?;
        let event = Event { action: AuditAction::MEMBER_REMOVE, account: organization, name: user, data: json!({}) };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }

    /// Whether somebody may manage an organization.
    ///
    /// # Errors
    /// `NotFound`, also for those who may not.
    pub async fn owned_organization(&self, who: Option<&Identity>, name: &str) -> Result<AccountRow> {
        let txn = self.read().await?;
        let is_owner = match who {
            Some(who) => require_owner(&*txn, who, name).await.is_ok(),
            None => false,
        };
        txn.account(name).await?.filter(|_| is_owner).ok_or_else(|| not_found(name))
    }

    /// How many members an account has: none but an organization has any. Everybody may know.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn count_members(&self, account: &str) -> Result<usize> {
        Ok(self.read().await?.members(account).await?.len())
    }

    /// The teams of an organization, for its members.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn teams(&self, who: &Identity, organization: &str) -> Result<Vec<TeamRow>> {
        let txn = self.read().await?;
        require_member(&*txn, who, organization).await?;
        Ok(txn.teams(organization).await?)
    }

    /// A team with its members' names, for members of the organization.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn team(&self, who: &Identity, organization: &str, team: &str) -> Result<(TeamRow, Vec<String>)> {
        let txn = self.read().await?;
        require_member(&*txn, who, organization).await?;
        let row = existing_team(&*txn, organization, team).await?;
        Ok((row, txn.team_members(organization, team).await?))
    }

    /// Makes a team.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Invalid`; `Conflict` when it exists.
    pub async fn create_team(
        &self,
        who: &Identity,
        organization: &str,
        name: &str,
        description: &str,
    ) -> Result<TeamRow> {
        let row = TeamRow {
            organization: organization.to_owned(),
            name: checked_name(name)?,
            description: checked_text("description", description.to_owned())?,
            created: self.now(),
        };
        let mut txn = self.write("making a team").await?;
        require_owner(&*txn, who, organization).await?;
        if txn.team(organization, &row.name).await?.is_some() {
            return Err(HubError::Conflict(format!("team {} of {organization} already exists", row.name)));
        }
        txn.put_team(&row).await?;
        let event = Event { action: AuditAction::TEAM_CREATE, account: organization, name: &row.name, data: json!({}) };
        log(&mut *txn, row.created, who, event).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Changes a team's description.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Invalid`.
    pub async fn describe_team(
        &self,
        who: &Identity,
        organization: &str,
        team: &str,
        description: &str,
    ) -> Result<TeamRow> {
        let description = checked_text("description", description.to_owned())?;
        let mut txn = self.write("changing a team").await?;
        require_owner(&*txn, who, organization).await?;
        let row = TeamRow { description, ..existing_team(&*txn, organization, team).await? };
        txn.put_team(&row).await?;
        let event = Event { action: AuditAction::TEAM_UPDATE, account: organization, name: team, data: json!({}) };
        log(&mut *txn, self.now(), who, event).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Removes a team with its roles.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn delete_team(&self, who: &Identity, organization: &str, team: &str) -> Result<()> {
        let mut txn = self.write("removing a team").await?;
        require_owner(&*txn, who, organization).await?;
        existing_team(&*txn, organization, team).await?;
        txn.delete_team(organization, team).await?;
        let event = Event { action: AuditAction::TEAM_DELETE, account: organization, name: team, data: json!({}) };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }

    /// Takes a member of the organization into a team.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn put_team_member(&self, who: &Identity, organization: &str, team: &str, user: &str) -> Result<()> {
        let mut txn = self.write("adding a member to a team").await?;
        require_owner(&*txn, who, organization).await?;
        existing_team(&*txn, organization, team).await?;
        if txn.member(organization, user).await?.is_none() {
            return Err(HubError::NotFound(format!("member {user} of {organization}")));
        }
        txn.put_team_member(organization, team, user).await?;
        let data = json!({ "team": team });
        log(
            &mut *txn,
            self.now(),
            who,
            Event { action: AuditAction::TEAM_MEMBER_ADD, account: organization, name: user, data },
        )
        .await?;
        Ok(txn.commit().await?)
    }

    /// Removes a member from a team.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn remove_team_member(&self, who: &Identity, organization: &str, team: &str, user: &str) -> Result<()> {
        let mut txn = self.write("removing a member from a team").await?;
        require_owner(&*txn, who, organization).await?;
        if !txn.delete_team_member(organization, team, user).await? {
            return Err(HubError::NotFound(format!("member {user} of team {team}")));
        }
        let data = json!({ "team": team });
        let event = Event { action: AuditAction::TEAM_MEMBER_REMOVE, account: organization, name: user, data };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }

    /// The roles that a team was given, for members of the organization.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn grants_of_team(&self, who: &Identity, organization: &str, team: &str) -> Result<Vec<GrantRow>> {
        let txn = self.read().await?;
        require_member(&*txn, who, organization).await?;
        existing_team(&*txn, organization, team).await?;
        Ok(txn.grants_of_team(organization, team).await?)
    }

    /// Who was given which role on a repository, for its admins.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn grants_on(&self, who: &Identity, repository: &str) -> Result<Vec<GrantRow>> {
        let txn = self.read().await?;
        require_admin_of(&*txn, who, repository).await?;
        Ok(txn.grants_on(&full_name(repository)).await?)
    }

    /// Gives a role on a repository, as its admin: to a user, or to a team of the organization that the repository is of. The
    /// repository need not exist yet.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Invalid` for a team of another organization.
    pub async fn give_role(&self, who: &Identity, repository: &str, grantee: Grantee, role: Role) -> Result<()> {
        let repository = full_name(repository).into_owned();
        let mut txn = self.write("giving a role on a repository").await?;
        require_admin_of(&*txn, who, &repository).await?;
        let name = match &grantee {
            Grantee::User(user) => {
                let account = txn.account(user).await?.filter(|account| account.kind == AccountKind::User);
                account.ok_or_else(|| HubError::NotFound(format!("user {user}")))?.name
            }
            Grantee::Team { organization, team } if organization == namespace(&repository) => {
                existing_team(&*txn, organization, team).await?.name
            }
            Grantee::Team { organization, .. } => {
                let why = format!("is of {organization}, the repository of {}", namespace(&repository));
                return Err(HubError::Invalid { what: "team", why });
            }
        };
        let row = GrantRow { repository: repository.clone(), grantee, role };
        txn.put_grant(&row).await?;
        let data = json!({ "role": role.as_str(), "to": name });
        let event = Event { action: AuditAction::ROLE_GIVE, account: namespace(&repository), name: &repository, data };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }

    /// Takes a role on a repository away, as its admin.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn take_role(&self, who: &Identity, repository: &str, grantee: &Grantee) -> Result<()> {
        let repository = full_name(repository);
        let mut txn = self.write("taking a role on a repository away").await?;
        require_admin_of(&*txn, who, &repository).await?;
        if !txn.delete_grant(&repository, grantee).await? {
            return Err(HubError::NotFound(format!("role on {repository}")));
        }
        let name = match grantee {
            Grantee::User(user) => user,
            Grantee::Team { team, .. } => team,
        };
        let data = json!({ "from": name });
        let event = Event { action: AuditAction::ROLE_TAKE, account: namespace(&repository), name: &repository, data };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }
}
