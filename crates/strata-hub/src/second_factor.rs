//! A second factor of sign-in: one-time codes of six digits from an app (TOTP, RFC 6238: HMAC-SHA-1, 30 seconds), and
//! recovery codes for whoever loses it.
//!
//! With it on, a password alone begins no session and is no sign-in of the registry: [`Hub::sign_in`] gives a token to come
//! back with and a code, and `docker login` needs an access token. A code is taken once. Wrong codes are counted apart from
//! wrong passwords, so that a right password does not make them forgotten.

use std::net::IpAddr;

use ring::hmac;
use serde_json::json;

use crate::audit::{AuditAction, Event, log};
use crate::jwt::{Claims, SessionClaim};
use crate::records::{AccountRow, SecondFactorRow};
use crate::throttle::Subjects;
use crate::{Hub, HubError, HubWrite, Identity, Result, secrets};

/// Seconds for which a code is good, and the steps before and after for clocks that differ.
const STEP: i64 = 30;
const TOLERATED: i64 = 1;
/// What codes are below: six digits.
const MODULUS: u32 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
/// Recovery codes that are given.
const RECOVERY_CODES: usize = 10;
/// Whom tokens are for that stand for a right password, and their lifetime in seconds.
const HALF_SIGNED_IN: &str = "strata-hub-second-factor";
const PATIENCE: i64 = 300;

/// What an app for one-time codes needs. To be shown until the first code came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSecondFactor {
    /// The key in base 32, to be typed.
    pub key: String,
    /// `otpauth://totp/…`, to be shown as a QR code.
    pub address: String,
}

impl NewSecondFactor {
    fn of(account: &str, key: &[u8]) -> NewSecondFactor {
        let key = base32(key);
        NewSecondFactor { address: format!("otpauth://totp/Strata:{account}?secret={key}&issuer=Strata"), key }
    }
}

/// Whether a second factor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactorState {
    /// Whether codes are asked for.
    pub is_on: bool,
    /// Recovery codes that are left.
    pub recovery_codes: u64,
}

/// How far a sign-in came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedIn {
    /// All was shown that is asked for.
    Yes(Identity),
    /// The password was right; this token and a code are to be shown to [`Hub::sign_in_with_code`] within five minutes.
    NeedsCode(String),
}

fn wrong_code() -> HubError {
    HubError::Unauthenticated("incorrect code".into())
}

/// Whom attempts count against. No account has a name with blanks; the address is not counted, as only who knows the password
/// comes here.
fn attempts_on(account: &str) -> String {
    format!("{account} second factor")
}

