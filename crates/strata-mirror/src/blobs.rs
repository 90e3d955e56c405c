//! Where a blob comes from: this mirror, the store for another reason, or the remote.
//!
//! A blob that is here for another reason (another mirror, a push) is shown only after the remote said that its repository
//! has it: knowing a digest reads nothing.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_model::{Digest, Repository};
use strata_store::registry::{MirroredBlob, RegistryError, Result};

use crate::Mirror;
use crate::error::is_refusal;
use crate::fetch::{Failure, Fetch, Following};
use crate::manifests::{client, note_refusal, remote_failure};
use crate::remote::Remote;

impl Mirror {
    pub(crate) async fn open_blob(
        &self,
        remote: &Arc<Remote>,
        mirror: &Repository,
        digest: &Digest,
        offset: u64,
    ) -> Result<MirroredBlob> {
        if let Some(following) = self.inner.fetches.join(mirror, digest) {
            return self.follow(remote, mirror, digest, following, offset).await;
        }
        if let Some(blob) = self.kept_blob(mirror, digest, offset).await? {
            return Ok(blob);
        }
        let mut is_known = false;
        if self.inner.registry.store_has(digest).await? {
            self.remote_blob_size(remote, mirror, digest).await?;
            is_known = true;
            if self.inner.registry.keep_blob(mirror, digest).await?
                && let Some(blob) = self.kept_blob(mirror, digest, offset).await?
            {
                return Ok(blob);
            }
        }
        let fetch = Fetch { registry: self.inner.registry.clone(), client: client(remote, mirror)?, digest: *digest };
        let following = match self.inner.fetches.join_or_start(mirror, &fetch, is_known) {
            Some(following) => following,
            None => {
                self.remote_blob_size(remote, mirror, digest).await?;
                let following = self.inner.fetches.join_or_start(mirror, &fetch, true);
                following.ok_or_else(|| blob_unknown(mirror, digest))?
            }
        };
        self.follow(remote, mirror, digest, following, offset).await
    }

    pub(crate) async fn find_blob_size(
        &self,
        remote: &Arc<Remote>,
        mirror: &Repository,
        digest: &Digest,
    ) -> Result<u64> {
        if let Some(mut following) = self.inner.fetches.join(mirror, digest)
            && let Ok(Some(size)) = following.size().await
        {
            return Ok(size);
        }
        match self.inner.registry.blob_size(mirror, digest).await {
            Err(RegistryError::BlobUnknown { .. }) => self.remote_blob_size(remote, mirror, digest).await,
            found => found,
        }
    }

    async fn kept_blob(&self, mirror: &Repository, digest: &Digest, offset: u64) -> Result<Option<MirroredBlob>> {
        match self.inner.registry.open_blob(mirror, digest).await {
            Ok((reader, size)) => {
                let stream = reader.stream(offset).stream.map_err(std::io::Error::other).boxed();
                Ok(Some(MirroredBlob { size, stream }))
            }
            Err(RegistryError::BlobUnknown { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks by `HEAD` for the size: proof that the mirrored repository has the blob.
    async fn remote_blob_size(&self, remote: &Remote, mirror: &Repository, digest: &Digest) -> Result<u64> {
        match client(remote, mirror)?.blob_size(digest).await {
            Ok(Some(size)) => Ok(size),
            Ok(None) => {
                let message = format!("blob {digest}: its size is not told");
                Err(remote_failure(remote, strata_model::ErrorKind::Unsupported, message))
            }
            Err(error) if is_refusal(&error) => {
                note_refusal(&error);
                Err(blob_unknown(mirror, digest))
            }
            Err(error) => Err(remote_failure(remote, error.kind, error.message)),
        }
    }

    async fn follow(
        &self,
        remote: &Remote,
        mirror: &Repository,
        digest: &Digest,
        mut following: Following,
        offset: u64,
    ) -> Result<MirroredBlob> {
        match following.size().await {
            Ok(Some(size)) => Ok(MirroredBlob { size, stream: following.stream(offset) }),
            // It was here before the fetch began.
            Ok(None) => {
                let kept = self.kept_blob(mirror, digest, offset).await?;
                kept.ok_or_else(|| blob_unknown(mirror, digest))
            }
            Err(Failure { is_refusal: true, .. }) => Err(blob_unknown(mirror, digest)),
            Err(Failure { kind, message, .. }) => Err(remote_failure(remote, kind, message)),
        }
    }
}

fn blob_unknown(mirror: &Repository, digest: &Digest) -> RegistryError {
    RegistryError::BlobUnknown { repository: mirror.to_string(), digest: *digest }
}
