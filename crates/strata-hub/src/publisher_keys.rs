//! Public keys with which publishers sign their images: of an account for all its repositories, or of one repository.
//!
//! ECDSA on the curve P-256 (`cosign generate-key-pair`): an SPKI (RFC 5280, section 4.1) in PEM (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::accounts::checked_text;
use crate::audit::{AuditAction, Event, log};
use crate::organizations::require_owner;
use crate::records::{PublisherKeyRow, Role};
use crate::roles::{Reach, namespace, role_on};
use crate::{Hub, HubError, HubRead, Identity, Result, secrets};

/// Most keys of an account or a repository.
pub const MAX_PUBLISHER_KEYS: usize = 20;
/// Longest PEM that is looked at, in bytes.
const LONGEST: usize = 4096;
/// What an SPKI of P-256 begins with: `id-ecPublicKey`, `prime256v1`, and the head of the point (RFC 5480, section 2).
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

fn invalid(why: &str) -> HubError {
    HubError::Invalid { what: "pem", why: why.into() }
}

/// The bytes of the first block of a PEM text that has this label.
pub(crate) fn block(text: &str, label: &str) -> Option<Vec<u8>> {
    let body = text.split_once(&format!("-----BEGIN {label}-----"))?.1;
    let body = body.split_once(&format!("-----END {label}-----"))?.0;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// The point of a key, uncompressed, as signatures are verified with it.
pub(crate) fn point(pem: &str) -> Option<Vec<u8>> {
    let der = block(pem, "PUBLIC KEY")?;
    der.strip_prefix(P256).filter(|point| point.len() == 65 && point[0] == 4).map(<[u8]>::to_vec)
}

/// The PEM of a key as it is kept, and its SHA-256.
fn checked(pem: &str) -> Result<(String, String)> {
    if pem.len() > LONGEST {
        return Err(invalid("is too long for a public key"));
    }
    if pem.contains("PRIVATE KEY") {
        return Err(invalid("is a private key: keep it to yourself, and consider it known to others now"));
    }
    let der =
        block(pem, "PUBLIC KEY").ok_or_else(|| invalid("is no public key in PEM (-----BEGIN PUBLIC KEY-----)"))?;
    let text = STANDARD.encode(&der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|start| &text[start..text.len().min(start + 64)]).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    match point(&pem) {
        Some(_) => Ok((pem, secrets::hexadecimal(ring::digest::digest(&ring::digest::SHA256, &der).as_ref()))),
        None => Err(invalid("must be a key for ECDSA on the curve P-256, as cosign makes them")),
    }
}

/// Asserts that `who` may say with which keys an account or a repository signs.
async fn require_admin(txn: &dyn HubRead, who: &Identity, owner: &str) -> Result<()> {
    if !owner.contains('/') {
        return match owner == who.account && who.is_user() {
            true => who.may_manage(),
            false => require_owner(txn, who, owner).await,
        };
    }
    let reach = Reach::of(txn, Some(who)).await?;
    match role_on(txn, &reach, owner).await? {
        Some(Role::Admin) if txn.repository(owner).await?.is_some() => who.may_manage(),
        _ => Err(HubError::NotFound(format!("repository {owner}"))),
    }
}

impl Hub {
    /// The keys of an account, or of a repository by its full name, for whoever asks: they are public.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn publisher_keys(&self, owner: &str) -> Result<Vec<PublisherKeyRow>> {
        Ok(self.read().await?.publisher_keys(owner).await?)
    }

    /// Adds a key to those of an account or a repository, as who may manage it.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Invalid` for what is no key, and when there are [`MAX_PUBLISHER_KEYS`].
    pub async fn add_publisher_key(
        &self,
        who: &Identity,
        owner: &str,
        name: &str,
        pem: &str,
    ) -> Result<PublisherKeyRow> {
        let name = checked_text("name", name.trim().to_owned())?;
        if name.is_empty() {
            return Err(HubError::Invalid { what: "name", why: "is missing".into() });
        }
        let (pem, id) = checked(pem)?;
        let added_by = who.name.clone();
        let row = PublisherKeyRow { owner: owner.to_owned(), id, name, pem, added_by, added: self.now() };
        let mut txn = self.write("adding a publisher's key").await?;
        require_admin(&*txn, who, owner).await?;
        txn.put_publisher_key(&row).await?;
        if txn.publisher_keys(owner).await?.len() > MAX_PUBLISHER_KEYS {
            return Err(invalid("is one too many: remove a key that signs nothing any more"));
        }
        let data = json!({ "key_added": row.name, "sha256": row.id });
        log(&mut *txn, self.now(), who, key_event(owner, data)).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Removes a key; what it signed is then signed by an unknown key.
    ///
    /// # Errors
    /// `NotFound`, `Denied`.
    pub async fn remove_publisher_key(&self, who: &Identity, owner: &str, id: &str) -> Result<()> {
        let mut txn = self.write("removing a publisher's key").await?;
        require_admin(&*txn, who, owner).await?;
        if !txn.delete_publisher_key(owner, id).await? {
            return Err(HubError::NotFound("key".into()));
        }
        log(&mut *txn, self.now(), who, key_event(owner, json!({ "key_removed": id }))).await?;
        Ok(txn.commit().await?)
    }
}

fn key_event(owner: &str, data: serde_json::Value) -> Event<'_> {
    let action = if owner.contains('/') { AuditAction::REPOSITORY_UPDATE } else { AuditAction::ACCOUNT_UPDATE };
    Event { action, account: namespace(owner), name: owner, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout`.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETL77MZC0CChCD1K8Tb7cS5Nqa9KA\n\
        tdGeIIKWcwMgrHGCjGK8oM2BA0+xGaVjNUo+gmEO+eugkRAPejeOy0p/ug==\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_those_of_cosign() {
        let (pem, id) = checked(&format!("comment\r\n{}", KEY.replace('\n', "\r\n"))).unwrap();
        assert_eq!((pem.as_str(), id.len()), (KEY, 64));
        assert_eq!(point(&pem).unwrap().len(), 65);
        for (text, why) in [
            ("", "no public key"),
            ("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----", "no public key"),
            (
                "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----",
                "P-256",
            ),
            ("-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----", "private key"),
            (&"x".repeat(5000), "too long"),
        ] {
            let error = checked(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
