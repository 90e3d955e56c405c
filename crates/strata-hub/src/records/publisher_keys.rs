//! Records of the public keys with which publishers sign their images.

use async_trait::async_trait;
use strata_store::Result;

/// A public key of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherKeyRow {
    /// The account whose repositories it signs, or the full name of the one repository that it signs.
    pub owner: String,
    /// SHA-256 of the key (SubjectPublicKeyInfo, DER), in hexadecimal.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// SubjectPublicKeyInfo, PEM (RFC 7468).
    pub pem: String,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added: i64,
}

/// Queries.
#[async_trait]
pub trait PublisherKeyRows: Send + Sync {
    /// The keys of an account or a repository, oldest first.
    async fn publisher_keys(&self, owner: &str) -> Result<Vec<PublisherKeyRow>>;
}

/// Changes.
#[async_trait]
pub trait PublisherKeyChanges: PublisherKeyRows {
    /// Adds a key, or gives it another name.
    async fn put_publisher_key(&mut self, row: &PublisherKeyRow) -> Result<()>;
    /// Removes a key; `false` when it was not there.
    async fn delete_publisher_key(&mut self, owner: &str, id: &str) -> Result<bool>;
    /// Removes all keys of an account or a repository.
    async fn delete_publisher_keys_of(&mut self, owner: &str) -> Result<()>;
}
