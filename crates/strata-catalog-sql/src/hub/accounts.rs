//! SQL of the records of accounts, organizations, teams, roles, tokens, signing keys, failed sign-ins, and the audit log.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{params, params_from_iter};
use strata_hub::records::{
    AccessTokenRow, AccountChanges, AccountKind, AccountRow, AccountRows, AuditFilter, AuditRow, GrantRow, Grantee,
    MemberRole, MemberRow, RefreshTokenRow, Role, SignInFailuresRow, SigningKeyRow, TeamRow, TokenReach, TokenScope,
};
use strata_store::Result;

use super::clauses::{Conditions, containing};
use crate::dialect::sqlite::{Row, Session};
use crate::objects::integer;
use crate::transaction::Transaction;

const ACCOUNTS: &str = "SELECT name, kind, full_name, email, created, disabled, administrator, verified_publisher,
    private_by_default, quota, password, password_is_one_time, generation, description, link, location FROM accounts";
const MEMBERS: &str = "SELECT organization, account, role, added FROM members";
const TEAMS: &str = "SELECT organization, name, description, created FROM teams";
const TEAM_GRANTS: &str = "SELECT repository, organization, team, role FROM team_grants";
const ACCESS_TOKENS: &str = "SELECT id, owner, label, description, secret, scope, created_by, created, creator_address,
    creator_agent, expires, last_used, active FROM access_tokens";

fn kind(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::User => "user",
        AccountKind::Organization => "organization",
    }
}

fn parse_kind(text: &str) -> Option<AccountKind> {
    [AccountKind::User, AccountKind::Organization].into_iter().find(|&known| kind(known) == text)
}

fn account(row: &Row<'_>) -> Result<AccountRow> {
    Ok(AccountRow {
        name: row.get(0)?,
        kind: row.parsed(1, parse_kind)?,
        full_name: row.get(2)?,
        email: row.get(3)?,
        created: row.get(4)?,
        is_disabled: row.get(5)?,
        is_administrator: row.get(6)?,
        is_verified_publisher: row.get(7)?,
        private_by_default: row.get(8)?,
        quota: row.get::<Option<i64>>(9)?.map(|quota| u64::try_from(quota).unwrap_or(0)),
        password: row.get(10)?,
        password_is_one_time: row.get(11)?,
        generation: row.get(12)?,
        description: row.get(13)?,
        link: row.get(14)?,
        location: row.get(15)?,
    })
}

fn member(row: &Row<'_>) -> Result<MemberRow> {
    Ok(MemberRow {
        organization: row.get(0)?,
        account: row.get(1)?,
        role: row.parsed(2, MemberRole::parse)?,
        added: row.get(3)?,
    })
}

fn team(row: &Row<'_>) -> Result<TeamRow> {
    Ok(TeamRow { organization: row.get(0)?, name: row.get(1)?, description: row.get(2)?, created: row.get(3)? })
}

fn team_grant(row: &Row<'_>) -> Result<GrantRow> {
    let grantee = Grantee::Team { organization: row.get(1)?, team: row.get(2)? };
    Ok(GrantRow { repository: row.get(0)?, grantee, role: row.parsed(3, Role::parse)? })
}

/// Reads a token; of a robot's, without its repositories.
fn access_token(row: &Row<'_>) -> Result<AccessTokenRow> {
    let reach = match row.get::<Option<String>>(5)? {
        Some(_) => TokenReach::Personal(row.parsed(5, TokenScope::parse)?),
        None => TokenReach::Robot(Vec::new()),
    };
    Ok(AccessTokenRow {
        id: row.get(0)?,
        owner: row.get(1)?,
        label: row.get(2)?,
        description: row.get(3)?,
        secret: row.get(4)?,
        reach,
        created_by: row.get(6)?,
        created: row.get(7)?,
        creator_address: row.get(8)?,
        creator_agent: row.get(9)?,
        expires: row.get(10)?,
        last_used: row.get(11)?,
        is_active: row.get(12)?,
    })
}

fn audit_entry(row: &Row<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get(0)?,
        time: row.get(1)?,
        account: row.get(2)?,
        actor: row.get(3)?,
        action: row.get(4)?,
        name: row.get(5)?,
        data: row.get(6)?,
        address: row.get(7)?,
    })
}

