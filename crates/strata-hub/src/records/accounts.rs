//! Records of accounts, organizations, teams, roles, tokens, signing keys, failed sign-ins, and the audit log.
//!
//! Accounts are keyed by their names, which never change and are never given away again. Of secrets only hashes are kept,
//! except for signing keys, without which replicas could not share them.

use async_trait::async_trait;
use strata_store::Result;

/// What somebody may do with a repository; each role includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See and pull.
    Read,
    /// Push.
    Write,
    /// Delete, describe, and give roles to others.
    Admin,
}

impl Role {
    /// `read`, `write`, `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn parse(text: &str) -> Option<Role> {
        [Role::Read, Role::Write, Role::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A person, who signs in.
    User,
    /// A namespace with members, which does not sign in.
    Organization,
}

/// An account: a person or an organization, and the namespace of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its name, for ever.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// What people read instead of the name; may be empty.
    pub full_name: String,
    /// What it says of itself: text, never markup; may be empty.
    pub description: String,
    /// Where more is said of it: an address of the web, or empty.
    pub link: String,
    /// Where it is, in its own words; may be empty.
    pub location: String,
    /// Where to write to, if known.
    pub email: Option<String>,
    /// When it was made.
    pub created: i64,
    /// Whether it may neither sign in nor do anything by tokens.
    pub is_disabled: bool,
    /// Whether it may do everything on this hub.
    pub is_administrator: bool,
    /// Whether an administrator vouches for it (badge "verified publisher").
    pub is_verified_publisher: bool,
    /// Whether repositories that a push makes are private.
    pub private_by_default: bool,
    /// Most bytes that its namespace may hold; `None` without a limit.
    pub quota: Option<u64>,
    /// Argon2id, in PHC form. Organizations have none.
    pub password: Option<String>,
    /// Whether the password is good for nothing but choosing another one.
    pub password_is_one_time: bool,
    /// Grows when the password changes or sessions are ended: what was signed before is not valid any more.
    pub generation: i64,
}

/// What a member may do in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberRole {
    /// What its teams may.
    Member,
    /// Everything, also in all repositories.
    Owner,
}

impl MemberRole {
    /// `member`, `owner`.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberRole::Member => "member",
            MemberRole::Owner => "owner",
        }
    }

    /// The role with this name.
    pub fn parse(text: &str) -> Option<MemberRole> {
        [MemberRole::Member, MemberRole::Owner].into_iter().find(|role| role.as_str() == text)
    }
}

/// A user in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The organization.
    pub organization: String,
    /// The user.
    pub account: String,
    /// What the user may do in it.
    pub role: MemberRole,
    /// Since when.
    pub added: i64,
}

/// Some members of an organization who get roles together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamRow {
    /// The organization.
    pub organization: String,
    /// Its name within the organization.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created: i64,
}

/// Who was given a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// A team of an organization.
    Team {
        /// The organization.
        organization: String,
        /// The team's name.
        team: String,
    },
    /// A user.
    User(String),
}

/// A role on one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// The repository's full name; it need not exist yet.
    pub repository: String,
    /// Who has it.
    pub grantee: Grantee,
    /// What it is.
    pub role: Role,
}

/// What a personal access token may do of what its owner may; each scope includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    /// Pull from public repositories.
    PublicRead,
    /// Pull.
    Read,
    /// Push.
    Write,
    /// All that concerns repositories.
    Admin,
}

impl TokenScope {
    /// `repo:public_read`, `repo:read`, `repo:write`, `repo:admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenScope::PublicRead => "repo:public_read",
            TokenScope::Read => "repo:read",
            TokenScope::Write => "repo:write",
            TokenScope::Admin => "repo:admin",
        }
    }

    /// The scope with this name.
    pub fn parse(text: &str) -> Option<TokenScope> {
        [TokenScope::PublicRead, TokenScope::Read, TokenScope::Write, TokenScope::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// What an access token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenReach {
    /// A person's: the person's roles, up to this scope.
    Personal(TokenScope),
    /// An organization's, for robots: these roles on these repositories. A name may end in `/*`.
    Robot(Vec<(String, Role)>),
}

/// An access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenRow {
    /// A UUID.
    pub id: String,
    /// The user or organization whose it is.
    pub owner: String,
    /// What its maker calls it; unique among an organization's.
    pub label: String,
    /// What it is for, in the words of its maker.
    pub description: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub secret: String,
    /// What it may do.
    pub reach: TokenReach,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created: i64,
    /// From which address.
    pub creator_address: String,
    /// With which program.
    pub creator_agent: String,
    /// When it ends; `None` for never.
    pub expires: Option<i64>,
    /// When it was last used, up to a minute late.
    pub last_used: Option<i64>,
    /// Whether it may be used.
    pub is_active: bool,
}

