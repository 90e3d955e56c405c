//! Leases: what is being worked on is not collected. A lease is ended by its owner or by the clock, by nobody else.

use std::time::Duration;

use crate::{LeaseItem, LeaseRow, Result, Store};

/// How long a lease lives after its last renewal.
const LIFETIME: Duration = Duration::from_secs(600);

/// A live lease. A background task renews it; dropping it ends the renewal, so that it expires by itself.
pub struct Lease {
    id: String,
    renewal: tokio::task::JoinHandle<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Lease {
    /// Its identity.
    pub fn id(&self) -> &str {
        &self.id
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
        Ok(Lease { id, renewal })
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
    pub async fn release(&self, lease: Lease) -> Result<()> {
        let mut txn = self.write("ending a lease").await?;
        let items = txn.lease_items(lease.id()).await?;
        txn.delete_lease(lease.id()).await?;
        let collection = self.review_items(&mut *txn, items).await?;
        txn.commit().await?;
        self.remove_doomed(&collection).await?;
        Ok(())
    }

    fn lease_row(&self, id: &str, purpose: &str) -> LeaseRow {
        LeaseRow { id: id.to_owned(), purpose: purpose.to_owned(), expires: self.now() + LIFETIME.as_nanos() as i64 }
    }
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
