//! What the pages of administrators are told of the running program.

use async_trait::async_trait;
use strata_hub::HubError;
use strata_hub_api::Operations;
use strata_hub_web::{DiskRoom, MirroredRegistry, Operator};
use strata_mirror::Mirror;
use strata_store::Totals;

/// The running hub.
pub(super) struct RunningHub {
    pub(super) operations: Operations,
    pub(super) mirror: Option<Mirror>,
}

#[async_trait]
impl Operator for RunningHub {
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    async fn obstacles(&self) -> Vec<String> {
        self.operations.obstacles().await
    }

    fn disk(&self) -> Option<DiskRoom> {
        self.operations.disk().ok().map(|disk| DiskRoom { size: disk.size, free: disk.free })
    }

    async fn totals(&self) -> Result<Totals, HubError> {
        self.operations.totals().await
    }

    async fn recount(&self) {
        self.operations.recount().await;
    }

    fn mirrors(&self) -> Vec<MirroredRegistry> {
        let uses = self.mirror.iter().flat_map(Mirror::uses);
        uses.map(|used| MirroredRegistry {
            // What was asked for and not found was not served.
            hits: (used.served + used.failed).saturating_sub(used.asked),
            misses: used.asked,
            failures: used.failed,
            name: used.name,
        })
        .collect()
    }
}