/// The access tokens of a query, complete.
fn access_tokens(session: &Session, condition: &str, parameter: &str) -> Result<Vec<AccessTokenRow>> {
    let mut tokens = session.rows(&format!("{ACCESS_TOKENS} {condition}"), [parameter], access_token)?;
    for token in &mut tokens {
        if let TokenReach::Robot(repositories) = &mut token.reach {
            let sql = "SELECT repository, role FROM access_token_repositories WHERE token = ?1 ORDER BY repository";
            *repositories = session.rows(sql, [&token.id], |row| Ok((row.get(0)?, row.parsed(1, Role::parse)?)))?;
        }
    }
    Ok(tokens)
}

fn audit_conditions(filter: &AuditFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if !filter.account.is_empty() {
        conditions.and_with("account = ?", [filter.account.clone()]);
    }
    if let Some(action) = &filter.action {
        // A group is what stands before the dot; '/' is the character after it.
        conditions.and_with(
            "(action = ? OR (action >= ? AND action < ?))",
            [action.clone(), format!("{action}."), format!("{action}/")],
        );
    }
    let texts = [("name = ?", &filter.name), ("actor = ?", &filter.actor)];
    for (condition, value) in texts {
        if let Some(value) = value {
            conditions.and_with(condition, [value.clone()]);
        }
    }
    for (condition, value) in [("time >= ?", filter.from), ("time <= ?", filter.to)] {
        if let Some(value) = value {
            conditions.and_with(condition, [value]);
        }
    }
    conditions
}

#[async_trait]
impl AccountRows for Transaction {
    async fn account(&self, name: &str) -> Result<Option<AccountRow>> {
        self.session().row(&format!("{ACCOUNTS} WHERE name = ?1"), [name], account)
    }

    async fn accounts_after(&self, name: &str, limit: usize) -> Result<Vec<AccountRow>> {
        let sql = format!("{ACCOUNTS} WHERE name > ?1 ORDER BY name LIMIT ?2");
        self.session().rows(&sql, params![name, integer(limit as u64)], account)
    }

