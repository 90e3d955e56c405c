//! Secrets: made of the system's randomness, kept as SHA-256 of 256 random bits, which nobody can guess back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{HubError, Result};

/// What personal access tokens begin with.
pub(crate) const PERSONAL: &str = "strata_pat_";
/// What access tokens of organizations begin with.
pub(crate) const ROBOT: &str = "strata_rat_";
/// What refresh tokens begin with.
pub(crate) const REFRESH: &str = "strata_rt_";

/// A secret that was just made.
pub(crate) struct Secret {
    /// What its owner gets, once.
    pub(crate) text: String,
    /// What the records keep.
    pub(crate) hash: String,
}

impl Secret {
    /// 256 random bits behind a prefix.
    pub(crate) fn new(prefix: &str) -> Result<Secret> {
        let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let hash = hash(&text);
        Ok(Secret { text, hash })
    }
}

/// Whether a secret is an access token, and so not a password.
pub(crate) fn is_access_token(secret: &str) -> bool {
    secret.starts_with(PERSONAL) || secret.starts_with(ROBOT)
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hash(secret: &str) -> String {
    hexadecimal(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// Bytes in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from the system's source of randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| HubError::Internal("the system has no source of randomness".into()))?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid() -> Result<String> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hexadecimal(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

/// A password of 100 random bits that is easy to type: 20 characters without those that are mistaken for others.
pub(crate) fn readable_password() -> Result<String> {
    const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random::<20>()?;
    let characters: Vec<char> = bytes.iter().map(|byte| char::from(CHARACTERS[usize::from(byte % 32)])).collect();
    Ok(characters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_kept_as_hashes() {
        let secret = Secret::new(PERSONAL).unwrap();
        assert_eq!(secret.text.len(), PERSONAL.len() + 43);
        assert_eq!(secret.hash, hash(&secret.text));
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(is_access_token(&secret.text) && !is_access_token("correct horse"));
        assert_ne!(Secret::new(PERSONAL).unwrap().text, secret.text);
    }

    #[test]
    fn uuids_have_their_form() {
        let uuid = uuid().unwrap();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }

    #[test]
    fn readable_passwords_are_readable() {
        let password = readable_password().unwrap();
        assert_eq!(password.len(), 23);
        assert!(password.split('-').all(|part| part.len() == 5));
    }
}
