//! Tokens for the registry: what a client asks for, cut down to what it may (Docker's token authentication).

use std::net::IpAddr;

use strata_model::Repository;

use crate::jwt::{AccessEntry, Claims, SessionClaim};
use crate::records::{RefreshTokenRow, Role, TokenScope};
use crate::roles::{Reach, role_on};
use crate::{Credential, Hub, HubError, HubRead, Identity, Result, secrets};

/// Scopes that one request may ask for.
const MOST_SCOPES: usize = 64;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What a client asks of the token server.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// `repository:ns/app:pull,push`, each perhaps several with blanks between them.
    pub scopes: Vec<String>,
    /// The registry that it is for: this host, as the client addresses it.
    pub audience: String,
    /// What the client calls itself.
    pub client: String,
    /// Whether a refresh token is wanted too.
    pub offline: bool,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub struct RegistryToken {
    /// The signed token.
    pub token: String,
    /// What it allows, as scopes with blanks between them.
    pub scope: String,
    /// Its lifetime in seconds.
    pub expires_in: u32,
    /// When it was signed, in nanoseconds since 1970.
    pub issued: i64,
    /// The refresh token, if one was wanted and somebody is signed in.
    pub refresh_token: Option<String>,
}

/// `type:name:action,…`.
#[derive(Debug, PartialEq, Eq)]
struct Scope<'a> {
    kind: &'a str,
    name: &'a str,
    actions: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    /// The name may itself have a colon (a host's port), so it is what stands between the first and the last one.
    fn parse(text: &'a str) -> Option<Scope<'a>> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        // `repository(plugin)`: a class, which changes nothing.
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        Some(Scope { kind, name, actions: actions.split(',').filter(|action| !action.is_empty()).collect() })
    }

    /// What of it is allowed; `None` for nothing.
    fn granted(&self, allowed: &[&str]) -> Option<AccessEntry> {
        let asks = |action: &str| self.actions.iter().any(|asked| *asked == action || *asked == "*");
        let actions: Vec<_> = allowed.iter().filter(|action| asks(action)).map(|action| (*action).to_owned()).collect();
        (!actions.is_empty()).then(|| AccessEntry { kind: self.kind.into(), name: self.name.into(), actions })
    }
}

/// What a role allows in the registry.
fn actions(role: Option<Role>) -> &'static [&'static str] {
    match role {
        None => &[],
        Some(Role::Read) => &["pull"],
        Some(Role::Write) => &["pull", "push"],
        Some(Role::Admin) => &["pull", "push", "delete"],
    }
}

/// Whether somebody may list repositories by the registry: everybody sees those that are public, and whoever shows a token for
/// these alone must not see more.
pub(crate) fn may_list(identity: Option<&Identity>) -> bool {
    let credential = identity.map(|identity| &identity.credential);
    !matches!(credential, Some(Credential::Personal { scope: TokenScope::PublicRead, .. }))
}

async fn granted(
    txn: &dyn HubRead,
    identity: Option<&Identity>,
    reach: &Reach,
    scope: &Scope<'_>,
) -> Result<Option<AccessEntry>> {
    match scope.kind {
        "repository" if scope.name.parse::<Repository>().is_ok() => {
            Ok(scope.granted(actions(role_on(txn, reach, scope.name).await?)))
        }
        "registry" if scope.name == "catalog" && may_list(identity) => Ok(scope.granted(&["*", "search"])),
        _ => Ok(None),
    }
}

impl Hub {
    /// A token for what of the scopes may be had, perhaps nothing.
    ///
    /// # Errors
    /// `Invalid` for too many scopes; `Denied` for who shows such a token; or when the records fail.
    pub async fn registry_token(&self, identity: Option<&Identity>, request: &TokenRequest) -> Result<RegistryToken> {
        if let Some(Identity { credential: Credential::RegistryToken { .. }, .. }) = identity {
            return Err(HubError::Denied("a token of the registry gets no other".into()));
        }
        let scopes: Vec<_> = request.scopes.iter().flat_map(|scopes| scopes.split_ascii_whitespace()).collect();
        if scopes.len() > MOST_SCOPES {
            return Err(HubError::Invalid { what: "scope", why: format!("more than {MOST_SCOPES} scopes") });
        }
        let mut access = Vec::new();
        {
            let txn = self.read().await?;
            let reach = Reach::of(&*txn, identity).await?;
            for scope in scopes.into_iter().filter_map(Scope::parse) {
                access.extend(granted(&*txn, identity, &reach, &scope).await?);
            }
        }
        let now = self.now();
        let expires_in = self.settings().accounts.registry_token_seconds.max(60);
        let name = identity.map_or("", |identity| identity.name.as_str());
        let mut claims = Claims::new(name, &request.audience, now, i64::from(expires_in))?;
        let scope = access.iter().map(|entry| format!("{}:{}:{}", entry.kind, entry.name, entry.actions.join(",")));
        let scope = scope.collect::<Vec<_>>().join(" ");
        claims.access = Some(access);
        claims.origin = identity.map(SessionClaim::of);
        let token = self.sign(&claims).await?;
        let refresh_token = match identity {
            Some(identity) if request.offline => Some(self.make_refresh_token(identity, &request.client, now).await?),
            _ => None,
        };
        Ok(RegistryToken { token, scope, expires_in, issued: now, refresh_token })
    }

