//! Making the layer of a blob that is here already: a registry takes blobs in as they are, and unpacks them later, if ever.

use std::io::BufReader;

use strata_model::{DiffId, Digest};

use crate::fsck::{Whole, blocking};
use crate::unpack::unpack;
use crate::{Lease, LeaseItem, Result, Store, StoreError};

impl Store {
    /// Makes pack and index of the layer in a stored blob, unless they are here, and returns its diff ID. The layer goes
    /// when its blobs go. Killed half way, it leaves nothing but a lease.
    ///
    /// # Errors
    /// `UnknownObject`, also when it is removed meanwhile; `MalformedLayer` when it is no layer.
    pub async fn unpack_object(&self, digest: &Digest) -> Result<DiffId> {
        let lease = self.lease("indexing a pushed layer").await?;
        let unpacked = self.unpack_leased(&lease, digest).await;
        self.release(lease).await?;
        unpacked
    }

    async fn unpack_leased(&self, lease: &Lease, digest: &Digest) -> Result<DiffId> {
        let mut txn = self.write("protecting a blob that is to be unpacked").await?;
        let row = txn.object(digest).await?.ok_or(StoreError::UnknownObject(*digest))?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Object(*digest)]).await?;
        txn.commit().await?;
        let txn = self.read().await?;
        if let Some(diff_id) = txn.layer_of_blob(digest).await?
            && self.layer_is_whole(&*txn, &diff_id).await?
        {
            return Ok(diff_id);
        }
        drop(txn);
        let bytes = self.open_object(&row).await?;
        let known = self.known_packs(lease).await?;
        let (packs, limits, name) = (self.inner.packs.clone(), self.layer_limits(), digest.to_string());
        let unpacked =
            blocking(move || unpack(&name, BufReader::new(Whole { bytes, offset: 0 }), &*packs, &known, &limits))
                .await??;
        let diff_id = unpacked.index().diff_id;
        self.publish_unpacked(lease, digest, unpacked).await?;
        Ok(diff_id)
    }
}
