//! Signed tokens (RFC 7519, 8037): Ed25519, with keys that all replicas share by the records.
//!
//! The newest key signs; a new one is made when it gets old, and old ones go once nothing that they signed is valid. One
//! algorithm only, so that a token cannot choose a weaker one. What was verified is remembered until it ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::records::SigningKeyRow;
use crate::{Hub, HubError, HubRead, Identity, Result, secrets};

/// Who signs.
const ISSUER: &str = "strata";
/// What clocks of replicas may differ by, in seconds.
const SKEW: i64 = 60;
/// Longest token that is looked at, in bytes.
const LONGEST: usize = 16 << 10;
/// Verified tokens that are remembered.
const REMEMBERED: usize = 8192;
/// Pause between two looks for keys of other replicas.
const RELOAD: Duration = Duration::from_secs(1);
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Actions on one repository (or on the catalog) that a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessEntry {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The repository's name as the client wrote it.
    pub(crate) name: String,
    /// `pull`, `push`, `delete`, `*`.
    pub(crate) actions: Vec<String>,
}

impl AccessEntry {
    /// Whether it allows an action.
    pub(crate) fn allows(&self, action: &str) -> bool {
        self.actions.iter().any(|allowed| allowed == action || allowed == "*")
    }
}

/// What was shown when a session or a token for the registry was got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionClaim {
    /// The account's generation when it was signed.
    pub(crate) generation: i64,
    /// The access token that it was got with; `None` if it was a password.
    pub(crate) token: Option<String>,
}

impl SessionClaim {
    pub(crate) fn of(identity: &Identity) -> SessionClaim {
        SessionClaim { generation: identity.generation, token: identity.access_token().map(str::to_owned) }
    }

    /// Who `account` is now, if what was shown then is still good.
    pub(crate) async fn holder(
        &self,
        txn: &dyn HubRead,
        account: &str,
        now: i64,
        peer: Option<IpAddr>,
    ) -> Result<Option<Identity>> {
        let identity = match &self.token {
            Some(id) => match txn.access_token(id).await? {
                Some(token) => {
                    let owner = txn.account(&token.owner).await?;
                    owner.and_then(|owner| Identity::of_token(token, &owner, now, peer))
                }
                None => None,
            },
            None => {
                let account = txn.account(account).await?.filter(|account| !account.is_disabled);
                account.map(|account| Identity::of_user(&account, peer))
            }
        };
        Ok(identity.filter(|identity| identity.generation == self.generation))
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    /// The account's name, or `organization/label` of a robot; empty for anybody.
    pub(crate) sub: String,
    pub(crate) aud: String,
    /// Times in seconds since 1970.
    pub(crate) exp: i64,
    pub(crate) nbf: i64,
    pub(crate) iat: i64,
    pub(crate) jti: String,
    /// Of a token for the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Vec<AccessEntry>>,
    /// Of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionClaim>,
    /// Of a token for the registry; `None` for anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<SessionClaim>,
}

impl Claims {
    /// Claims of `subject` for `audience` from now on, for `lifetime` seconds.
    pub(crate) fn new(subject: &str, audience: &str, now: i64, lifetime: i64) -> Result<Claims> {
        let now = now / SECOND;
        Ok(Claims {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: audience.to_owned(),
            exp: now + lifetime,
            nbf: now,
            iat: now,
            jti: secrets::uuid()?,
            access: None,
            session: None,
            origin: None,
        })
    }

