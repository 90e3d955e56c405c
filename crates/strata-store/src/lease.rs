//! Leases: what is being worked on is not collected. A lease is ended by its owner or by the clock, by nobody else.
//!
//! Work that succeeds releases its lease: what it alone held goes at once. Work that fails or is interrupted drops it, which
//! gives it up: a repeated pull still finds the layers that were finished, while a prune removes them at once and `system df`
//! tells of them. A lease that was given up, or whose process was killed, ends ten minutes later; what it held is removed
//! by the next collection.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use strata_model::DiffId;
use tokio::sync::OnceCell;

use crate::known::KnownPacks;
use crate::{LeaseItem, LeaseRow, ReadTxn, Result, Store, WriteTxn};

/// How long a lease lives after its last renewal.
const LIFETIME: Duration = Duration::from_secs(600);
/// The purpose of a lease whose work has failed.
const GIVEN_UP: &str = "given up";
/// When no lease counts.
const END_OF_TIME: i64 = i64::MAX;

/// A live lease, renewed by a background task. Dropping it gives it up.
pub struct Lease {
    id: String,
    store: Store,
    renewal: tokio::task::JoinHandle<()>,
    is_released: bool,
    /// The packs that it holds for layers to share contents with.
    pub(crate) known: OnceCell<Arc<KnownPacks>>,
}

impl Lease {
    /// Its identity.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.is_released {
            return;
        }
        // Outside of a runtime the clock ends it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, id) = (self.store.clone(), std::mem::take(&mut self.id));
        let ending = runtime.spawn(async move {
            if let Err(error) = store.give_up(&id).await {
                tracing::debug!(%error, lease = id, "a lease is left to the clock");
            }
        });
        self.store.inner.endings.lock().unwrap_or_else(PoisonError::into_inner).push(ending);
    }
}

impl Store {
    /// Starts a lease.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn lease(&self, purpose: &'static str) -> Result<Lease> {
        let id = lease_id(self.now());
        let mut txn = self.write("starting a lease").await?;
        txn.put_lease(&self.lease_row(&id, purpose)).await?;
        txn.commit().await?;
        let renewal = tokio::spawn(renew(self.clone(), id.clone(), purpose));
        Ok(Lease { id, store: self.clone(), renewal, is_released: false, known: OnceCell::new() })
    }

    /// Protects more under a lease.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn protect(&self, lease: &Lease, items: &[LeaseItem]) -> Result<()> {
        let mut txn = self.write("protecting what is worked on").await?;
        txn.add_lease_items(lease.id(), items).await?;
        txn.commit().await
    }

    /// Ends a lease, and removes what it alone held.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn release(&self, mut lease: Lease) -> Result<()> {
        let mut txn = self.write("ending a lease").await?;
        let items = txn.lease_items(lease.id()).await?;
        txn.delete_lease(lease.id()).await?;
        forget_taken_up(&mut *txn, self.now()).await?;
        let collection = self.review_items(&mut *txn, items).await?;
        txn.commit().await?;
        lease.is_released = true;
        self.remove_doomed(&collection).await?;
        Ok(())
    }

    /// Waits until every lease that was dropped is given up: before a process ends.
    pub async fn settle(&self) {
        let endings = std::mem::take(&mut *self.inner.endings.lock().unwrap_or_else(PoisonError::into_inner));
        for ending in endings {
            let _ = ending.await;
        }
    }

    async fn give_up(&self, id: &str) -> Result<()> {
        let mut txn = self.write("giving up a lease").await?;
        // A collection may have ended it before.
        if txn.lease(id).await?.is_some() {
            txn.put_lease(&self.lease_row(id, GIVEN_UP)).await?;
            txn.commit().await?;
        }
        Ok(())
    }

    fn lease_row(&self, id: &str, purpose: &str) -> LeaseRow {
        LeaseRow { id: id.to_owned(), purpose: purpose.to_owned(), expires: self.now() + LIFETIME.as_nanos() as i64 }
    }
}

/// Ends the leases that were given up and protect nothing any more that is not held anyway: the work was done again.
async fn forget_taken_up(txn: &mut dyn WriteTxn, now: i64) -> Result<()> {
    for lease in txn.live_leases(now).await?.iter().filter(|lease| lease.purpose == GIVEN_UP) {
        let mut is_taken_up = true;
        for item in txn.lease_items(&lease.id).await? {
            is_taken_up &= match item {
                LeaseItem::Object(digest) => txn.object_is_held(&digest, END_OF_TIME).await?,
                LeaseItem::Layer(diff_id) => txn.layer_is_held(&diff_id, END_OF_TIME).await?,
                LeaseItem::Pack(id) => txn.pack_is_held(&id, END_OF_TIME).await?,
            };
        }
        if is_taken_up {
            txn.delete_lease(&lease.id).await?;
        }
    }
    Ok(())
}

/// The leases that a prune may end: those that ended already, and those that were given up.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) async fn leases_left_behind(txn: &dyn ReadTxn, now: i64) -> Result<Vec<LeaseRow>> {
    let mut leases = txn.live_leases(now).await?;
    leases.retain(|lease| lease.purpose == GIVEN_UP);
    leases.extend(txn.expired_leases(now).await?);
    Ok(leases)
}

/// The layers that only failed work holds: a prune removes them.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn layers_left_behind(txn: &dyn ReadTxn, now: i64) -> Result<HashSet<DiffId>> {
    let mut worked_on = HashSet::new();
    for lease in txn.live_leases(now).await?.iter().filter(|lease| lease.purpose != GIVEN_UP) {
        worked_on.extend(txn.lease_items(&lease.id).await?);
    }
    let mut left = HashSet::new();
    for lease in leases_left_behind(txn, now).await? {
        for item in txn.lease_items(&lease.id).await? {
            let LeaseItem::Layer(diff_id) = item else { continue };
            let mut is_held = worked_on.contains(&item) || txn.layer(&diff_id).await?.is_none();
            for blob in txn.blobs_of_layer(&diff_id).await? {
                is_held |= txn.object_is_held(&blob, END_OF_TIME).await?;
            }
            if !is_held {
                left.insert(diff_id);
            }
        }
    }
    Ok(left)
}

async fn renew(store: Store, id: String, purpose: &'static str) {
    loop {
        tokio::time::sleep(LIFETIME / 3).await;
        let renewed = async {
            let mut txn = store.write("renewing a lease").await?;
            txn.put_lease(&store.lease_row(&id, purpose)).await?;
            txn.commit().await
        };
        if let Err(error) = renewed.await {
            tracing::warn!(%error, lease = id, "a lease could not be renewed");
        }
    }
}

/// Unique in time and among processes: time, process and a counter.
fn lease_id(now: i64) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{now:x}-{:x}-{:x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}
