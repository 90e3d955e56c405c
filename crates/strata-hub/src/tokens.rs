//! Access tokens: a person's, which stand for the person up to a scope, and an organization's, for robots.

use std::net::IpAddr;

use serde_json::json;

use crate::audit::{AuditAction, Event, log};
use crate::records::{AccessTokenRow, AccountKind, Role, TokenReach, TokenScope};
use crate::roles::namespace;
use crate::{Hub, HubError, HubRead, Identity, Result, secrets};

/// Tokens that one account may have.
const MOST: usize = 500;
/// Repositories that one robot may be let to.
const MOST_REPOSITORIES: usize = 100;
/// Longest label and description, in characters.
const LONGEST_LABEL: usize = 100;
const LONGEST_DESCRIPTION: usize = 1000;

/// An access token that is to be.
#[derive(Clone, Debug)]
pub struct NewAccessToken {
    /// What its owner calls it, 1 to 100 characters.
    pub label: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub reach: TokenReach,
    /// When it ends; `None` for never.
    pub expires: Option<i64>,
    /// With which program it was asked for.
    pub agent: String,
}

/// What is to change of an access token; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct AccessTokenUpdate {
    /// The label.
    pub label: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Whether it may be used.
    pub is_active: Option<bool>,
    /// What it may do.
    pub reach: Option<TokenReach>,
}

/// An access token and its secret, which is not kept.
#[derive(Clone, Debug)]
pub struct CreatedAccessToken {
    /// What is kept.
    pub row: AccessTokenRow,
    /// What its owner must write down now.
    pub secret: String,
}

fn not_found() -> HubError {
    HubError::NotFound("access token".into())
}

impl Hub {
    /// An account's access tokens, newest first: one's own, or those of an organization one owns.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn access_tokens(&self, who: &Identity, owner: &str) -> Result<Vec<AccessTokenRow>> {
        let txn = self.read().await?;
        may_keep_tokens(&*txn, who, owner).await?;
        Ok(txn.access_tokens(owner).await?)
    }

    /// One access token of an account.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn access_token(&self, who: &Identity, owner: &str, id: &str) -> Result<AccessTokenRow> {
        let txn = self.read().await?;
        may_keep_tokens(&*txn, who, owner).await?;
        txn.access_token(id).await?.filter(|row| row.owner == owner).ok_or_else(not_found)
    }

    /// Makes an access token. Needs the password: a token makes no tokens.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Invalid`; `Conflict` for a label that another robot of the organization has.
    pub async fn create_access_token(
        &self,
        who: &Identity,
        owner: &str,
        new: NewAccessToken,
    ) -> Result<CreatedAccessToken> {
        who.has_password()?;
        let now = self.now();
        let secret = secrets::Secret::new(match new.reach {
            TokenReach::Personal(_) => secrets::PERSONAL,
            TokenReach::Robot(_) => secrets::ROBOT,
        })?;
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(HubError::Invalid { what: "expires_at", why: "is in the past".into() });
        }
        let row = AccessTokenRow {
            id: secrets::uuid()?,
            owner: owner.to_owned(),
            label: new.label,
            description: new.description,
            secret: secret.hash,
            reach: new.reach,
            created_by: who.name.clone(),
            created: now,
            creator_address: who.peer.map(|peer: IpAddr| peer.to_canonical().to_string()).unwrap_or_default(),
            creator_agent: new.agent.chars().take(200).collect(),
            expires: new.expires,
            last_used: None,
            is_active: true,
        };
        let mut txn = self.write("making an access token").await?;
        may_keep_tokens(&*txn, who, owner).await?;
        check(&*txn, &row).await?;
        txn.put_access_token(&row).await?;
        let data = json!({ "id": row.id, "label": row.label });
        log(&mut *txn, now, who, Event { action: AuditAction::TOKEN_CREATE, account: owner, name: &row.label, data })
            .await?;
        txn.commit().await?;
        Ok(CreatedAccessToken { row, secret: secret.text })
    }

    /// Changes an access token. Needs the password.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Invalid`, `Conflict`.
    pub async fn update_access_token(
        &self,
        who: &Identity,
        owner: &str,
        id: &str,
        update: AccessTokenUpdate,
    ) -> Result<AccessTokenRow> {
        who.has_password()?;
        let mut txn = self.write("changing an access token").await?;
        may_keep_tokens(&*txn, who, owner).await?;
        let mut row = txn.access_token(id).await?.filter(|row| row.owner == owner).ok_or_else(not_found)?;
        row.label = update.label.unwrap_or(row.label);
        row.description = update.description.unwrap_or(row.description);
        row.is_active = update.is_active.unwrap_or(row.is_active);
        row.reach = update.reach.unwrap_or(row.reach);
        check(&*txn, &row).await?;
        txn.put_access_token(&row).await?;
        let data = json!({ "id": row.id, "label": row.label, "is_active": row.is_active });
        let event = Event { action: AuditAction::TOKEN_UPDATE, account: owner, name: &row.label, data };
        log(&mut *txn, self.now(), who, event).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Deletes an access token, and with it the refresh tokens and sessions that began with it.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn delete_access_token(&self, who: &Identity, owner: &str, id: &str) -> Result<()> {
        let mut txn = self.write("deleting an access token").await?;
        // A token may at least end itself.
        if who.access_token() != Some(id) {
            who.has_password()?;
            may_keep_tokens(&*txn, who, owner).await?;
        }
        let row = txn.access_token(id).await?.filter(|row| row.owner == owner).ok_or_else(not_found)?;
        txn.delete_access_token(id).await?;
        let data = json!({ "id": id });
        let event = Event { action: AuditAction::TOKEN_DELETE, account: owner, name: &row.label, data };
        log(&mut *txn, self.now(), who, event).await?;
        Ok(txn.commit().await?)
    }
}