impl Hub {
    /// Whether a user has a second factor.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn second_factor(&self, who: &Identity) -> Result<SecondFactorState> {
        let txn = self.read().await?;
        let row = txn.second_factor(&who.account).await?;
        let is_on = row.is_some_and(|row| row.confirmed.is_some());
        Ok(SecondFactorState { is_on, recovery_codes: txn.count_recovery_codes(&who.account).await? })
    }

    /// Makes the key of a second factor, which is on once a code was shown to [`Hub::confirm_second_factor`]. An older key
    /// that was not confirmed is replaced.
    ///
    /// # Errors
    /// `Denied` with an access token; `Conflict` when one is on.
    pub async fn begin_second_factor(&self, who: &Identity) -> Result<NewSecondFactor> {
        who.has_password()?;
        let mut txn = self.write("making a second factor").await?;
        if is_on(txn.second_factor(&who.account).await?.as_ref()) {
            return Err(HubError::Conflict("the second factor is on already".into()));
        }
        let key = secrets::random::<20>()?;
        let account = who.account.clone();
        let row = SecondFactorRow { account, key: key.to_vec(), created: self.now(), confirmed: None, last_step: 0 };
        txn.put_second_factor(&row).await?;
        txn.commit().await?;
        Ok(NewSecondFactor::of(&who.account, &key))
    }

    /// The key that waits for its first code, to be shown again after a wrong one.
    ///
    /// # Errors
    /// `Denied` with an access token; when the records fail.
    pub async fn pending_second_factor(&self, who: &Identity) -> Result<Option<NewSecondFactor>> {
        who.has_password()?;
        let row = self.read().await?.second_factor(&who.account).await?.filter(|row| row.confirmed.is_none());
        Ok(row.map(|row| NewSecondFactor::of(&row.account, &row.key)))
    }

    /// Turns a second factor on, by a code of it. Returns the recovery codes, to be shown once. Sessions stay; refresh tokens
    /// that began with the password end.
    ///
    /// # Errors
    /// `Denied` with an access token; `Conflict` when none was begun or it is on; `Unauthenticated` for a wrong code;
    /// `RateLimited`.
    pub async fn confirm_second_factor(&self, who: &Identity, code: &str) -> Result<Vec<String>> {
        who.has_password()?;
        let account = &who.account;
        self.take_attempt(account).await?;
        let codes = (0..RECOVERY_CODES).map(|_| recovery_code()).collect::<Result<Vec<_>>>()?;
        let mut txn = self.write("confirming a second factor").await?;
        let row = txn.second_factor(account).await?.filter(|row| row.confirmed.is_none());
        let row = row.ok_or_else(|| HubError::Conflict("no second factor waits for its first code".into()))?;
        let step = step_of(&row, code, self.now()).ok_or_else(wrong_code)?;
        txn.put_second_factor(&SecondFactorRow { confirmed: Some(self.now()), last_step: step, ..row }).await?;
        let hashes: Vec<_> = codes.iter().map(|code| recovery_hash(account, code)).collect();
        txn.insert_recovery_codes(account, &hashes).await?;
        txn.delete_refresh_tokens_of(account).await?;
        self.log_second_factor(&mut *txn, who, account, "on").await?;
        txn.commit().await?;
        self.forget_attempts(account).await?;
        Ok(codes)
    }

    /// Turns one's second factor off, by a code or a recovery code.
    ///
    /// # Errors
    /// `Denied` with an access token; `NotFound` when there is none; `Unauthenticated` for a wrong code; `RateLimited`.
    pub async fn disable_second_factor(&self, who: &Identity, code: &str) -> Result<()> {
        who.has_password()?;
        self.check_code(&who.account, code).await?;
        self.delete_second_factor(who, &who.account).await
    }

    /// Turns a user's second factor off as an administrator.
    ///
    /// # Errors
    /// `Denied`; `NotFound` when there is none.
    pub async fn reset_second_factor(&self, who: &Identity, name: &str) -> Result<()> {
        who.administers()?;
        self.delete_second_factor(who, name).await
    }

    async fn delete_second_factor(&self, who: &Identity, name: &str) -> Result<()> {
        let mut txn = self.write("removing a second factor").await?;
        if !txn.delete_second_factor(name).await? {
            return Err(HubError::NotFound(format!("second factor of {name}")));
        }
        self.log_second_factor(&mut *txn, who, name, "off").await?;
        Ok(txn.commit().await?)
    }

    async fn log_second_factor(&self, txn: &mut dyn HubWrite, who: &Identity, name: &str, state: &str) -> Result<()> {
        let data = json!({ "second_factor": state });
        log(txn, self.now(), who, Event { action: AuditAction::SECOND_FACTOR, account: name, name, data }).await
    }

    /// The first step of a sign-in: by name and password, or access token.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`; `Denied` when the password must be changed first.
    pub async fn sign_in(&self, name: &str, secret: &str, peer: Option<IpAddr>) -> Result<SignedIn> {
        if secrets::is_access_token(secret) {
            return Ok(SignedIn::Yes(self.authenticate(name, secret, peer).await?));
        }
        let account = self.by_usable_password(name, secret, peer).await?;
        if !self.needs_code(&account).await? {
            return Ok(SignedIn::Yes(Identity::of_user(&account, peer)));
        }
        let mut claims = Claims::new(&account.name, HALF_SIGNED_IN, self.now(), PATIENCE)?;
        claims.session = Some(SessionClaim { generation: account.generation, token: None });
        Ok(SignedIn::NeedsCode(self.sign(&claims).await?))
    }

    /// The second step: by the token of the first and a code or recovery code.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`.
    pub async fn sign_in_with_code(&self, token: &str, code: &str, peer: Option<IpAddr>) -> Result<Identity> {
        let claims = self.verify(token, Some(HALF_SIGNED_IN)).await?;
        let account = self.read().await?.account(&claims.sub).await?.filter(|account| !account.is_disabled);
        let is_current = |account: &AccountRow| {
            claims.session.as_ref().is_some_and(|session| session.generation == account.generation)
        };
        let account = account.filter(is_current).ok_or_else(wrong_code)?;
        self.check_code(&account.name, code).await?;
        Ok(Identity::of_user(&account, peer))
    }

    /// Whether a password alone is not enough.
    pub(crate) async fn needs_code(&self, account: &AccountRow) -> Result<bool> {
        Ok(is_on(self.read().await?.second_factor(&account.name).await?.as_ref()))
    }

    /// As [`Hub::check_code`], of who changes the password and is told that the code was wrong, and not the password.
    pub(crate) async fn check_code_of_change(&self, account: &str, code: &str) -> Result<()> {
        let invalid = |why: &str| HubError::Invalid { what: "code", why: why.into() };
        if code.trim().is_empty() {
            return Err(invalid("is missing: a second factor is on"));
        }
        match self.check_code(account, code).await {
            Err(HubError::Unauthenticated(_)) => Err(invalid("is not good")),
            checked => checked,
        }
    }

    /// Takes a code or a recovery code; no other request can take it again.
    async fn check_code(&self, account: &str, code: &str) -> Result<()> {
        self.take_attempt(account).await?;
        let mut txn = self.write("taking a one-time code").await?;
        let row = txn.second_factor(account).await?.filter(|row| row.confirmed.is_some());
        let row = row.ok_or_else(|| HubError::NotFound(format!("second factor of {account}")))?;
        match step_of(&row, code, self.now()) {
            Some(step) => txn.put_second_factor(&SecondFactorRow { last_step: step, ..row }).await?,
            None if txn.take_recovery_code(account, &recovery_hash(account, code)).await? => {}
            None => return Err(wrong_code()),
        }
        txn.commit().await?;
        self.forget_attempts(account).await
    }

    /// Counts an attempt as failed before it is made, so that many at once are no way around the throttle.
    async fn take_attempt(&self, account: &str) -> Result<()> {
        let subjects = Subjects::new(Some(&attempts_on(account)), None);
        self.check_throttle(&subjects).await?;
        self.count_failure(&subjects).await
    }

    async fn forget_attempts(&self, account: &str) -> Result<()> {
        self.forget_failures(&attempts_on(account)).await
    }
}