    async fn accounts_containing(&self, text: &str, after: &str, limit: usize) -> Result<Vec<AccountRow>> {
        let sql = format!(
            "{ACCOUNTS} WHERE name > ?1 AND (name LIKE ?2 ESCAPE '\\' OR full_name LIKE ?2 ESCAPE '\\'
             OR email LIKE ?2 ESCAPE '\\') ORDER BY name LIMIT ?3"
        );
        self.session().rows(&sql, params![after, containing(text), integer(limit as u64)], account)
    }

    async fn verified_publishers(&self, limit: usize) -> Result<Vec<AccountRow>> {
        let sql = format!("{ACCOUNTS} WHERE verified_publisher = 1 AND disabled = 0 ORDER BY name LIMIT ?1");
        self.session().rows(&sql, [integer(limit as u64)], account)
    }

    async fn account_with_email(&self, email: &str) -> Result<Option<AccountRow>> {
        self.session().row(&format!("{ACCOUNTS} WHERE email = ?1"), [email], account)
    }

    async fn member(&self, organization: &str, account: &str) -> Result<Option<MemberRow>> {
        let sql = format!("{MEMBERS} WHERE organization = ?1 AND account = ?2");
        self.session().row(&sql, [organization, account], member)
    }

    async fn members(&self, organization: &str) -> Result<Vec<MemberRow>> {
        self.session().rows(&format!("{MEMBERS} WHERE organization = ?1 ORDER BY account"), [organization], member)
    }

    async fn member_accounts(&self, organization: &str) -> Result<Vec<AccountRow>> {
        let sql =
            format!("{ACCOUNTS} WHERE name IN (SELECT account FROM members WHERE organization = ?1) ORDER BY name");
        self.session().rows(&sql, [organization], account)
    }

    async fn team_places(&self, organization: &str) -> Result<Vec<(String, String)>> {
        let sql = "SELECT account, team FROM team_members WHERE organization = ?1 ORDER BY account, team";
        self.session().rows(sql, [organization], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    async fn memberships(&self, account: &str) -> Result<Vec<MemberRow>> {
        self.session().rows(&format!("{MEMBERS} WHERE account = ?1 ORDER BY organization"), [account], member)
    }

    async fn team(&self, organization: &str, name: &str) -> Result<Option<TeamRow>> {
        self.session().row(&format!("{TEAMS} WHERE organization = ?1 AND name = ?2"), [organization, name], team)
    }

    async fn teams(&self, organization: &str) -> Result<Vec<TeamRow>> {
        self.session().rows(&format!("{TEAMS} WHERE organization = ?1 ORDER BY name"), [organization], team)
    }

    async fn team_members(&self, organization: &str, team: &str) -> Result<Vec<String>> {
        let sql = "SELECT account FROM team_members WHERE organization = ?1 AND team = ?2 ORDER BY account";
        self.session().rows(sql, [organization, team], |row| row.get(0))
    }

    async fn grants_on(&self, repository: &str) -> Result<Vec<GrantRow>> {
        let session = self.session();
        let sql = format!("{TEAM_GRANTS} WHERE repository = ?1 ORDER BY organization, team");
        let mut grants = session.rows(&sql, [repository], team_grant)?;
        let sql = "SELECT repository, account, role FROM user_grants WHERE repository = ?1 ORDER BY account";
        grants.extend(session.rows(sql, [repository], |row| {
            let grantee = Grantee::User(row.get(1)?);
            Ok(GrantRow { repository: row.get(0)?, grantee, role: row.parsed(2, Role::parse)? })
        })?);
        Ok(grants)
    }

    async fn grants_of_team(&self, organization: &str, team: &str) -> Result<Vec<GrantRow>> {
        let sql = format!("{TEAM_GRANTS} WHERE organization = ?1 AND team = ?2 ORDER BY repository");
        self.session().rows(&sql, [organization, team], team_grant)
    }

    async fn grants_of_user(&self, account: &str) -> Result<Vec<(String, Role)>> {
        let sql = "SELECT repository, role FROM user_grants WHERE account = ?1
                   UNION SELECT g.repository, g.role FROM team_grants g
                   JOIN team_members m ON m.organization = g.organization AND m.team = g.team WHERE m.account = ?1";
        let grants = self.session().rows(sql, [account], |row| Ok((row.get(0)?, row.parsed(1, Role::parse)?)))?;
        let mut highest = BTreeMap::new();
        for (repository, role) in grants {
            let known = highest.entry(repository).or_insert(role);
            *known = role.max(*known);
        }
        Ok(highest.into_iter().collect())
    }

    async fn access_token(&self, id: &str) -> Result<Option<AccessTokenRow>> {
        Ok(access_tokens(&self.session(), "WHERE id = ?1", id)?.pop())
    }

    async fn access_token_by_secret(&self, secret: &str) -> Result<Option<AccessTokenRow>> {
        Ok(access_tokens(&self.session(), "WHERE secret = ?1", secret)?.pop())
    }

    async fn access_tokens(&self, owner: &str) -> Result<Vec<AccessTokenRow>> {
        access_tokens(&self.session(), "WHERE owner = ?1 ORDER BY created DESC, id", owner)
    }

    async fn refresh_token(&self, secret: &str) -> Result<Option<RefreshTokenRow>> {
        let sql = "SELECT secret, account, access_token, generation, client, created, expires
                   FROM refresh_tokens WHERE secret = ?1";
        self.session().row(sql, [secret], |row| {
            Ok(RefreshTokenRow {
                secret: row.get(0)?,
                account: row.get(1)?,
                access_token: row.get(2)?,
                generation: row.get(3)?,
                client: row.get(4)?,
                created: row.get(5)?,
                expires: row.get(6)?,
            })
        })
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        self.session().rows("SELECT id, pkcs8, created FROM signing_keys ORDER BY created DESC, id", [], |row| {
            Ok(SigningKeyRow { id: row.get(0)?, pkcs8: row.get(1)?, created: row.get(2)? })
        })
    }

    async fn sign_in_failures(&self, subject: &str) -> Result<Option<SignInFailuresRow>> {
        let sql = "SELECT subject, failures, last FROM sign_in_failures WHERE subject = ?1";
        self.session().row(sql, [subject], |row| {
            Ok(SignInFailuresRow { subject: row.get(0)?, failures: row.get(1)?, last: row.get(2)? })
        })
    }

    async fn audit_entries(&self, filter: &AuditFilter) -> Result<(u64, Vec<AuditRow>)> {
        let session = self.session();
        let (clause, parameters) = audit_conditions(filter).finish();
        let sql = format!("SELECT COUNT(*) FROM audit_log{clause}");
        let count = session.row(&sql, params_from_iter(parameters), |row| row.size(0))?.unwrap_or(0);

        let mut conditions = audit_conditions(filter);
        conditions.parameter(integer(filter.limit));
        conditions.parameter(integer(filter.skip));
        let (clause, parameters) = conditions.finish();
        let sql = format!(
            "SELECT sequence, time, account, actor, action, name, data, address FROM audit_log{clause}
             ORDER BY sequence DESC LIMIT ? OFFSET ?"
        );
        Ok((count, session.rows(&sql, params_from_iter(parameters), audit_entry)?))
    }
}

#[async_trait]
impl AccountChanges for Transaction {
    async fn put_account(&mut self, row: &AccountRow) -> Result<()> {
        let sql = "INSERT INTO accounts (name, kind, full_name, email, created, disabled, administrator,
                       verified_publisher, private_by_default, quota, password, password_is_one_time, generation,
                       description, link, location)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                   ON CONFLICT (name) DO UPDATE SET full_name = excluded.full_name, email = excluded.email,
                       disabled = excluded.disabled, administrator = excluded.administrator,
                       verified_publisher = excluded.verified_publisher, password = excluded.password,
                       private_by_default = excluded.private_by_default, quota = excluded.quota,
                       password_is_one_time = excluded.password_is_one_time, generation = excluded.generation,
                       description = excluded.description, link = excluded.link, location = excluded.location";
        let parameters = params![
            row.name,
            kind(row.kind),
            row.full_name,
            row.email,
            row.created,
            row.is_disabled,
            row.is_administrator,
            row.is_verified_publisher,
            row.private_by_default,
            row.quota.map(integer),
            row.password,
            row.password_is_one_time,
            row.generation,
            row.description,
            row.link,
            row.location,
        ];
        self.session().execute(sql, parameters).map(drop)
    }

    async fn put_member(&mut self, row: &MemberRow) -> Result<()> {
        let sql = "INSERT INTO members (organization, account, role, added) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (organization, account) DO UPDATE SET role = excluded.role";
        self.session().execute(sql, params![row.organization, row.account, row.role.as_str(), row.added]).map(drop)
    }

    async fn delete_member(&mut self, organization: &str, account: &str) -> Result<bool> {
        let sql = "DELETE FROM members WHERE organization = ?1 AND account = ?2";
        Ok(self.session().execute(sql, [organization, account])? > 0)
    }

    async fn put_team(&mut self, row: &TeamRow) -> Result<()> {
        let sql = "INSERT INTO teams (organization, name, description, created) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (organization, name) DO UPDATE SET description = excluded.description";
        self.session().execute(sql, params![row.organization, row.name, row.description, row.created]).map(drop)
    }

    async fn delete_team(&mut self, organization: &str, team: &str) -> Result<bool> {
        let sql = "DELETE FROM teams WHERE organization = ?1 AND name = ?2";
        Ok(self.session().execute(sql, [organization, team])? > 0)
    }

    async fn put_team_member(&mut self, organization: &str, team: &str, account: &str) -> Result<()> {
        let sql = "INSERT INTO team_members (organization, team, account) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.session().execute(sql, [organization, team, account]).map(drop)
    }

    async fn delete_team_member(&mut self, organization: &str, team: &str, account: &str) -> Result<bool> {
        let sql = "DELETE FROM team_members WHERE organization = ?1 AND team = ?2 AND account = ?3";
        Ok(self.session().execute(sql, [organization, team, account])? > 0)
    }

    async fn put_grant(&mut self, row: &GrantRow) -> Result<()> {
        let (repository, role) = (&row.repository, row.role.as_str());
        match &row.grantee {
            Grantee::Team { organization, team } => self.session().execute(
                "INSERT INTO team_grants (repository, organization, team, role) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (repository, organization, team) DO UPDATE SET role = excluded.role",
                params![repository, organization, team, role],
            ),
            Grantee::User(account) => self.session().execute(
                "INSERT INTO user_grants (repository, account, role) VALUES (?1, ?2, ?3)
                 ON CONFLICT (repository, account) DO UPDATE SET role = excluded.role",
                params![repository, account, role],
            ),
        }
        .map(drop)
    }

    async fn delete_grant(&mut self, repository: &str, grantee: &Grantee) -> Result<bool> {
        let deleted = match grantee {
            Grantee::Team { organization, team } => self.session().execute(
                "DELETE FROM team_grants WHERE repository = ?1 AND organization = ?2 AND team = ?3",
                [repository, organization, team],
            )?,
            Grantee::User(account) => self
                .session()
                .execute("DELETE FROM user_grants WHERE repository = ?1 AND account = ?2", [repository, account])?,
        };
        Ok(deleted > 0)
    }

    async fn delete_grants_on(&mut self, repository: &str) -> Result<()> {
        let session = self.session();
        session.execute("DELETE FROM team_grants WHERE repository = ?1", [repository])?;
        session.execute("DELETE FROM user_grants WHERE repository = ?1", [repository]).map(drop)
    }

    async fn put_access_token(&mut self, row: &AccessTokenRow) -> Result<()> {
        let (scope, repositories) = match &row.reach {
            TokenReach::Personal(scope) => (Some(scope.as_str()), [].as_slice()),
            TokenReach::Robot(repositories) => (None, repositories.as_slice()),
        };
        let sql = "INSERT INTO access_tokens (id, owner, label, description, secret, scope, created_by, created,
                       creator_address, creator_agent, expires, last_used, active)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                   ON CONFLICT (id) DO UPDATE SET label = excluded.label, description = excluded.description,
                       scope = excluded.scope, expires = excluded.expires, active = excluded.active";
        let parameters = params![
            row.id,
            row.owner,
            row.label,
            row.description,
            row.secret,
            scope,
            row.created_by,
            row.created,
            row.creator_address,
            row.creator_agent,
            row.expires,
            row.last_used,
            row.is_active,
        ];
        let session = self.session();
        session.execute(sql, parameters)?;
        session.execute("DELETE FROM access_token_repositories WHERE token = ?1", [&row.id])?;
        for (repository, role) in repositories {
            let sql = "INSERT INTO access_token_repositories (token, repository, role) VALUES (?1, ?2, ?3)";
            session.execute(sql, params![row.id, repository, role.as_str()])?;
        }
        Ok(())
    }

    async fn delete_access_token(&mut self, id: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM access_tokens WHERE id = ?1", [id])? > 0)
    }

    async fn touch_access_tokens(&mut self, used: &[(String, i64)]) -> Result<()> {
        let session = self.session();
        for (id, time) in used {
            session.execute(
                "UPDATE access_tokens SET last_used = ?2 WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2)",
                params![id, time],
            )?;
        }
        Ok(())
    }

    async fn insert_refresh_token(&mut self, row: &RefreshTokenRow) -> Result<()> {
        let sql = "INSERT INTO refresh_tokens (secret, account, access_token, generation, client, created, expires)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let parameters =
            params![row.secret, row.account, row.access_token, row.generation, row.client, row.created, row.expires,];
        self.session().execute(sql, parameters).map(drop)
    }

    async fn delete_refresh_token(&mut self, secret: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM refresh_tokens WHERE secret = ?1", [secret])? > 0)
    }

    async fn delete_refresh_tokens_of(&mut self, account: &str) -> Result<()> {
        let sql = "DELETE FROM refresh_tokens WHERE account = ?1 AND access_token IS NULL";
        self.session().execute(sql, [account]).map(drop)
    }

    async fn delete_expired_refresh_tokens(&mut self, now: i64) -> Result<()> {
        self.session().execute("DELETE FROM refresh_tokens WHERE expires <= ?1", [now]).map(drop)
    }

    async fn insert_signing_key(&mut self, row: &SigningKeyRow) -> Result<()> {
        let sql = "INSERT INTO signing_keys (id, pkcs8, created) VALUES (?1, ?2, ?3)";
        self.session().execute(sql, params![row.id, row.pkcs8, row.created]).map(drop)
    }

    async fn delete_signing_key(&mut self, id: &str) -> Result<()> {
        self.session().execute("DELETE FROM signing_keys WHERE id = ?1", [id]).map(drop)
    }

    async fn put_sign_in_failures(&mut self, row: &SignInFailuresRow) -> Result<()> {
        let sql = "INSERT INTO sign_in_failures (subject, failures, last) VALUES (?1, ?2, ?3)
                   ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last = excluded.last";
        self.session().execute(sql, params![row.subject, row.failures, row.last]).map(drop)
    }

    async fn delete_sign_in_failures(&mut self, subject: &str) -> Result<()> {
        self.session().execute("DELETE FROM sign_in_failures WHERE subject = ?1", [subject]).map(drop)
    }

    async fn prune_sign_in_failures(&mut self, before: i64) -> Result<()> {
        self.session().execute("DELETE FROM sign_in_failures WHERE last < ?1", [before]).map(drop)
    }

    async fn append_audit(&mut self, row: &AuditRow) -> Result<()> {
        let sql = "INSERT INTO audit_log (time, account, actor, action, name, data, address)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let parameters = params![row.time, row.account, row.actor, row.action, row.name, row.data, row.address];
        self.session().execute(sql, parameters).map(drop)
    }

    async fn prune_audit(&mut self, before: i64) -> Result<u64> {
        Ok(self.session().execute("DELETE FROM audit_log WHERE time < ?1", [before])? as u64)
    }
}
