//! Accounts: names, the first one, making and changing them, passwords, quotas.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use strata_model::Repository;

use crate::access::Challenge;
use crate::audit::{AuditAction, Event, log};
use crate::records::{AccountKind, AccountRow, MemberRole, MemberRow, RepositoryRow};
use crate::repositories::checked_address;
use crate::roles::OFFICIAL;
use crate::{Hub, HubError, HubRead, HubWrite, Identity, Result, repositories, secrets};

/// The name of the first administrator.
const FIRST: &str = "admin";
/// Longest names, in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 200;
/// Names that would be mistaken for something else in addresses: `/v2/repositories/…` is the hub's, no repository's.
const RESERVED: &[&str] = &[
    "_",
    "access-tokens",
    "account",
    "admin",
    "api",
    "auditlogs",
    "auth",
    "explore",
    "healthz",
    "help",
    "index",
    "library",
    "login",
    "logout",
    "metrics",
    "mirror",
    "namespaces",
    "new",
    "operator",
    "orgs",
    "r",
    "readyz",
    "repositories",
    "search",
    "settings",
    "signin",
    "signup",
    "static",
    "token",
    "u",
    "user",
    "users",
    "v1",
    "v2",
];

/// Section `[accounts]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Who may make accounts.
    pub registration: Registration,
    /// How clients of the registry are asked to sign in.
    pub challenge: Challenge,
    /// Lifetime of a token for the registry in seconds, at least 60. A role or an account that is taken away ends within seconds
    /// all the same.
    pub registry_token_seconds: u32,
    /// Lifetime of a session in hours.
    pub session_hours: u32,
    /// Lifetime of a refresh token, which `docker login` keeps, in days.
    pub refresh_token_days: u32,
    /// Days after which a new key signs tokens.
    pub signing_key_days: u32,
    /// Days for which the audit log is kept.
    pub audit_days: u32,
}

impl Default for AccountSettings {
    fn default() -> AccountSettings {
        AccountSettings {
            registration: Registration::Off,
            challenge: Challenge::Token,
            registry_token_seconds: 300,
            session_hours: 24,
            refresh_token_days: 90,
            signing_key_days: 90,
            audit_days: 365,
        }
    }
}

/// Who may make accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Administrators.
    #[default]
    Off,
    /// Everybody, for themselves.
    Open,
}

/// A password that is good for nothing but choosing another one. To be shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimePassword {
    /// Whose.
    pub account: String,
    /// The password.
    pub password: String,
}

/// A user that is to be.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The name, in any case.
    pub name: String,
    /// The password; without one, the user gets a one-time password.
    pub password: Option<String>,
    /// What people read instead of the name.
    pub full_name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Whether the user may do everything.
    pub is_administrator: bool,
}

/// What is to change of an account; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// What people read instead of the name.
    pub full_name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// Where more is said of it; empty for nowhere.
    pub link: Option<String>,
    /// Where it is.
    pub location: Option<String>,
    /// Where to write to; empty for nowhere.
    pub email: Option<String>,
    /// Whether repositories that a push makes are private.
    pub private_by_default: Option<bool>,
    /// Whether it is shut out.
    pub is_disabled: Option<bool>,
    /// Whether it may do everything.
    pub is_administrator: Option<bool>,
    /// Whether it has the badge.
    pub is_verified_publisher: Option<bool>,
    /// Most bytes its namespace may hold; `Some(None)` for no limit.
    pub quota: Option<Option<u64>>,
}

impl AccountUpdate {
    /// Whether only administrators may change this.
    fn needs_administrator(&self) -> bool {
        self.is_disabled.is_some()
            || self.is_administrator.is_some()
            || self.is_verified_publisher.is_some()
            || self.quota.is_some()
    }
}

/// A name as it is kept, if it can be one: a component of a repository's name.
pub(crate) fn checked_name(written: &str) -> Result<String> {
    let name = written.to_ascii_lowercase();
    let why = if !(2..=LONGEST_NAME).contains(&name.len()) {
        format!("must have 2 to {LONGEST_NAME} characters")
    } else if name.contains('/') || name.parse::<Repository>().is_err() {
        "must consist of letters and digits, with single separators '.', '_' or '-' between them".to_owned()
    } else {
        return Ok(name);
    };
    Err(HubError::Invalid { what: "name", why: format!("{written:?} {why}") })
}

