//! Passwords: Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane), a few at a time.
//!
//! A wrong password, a user without one and a user who is not there take the same time.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{HubError, Result, secrets};

/// Hashes that are made at once; each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// Longest wait for one's turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest and longest password, in characters and bytes.
const SHORTEST: usize = 8;
const LONGEST: usize = 256;

/// The place where passwords are hashed.
pub(crate) struct Passwords(Semaphore);

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords(Semaphore::new(AT_ONCE))
    }
}

impl Passwords {
    /// What is kept of a password, in PHC form.
    ///
    /// # Errors
    /// `Invalid` when it is too short or too long; `RateLimited` when too many want a turn.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        check(password)?;
        let (password, salt) = (password.to_owned(), secrets::random::<16>()?);
        let _turn = self.turn().await?;
        blocking(move || {
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
                .map_err(|cause| HubError::Internal(format!("a password could not be hashed: {cause}")))
        })
        .await?
    }

    /// Whether this is the password of which `kept` was kept; `None` never matches, after the same time.
    ///
    /// # Errors
    /// `RateLimited` when too many want a turn.
    pub(crate) async fn verify(&self, password: &str, kept: Option<String>) -> Result<bool> {
        // Longer ones were never taken; hashing them would only cost time.
        let (password, kept) =
            if password.len() > LONGEST { (String::new(), None) } else { (password.to_owned(), kept) };
        let _turn = self.turn().await?;
        blocking(move || match kept.as_deref().map(PasswordHash::new) {
            Some(Ok(kept)) => Argon2::default().verify_password(password.as_bytes(), &kept).is_ok(),
            Some(Err(_)) | None => {
                let _same_time = Argon2::default().hash_password_with_salt(password.as_bytes(), &[0; 16]);
                false
            }
        })
        .await
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        match tokio::time::timeout(PATIENCE, self.0.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(HubError::RateLimited { retry_after: PATIENCE.as_secs() }),
        }
    }
}

/// Whether a password may be chosen.
fn check(password: &str) -> Result<()> {
    let why = if password.chars().count() < SHORTEST {
        format!("must have {SHORTEST} characters or more")
    } else if password.len() > LONGEST {
        format!("must have {LONGEST} bytes or less")
    } else if secrets::is_access_token(password) {
        "must not look like an access token".to_owned()
    } else {
        return Ok(());
    };
    Err(HubError::Invalid { what: "password", why })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| HubError::Internal(format!("hashing a password: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_matches() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse").await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(passwords.verify("correct horse", Some(kept.clone())).await.unwrap());
        for (password, kept) in
            [("correct hors", Some(kept.clone())), ("correct horse", None), ("correct horse", Some("broken".into()))]
        {
            assert!(!passwords.verify(password, kept).await.unwrap(), "{password}");
        }
        assert!(!passwords.verify(&"x".repeat(1 << 20), Some(kept)).await.unwrap());
    }

    #[tokio::test]
    async fn unfit_passwords_are_refused() {
        let passwords = Passwords::default();
        for password in ["", "1234567", &"x".repeat(257), "strata_pat_12345678"] {
            assert!(matches!(passwords.hash(password).await, Err(HubError::Invalid { .. })), "{password}");
        }
    }
}