/// A token with which a client gets registry tokens without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshTokenRow {
    /// SHA-256 of the secret, in hexadecimal.
    pub secret: String,
    /// Whom it stands for.
    pub account: String,
    /// The access token that it was got with, and with which it ends; `None` if it was a password.
    pub access_token: Option<String>,
    /// The account's generation then.
    pub generation: i64,
    /// What the client calls itself.
    pub client: String,
    /// When it was made.
    pub created: i64,
    /// When it ends.
    pub expires: i64,
}

/// A key that signs tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its ID (`kid`), made from the public key.
    pub id: String,
    /// PKCS#8 with the private key.
    pub pkcs8: Vec<u8>,
    /// When it was made. The newest one signs.
    pub created: i64,
}

/// Sign-ins that failed of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInFailuresRow {
    /// An account or an address.
    pub subject: String,
    /// How many in a row.
    pub failures: u32,
    /// When the last one was.
    pub last: i64,
}

/// Something that was done, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, given by [`AccountChanges::append_audit`].
    pub sequence: i64,
    /// When.
    pub time: i64,
    /// The account that it concerns.
    pub account: String,
    /// Who did it; empty for nobody known.
    pub actor: String,
    /// What: `group.name`, as `repo.delete`.
    pub action: String,
    /// To what.
    pub name: String,
    /// More, as a JSON object.
    pub data: String,
    /// From which address; may be empty.
    pub address: String,
}

/// Which entries of the audit log.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// The account concerned; empty for all.
    pub account: String,
    /// Only this action, or actions of this group.
    pub action: Option<String>,
    /// Only what was done to this.
    pub name: Option<String>,
    /// Only what this account did.
    pub actor: Option<String>,
    /// Not before.
    pub from: Option<i64>,
    /// Not after.
    pub to: Option<i64>,
    /// How many to pass over.
    pub skip: u64,
    /// How many at most.
    pub limit: u64,
}

/// Queries.
#[async_trait]
pub trait AccountRows: Send + Sync {
    /// An account.
    async fn account(&self, name: &str) -> Result<Option<AccountRow>>;
    /// Accounts after this name, by name, at most `limit`.
    async fn accounts_after(&self, name: &str, limit: usize) -> Result<Vec<AccountRow>>;
    /// Accounts whose name, full name or address contains a text, by name, after this one, at most `limit`.
    async fn accounts_containing(&self, text: &str, after: &str, limit: usize) -> Result<Vec<AccountRow>>;
    /// Accounts that are verified publishers and not disabled, by name, at most `limit`.
    async fn verified_publishers(&self, limit: usize) -> Result<Vec<AccountRow>>;
    /// The user with this address.
    async fn account_with_email(&self, email: &str) -> Result<Option<AccountRow>>;
    /// A user's place in an organization.
    async fn member(&self, organization: &str, account: &str) -> Result<Option<MemberRow>>;
    /// An organization's members, by name.
    async fn members(&self, organization: &str) -> Result<Vec<MemberRow>>;
    /// The accounts of an organization's members, by name.
    async fn member_accounts(&self, organization: &str) -> Result<Vec<AccountRow>>;
    /// Who is in which team of an organization: member and team, by both.
    async fn team_places(&self, organization: &str) -> Result<Vec<(String, String)>>;
    /// The organizations of a user, by name.
    async fn memberships(&self, account: &str) -> Result<Vec<MemberRow>>;
    /// A team.
    async fn team(&self, organization: &str, team: &str) -> Result<Option<TeamRow>>;
    /// An organization's teams, by name.
    async fn teams(&self, organization: &str) -> Result<Vec<TeamRow>>;
    /// The members of a team, by name.
    async fn team_members(&self, organization: &str, team: &str) -> Result<Vec<String>>;
    /// Who has which role on a repository by grant.
    async fn grants_on(&self, repository: &str) -> Result<Vec<GrantRow>>;
    /// The roles that a team has by grant, by repository.
    async fn grants_of_team(&self, organization: &str, team: &str) -> Result<Vec<GrantRow>>;
    /// The highest role that a user has by grant on each repository, its own and those of its teams.
    async fn grants_of_user(&self, account: &str) -> Result<Vec<(String, Role)>>;
    /// An access token.
    async fn access_token(&self, id: &str) -> Result<Option<AccessTokenRow>>;
    /// The access token whose secret has this hash.
    async fn access_token_by_secret(&self, secret: &str) -> Result<Option<AccessTokenRow>>;
    /// An account's access tokens, newest first.
    async fn access_tokens(&self, owner: &str) -> Result<Vec<AccessTokenRow>>;
    /// The refresh token whose secret has this hash.
    async fn refresh_token(&self, secret: &str) -> Result<Option<RefreshTokenRow>>;
    /// All signing keys, newest first.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>>;
    /// Failed sign-ins of an account or address.
    async fn sign_in_failures(&self, subject: &str) -> Result<Option<SignInFailuresRow>>;
    /// Entries of the audit log, newest first, and how many there are without `skip` and `limit`.
    async fn audit_entries(&self, filter: &AuditFilter) -> Result<(u64, Vec<AuditRow>)>;
}