pub(crate) fn unreserved(name: String) -> Result<String> {
    match RESERVED.contains(&name.as_str()) {
        true => Err(HubError::Invalid { what: "name", why: format!("{name:?} is reserved") }),
        false => Ok(name),
    }
}

pub(crate) fn checked_text(what: &'static str, text: String) -> Result<String> {
    match text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        true => Err(HubError::Invalid { what, why: format!("must be one line of {LONGEST_TEXT} bytes at most") }),
        false => Ok(text),
    }
}

fn checked_email(text: String) -> Result<Option<String>> {
    let text = checked_text("email", text.trim().to_lowercase())?;
    if text.is_empty() {
        return Ok(None);
    }
    match text.split_once('@') {
        Some((local, host)) if !local.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace) => {
            Ok(Some(text))
        }
        _ => Err(HubError::Invalid { what: "email", why: format!("{text:?} is no address") }),
    }
}

/// An account of which nothing is known but its name.
pub(crate) fn fresh(name: String, kind: AccountKind, now: i64) -> AccountRow {
    AccountRow {
        name,
        kind,
        full_name: String::new(),
        description: String::new(),
        link: String::new(),
        location: String::new(),
        email: None,
        created: now,
        is_disabled: false,
        is_administrator: false,
        is_verified_publisher: false,
        private_by_default: false,
        quota: None,
        password: None,
        password_is_one_time: false,
        generation: 0,
    }
}

fn not_found(name: &str) -> HubError {
    HubError::NotFound(format!("account {name}"))
}

impl Hub {
    /// Makes the first administrator, `admin`, and the namespace of official images, if there is no account yet. Without a
    /// password the administrator gets a one-time password, which is returned.
    ///
    /// # Errors
    /// `Invalid` for an unfit password, or when the records fail.
    pub async fn first_start(&self, password: Option<String>) -> Result<Option<OneTimePassword>> {
        if !self.read().await?.accounts_after("", 1).await?.is_empty() {
            return Ok(None);
        }
        let (kept, one_time) = self.chosen_or_one_time(password).await?;
        let mut txn = self.write("making the first accounts").await?;
        if !txn.accounts_after("", 1).await?.is_empty() {
            return Ok(None); // another process was faster
        }
        let now = self.now();
        let administrator = AccountRow {
            is_administrator: true,
            password: Some(kept),
            password_is_one_time: one_time.is_some(),
            ..fresh(FIRST.to_owned(), AccountKind::User, now)
        };
        txn.put_account(&administrator).await?;
        let official = fresh(OFFICIAL.to_owned(), AccountKind::Organization, now);
        txn.put_account(&AccountRow { full_name: "Official images".into(), ..official }).await?;
        let owner =
            MemberRow { organization: OFFICIAL.into(), account: FIRST.into(), role: MemberRole::Owner, added: now };
        txn.put_member(&owner).await?;
        txn.commit().await?;
        Ok(one_time.map(|password| OneTimePassword { account: FIRST.to_owned(), password }))
    }

    /// The hash of a password; without one, of a new one-time password, which is returned too.
    async fn chosen_or_one_time(&self, chosen: Option<String>) -> Result<(String, Option<String>)> {
        let one_time = if chosen.is_none() { Some(secrets::readable_password()?) } else { None };
        let password = chosen.as_ref().or(one_time.as_ref()).cloned().unwrap_or_default();
        Ok((self.inner.sign_in.passwords.hash(&password).await?, one_time))
    }

    /// Makes a user, as an administrator.
    ///
    /// # Errors
    /// `Denied`, `Invalid`; `Conflict` for a name or address that is taken.
    pub async fn create_user(&self, who: &Identity, new: NewUser) -> Result<(AccountRow, Option<OneTimePassword>)> {
        who.administers()?;
        self.add_user(Some(who), new).await
    }

    /// Makes a user who asks for it. Only with registration open.
    ///
    /// # Errors
    /// `Denied`, `Invalid`, `RateLimited`; `Conflict` for a name or address that is taken.
    pub async fn register(&self, new: NewUser, peer: Option<IpAddr>) -> Result<AccountRow> {
        if self.settings().accounts.registration != Registration::Open {
            return Err(HubError::Denied("accounts are made by administrators of this hub".into()));
        }
        if new.password.is_none() {
            return Err(HubError::Invalid { what: "password", why: "is missing".into() });
        }
        // Also registering is an attempt: taken names are not to be tried in bulk, nor hashes to be made.
        let subjects = crate::throttle::Subjects::new(None, peer);
        self.check_throttle(&subjects).await?;
        self.count_failure(&subjects).await?;
        let new = NewUser { is_administrator: false, ..new };
        Ok(self.add_user(None, new).await?.0)
    }

