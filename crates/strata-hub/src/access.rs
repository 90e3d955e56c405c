//! The registry's questions, answered: who may do what.
//!
//! A token that the hub signed says what was granted, which must be so still; a header `Basic` is looked up. What does not exist and what may not be
//! seen get the same answer after the same steps.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strata_model::{Digest, Repository};
use strata_store::registry::{Access, Action, Caller, Credentials, Need, Pull, PullAllowance, Refusal};

use crate::jwt::Claims;
use crate::records::Role;
use crate::registry_tokens::may_list;
use crate::roles::{Reach, full_name, namespace, role_on};
use crate::{Hub, HubError, Identity, Result};

const DENIED: &str = "requested access to the resource is denied";

/// How clients of the registry are asked to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// By a token from `/token`. Also anonymous pulls need one.
    #[default]
    Token,
    /// By name and password with each request. Anonymous pulls need nothing.
    Basic,
}

/// The registry's name in tokens: the host and port that a client addresses.
pub fn audience(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// The scope of a need, as challenges and tokens write it.
fn scope(need: &Need<'_>) -> Option<String> {
    match need {
        Need::Identity => None,
        Need::Catalog => Some("registry:catalog:*".to_owned()),
        Need::Repository(repository, action) => {
            let actions = match action {
                Action::Pull => "pull",
                Action::Push => "pull,push",
                Action::Delete => "pull,delete",
            };
            Some(format!("repository:{repository}:{actions}"))
        }
    }
}

fn required_role(action: Action) -> Role {
    match action {
        Action::Pull => Role::Read,
        Action::Push => Role::Write,
        Action::Delete => Role::Admin,
    }
}

/// Whether a signed token has what is needed.
fn covers(claims: &Claims, need: &Need<'_>) -> bool {
    let entries = claims.access.as_deref().unwrap_or_default();
    match need {
        Need::Identity => !claims.sub.is_empty(),
        Need::Catalog => {
            entries.iter().any(|entry| entry.kind == "registry" && entry.name == "catalog" && entry.allows("*"))
        }
        Need::Repository(repository, action) => {
            let action = match action {
                Action::Pull => "pull",
                Action::Push => "push",
                Action::Delete => "delete",
            };
            let name = full_name(repository.as_str());
            let fits = |entry: &crate::jwt::AccessEntry| entry.kind == "repository" && full_name(&entry.name) == name;
            entries.iter().any(|entry| fits(entry) && entry.allows(action))
        }
    }
}

impl Hub {
    fn challenge(
        &self,
        credentials: &Credentials<'_>,
        needs: &[Need<'_>],
        error: Option<&str>,
        message: &str,
    ) -> Refusal {
        let (origin, service) = (credentials.origin, audience(credentials.origin));
        let challenge = match self.settings().accounts.challenge {
            Challenge::Basic => format!("Basic realm=\"{service}\""),
            Challenge::Token => {
                let mut challenge = format!("Bearer realm=\"{origin}/token\",service=\"{service}\"");
                let scopes: Vec<_> = needs.iter().filter_map(scope).collect();
                if !scopes.is_empty() {
                    challenge += &format!(",scope=\"{}\"", scopes.join(" "));
                }
                if let Some(error) = error {
                    challenge += &format!(",error=\"{error}\"");
                }
                challenge
            }
        };
        Refusal::Unauthenticated { challenge, message: message.to_owned() }
    }

    async fn may(&self, identity: Option<&Identity>, needs: &[Need<'_>]) -> Result<bool> {
        let txn = self.read().await?;
        let reach = Reach::of(&*txn, identity).await?;
        let mut may = true;
        for need in needs {
            may &= match need {
                Need::Identity => identity.is_some(),
                Need::Catalog => may_list(identity),
                Need::Repository(repository, action) => {
                    role_on(&*txn, &reach, repository.as_str()).await? >= Some(required_role(*action))
                }
            };
        }
        Ok(may)
    }

    /// Whether what a token was signed for is still so.
    async fn has_present_roles(&self, claims: &Claims, needs: &[Need<'_>]) -> Result<bool> {
        for need in needs {
            let (repository, required) = match need {
                Need::Identity | Need::Catalog => (None, Role::Read),
                Need::Repository(repository, action) => (Some(repository.as_str()), required_role(*action)),
            };
            if self.present_role(claims, repository).await? < Some(required) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Answers a request with a signed token.
    async fn authorize_token(
        &self,
        credentials: &Credentials<'_>,
        token: &str,
        needs: &[Need<'_>],
    ) -> Result<Caller, Refusal> {
        let claims = match self.verify(token, Some(audience(credentials.origin))).await {
            Ok(claims) => claims,
            Err(HubError::Unauthenticated(why)) => {
                return Err(self.challenge(credentials, needs, Some("invalid_token"), &why));
            }
            Err(error) => return Err(failed(&error)),
        };
        let may = needs.iter().all(|need| covers(&claims, need));
        if !may || !self.has_present_roles(&claims, needs).await.map_err(|error| failed(&error))? {
            return Err(self.challenge(credentials, needs, Some("insufficient_scope"), DENIED));
        }
        let account = Some(claims.sub.clone()).filter(|name| !name.is_empty());
        Ok(Caller { account, peer: Some(credentials.peer) })
    }

    /// Answers a request with a password, an access token, or nothing.
    async fn authorize_directly(&self, credentials: &Credentials<'_>, needs: &[Need<'_>]) -> Result<Caller, Refusal> {
        let identity = match self.identify(credentials.authorization, Some(credentials.peer)).await {
            Ok(identity) => identity,
            Err(HubError::Unauthenticated(why)) => return Err(self.challenge(credentials, needs, None, &why)),
            Err(error) => return Err(failed(&error)),
        };
        let may = self.may(identity.as_ref(), needs).await.map_err(|error| failed(&error))?;
        match identity {
            identity if may => {
                Ok(Caller { account: identity.map(|identity| identity.name), peer: Some(credentials.peer) })
            }
            Some(_) => Err(Refusal::Denied { message: DENIED.to_owned() }),
            None => Err(self.challenge(credentials, needs, None, "authentication required")),
        }
    }
}

/// A failure of the hub as the registry tells it.
fn failed(error: &HubError) -> Refusal {
    match error {
        HubError::RateLimited { retry_after } => {
            Refusal::RateLimited { retry_after: *retry_after, message: error.to_string() }
        }
        HubError::Denied(message) => Refusal::Denied { message: message.clone() },
        _ => Refusal::Failed { message: error.to_string() },
    }
}

/// The signed token in a header `Authorization`, if it is one.
fn signed_token(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !crate::secrets::is_access_token(token)).then_some(token)
}

#[async_trait]
impl Access for Hub {
    async fn authorize(&self, credentials: &Credentials<'_>, needs: &[Need<'_>]) -> Result<Caller, Refusal> {
        let asks_for_no_token = self.settings().accounts.challenge == Challenge::Basic;
        match signed_token(credentials.authorization) {
            Some(token) => self.authorize_token(credentials, token, needs).await,
            None if needs.is_empty() || credentials.authorization.is_some() || asks_for_no_token => {
                self.authorize_directly(credentials, needs).await
            }
            // Docker's way: also who pulls without an account gets a token first.
            None => Err(self.challenge(credentials, needs, None, "authentication required")),
        }
    }

    async fn visible(&self, caller: &Caller, repositories: Vec<String>) -> Result<Vec<String>, Refusal> {
        let visible = async {
            let txn = self.read().await?;
            let reach = Reach::of_caller(&*txn, caller.account.as_deref(), self.now()).await?;
            let mut visible = Vec::with_capacity(repositories.len());
            for repository in repositories {
                if role_on(&*txn, &reach, &repository).await?.is_some() {
                    visible.push(repository);
                }
            }
            Ok(visible)
        };
        visible.await.map_err(|error: HubError| failed(&error))
    }

    async fn may_set_tag(
        &self,
        caller: &Caller,
        repository: &Repository,
        tag: &str,
        from: Option<&Digest>,
    ) -> Result<(), Refusal> {
        match from {
            None => Ok(()),
            Some(_) => self.may_delete_tag(caller, repository, tag).await,
        }
    }

    async fn may_delete_tag(&self, _caller: &Caller, repository: &Repository, tag: &str) -> Result<(), Refusal> {
        match self.is_immutable(&full_name(repository.as_str()), tag).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::Denied { message: format!("tag {tag} of {repository} is immutable") }),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn push_allowance(&self, _caller: &Caller, repository: &Repository) -> Result<Option<u64>, Refusal> {
        let allowance = self.storage_left(namespace(&full_name(repository.as_str()))).await;
        allowance.map_err(|error| failed(&error))
    }

    async fn pull_allowance(&self, caller: &Caller, counts: bool) -> Result<Option<PullAllowance>, Refusal> {
        self.inner.sign_in.pulls.allow(&self.settings().pull_limits, caller, counts, self.now())
    }

    fn pulled(&self, _caller: &Caller, pull: Pull) {
        self.count_pull(pull);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(subject: &str, access: &[(&str, &str)]) -> Claims {
        let mut claims = Claims::new(subject, "hub", 0, 300).unwrap();
        let entry = |&(name, actions): &(&str, &str)| crate::jwt::AccessEntry {
            kind: if name == "catalog" { "registry" } else { "repository" }.into(),
            name: name.into(),
            actions: actions.split(',').map(str::to_owned).collect(),
        };
        claims.access = Some(access.iter().map(entry).collect());
        claims
    }

    #[test]
    fn tokens_cover_what_they_name() {
        let repository = |name: &str| name.parse::<Repository>().unwrap();
        let (app, nginx, official) = (repository("acme/app"), repository("nginx"), repository("library/nginx"));
        let bob = claims("bob", &[("acme/app", "pull"), ("nginx", "pull,push"), ("catalog", "*")]);
        for (need, expected) in [
            (Need::Identity, true),
            (Need::Catalog, true),
            (Need::Repository(&app, Action::Pull), true),
            (Need::Repository(&app, Action::Push), false),
            (Need::Repository(&app, Action::Delete), false),
            (Need::Repository(&nginx, Action::Push), true),
            (Need::Repository(&official, Action::Push), true),
            (Need::Repository(&official, Action::Delete), false),
        ] {
            assert_eq!(covers(&bob, &need), expected, "{need:?}");
        }
        let anybody = claims("", &[("acme/app", "pull")]);
        assert!(!covers(&anybody, &Need::Identity) && !covers(&anybody, &Need::Catalog));
        assert!(covers(&anybody, &Need::Repository(&app, Action::Pull)));
    }

    #[test]
    fn the_audience_is_the_host() {
        for (origin, expected) in [("https://hub.example:5000", "hub.example:5000"), ("http://localhost", "localhost")]
        {
            assert_eq!(audience(origin), expected);
        }
    }
}