fn is_on(row: Option<&SecondFactorRow>) -> bool {
    row.is_some_and(|row| row.confirmed.is_some())
}

/// The step of a code that is good at the time `now` and was not used.
fn step_of(row: &SecondFactorRow, code: &str, now: i64) -> Option<i64> {
    let code = code.trim();
    let present = now / SECOND / STEP;
    let mut steps = present - TOLERATED..=present + TOLERATED;
    steps.find(|step| *step > row.last_step && code_at(&row.key, *step) == code)
}

/// RFC 4226, section 5.3, for a step of time.
fn code_at(key: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0xf);
    let number = tag[offset..offset + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", number % MODULUS)
}

/// RFC 4648 without padding; whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digits = bytes.chunks(5).flat_map(|group| {
        let number = group.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        (0..8).rev().map(move |digit| char::from(LETTERS[(number >> (5 * digit)) as usize & 31]))
    });
    digits.collect()
}

/// Ten characters: 50 random bits, with ten attempts before a wait.
fn recovery_code() -> Result<String> {
    Ok(secrets::readable_password()?.chars().take(11).collect())
}

/// The account is in it, so that the same code of two users does not show.
fn recovery_hash(account: &str, code: &str) -> String {
    secrets::hash(&format!("{account} {}", code.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six of eight digits.
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(KEY, seconds / STEP), expected);
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_short_time() {
        let row = SecondFactorRow { account: "ann".into(), key: KEY.into(), created: 0, confirmed: None, last_step: 0 };
        let at = |seconds: i64| seconds * SECOND;
        let code = code_at(KEY, 1_000_000);
        for (seconds, expected) in [
            (30_000_000 - 31, None),
            (30_000_000 - 1, Some(1_000_000)),
            (30_000_000, Some(1_000_000)),
            (30_000_000 + 59, Some(1_000_000)),
            (30_000_000 + 60, None),
        ] {
            assert_eq!(step_of(&row, &code, at(seconds)), expected, "{seconds}");
        }
        let used = SecondFactorRow { last_step: 1_000_000, ..row };
        assert_eq!(step_of(&used, &code, at(30_000_000)), None);
    }

    #[test]
    fn keys_are_written_in_base_32() {
        assert_eq!(base32(KEY), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
