//! Roles: what somebody may do with which repositories.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::records::{AccessTokenRow, MemberRole, Readable, RepositoryStatus, Role, TokenReach, TokenScope};
use crate::{Credential, Hub, HubRead, Identity, Result};

/// The namespace of official images.
pub(crate) const OFFICIAL: &str = "library";

/// `namespace/name`: a name without slash is one of the official namespace.
pub(crate) fn full_name(repository: &str) -> Cow<'_, str> {
    match repository.contains('/') {
        true => Cow::Borrowed(repository),
        false => Cow::Owned(format!("{OFFICIAL}/{repository}")),
    }
}

/// The account that a full name belongs to.
pub(crate) fn namespace(full_name: &str) -> &str {
    full_name.split_once('/').map_or(full_name, |(namespace, _)| namespace)
}

/// The roles that somebody has, besides reading what is public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    everywhere: Option<Role>,
    namespaces: BTreeMap<String, Role>,
    repositories: BTreeMap<String, Role>,
}

impl Reach {
    /// The roles of whoever asks.
    pub(crate) async fn of(txn: &dyn HubRead, identity: Option<&Identity>) -> Result<Reach> {
        let Some(identity) = identity else { return Ok(Reach::default()) };
        let highest = match &identity.credential {
            Credential::Operator => return Ok(Reach { everywhere: Some(Role::Admin), ..Reach::default() }),
            Credential::Robot { repositories, .. } => return Ok(Reach::of_robot(&identity.account, repositories)),
            Credential::RegistryToken { repositories } => return Ok(Reach::of_registry_token(repositories)),
            Credential::Personal { scope: TokenScope::PublicRead, .. } => return Ok(Reach::default()),
            Credential::Personal { scope: TokenScope::Read, .. } => Role::Read,
            Credential::Personal { scope: TokenScope::Write, .. } => Role::Write,
            Credential::Personal { scope: TokenScope::Admin, .. } | Credential::Password => Role::Admin,
        };
        Reach::of_user(txn, &identity.account, identity.is_administrator, highest).await
    }

    /// The roles of a user, none above `highest`.
    async fn of_user(txn: &dyn HubRead, user: &str, is_administrator: bool, highest: Role) -> Result<Reach> {
        let owned = txn.memberships(user).await?.into_iter().filter(|member| member.role == MemberRole::Owner);
        let namespaces = owned.map(|member| member.organization).chain([user.to_owned()]);
        let granted = txn.grants_of_user(user).await?;
        Ok(Reach {
            everywhere: is_administrator.then_some(highest),
            namespaces: namespaces.map(|namespace| (namespace, highest)).collect(),
            repositories: granted.into_iter().map(|(name, role)| (name, role.min(highest))).collect(),
        })
    }

    /// What a caller of the registry may read, given by the name that [`Identity::name`] has.
    pub(crate) async fn of_caller(txn: &dyn HubRead, name: Option<&str>, now: i64) -> Result<Reach> {
        let Some(name) = name else { return Ok(Reach::default()) };
        if let Some((organization, label)) = name.split_once('/') {
            let is_good = |token: &AccessTokenRow| {
                token.label == label && token.is_active && token.expires.is_none_or(|expires| now < expires)
            };
            let owner = txn.account(organization).await?.filter(|account| !account.is_disabled);
            let tokens = txn.access_tokens(organization).await?;
            return Ok(match tokens.into_iter().find(is_good).filter(|_| owner.is_some()).map(|token| token.reach) {
                Some(TokenReach::Robot(given)) => Reach::of_robot(organization, &given),
                _ => Reach::default(),
            });
        }
        match txn.account(name).await?.filter(|account| !account.is_disabled) {
            Some(account) => Reach::of_user(txn, name, account.is_administrator, Role::Read).await,
            None => Ok(Reach::default()),
        }
    }

    fn of_registry_token(repositories: &[String]) -> Reach {
        let repositories = repositories.iter().map(|name| (full_name(name).into_owned(), Role::Read)).collect();
        Reach { repositories, ..Reach::default() }
    }

    /// A robot has what it was given, within its organization only.
    fn of_robot(organization: &str, given: &[(String, Role)]) -> Reach {
        let mut reach = Reach::default();
        for (pattern, role) in given.iter().filter(|(pattern, _)| namespace(pattern) == organization) {
            match pattern.strip_suffix("/*") {
                Some(namespace) => reach.namespaces.insert(namespace.to_owned(), *role),
                None => reach.repositories.insert(pattern.clone(), *role),
            };
        }
        reach
    }

    /// The role on a repository, given by its full name.
    pub fn role(&self, full_name: &str, is_public: bool) -> Option<Role> {
        let roles = [
            self.everywhere,
            self.namespaces.get(namespace(full_name)).copied(),
            self.repositories.get(full_name).copied(),
            is_public.then_some(Role::Read),
        ];
        roles.into_iter().flatten().max()
    }

    /// What may be read besides what is public.
    pub fn readable(&self) -> Readable {
        Readable {
            everything: self.everywhere.is_some(),
            namespaces: self.namespaces.keys().cloned().collect(),
            repositories: self.repositories.keys().cloned().collect(),
        }
    }
}

impl Hub {
    /// The role that somebody has on a repository, which need not exist: `Some` then says that a push would make it. `None`
    /// must look to the caller as if it did not exist. A name without slash is one of `library`.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn role_of(&self, identity: Option<&Identity>, repository: &str) -> Result<Option<Role>> {
        let txn = self.read().await?;
        let reach = Reach::of(&*txn, identity).await?;
        role_on(&*txn, &reach, repository).await
    }

    /// All roles of whoever asks, to be applied to many repositories.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn reach_of(&self, identity: Option<&Identity>) -> Result<Reach> {
        Reach::of(&*self.read().await?, identity).await
    }
}

/// The role that `reach` has on a repository. Takes the same steps whether it exists or not.
pub(crate) async fn role_on(txn: &dyn HubRead, reach: &Reach, repository: &str) -> Result<Option<Role>> {
    let name = full_name(repository);
    let row = txn.repository(&name).await?;
    let namespace = txn.account(namespace(&name)).await?;
    Ok(match row {
        Some(row) if row.status == RepositoryStatus::Deleting => None,
        Some(row) => reach.role(&name, !row.is_private),
        // Nobody can make a repository of an account that is not there.
        None => namespace.and_then(|_| reach.role(&name, false)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_slash_are_official() {
        for (written, full, account) in [
            ("nginx", "library/nginx", "library"),
            ("library/nginx", "library/nginx", "library"),
            ("acme/tools/app", "acme/tools/app", "acme"),
        ] {
            assert_eq!(full_name(written), full);
            assert_eq!(namespace(full), account);
        }
    }

    #[test]
    fn robots_stay_in_their_organization() {
        let given = [
            ("acme/app".to_owned(), Role::Write),
            ("other/*".to_owned(), Role::Admin),
            ("other/app".to_owned(), Role::Admin),
        ];
        let reach = Reach::of_robot("acme", &given);
        for (name, is_public, expected) in [
            ("acme/app", false, Some(Role::Write)),
            ("acme/app", true, Some(Role::Write)),
            ("acme/app2", false, None),
            ("acme/secret", false, None),
            ("other/app", false, None),
            ("other/app", true, Some(Role::Read)),
        ] {
            assert_eq!(reach.role(name, is_public), expected, "{name}");
        }
        let all = Reach::of_robot("acme", &[("acme/*".to_owned(), Role::Read)]);
        assert_eq!(all.role("acme/secret", false), Some(Role::Read));
        assert_eq!(all.role("acmeother/app", false), None);
    }
}
