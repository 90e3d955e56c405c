//! Sessions: signed tokens that stand for what was shown when they began, for the API and as cookies of the pages.
//!
//! What began with a password is also a row of the records, so that its owner sees it and can end it alone; without the row
//! the token is good for nothing. What began with an access token ends with that.

use std::net::IpAddr;

use serde_json::json;

use crate::audit::{AuditAction, Event, log};
use crate::jwt::{Claims, SessionClaim};
use crate::records::SessionRow;
use crate::{Credential, Hub, HubError, HubRead, Identity, Result, secrets};

/// Whom sessions are for.
pub(crate) const SESSIONS: &str = "strata-hub-api";
/// Longest name of a program that is kept, in characters.
const LONGEST_AGENT: usize = 200;

/// A session as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What is known of it.
    pub row: SessionRow,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

fn ended() -> HubError {
    HubError::Unauthenticated("the session has ended".into())
}

/// What the records know the session of a token by.
fn id_of(claims: &Claims) -> String {
    secrets::hash(&claims.jti)
}

/// Who has a session.
pub(crate) async fn identity(txn: &dyn HubRead, claims: &Claims, now: i64, peer: Option<IpAddr>) -> Result<Identity> {
    let Some(session) = claims.session.as_ref().filter(|_| claims.aud == SESSIONS) else { return Err(ended()) };
    let kept = session.token.is_none().then(|| id_of(claims));
    if let Some(id) = &kept
        && txn.session_row(id).await?.is_none()
    {
        return Err(ended());
    }
    let identity = session.holder(txn, &claims.sub, now, peer).await?.ok_or_else(ended)?;
    Ok(Identity { session: kept, ..identity })
}

impl Hub {
    /// A session of `lifetime` seconds: a token for the hub's API that stands for what was shown now. `agent` is what the
    /// program calls itself.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn session(&self, identity: &Identity, lifetime: u32, agent: &str) -> Result<String> {
        let now = self.now();
        let mut claims = Claims::new(&identity.name, SESSIONS, now, i64::from(lifetime))?;
        claims.session = Some(SessionClaim::of(identity));
        if identity.credential == Credential::Password {
            let row = SessionRow {
                id: id_of(&claims),
                account: identity.account.clone(),
                generation: identity.generation,
                created: now,
                expires: now + i64::from(lifetime) * 1_000_000_000,
                address: identity.peer.map(|peer| peer.to_canonical().to_string()).unwrap_or_default(),
                agent: agent.chars().filter(|letter| !letter.is_control()).take(LONGEST_AGENT).collect(),
            };
            let mut txn = self.write("beginning a session").await?;
            txn.insert_session(&row).await?;
            txn.commit().await?;
        }
        self.sign(&claims).await
    }

    /// One's sessions that have not ended, newest first.
    ///
    /// # Errors
    /// `Denied` with an access token.
    pub async fn sessions(&self, who: &Identity) -> Result<Vec<Session>> {
        who.has_password()?;
        let rows = self.read().await?.sessions(&who.account, self.now()).await?;
        let is_current = |row: &SessionRow| who.session.as_ref() == Some(&row.id);
        Ok(rows.into_iter().map(|row| Session { is_current: is_current(&row), row }).collect())
    }

    /// Ends one of one's sessions.
    ///
    /// # Errors
    /// `Denied` with an access token; `NotFound`.
    pub async fn end_session(&self, who: &Identity, id: &str) -> Result<()> {
        who.has_password()?;
        let mut txn = self.write("ending a session").await?;
        if !txn.delete_session(&who.account, id).await? {
            return Err(HubError::NotFound("session".into()));
        }
        let (account, data) = (&who.account, json!({ "session": "ended" }));
        log(&mut *txn, self.now(), who, Event { action: AuditAction::ACCOUNT_UPDATE, account, name: account, data })
            .await?;
        Ok(txn.commit().await?)
    }

    /// Ends the session that asks.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn sign_out(&self, who: &Identity) -> Result<()> {
        let Some(id) = &who.session else { return Ok(()) };
        let mut txn = self.write("signing out").await?;
        txn.delete_session(&who.account, id).await?;
        Ok(txn.commit().await?)
    }
}
