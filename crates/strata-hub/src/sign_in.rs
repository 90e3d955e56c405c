//! Signing in: by password, by access token, by a session that began with one of them.
//!
//! Every failure has the same words, whatever was wrong; what a correct password would have taken is taken by a wrong one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::jwt::{Claims, Signing};
use crate::passwords::Passwords;
use crate::present_roles::PresentRoles;
use crate::pull_limits::PullCounter;
use crate::records::AccountRow;
use crate::throttle::{Subjects, Throttle};
use crate::{Credential, Hub, HubError, Identity, Result, secrets, sessions};

/// How long a password that was right is known to be right, in nanoseconds, so that clients that send it with every request
/// do not cost a hash each.
const RIGHT_FOR: i64 = 300_000_000_000;
/// Passwords that are known to be right at once.
const RIGHT_AT_ONCE: usize = 4096;
/// Longest name that is looked up.
const LONGEST_NAME: usize = 128;

/// What signing in keeps in memory.
#[derive(Default)]
pub(crate) struct SignIn {
    pub(crate) passwords: Passwords,
    pub(crate) signing: Signing,
    pub(crate) throttle: Throttle,
    pub(crate) pulls: PullCounter,
    pub(crate) present_roles: PresentRoles,
    right: RightPasswords,
    used: Mutex<HashMap<String, i64>>,
}

/// Passwords that were right a short while ago, under a key of this process.
struct RightPasswords {
    key: hmac::Key,
    known: Mutex<HashMap<[u8; 32], Right>>,
}

struct Right {
    generation: i64,
    until: i64,
}

impl Default for RightPasswords {
    fn default() -> RightPasswords {
        // Without randomness no account and no token can be made either; then nothing is ever right.
        let key = secrets::random::<32>().unwrap_or_default();
        RightPasswords { key: hmac::Key::new(hmac::HMAC_SHA256, &key), known: Mutex::default() }
    }
}

impl RightPasswords {
    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, format!("{name}\0{password}").as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }

    fn has(&self, account: &AccountRow, password: &str, now: i64) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let right = known.get(&self.digest(&account.name, password));
        right.is_some_and(|right| right.generation == account.generation && now < right.until)
    }

    fn add(&self, account: &AccountRow, password: &str, now: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= RIGHT_AT_ONCE {
            known.clear();
        }
        let right = Right { generation: account.generation, until: now + RIGHT_FOR };
        known.insert(self.digest(&account.name, password), right);
    }
}

fn wrong() -> HubError {
    HubError::Unauthenticated("incorrect username or password".into())
}