/// Changes.
#[async_trait]
pub trait AccountChanges: AccountRows {
    /// Adds or replaces an account.
    async fn put_account(&mut self, row: &AccountRow) -> Result<()>;
    /// Adds a member or changes its role.
    async fn put_member(&mut self, row: &MemberRow) -> Result<()>;
    /// Removes a member, also from the teams; `false` when it was none.
    async fn delete_member(&mut self, organization: &str, account: &str) -> Result<bool>;
    /// Adds a team or changes its description.
    async fn put_team(&mut self, row: &TeamRow) -> Result<()>;
    /// Removes a team with its grants; `false` when it was not there.
    async fn delete_team(&mut self, organization: &str, team: &str) -> Result<bool>;
    /// Adds a member of the organization to a team.
    async fn put_team_member(&mut self, organization: &str, team: &str, account: &str) -> Result<()>;
    /// Removes a member from a team; `false` when it was not in it.
    async fn delete_team_member(&mut self, organization: &str, team: &str, account: &str) -> Result<bool>;
    /// Gives a role, instead of the one that was given before.
    async fn put_grant(&mut self, row: &GrantRow) -> Result<()>;
    /// Takes a role away; `false` when none was given.
    async fn delete_grant(&mut self, repository: &str, grantee: &Grantee) -> Result<bool>;
    /// Takes all roles on a repository away.
    async fn delete_grants_on(&mut self, repository: &str) -> Result<()>;
    /// Adds or replaces an access token.
    async fn put_access_token(&mut self, row: &AccessTokenRow) -> Result<()>;
    /// Removes an access token and the refresh tokens that were got with it; `false` when it was not there.
    async fn delete_access_token(&mut self, id: &str) -> Result<bool>;
    /// Notes when access tokens were last used.
    async fn touch_access_tokens(&mut self, used: &[(String, i64)]) -> Result<()>;
    /// Adds a refresh token.
    async fn insert_refresh_token(&mut self, row: &RefreshTokenRow) -> Result<()>;
    /// Removes a refresh token; `false` when it was not there.
    async fn delete_refresh_token(&mut self, secret: &str) -> Result<bool>;
    /// Removes all refresh tokens of an account, but for those of its access tokens.
    async fn delete_refresh_tokens_of(&mut self, account: &str) -> Result<()>;
    /// Removes refresh tokens that ended before this time.
    async fn delete_expired_refresh_tokens(&mut self, now: i64) -> Result<()>;
    /// Adds a signing key.
    async fn insert_signing_key(&mut self, row: &SigningKeyRow) -> Result<()>;
    /// Removes signing keys.
    async fn delete_signing_key(&mut self, id: &str) -> Result<()>;
    /// Notes failed sign-ins.
    async fn put_sign_in_failures(&mut self, row: &SignInFailuresRow) -> Result<()>;
    /// Forgets the failed sign-ins of an account or address.
    async fn delete_sign_in_failures(&mut self, subject: &str) -> Result<()>;
    /// Forgets failed sign-ins before this time.
    async fn prune_sign_in_failures(&mut self, before: i64) -> Result<()>;
    /// Adds an entry to the audit log; its number is given here.
    async fn append_audit(&mut self, row: &AuditRow) -> Result<()>;
    /// Forgets entries of the audit log before this time.
    async fn prune_audit(&mut self, before: i64) -> Result<u64>;
}
