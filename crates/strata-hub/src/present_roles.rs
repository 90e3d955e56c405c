//! Roles as they are now, for requests with a token that was signed up to minutes ago.
//!
//! A token names what its owner might do when it was signed. What was taken away since (a role, an account, a repository's
//! being public, the password or access token that it was got with) is looked up in the records, at most every few seconds for
//! the same name and repository: a pull of many layers costs one query.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::jwt::Claims;
use crate::records::Role;
use crate::roles::{Reach, role_on};
use crate::{Hub, HubRead, Identity, Result};

/// How long a role is taken for the present one, in nanoseconds.
const PRESENT: i64 = 2_000_000_000;
/// Roles that are remembered at once.
const MOST: usize = 8192;

/// Roles that were looked up a moment ago.
#[derive(Default)]
pub(crate) struct PresentRoles(Mutex<HashMap<String, (Option<Role>, i64)>>);

impl PresentRoles {
    fn known(&self, key: &str, now: i64) -> Option<Option<Role>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(_, until)| now < *until).map(|(role, _)| *role)
    }

    fn remember(&self, key: String, role: Option<Role>, now: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (role, now + PRESENT));
    }
}

impl Hub {
    /// The role on a repository that a token for the registry gives now: nothing, also where everybody may read, once what
    /// it was got with is good no more. Without a repository: whether it is good, then `Read`.
    pub(crate) async fn present_role(&self, claims: &Claims, repository: Option<&str>) -> Result<Option<Role>> {
        let roles = &self.inner.sign_in.present_roles;
        let got_with = claims.origin.as_ref().map(|origin| (origin.generation, origin.token.as_deref()));
        let (key, now) = (format!("{} {got_with:?} {}", claims.sub, repository.unwrap_or_default()), self.now());
        if let Some(role) = roles.known(&key, now) {
            return Ok(role);
        }
        let txn = self.read().await?;
        let holder = holder(&*txn, claims, now).await?;
        let role = match (repository, &holder) {
            (_, None) if !claims.sub.is_empty() => None,
            (None, _) => Some(Role::Read),
            (Some(repository), holder) => role_on(&*txn, &Reach::of(&*txn, holder.as_ref()).await?, repository).await?,
        };
        roles.remember(key, role, now);
        Ok(role)
    }
}

/// Whoever a token for the registry was given to, if what was shown for it is still good.
pub(crate) async fn holder(txn: &dyn HubRead, claims: &Claims, now: i64) -> Result<Option<Identity>> {
    let Some(origin) = &claims.origin else { return Ok(None) };
    origin.holder(txn, &claims.sub, now, None).await
}
