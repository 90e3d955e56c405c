//! The audit log: what was done to accounts and repositories, by whom and from where, written with the change itself.

use serde_json::{Value, json};
use strata_store::{RegistryAction, RegistryHistoryRow};

use crate::records::{AuditFilter, AuditRow, MemberRole};
use crate::{Hub, HubError, HubWrite, Identity, Result};

/// Entries of one page at most.
const MOST: u64 = 100;

/// Something that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditAction {
    /// What stands in the log: `group.name`.
    pub name: &'static str,
    /// What a person reads.
    pub label: &'static str,
}

macro_rules! actions {
    ($($(#[$meta:meta])* $constant:ident = $name:literal, $label:literal;)*) => {
        impl AuditAction {
            $(#[doc = $label] pub const $constant: AuditAction = AuditAction { name: $name, label: $label };)*
            /// Every action there is.
            pub const ALL: &'static [AuditAction] = &[$(AuditAction::$constant),*];
        }
    };
}

actions! {
    ACCOUNT_CREATE = "account.create", "Account created";
    ACCOUNT_UPDATE = "account.update", "Account changed";
    PASSWORD_CHANGE = "account.password.change", "Password changed";
    PASSWORD_RESET = "account.password.reset", "Password reset";
    SECOND_FACTOR = "account.second_factor", "Second factor turned on or off";
    TOKEN_CREATE = "account.token.create", "Access token created";
    TOKEN_UPDATE = "account.token.update", "Access token changed";
    TOKEN_DELETE = "account.token.delete", "Access token deleted";
    ORGANIZATION_CREATE = "org.create", "Organization created";
    ORGANIZATION_UPDATE = "org.settings.update", "Organization changed";
    MEMBER_ADD = "org.member.add", "Member added or its role changed";
    MEMBER_REMOVE = "org.member.remove", "Member removed";
    TEAM_CREATE = "org.team.create", "Team created";
    TEAM_UPDATE = "org.team.update", "Team changed";
    TEAM_DELETE = "org.team.delete", "Team deleted";
    TEAM_MEMBER_ADD = "org.team.member.add", "Member added to a team";
    TEAM_MEMBER_REMOVE = "org.team.member.remove", "Member removed from a team";
    ROLE_GIVE = "repo.role.give", "Role on a repository given";
    ROLE_TAKE = "repo.role.take", "Role on a repository taken away";
    REPOSITORY_CREATE = "repo.create", "Repository created";
    REPOSITORY_UPDATE = "repo.update", "Repository changed";
    REPOSITORY_DELETE = "repo.delete", "Repository deleted";
    TAG_PUSH = "repo.tag.push", "Tag pushed";
    TAG_DELETE = "repo.tag.delete", "Tag deleted";
    MANIFEST_DELETE = "repo.manifest.delete", "Manifest deleted";
    TAG_ROLLBACK = "repo.tag.rollback", "Tag rolled back";
}

/// What was done to which account.
pub(crate) struct Event<'a> {
    pub(crate) action: AuditAction,
    pub(crate) account: &'a str,
    /// The repository, member, team, token, … concerned.
    pub(crate) name: &'a str,
    /// More: an object.
    pub(crate) data: Value,
}

/// Logs what `who` does, in the transaction that does it.
pub(crate) async fn log(txn: &mut dyn HubWrite, now: i64, who: &Identity, event: Event<'_>) -> Result<()> {
    let row = AuditRow {
        sequence: 0,
        time: now,
        account: event.account.to_owned(),
        actor: who.name.clone(),
        action: event.action.name.to_owned(),
        name: event.name.to_owned(),
        data: event.data.to_string(),
        address: who.peer.map(|peer| peer.to_canonical().to_string()).unwrap_or_default(),
    };
    Ok(txn.append_audit(&row).await?)
}

/// Logs what accounts did to tags and manifests, as the registry's history tells it; it does not know from where.
pub(crate) async fn log_history(txn: &mut dyn HubWrite, history: &[RegistryHistoryRow]) -> Result<()> {
    for entry in history.iter().filter(|entry| !entry.actor.is_empty()) {
        let action = match (entry.action, entry.digest) {
            (RegistryAction::Tag, _) => AuditAction::TAG_PUSH,
            (RegistryAction::Untag, _) => AuditAction::TAG_DELETE,
            (RegistryAction::Delete, Some(_)) => AuditAction::MANIFEST_DELETE,
            // Pushes without a tag say nothing to a person; removed repositories are logged by who removes them.
            _ => continue,
        };
        let name = crate::roles::full_name(&entry.repository);
        let data = match entry.tag.as_str() {
            "" => json!({ "digest": entry.digest }),
            tag => json!({ "tag": tag, "digest": entry.digest }),
        };
        let row = AuditRow {
            sequence: 0,
            time: entry.time,
            account: crate::roles::namespace(&name).to_owned(),
            actor: entry.actor.clone(),
            action: action.name.to_owned(),
            name: name.into_owned(),
            data: data.to_string(),
            address: String::new(),
        };
        txn.append_audit(&row).await?;
    }
    Ok(())
}

impl Hub {
    /// What was done to an account, newest first, and how much there is in all. For itself, the owners of an organization,
    /// and administrators, who may leave the account open.
    ///
    /// # Errors
    /// `NotFound` for an account that is not there or not one's own; `Denied`.
    pub async fn audit_log(&self, who: &Identity, mut filter: AuditFilter) -> Result<(u64, Vec<AuditRow>)> {
        filter.limit = filter.limit.min(MOST);
        let txn = self.read().await?;
        if filter.account.is_empty() {
            who.administers()?;
            return Ok(txn.audit_entries(&filter).await?);
        }
        let not_found = || HubError::NotFound(format!("account {}", filter.account));
        txn.account(&filter.account).await?.ok_or_else(not_found)?;
        if filter.account != who.account && !who.is_administrator {
            let member = txn.member(&filter.account, &who.account).await?.ok_or_else(not_found)?;
            if member.role != MemberRole::Owner {
                return Err(HubError::Denied(format!("only owners of {} see its audit log", filter.account)));
            }
        }
        who.may_manage()?;
        Ok(txn.audit_entries(&filter).await?)
    }

    /// Logs what was done to a repository, after it was done by rules that know no accounts.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn log_repository(
        &self,
        who: &Identity,
        action: AuditAction,
        repository: &str,
        data: Value,
    ) -> Result<()> {
        let name = crate::roles::full_name(repository);
        let event = Event { action, account: crate::roles::namespace(&name), name: &name, data };
        let mut txn = self.write("logging what was done to a repository").await?;
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }
}
