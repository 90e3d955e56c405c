//! Who asks, and what was shown to prove it.

use std::net::IpAddr;

use crate::records::{AccessTokenRow, AccountRow, Role, TokenReach, TokenScope};
use crate::{HubError, Result};

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What logs and histories keep: the user's name, or `organization/label` of a robot.
    pub name: String,
    /// The user, or the organization that the robot is of.
    pub account: String,
    /// Whether the user may do everything on this hub, as far as the credential goes.
    pub is_administrator: bool,
    /// What was shown.
    pub credential: Credential,
    /// The account's generation.
    pub(crate) generation: i64,
    /// The session that was shown, by what the records know it by, if it began with a password.
    pub(crate) session: Option<String>,
    /// Where the request comes from, if from a network.
    pub peer: Option<IpAddr>,
}

/// What proved somebody's identity, which bounds what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Command of this machine.
    Operator,
    /// The password, or a session that began with it.
    Password,
    /// A personal access token.
    Personal {
        /// The token.
        id: String,
        /// Up to where it goes.
        scope: TokenScope,
    },
    /// An organization's access token.
    Robot {
        /// The token.
        id: String,
        /// Where it goes.
        repositories: Vec<(String, Role)>,
    },
    /// A token of the registry: it says who somebody is, and opens what is written in it for reading.
    RegistryToken {
        /// Repositories that it may pull.
        repositories: Vec<String>,
    },
}

impl Identity {
    /// Whoever commands this machine: may do everything.
    pub fn operator() -> Identity {
        Identity {
            name: "operator".into(),
            account: String::new(),
            is_administrator: true,
            credential: Credential::Operator,
            generation: 0,
            session: None,
            peer: None,
        }
    }

    pub(crate) fn of_user(account: &AccountRow, peer: Option<IpAddr>) -> Identity {
        Identity {
            name: account.name.clone(),
            account: account.name.clone(),
            is_administrator: account.is_administrator,
            credential: Credential::Password,
            generation: account.generation,
            session: None,
            peer,
        }
    }

    /// Who shows an access token, if it is good now.
    pub(crate) fn of_token(
        token: AccessTokenRow,
        owner: &AccountRow,
        now: i64,
        peer: Option<IpAddr>,
    ) -> Option<Identity> {
        let has_expired = token.expires.is_some_and(|expires| expires <= now);
        if !token.is_active || has_expired || owner.is_disabled {
            return None;
        }
        let (name, credential) = match token.reach {
            TokenReach::Personal(scope) => (owner.name.clone(), Credential::Personal { id: token.id, scope }),
            TokenReach::Robot(repositories) => {
                (format!("{}/{}", owner.name, token.label), Credential::Robot { id: token.id, repositories })
            }
        };
        let is_administrator = owner.is_administrator;
        Some(Identity {
            name,
            account: owner.name.clone(),
            is_administrator,
            credential,
            generation: owner.generation,
            session: None,
            peer,
        })
    }

    /// The access token that was shown.
    pub(crate) fn access_token(&self) -> Option<&str> {
        match &self.credential {
            Credential::Personal { id, .. } | Credential::Robot { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether it acts as a user: not as a robot, and not with a token that is for the registry.
    pub fn is_user(&self) -> bool {
        matches!(self.credential, Credential::Password | Credential::Personal { .. })
    }

    /// Asserts that accounts, organizations and roles may be managed with what was shown.
    ///
    /// # Errors
    /// `Denied`.
    pub fn may_manage(&self) -> Result<()> {
        match self.credential {
            Credential::Operator | Credential::Password | Credential::Personal { scope: TokenScope::Admin, .. } => {
                Ok(())
            }
            _ => Err(HubError::Denied("this needs your password, or an access token with scope repo:admin".into())),
        }
    }

    /// Asserts that the password was shown: a stolen token must not make others or change the password.
    ///
    /// # Errors
    /// `Denied`.
    pub fn has_password(&self) -> Result<()> {
        match self.credential {
            Credential::Operator | Credential::Password => Ok(()),
            _ => Err(HubError::Denied("this needs your password, not an access token".into())),
        }
    }

    /// Asserts that all of the hub may be managed.
    ///
    /// # Errors
    /// `Denied`.
    pub fn administers(&self) -> Result<()> {
        if !self.is_administrator {
            return Err(HubError::Denied("this is for administrators of the hub".into()));
        }
        self.may_manage()
    }
}