    fn is_current(&self, now: i64) -> bool {
        let now = now / SECOND;
        self.nbf - SKEW <= now && now < self.exp + SKEW
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

struct Key {
    id: String,
    pair: Ed25519KeyPair,
    created: i64,
}

impl Key {
    fn parse(row: &SigningKeyRow) -> Result<Key> {
        let pair = Ed25519KeyPair::from_pkcs8(&row.pkcs8)
            .map_err(|cause| HubError::Internal(format!("signing key {}: {cause}", row.id)))?;
        Ok(Key { id: row.id.clone(), pair, created: row.created })
    }

    fn generate(now: i64) -> Result<SigningKeyRow> {
        let broken = |_| HubError::Internal("a signing key could not be made".into());
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?.as_ref().to_vec();
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|cause| HubError::Internal(cause.to_string()))?;
        let id = URL_SAFE_NO_PAD.encode(&digest(&SHA256, pair.public_key().as_ref()).as_ref()[..16]);
        Ok(SigningKeyRow { id, pkcs8, created: now })
    }
}

/// Keys, newest first, and tokens that were verified.
#[derive(Default)]
pub(crate) struct Signing {
    keys: RwLock<Arc<Vec<Key>>>,
    looked: Mutex<Option<Instant>>,
    verified: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl Signing {
    fn keys(&self) -> Arc<Vec<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_keys(&self, rows: &[SigningKeyRow]) -> Result<()> {
        let keys = rows.iter().map(Key::parse).collect::<Result<Vec<_>>>()?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        // What a key signed that is gone is not valid any more.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Whether the records may be asked again for keys that are not known here.
    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.is_none_or(|looked| looked.elapsed() > RELOAD);
        if may {
            *looked = Some(Instant::now());
        }
        may
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Claims>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn remember(&self, hash: [u8; 32], claims: Arc<Claims>, now: i64) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.retain(|_, claims| claims.is_current(now));
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
        }
        verified.insert(hash, claims);
    }
}

impl Hub {
    /// Signs claims.
    ///
    /// # Errors
    /// When the records fail.
    pub(crate) async fn sign(&self, claims: &Claims) -> Result<String> {
        let keys = self.signing_keys().await?;
        let key = keys.first().ok_or_else(|| HubError::Internal("there is no signing key".into()))?;
        let header = Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: key.id.clone() };
        let text = format!("{}.{}", part(&header)?, part(claims)?);
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(text.as_bytes()));
        Ok(format!("{text}.{signature}"))
    }

    /// What a token says that this hub signed for `audience` (`None`: for anybody) and that is valid now.
    ///
    /// # Errors
    /// `Unauthenticated`, or when the records fail.
    pub(crate) async fn verify(&self, token: &str, audience: Option<&str>) -> Result<Arc<Claims>> {
        let refused = |why: &str| HubError::Unauthenticated(format!("the token {why}"));
        if token.len() > LONGEST {
            return Err(refused("is too long"));
        }
        let now = self.now();
        let hash = sha256(token);
        let claims = match self.inner.sign_in.signing.remembered(&hash) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.verify_signature(token).await?.ok_or_else(|| refused("is not valid"))?);
                self.inner.sign_in.signing.remember(hash, claims.clone(), now);
                claims
            }
        };
        if claims.iss != ISSUER || audience.is_some_and(|audience| claims.aud != audience) {
            return Err(refused("is for another service"));
        }
        if !claims.is_current(now) {
            return Err(refused("has expired"));
        }
        Ok(claims)
    }

    async fn verify_signature(&self, token: &str) -> Result<Option<Claims>> {
        let Some((text, signature)) = token.rsplit_once('.') else { return Ok(None) };
        let Some((header, claims)) = text.split_once('.') else { return Ok(None) };
        let Some(header) = parsed::<Header>(header).filter(|header| header.alg == "EdDSA") else { return Ok(None) };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(None) };
        let mut keys = self.inner.sign_in.signing.keys();
        if !keys.iter().any(|key| key.id == header.kid) && self.inner.sign_in.signing.may_look() {
            self.inner.sign_in.signing.set_keys(&self.read().await?.signing_keys().await?)?;
            keys = self.inner.sign_in.signing.keys();
        }
        let Some(key) = keys.iter().find(|key| key.id == header.kid) else { return Ok(None) };
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key().as_ref());
        Ok(public.verify(text.as_bytes(), &signature).is_ok().then(|| parsed(claims)).flatten())
    }

    /// The keys, of which the first one is fresh enough to sign.
    async fn signing_keys(&self) -> Result<Arc<Vec<Key>>> {
        let signing = &self.inner.sign_in.signing;
        let now = self.now();
        let lifetime = i64::from(self.settings().accounts.signing_key_days.max(1)) * DAY;
        let keys = signing.keys();
        if keys.first().is_some_and(|key| now - key.created < lifetime) {
            return Ok(keys);
        }
        let mut txn = self.write("making a signing key").await?;
        let mut rows = txn.signing_keys().await?;
        // Another replica may have been faster.
        if rows.first().is_none_or(|newest| now - newest.created >= lifetime) {
            let row = Key::generate(now)?;
            txn.insert_signing_key(&row).await?;
            rows.insert(0, row);
            let longest = i64::from(self.settings().accounts.session_hours) * 3600 * SECOND + DAY;
            let gone: Vec<_> = rows.extract_if(1.., |row| now - row.created > lifetime + longest).collect();
            for row in gone {
                txn.delete_signing_key(&row.id).await?;
            }
            txn.commit().await?;
        }
        signing.set_keys(&rows)?;
        Ok(signing.keys())
    }
}

fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

fn part(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(value).map_err(|cause| HubError::Internal(format!("writing a token: {cause}")))?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

fn parsed<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