/// Asserts that `who` may see and change the access tokens of an account.
async fn may_keep_tokens(txn: &dyn HubRead, who: &Identity, owner: &str) -> Result<()> {
    match who.account == owner && who.is_user() {
        true => who.may_manage(),
        false => crate::organizations::require_owner(txn, who, owner).await,
    }
}

async fn check(txn: &dyn HubRead, row: &AccessTokenRow) -> Result<()> {
    let invalid = |what, why: String| Err(HubError::Invalid { what, why });
    if !(1..=LONGEST_LABEL).contains(&row.label.chars().count()) || row.label.contains(char::is_control) {
        return invalid("token_label", format!("must have 1 to {LONGEST_LABEL} characters"));
    }
    if row.description.chars().count() > LONGEST_DESCRIPTION {
        return invalid("description", format!("must have {LONGEST_DESCRIPTION} characters or less"));
    }
    let owner = txn.account(&row.owner).await?.ok_or_else(not_found)?;
    let others: Vec<_> = txn.access_tokens(&row.owner).await?.into_iter().filter(|other| other.id != row.id).collect();
    if others.len() >= MOST {
        return Err(HubError::Conflict(format!("{} has {MOST} access tokens already", row.owner)));
    }
    match (&row.reach, owner.kind) {
        (TokenReach::Personal(_), AccountKind::User) => Ok(()),
        (TokenReach::Robot(repositories), AccountKind::Organization) => {
            if others.iter().any(|other| other.label == row.label) {
                return Err(HubError::Conflict(format!("{} has an access token {:?} already", row.owner, row.label)));
            }
            check_repositories(&row.owner, repositories)
        }
        _ => invalid("scopes", "personal tokens are of users, others of organizations".into()),
    }
}

fn check_repositories(organization: &str, repositories: &[(String, Role)]) -> Result<()> {
    let refused = |why: String| Err(HubError::Invalid { what: "resources", why });
    if repositories.len() > MOST_REPOSITORIES {
        return refused(format!("more than {MOST_REPOSITORIES} repositories"));
    }
    for (pattern, _) in repositories {
        let name = pattern.strip_suffix("/*").map_or(pattern.clone(), |namespace| format!("{namespace}/x"));
        let is_all = pattern.ends_with("/*");
        let fits = name.parse::<strata_model::Repository>().is_ok()
            && namespace(&name) == organization
            && name.contains('/')
            && (!is_all || *pattern == format!("{organization}/*"));
        if !fits {
            return refused(format!("{pattern:?} is neither a repository of {organization} nor \"{organization}/*\""));
        }
    }
    Ok(())
}

/// What scopes of an organization's token (`scope-image-pull`, …) mean as a role.
pub fn role_of_scopes(scopes: &[String]) -> Option<Role> {
    let role = |scope: &String| match scope.as_str() {
        "scope-image-pull" | "repo-pull" => Some(Role::Read),
        "scope-image-push" | "repo-push" => Some(Role::Write),
        "scope-image-delete" | "repo-admin" => Some(Role::Admin),
        _ => None,
    };
    scopes.iter().map(role).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// The scopes that stand for a role.
pub fn scopes_of_role(role: Role) -> &'static [&'static str] {
    const SCOPES: [&str; 3] = ["scope-image-pull", "scope-image-push", "scope-image-delete"];
    match role {
        Role::Read => &SCOPES[..1],
        Role::Write => &SCOPES[..2],
        Role::Admin => &SCOPES,
    }
}

/// The highest of a personal token's scopes; `None` if one is unknown or there is none.
pub fn highest_scope(scopes: &[String]) -> Option<TokenScope> {
    scopes.iter().map(|scope| TokenScope::parse(scope)).collect::<Option<Vec<_>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_are_let_to_repositories_of_their_organization() {
        for (pattern, fits) in [
            ("acme/app", true),
            ("acme/*", true),
            ("acme/team/app", true),
            ("acme/team/*", false),
            ("acme", false),
            ("*", false),
            ("*/*", false),
            ("other/app", false),
            ("other/*", false),
            ("acme/app*", false),
            ("acme/../other", false),
        ] {
            assert_eq!(check_repositories("acme", &[(pattern.into(), Role::Read)]).is_ok(), fits, "{pattern}");
        }
    }

    #[test]
    fn scopes_and_roles() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(role_of_scopes(&words(&["scope-image-pull", "scope-image-push"])), Some(Role::Write));
        assert_eq!(role_of_scopes(&words(&["scope-image-pull", "other"])), None);
        assert_eq!(role_of_scopes(&[]), None);
        for role in [Role::Read, Role::Write, Role::Admin] {
            assert_eq!(role_of_scopes(&words(scopes_of_role(role))), Some(role));
        }
        assert_eq!(highest_scope(&words(&["repo:read", "repo:write"])), Some(TokenScope::Write));
        assert_eq!(highest_scope(&words(&["repo:root"])), None);
    }
}