    async fn add_user(&self, who: Option<&Identity>, new: NewUser) -> Result<(AccountRow, Option<OneTimePassword>)> {
        let name = unreserved(checked_name(&new.name)?)?;
        let full_name = checked_text("full_name", new.full_name)?;
        let email = checked_email(new.email.unwrap_or_default())?;
        let (kept, one_time) = self.chosen_or_one_time(new.password).await?;
        let now = self.now();
        let row = AccountRow {
            full_name,
            email,
            is_administrator: new.is_administrator,
            password: Some(kept),
            password_is_one_time: one_time.is_some(),
            ..fresh(name, AccountKind::User, now)
        };
        let mut txn = self.write("making a user").await?;
        add(&mut *txn, &row).await?;
        let themselves = Identity::of_user(&row, None);
        let event = Event { action: AuditAction::ACCOUNT_CREATE, account: &row.name, name: &row.name, data: json!({}) };
        log(&mut *txn, now, who.unwrap_or(&themselves), event).await?;
        txn.commit().await?;
        let one_time = one_time.map(|password| OneTimePassword { account: row.name.clone(), password });
        Ok((row, one_time))
    }

    /// An account.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn account(&self, name: &str) -> Result<AccountRow> {
        self.read().await?.account(name).await?.ok_or_else(|| not_found(name))
    }

    /// Accounts after this name, by name.
    ///
    /// # Errors
    /// `Denied` for all but administrators.
    pub async fn accounts(&self, who: &Identity, after: &str, limit: usize) -> Result<Vec<AccountRow>> {
        who.administers()?;
        Ok(self.read().await?.accounts_after(after, limit).await?)
    }

    /// Accounts whose name, full name or address contains a text, by name, after this name.
    ///
    /// # Errors
    /// `Denied` for all but administrators.
    pub async fn find_accounts(
        &self,
        who: &Identity,
        text: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<AccountRow>> {
        who.administers()?;
        Ok(self.read().await?.accounts_containing(text, after, limit).await?)
    }

    /// The accounts with the badge of a verified publisher, by name.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn verified_publishers(&self, limit: usize) -> Result<Vec<AccountRow>> {
        Ok(self.read().await?.verified_publishers(limit).await?)
    }

    /// Changes an account: its own, that of an organization one owns, or any as an administrator.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Invalid`; `Conflict` for an address that is taken, and for the last administrator.
    pub async fn update_account(&self, who: &Identity, name: &str, update: AccountUpdate) -> Result<AccountRow> {
        let mut txn = self.write("changing an account").await?;
        let old = txn.account(name).await?.ok_or_else(|| not_found(name))?;
        if update.needs_administrator() {
            who.administers()?;
        } else if old.name == who.account && who.is_user() {
            who.may_manage()?;
        } else {
            crate::organizations::require_owner(&*txn, who, name).await?;
        }
        let row = changed(&old, update)?;
        if let Some(email) = row.email.as_ref().filter(|_| row.email != old.email) {
            check_email_is_free(&*txn, email).await?;
        }
        let was_in_charge = old.is_administrator && !old.is_disabled;
        txn.put_account(&row).await?;
        if was_in_charge && (!row.is_administrator || row.is_disabled) {
            require_an_administrator(&*txn).await?;
        }
        if row.is_verified_publisher != old.is_verified_publisher {
            repositories::set_verified(&mut *txn, name, row.is_verified_publisher).await?;
        }
        let event = Event { action: AuditAction::ACCOUNT_UPDATE, account: name, name, data: differences(&old, &row) };
        log(&mut *txn, self.now(), who, event).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Changes a password by showing the old one, which may be a one-time password, and a code where a second factor is on.
    /// Ends all sessions and refresh tokens that began with the old one. Returns who may begin a new session.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`; `Invalid` for an unfit password, and for a code that is missing or not good.
    pub async fn change_password(
        &self,
        name: &str,
        old: &str,
        new: &str,
        code: &str,
        peer: Option<IpAddr>,
    ) -> Result<Identity> {
        let account = self.by_password(name, old, peer).await?;
        if old == new {
            return Err(HubError::Invalid { what: "password", why: "must not be the old one".into() });
        }
        let kept = self.inner.sign_in.passwords.hash(new).await?;
        if self.needs_code(&account).await? {
            self.check_code_of_change(&account.name, code).await?;
        }
        let who = Identity::of_user(&account, peer);
        let row = self.set_password(&who, &account.name, kept, false, AuditAction::PASSWORD_CHANGE).await?;
        Ok(Identity::of_user(&row, peer))
    }

    /// Gives a user a new password as an administrator; without one, a one-time password, which is returned. Ends all sessions
    /// and refresh tokens that began with the old one.
    ///
    /// # Errors
    /// `Denied`, `NotFound`; `Invalid` for an organization or an unfit password.
    pub async fn reset_password(
        &self,
        who: &Identity,
        name: &str,
        password: Option<String>,
    ) -> Result<Option<OneTimePassword>> {
        who.administers()?;
        if self.account(name).await?.kind != AccountKind::User {
            return Err(HubError::Invalid { what: "name", why: format!("{name} is an organization") });
        }
        let (kept, one_time) = self.chosen_or_one_time(password).await?;
        self.set_password(who, name, kept, one_time.is_some(), AuditAction::PASSWORD_RESET).await?;
        self.forget_failures(name).await?;
        Ok(one_time.map(|password| OneTimePassword { account: name.to_owned(), password }))
    }

    async fn set_password(
        &self,
        who: &Identity,
        name: &str,
        kept: String,
        is_one_time: bool,
        action: AuditAction,
    ) -> Result<AccountRow> {
        let mut txn = self.write("changing a password").await?;
        let old = txn.account(name).await?.ok_or_else(|| not_found(name))?;
        let row = AccountRow {
            password: Some(kept),
            password_is_one_time: is_one_time,
            generation: old.generation + 1,
            ..old
        };
        txn.put_account(&row).await?;
        txn.delete_refresh_tokens_of(name).await?;
        log(&mut *txn, self.now(), who, Event { action, account: name, name, data: json!({}) }).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Ends all sessions of a user, and all refresh tokens that began with the password. Returns who may begin a new one.
    ///
    /// # Errors
    /// `Denied` with an access token.
    pub async fn end_sessions(&self, who: &Identity) -> Result<Identity> {
        who.has_password()?;
        let name = &who.account;
        let mut txn = self.write("ending sessions").await?;
        let old = txn.account(name).await?.ok_or_else(|| not_found(name))?;
        let row = AccountRow { generation: old.generation + 1, ..old };
        txn.put_account(&row).await?;
        txn.delete_refresh_tokens_of(name).await?;
        let data = json!({ "sessions": "ended" });
        log(&mut *txn, self.now(), who, Event { action: AuditAction::ACCOUNT_UPDATE, account: name, name, data })
            .await?;
        txn.commit().await?;
        Ok(Identity::of_user(&row, who.peer))
    }

    /// Bytes that may still be pushed to a namespace; `None` without a limit.
    ///
    /// # Errors
    /// When the records or the catalog fail.
    pub(crate) async fn storage_left(&self, namespace: &str) -> Result<Option<u64>> {
        let quota = self.read().await?.account(namespace).await?.and_then(|account| account.quota);
        match quota {
            None => Ok(None),
            Some(quota) => Ok(Some(quota.saturating_sub(self.stored_bytes(namespace).await?))),
        }
    }

    /// Bytes that a namespace holds, each object counted once.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn stored_bytes(&self, namespace: &str) -> Result<u64> {
        Ok(self.registry().store().read().await?.registry_stored_bytes(namespace).await?)
    }

    /// Bytes that each of these repositories holds, in their order; what two of them share counts for both.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn linked_bytes(&self, repositories: &[RepositoryRow]) -> Result<Vec<u64>> {
        let txn = self.registry().store().read().await?;
        let mut sizes = Vec::with_capacity(repositories.len());
        for row in repositories {
            sizes.push(txn.registry_linked_bytes(&row.full_name()).await?);
        }
        Ok(sizes)
    }

    /// Forgets what is too old to be of use, and records when access tokens were last used. To be called every minute or so,
    /// and at the end.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn tend_accounts(&self) -> Result<()> {
        self.record_token_uses().await?;
        let now = self.now();
        let mut txn = self.write("forgetting old entries of the audit log").await?;
        txn.prune_audit(now - i64::from(self.settings().accounts.audit_days) * 86_400_000_000_000).await?;
        txn.delete_expired_refresh_tokens(now).await?;
        txn.delete_expired_sessions(now).await?;
        Ok(txn.commit().await?)
    }
}