    async fn make_refresh_token(&self, identity: &Identity, client: &str, now: i64) -> Result<String> {
        let secret = secrets::Secret::new(secrets::REFRESH)?;
        let row = RefreshTokenRow {
            secret: secret.hash,
            account: identity.account.clone(),
            access_token: identity.access_token().map(str::to_owned),
            generation: identity.generation,
            client: client.chars().take(100).collect(),
            created: now,
            expires: now + i64::from(self.settings().accounts.refresh_token_days) * DAY,
        };
        let mut txn = self.write("making a refresh token").await?;
        txn.delete_expired_refresh_tokens(now).await?;
        txn.insert_refresh_token(&row).await?;
        txn.commit().await?;
        Ok(secret.text)
    }

    /// Whom a refresh token stands for.
    ///
    /// # Errors
    /// `Unauthenticated` when it is not known, has ended or was revoked, with the password or access token that it was got
    /// with; `RateLimited`.
    pub async fn by_refresh_token(&self, secret: &str, peer: Option<IpAddr>) -> Result<Identity> {
        let subjects = crate::throttle::Subjects::new(None, peer);
        self.check_throttle(&subjects).await?;
        match self.valid_refresh_token(secret, peer).await? {
            Some(identity) => {
                self.note_use(&identity, self.now());
                Ok(identity)
            }
            None => {
                self.count_failure(&subjects).await?;
                Err(HubError::Unauthenticated("the refresh token is not valid: sign in again".into()))
            }
        }
    }

    async fn valid_refresh_token(&self, secret: &str, peer: Option<IpAddr>) -> Result<Option<Identity>> {
        let now = self.now();
        let txn = self.read().await?;
        let row = txn.refresh_token(&secrets::hash(secret)).await?.filter(|row| row.expires > now);
        let Some(row) = row else { return Ok(None) };
        let Some(account) = txn.account(&row.account).await? else { return Ok(None) };
        if account.is_disabled || account.generation != row.generation {
            return Ok(None);
        }
        match row.access_token {
            None => Ok(Some(Identity::of_user(&account, peer))),
            Some(id) => {
                let token = txn.access_token(&id).await?;
                Ok(token.and_then(|token| Identity::of_token(token, &account, now, peer)))
            }
        }
    }

    /// Revokes a refresh token; one that is not known is no error.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn revoke_refresh_token(&self, secret: &str) -> Result<()> {
        let mut txn = self.write("revoking a refresh token").await?;
        txn.delete_refresh_token(&secrets::hash(secret)).await?;
        Ok(txn.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_split_at_the_first_and_the_last_colon() {
        for (text, kind, name, actions) in [
            ("repository:ns/app:pull,push", "repository", "ns/app", vec!["pull", "push"]),
            ("repository:host:5000/ns/app:pull", "repository", "host:5000/ns/app", vec!["pull"]),
            ("repository(plugin):ns/app:*", "repository", "ns/app", vec!["*"]),
            ("registry:catalog:*", "registry", "catalog", vec!["*"]),
            ("repository:ns/app:", "repository", "ns/app", vec![]),
        ] {
            assert_eq!(Scope::parse(text), Some(Scope { kind, name, actions }), "{text}");
        }
        for text in ["", "repository", "repository:ns/app"] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_granted_is_the_intersection() {
        for (asked, role, expected) in [
            ("pull,push", Some(Role::Read), vec!["pull"]),
            ("pull,push", Some(Role::Admin), vec!["pull", "push"]),
            ("*", Some(Role::Write), vec!["pull", "push"]),
            ("*", Some(Role::Admin), vec!["pull", "push", "delete"]),
            ("delete", Some(Role::Write), vec![]),
            ("pull", None, vec![]),
        ] {
            let text = format!("repository:ns/app:{asked}");
            let granted = Scope::parse(&text).unwrap().granted(actions(role));
            assert_eq!(granted.map(|entry| entry.actions).unwrap_or_default(), expected, "{asked} as {role:?}");
        }
    }
}
