//! Uploads of blobs, in one request or in many.
//!
//! A session is a lease of the catalog (`registry-upload-<id>`, "upload to <repository>") that ends a day after its last
//! use, and bytes staged under its identity: both survive a restart of the registry. Whoever writes owns the staged bytes;
//! a second request to the same session waits a little and is then sent away. The hash runs along in memory; where it was
//! lost, the staged bytes are hashed again when the upload ends.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strata_model::{Algorithm, Digest, Hasher, MediaType, Repository};

use super::{Registry, RegistryError, Result};
use crate::publish::panicked;
use crate::{BlobBytes, BlobKind, Ingest, LeaseRow, ObjectRow, StageName, StoreError, fault};

/// How long a session lives after its last use, in nanoseconds.
const LIFETIME: i64 = 86_400_000_000_000;
/// How long a request waits for another one that writes to the same session.
const PATIENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(30);
/// Sessions whose hash is kept running; the hash of others is made at the end.
const RUNNING: usize = 1024;
const CHUNK: usize = 256 << 10;

/// Identity of an upload session: a random UUID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// An identity that nobody can guess (RFC 9562, version 4).
    fn random() -> Result<UploadId> {
        const SOURCE: &str = "/dev/urandom";
        let mut bytes = [0; 16];
        std::fs::File::open(SOURCE)
            .and_then(|mut source| source.read_exact(&mut bytes))
            .map_err(|cause| StoreError::file("reading", SOURCE, cause))?;
        let value = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{value:032x}");
        Ok(UploadId([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")))
    }

    /// The UUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn lease(&self) -> String {
        format!("registry-upload-{}", self.0)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadId {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<UploadId> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(position, byte)| match position {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        if is_uuid { Ok(UploadId(text.to_owned())) } else { Err(RegistryError::UploadUnknown(text.to_owned())) }
    }
}

impl Registry {
    /// Starts a session that later requests go on with. `algorithm` is the one that the blob's digest will probably have.
    /// The session survives a crash.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn begin_upload(&self, repository: &Repository, algorithm: Algorithm) -> Result<UploadId> {
        let id = UploadId::random()?;
        let mut txn = self.store.write("starting an upload").await?;
        txn.put_lease(&self.session_row(repository, &id)).await?;
        txn.commit().await?;
        fault::point("upload-begun");
        self.hashes.put(&id, RunningHash { count: 0, hasher: Hasher::new(algorithm) });
        Ok(id)
    }

    /// Goes on with a session, and owns it until the value is dropped.
    ///
    /// # Errors
    /// `UploadUnknown`, also for a session of another repository; `UploadBusy`.
    pub async fn resume_upload(&self, repository: &Repository, id: &UploadId) -> Result<Upload> {
        self.check_session(repository, id).await?;
        let staged = self.stage(id).await?;
        // The request that we waited for may have ended the session.
        if let Err(error) = self.check_session(repository, id).await {
            staged.finish().await?;
            return Err(error);
        }
        let hash = match self.hashes.take(id) {
            Some(hash) => Some(hash),
            None if staged.length() == 0 => Some(RunningHash::new(Algorithm::Sha256)),
            None => None,
        };
        let hash = KeptHash { hash, keeper: Some((self.hashes.clone(), id.clone())) };
        Ok(Upload { hash, staged, registry: self.clone(), repository: repository.clone(), session: Some(id.clone()) })
    }

    /// Starts an upload that one request brings whole; nothing remains of it when that fails.
    ///
    /// # Errors
    /// What the backend reports.
    pub async fn single_upload(&self, repository: &Repository, algorithm: Algorithm) -> Result<Upload> {
        let staged = self.store.inner.blobs.begin(BlobKind::Object).await?;
        Ok(Upload::without_session(self, repository, staged, algorithm))
    }

    /// Waits until no other request owns the session's bytes.
    async fn stage(&self, id: &UploadId) -> Result<Box<dyn Ingest>> {
        let name = StageName::Upload(id.as_str().to_owned());
        let began = tokio::time::Instant::now();
        loop {
            if let Some(staged) = self.store.inner.blobs.stage(&name).await? {
                return Ok(staged);
            }
            if began.elapsed() > PATIENCE {
                return Err(RegistryError::UploadBusy(id.to_string()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Makes sure that a session lives, and prolongs it when half of its life is over.
    async fn check_session(&self, repository: &Repository, id: &UploadId) -> Result<()> {
        let row = self.store.read().await?.lease(&id.lease()).await?;
        let renewed = self.session_row(repository, id);
        let now = self.store.now();
        match row {
            Some(row) if row.purpose == renewed.purpose && row.expires > now => {
                if row.expires < now + LIFETIME / 2 {
                    let mut txn = self.store.write("prolonging an upload").await?;
                    txn.put_lease(&renewed).await?;
                    txn.commit().await?;
                }
                Ok(())
            }
            _ => Err(RegistryError::UploadUnknown(id.to_string())),
        }
    }

    fn session_row(&self, repository: &Repository, id: &UploadId) -> LeaseRow {
        LeaseRow {
            id: id.lease(),
            purpose: format!("upload to {repository}"),
            expires: self.store.now().saturating_add(LIFETIME),
        }
    }
}

/// A blob on its way in. Dropping it keeps what a session has so far.
pub struct Upload {
    // Before `staged`: the hash is put back before another request can own the bytes.
    hash: KeptHash,
    pub(super) staged: Box<dyn Ingest>,
    registry: Registry,
    repository: Repository,
    session: Option<UploadId>,
}

impl Upload {
    pub(super) fn without_session(
        registry: &Registry,
        repository: &Repository,
        staged: Box<dyn Ingest>,
        algorithm: Algorithm,
    ) -> Upload {
        // What lies staged already is hashed at the end.
        let hash = (staged.length() == 0).then(|| RunningHash::new(algorithm));
        let hash = KeptHash { hash, keeper: None };
        Upload { hash, staged, registry: registry.clone(), repository: repository.clone(), session: None }
    }

    pub(super) fn hash_anew(&mut self, algorithm: Algorithm) {
        self.hash.hash = Some(RunningHash::new(algorithm));
    }

    /// Bytes held so far, those of earlier requests included.
    pub fn length(&self) -> u64 {
        self.staged.length()
    }

    /// Appends.
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.staged.write(bytes).await?;
        fault::point("upload-appended");
        if let Some(hash) = &mut self.hash.hash {
            hash.count += bytes.len() as u64;
            hash.hasher.update(bytes);
        }
        Ok(())
    }

    /// Ends the upload: the bytes become an object that the repository links, in one transaction. Once it returns, the blob
    /// survives a power cut. The session is over, whether this succeeds or the digest is another.
    ///
    /// # Errors
    /// `DigestMismatch`, or what catalog and backend report.
    pub async fn finish(mut self, expected: Digest) -> Result<()> {
        let found = self.digest(expected.algorithm()).await?;
        if found != expected {
            self.cancel().await?;
            return Err(RegistryError::DigestMismatch { expected, found });
        }
        let store = self.registry.store.clone();
        let row = ObjectRow {
            digest: expected,
            media_type: MediaType::OCTET_STREAM,
            size: self.staged.length(),
            location: Some(self.staged.seal(store.options().durability).await?),
            bytes: None,
            created: store.now(),
            damaged: false,
        };
        fault::point("upload-sealed");
        let mut txn = store.write("publishing a pushed blob").await?;
        let unused = store.insert_or_heal_object(&mut *txn, &row).await?;
        self.registry.link_blob(&mut *txn, &self.repository, &expected).await?;
        txn.promote_sparse(&expected).await?;
        if let Some(id) = &self.session {
            txn.delete_lease(&id.lease()).await?;
        }
        txn.commit().await?;
        fault::point("upload-published");
        self.hash.keeper = None;
        self.staged.finish().await?;
        store.remove_blobs(unused.into_iter().collect()).await?;
        Ok(())
    }

    /// Ends the upload without a trace.
    ///
    /// # Errors
    /// What catalog and backend report.
    pub async fn cancel(mut self) -> Result<()> {
        self.hash.keeper = None;
        if let Some(id) = &self.session {
            let mut txn = self.registry.store.write("cancelling an upload").await?;
            txn.delete_lease(&id.lease()).await?;
            txn.commit().await?;
        }
        self.staged.finish().await?;
        Ok(())
    }

    /// The digest of all bytes, from the running hash where it saw them all.
    async fn digest(&mut self, algorithm: Algorithm) -> Result<Digest> {
        if let Some(hash) = &self.hash.hash
            && hash.count == self.staged.length()
        {
            let found = hash.hasher.clone().finish();
            if found.algorithm() == algorithm {
                return Ok(found);
            }
        }
        let bytes = self.staged.staged()?;
        let hashing = tokio::task::spawn_blocking(move || hash_all(&*bytes, algorithm));
        let found = hashing.await.map_err(panicked)?;
        Ok(found.map_err(|cause| StoreError::file("reading an upload to", self.repository.as_str(), cause))?)
    }
}

fn hash_all(bytes: &dyn BlobBytes, algorithm: Algorithm) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        match bytes.read_at(offset, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => {
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
        }
    }
}

/// A hash of the first `count` bytes of an upload.
struct RunningHash {
    count: u64,
    hasher: Hasher,
}

impl RunningHash {
    fn new(algorithm: Algorithm) -> RunningHash {
        RunningHash { count: 0, hasher: Hasher::new(algorithm) }
    }
}

/// A hash in use, which goes back to its keeper when the request ends.
struct KeptHash {
    hash: Option<RunningHash>,
    keeper: Option<(Arc<RunningHashes>, UploadId)>,
}

impl Drop for KeptHash {
    fn drop(&mut self) {
        if let (Some(hash), Some((keeper, id))) = (self.hash.take(), self.keeper.take()) {
            keeper.put(&id, hash);
        }
    }
}

/// Hashes of sessions between their requests.
#[derive(Default)]
pub(super) struct RunningHashes(Mutex<HashMap<UploadId, RunningHash>>);

impl RunningHashes {
    fn put(&self, id: &UploadId, hash: RunningHash) {
        let mut hashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() >= RUNNING {
            // Any other one: it is made again at the end of its upload.
            let victim = hashes.keys().next().cloned();
            victim.map(|victim| hashes.remove(&victim));
        }
        hashes.insert(id.clone(), hash);
    }

    fn take(&self, id: &UploadId) -> Option<RunningHash> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_uuids_and_nothing_else() {
        let id = UploadId::random().unwrap();
        assert_eq!(id.as_str().parse::<UploadId>().unwrap(), id);
        assert_eq!((&id.as_str()[14..15], "89ab".contains(&id.as_str()[19..20])), ("4", true));
        assert_ne!(UploadId::random().unwrap(), id);
        for bad in
            ["", "../../etc/passwd", "4f1c2b3a-0000-4000-8000-00000000000", "4F1C2B3A-0000-4000-8000-000000000000"]
        {
            assert!(bad.parse::<UploadId>().is_err(), "{bad}");
        }
    }
}