/// Adds an account whose name and address must be free.
pub(crate) async fn add(txn: &mut dyn HubWrite, row: &AccountRow) -> Result<()> {
    if txn.account(&row.name).await?.is_some() {
        return Err(HubError::Conflict(format!("the name {} is taken", row.name)));
    }
    if let Some(email) = &row.email {
        check_email_is_free(txn, email).await?;
    }
    Ok(txn.put_account(row).await?)
}

async fn check_email_is_free(txn: &dyn HubRead, email: &str) -> Result<()> {
    match txn.account_with_email(email).await? {
        Some(_) => Err(HubError::Conflict(format!("the address {email} is taken"))),
        None => Ok(()),
    }
}

async fn require_an_administrator(txn: &dyn HubRead) -> Result<()> {
    let accounts = txn.accounts_after("", usize::MAX).await?;
    match accounts.iter().any(|account| account.is_administrator && !account.is_disabled) {
        true => Ok(()),
        false => Err(HubError::Conflict("the hub must keep an administrator".into())),
    }
}

fn changed(old: &AccountRow, update: AccountUpdate) -> Result<AccountRow> {
    let mut row = old.clone();
    if let Some(full_name) = update.full_name {
        row.full_name = checked_text("full_name", full_name)?;
    }
    if let Some(description) = update.description {
        row.description = checked_text("description", description)?;
    }
    if let Some(link) = update.link {
        row.link = checked_address("link", link)?.unwrap_or_default();
    }
    if let Some(location) = update.location {
        row.location = checked_text("location", location)?;
    }
    if let Some(email) = update.email {
        row.email = checked_email(email)?;
    }
    if row.kind == AccountKind::Organization && update.is_administrator == Some(true) {
        return Err(HubError::Invalid { what: "is_administrator", why: format!("{} is an organization", row.name) });
    }
    row.private_by_default = update.private_by_default.unwrap_or(row.private_by_default);
    row.is_administrator = update.is_administrator.unwrap_or(row.is_administrator);
    row.is_verified_publisher = update.is_verified_publisher.unwrap_or(row.is_verified_publisher);
    row.quota = update.quota.unwrap_or(row.quota);
    row.is_disabled = update.is_disabled.unwrap_or(row.is_disabled);
    if row.is_disabled && !old.is_disabled {
        row.generation += 1;
    }
    Ok(row)
}