impl Hub {
    /// Who sends a request, by its header `Authorization`: `Basic` with a password or an access token, `Bearer` with a
    /// session, an access token or a token of the registry. `None` without the header.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`; `Denied` when the password must be changed first.
    pub async fn identify(&self, authorization: Option<&str>, peer: Option<IpAddr>) -> Result<Option<Identity>> {
        let Some(authorization) = authorization else { return Ok(None) };
        let (scheme, value) = authorization.trim().split_once(' ').ok_or_else(wrong)?;
        let value = value.trim();
        let identity = if scheme.eq_ignore_ascii_case("basic") {
            let text = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
            let (name, secret) = text.split_once(':').ok_or_else(wrong)?;
            self.authenticate(name, secret, peer).await?
        } else if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(HubError::Unauthenticated(format!("{scheme:?} is no way to sign in here")));
        } else if secrets::is_access_token(value) {
            self.by_access_token(None, value, peer).await?
        } else {
            self.by_signed_token(value, peer).await?
        };
        Ok(Some(identity))
    }

    /// Who has this name and password, or access token.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`; `Denied` when the password must be changed first, or is not enough.
    pub async fn authenticate(&self, name: &str, secret: &str, peer: Option<IpAddr>) -> Result<Identity> {
        if secrets::is_access_token(secret) {
            return self.by_access_token(Some(name), secret, peer).await;
        }
        let account = self.by_usable_password(name, secret, peer).await?;
        if self.needs_code(&account).await? {
            let why = format!("{} signs in with a second factor: use an access token as the password", account.name);
            return Err(HubError::Denied(why));
        }
        Ok(Identity::of_user(&account, peer))
    }

    /// The account that has this name and password, which is good for more than being changed.
    pub(crate) async fn by_usable_password(
        &self,
        name: &str,
        password: &str,
        peer: Option<IpAddr>,
    ) -> Result<AccountRow> {
        let account = self.by_password(name, password, peer).await?;
        match account.password_is_one_time {
            true => Err(HubError::Denied(format!("the password of {} must be changed first", account.name))),
            false => Ok(account),
        }
    }

    /// The account that has this name and password, even if the password must be changed.
    pub(crate) async fn by_password(&self, name: &str, password: &str, peer: Option<IpAddr>) -> Result<AccountRow> {
        let name = Some(name.to_ascii_lowercase()).filter(|name| name.len() <= LONGEST_NAME).unwrap_or_default();
        let subjects = Subjects::new(Some(&name), peer);
        // Before anything else: also a right guess must not be told from a wrong one while there is a wait.
        self.check_throttle(&subjects).await?;
        let account = self.read().await?.account(&name).await?.filter(|account| !account.is_disabled);
        let now = self.now();
        let right = &self.inner.sign_in.right;
        if let Some(account) = account.as_ref().filter(|account| right.has(account, password, now)) {
            return Ok(account.clone());
        }
        let kept = account.as_ref().and_then(|account| account.password.clone());
        let is_right = self.inner.sign_in.passwords.verify(password, kept).await?;
        match account.filter(|_| is_right) {
            Some(account) => {
                right.add(&account, password, now);
                self.forget_failures(&name).await?;
                Ok(account)
            }
            None => {
                self.count_failure(&subjects).await?;
                tracing::info!(name, peer = ?peer, "a sign-in failed");
                Err(wrong())
            }
        }
    }

    async fn by_access_token(&self, name: Option<&str>, secret: &str, peer: Option<IpAddr>) -> Result<Identity> {
        let subjects = Subjects::new(None, peer);
        self.check_throttle(&subjects).await?;
        let now = self.now();
        let found = {
            let txn = self.read().await?;
            match txn.access_token_by_secret(&secrets::hash(secret)).await? {
                Some(token) => txn.account(&token.owner).await?.map(|owner| (token, owner)),
                None => None,
            }
        };
        let identity = found.and_then(|(token, owner)| Identity::of_token(token, &owner, now, peer));
        let fits = |identity: &Identity| {
            name.is_none_or(|name| {
                name.eq_ignore_ascii_case(&identity.account) || name.eq_ignore_ascii_case(&identity.name)
            })
        };
        let Some(identity) = identity.filter(fits) else {
            self.count_failure(&subjects).await?;
            return Err(wrong());
        };
        self.note_use(&identity, now);
        Ok(identity)
    }

    async fn by_signed_token(&self, token: &str, peer: Option<IpAddr>) -> Result<Identity> {
        let claims = self.verify(token, None).await?;
        if claims.session.is_some() {
            return sessions::identity(&*self.read().await?, &claims, self.now(), peer).await;
        }
        let is_good = self.present_role(&claims, None).await?.is_some();
        let identity = by_registry_token(&claims, peer).filter(|_| is_good);
        identity.ok_or_else(|| HubError::Unauthenticated("the token opens nothing".into()))
    }

    /// Notes in memory that an access token was used.
    pub(crate) fn note_use(&self, identity: &Identity, now: i64) {
        if let Some(id) = identity.access_token() {
            let mut used = self.inner.sign_in.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(id.to_owned(), now);
        }
    }

    /// Records when access tokens were last used. To be called every minute or so, and at the end.
    ///
    /// # Errors
    /// When the records fail; what was not recorded is forgotten.
    pub async fn record_token_uses(&self) -> Result<()> {
        let used: Vec<_> = {
            let mut used = self.inner.sign_in.used.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *used).into_iter().collect()
        };
        if used.is_empty() {
            return Ok(());
        }
        let mut txn = self.write("recording when access tokens were used").await?;
        txn.touch_access_tokens(&used).await?;
        Ok(txn.commit().await?)
    }
}

fn by_registry_token(claims: &Claims, peer: Option<IpAddr>) -> Option<Identity> {
    let entries = claims.access.as_ref().filter(|_| !claims.sub.is_empty())?;
    let pullable = entries.iter().filter(|entry| entry.kind == "repository" && entry.allows("pull"));
    let repositories = pullable.map(|entry| entry.name.clone()).collect();
    let account = claims.sub.split('/').next().unwrap_or_default().to_owned();
    Some(Identity {
        name: claims.sub.clone(),
        account,
        is_administrator: false,
        credential: Credential::RegistryToken { repositories },
        generation: 0,
        session: None,
        peer,
    })
}
