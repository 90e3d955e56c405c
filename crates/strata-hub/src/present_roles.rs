//! Roles as they are now, for requests with a token that was signed up to minutes ago.
//!
//! A token names what its owner might do when it was signed. What was taken away since (a role, an account, a repository's
//! being public) is looked up in the records, at most every few seconds for the same name and repository: a pull of many
//! layers costs one query.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::records::Role;
use crate::roles::{Reach, role_on};
use crate::{Hub, Result};

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
    /// The role on a repository of whoever a token names (empty: anybody).
    pub(crate) async fn present_role(&self, name: &str, repository: &str) -> Result<Option<Role>> {
        let roles = &self.inner.sign_in.present_roles;
        let (key, now) = (format!("{name} {repository}"), self.now());
        if let Some(role) = roles.known(&key, now) {
            return Ok(role);
        }
        let txn = self.read().await?;
        let reach = Reach::of_caller(&*txn, Some(name).filter(|name| !name.is_empty()), Role::Admin, now).await?;
        let role = role_on(&*txn, &reach, repository).await?;
        roles.remember(key, role, now);
        Ok(role)
    }
}