/// What changed, without what is nobody's business.
fn differences(old: &AccountRow, new: &AccountRow) -> serde_json::Value {
    let shown = |row: &AccountRow| {
        [
            ("full_name", json!(row.full_name)),
            ("description", json!(row.description)),
            ("link", json!(row.link)),
            ("location", json!(row.location)),
            ("private_by_default", json!(row.private_by_default)),
            ("is_disabled", json!(row.is_disabled)),
            ("is_administrator", json!(row.is_administrator)),
            ("is_verified_publisher", json!(row.is_verified_publisher)),
            ("quota", json!(row.quota)),
        ]
    };
    let changed = shown(old).into_iter().zip(shown(new)).filter(|(old, new)| old != new);
    changed.map(|(_, (name, value))| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_components_of_repositories() {
        for (written, expected) in [("bob", "bob"), ("Bob", "bob"), ("a-b.c_d", "a-b.c_d"), ("42", "42")] {
            assert_eq!(checked_name(written).unwrap(), expected);
        }
        for written in ["", "a", "a/b", "-ab", "ab-", "a b", "ä1", "a..b", "../..", "a\0b", &"a".repeat(65)] {
            assert!(matches!(checked_name(written), Err(HubError::Invalid { .. })), "{written}");
        }
        for reserved in ["admin", "library", "v2", "repositories", "access-tokens"] {
            assert!(unreserved(reserved.to_owned()).is_err());
        }
    }

    #[test]
    fn addresses_are_roughly_addresses() {
        assert_eq!(checked_email(" Ann@Example.org ".into()).unwrap(), Some("ann@example.org".into()));
        assert_eq!(checked_email(String::new()).unwrap(), None);
        for text in ["ann", "@example.org", "ann@", "a b@c", "a@b\nc"] {
            assert!(checked_email(text.into()).is_err(), "{text}");
        }
    }
}
