//! A document together with the exact bytes that it came from.

use bytes::Bytes;

use crate::Digest;

/// A parsed document and its bytes. The digest is of the bytes; the value is never serialized again for one.
#[derive(Clone, Debug)]
pub struct Raw<T> {
    bytes: Bytes,
    digest: Digest,
    value: T,
}

impl<T> Raw<T> {
    /// Parses `bytes` with `parse` and keeps both; the digest is SHA-256 of the bytes.
    pub fn parse<E>(bytes: impl Into<Bytes>, parse: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<Raw<T>, E> {
        let bytes = bytes.into();
        let value = parse(&bytes)?;
        Ok(Raw { digest: Digest::of(&bytes), bytes, value })
    }

    /// The bytes as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Length of the bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The parsed value, read-only.
    pub fn value(&self) -> &T {
        &self.value
    }
}
