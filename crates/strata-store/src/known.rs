//! Which contents the store has already: the footers of the packs published last.

use std::sync::Arc;

use strata_layer::{ContentDigest, KnownContents, PackId};

use crate::{Lease, LeaseItem, PackFile, Result, Store};

/// Packs that a new layer may refer to: the ones published last.
const MAX_CANDIDATES: usize = 64;

/// Footers of candidate packs, mapped; lookups touch a few pages each.
pub(crate) struct KnownPacks {
    packs: Vec<(PackId, Arc<dyn PackFile>)>,
}

impl KnownPacks {
    /// No pack: everything is stored.
    pub(crate) fn none() -> KnownPacks {
        KnownPacks { packs: Vec::new() }
    }
}

impl KnownContents for KnownPacks {
    fn find(&self, digest: &ContentDigest, size: u64) -> Option<PackId> {
        self.packs
            .iter()
            .find(|(_, file)| file.place(digest).is_some_and(|(_, length)| length == size))
            .map(|(id, _)| *id)
    }
}

impl Store {
    /// The packs whose contents new layers may refer to, found once for a lease. It holds them, so that none of them goes away
    /// before a layer that uses it is published; after it a process that runs for long must not refer to them any more.
    pub(crate) async fn known_packs(&self, lease: &Lease) -> Result<Arc<KnownPacks>> {
        let known = lease.known.get_or_try_init(|| self.find_known_packs(lease)).await?;
        Ok(known.clone())
    }

    async fn find_known_packs(&self, lease: &Lease) -> Result<Arc<KnownPacks>> {
        let mut txn = self.write("leasing packs to share contents with").await?;
        let rows = txn.newest_packs(MAX_CANDIDATES).await?;
        if rows.is_empty() {
            return Ok(Arc::new(KnownPacks { packs: Vec::new() }));
        }
        let items: Vec<LeaseItem> = rows.iter().map(|row| LeaseItem::Pack(row.id)).collect();
        txn.add_lease_items(lease.id(), &items).await?;
        txn.commit().await?;
        // A pack that cannot be opened is not shared with; fsck is who reports it.
        let open = |row: &crate::PackRow| Some((row.id, self.inner.packs.open(&row.location).ok()?));
        Ok(Arc::new(KnownPacks { packs: rows.iter().filter_map(open).collect() }))
    }
}
