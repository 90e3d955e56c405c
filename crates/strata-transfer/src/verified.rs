//! Bytes that are hashed and counted as they pass.

use bytes::Bytes;
use strata_model::{Descriptor, Digest, ErrorKind, Hasher};

use crate::{Result, TransferError};

/// Hashes and counts bytes on their way; [`Verified::finish`] succeeds only when size and digest are the expected ones.
///
/// A sink cannot forget the check: what it needs to make a blob visible is what `finish` returns.
pub struct Verified {
    expected: Descriptor,
    hasher: Hasher,
    count: u64,
}

impl Verified {
    /// Expects the content of `descriptor`.
    pub fn new(expected: &Descriptor) -> Verified {
        Verified { expected: expected.clone(), hasher: expected.digest.hasher(), count: 0 }
    }

    /// Bytes taken so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// `Corrupt` as soon as there are more bytes than the descriptor says.
    pub fn update(&mut self, bytes: &Bytes) -> Result<()> {
        self.count += bytes.len() as u64;
        if self.count > self.expected.size {
            return Err(TransferError::new(
                ErrorKind::Corrupt,
                format!("blob {}: got more than the expected {} bytes", self.expected.digest, self.expected.size),
            ));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Ends.
    ///
    /// # Errors
    /// `Corrupt` when bytes are missing (retryable: the rest can be asked for) or the digest differs.
    pub fn finish(self) -> Result<Digest> {
        let Descriptor { digest, size, .. } = self.expected;
        if self.count != size {
            return Err(TransferError::retryable(
                ErrorKind::Corrupt,
                format!("blob {digest}: got {} bytes, expected {size}", self.count),
            ));
        }
        let found = self.hasher.finish();
        if found != digest {
            return Err(TransferError::new(
                ErrorKind::Corrupt,
                format!("blob {digest}: its bytes have digest {found}"),
            )
            .with_hint("the source holds damaged or exchanged content; pull it from another source"));
        }
        Ok(found)
    }
}
