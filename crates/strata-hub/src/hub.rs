//! The hub as a value: what all its rules share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use strata_store::registry::Registry;

use crate::accounts::AccountSettings;
use crate::images::Looking;
use crate::jobs::IndexingSettings;
use crate::pull_limits::PullLimitSettings;
use crate::pulls::PullQueue;
use crate::sign_in::SignIn;
use crate::webhooks::WebhookSettings;
use crate::{HubCatalog, HubRead, HubWrite, Result};

/// How a hub behaves: the sections of its configuration file that rules read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubSettings {
    /// Accounts, and how they sign in.
    pub accounts: AccountSettings,
    /// How many manifests may be pulled.
    pub pull_limits: PullLimitSettings,
    /// Indexes of pushed layers.
    pub indexing: IndexingSettings,
    /// Whom webhooks may call.
    pub webhooks: WebhookSettings,
}

/// The hub. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Hub {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) records: Arc<dyn HubCatalog>,
    pub(crate) settings: HubSettings,
    pub(crate) pulls: PullQueue,
    pub(crate) sign_in: SignIn,
    pub(crate) looking: Looking,
}

impl Hub {
    /// A hub over a registry and the hub's own records.
    pub fn new(registry: Registry, records: Arc<dyn HubCatalog>, settings: HubSettings) -> Hub {
        Hub {
            inner: Arc::new(Inner {
                registry,
                records,
                settings,
                pulls: PullQueue::default(),
                sign_in: SignIn::default(),
                looking: Looking::default(),
            }),
        }
    }

    /// The registry beside it.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// How it behaves.
    pub fn settings(&self) -> &HubSettings {
        &self.inner.settings
    }

    /// A snapshot of the records.
    pub(crate) async fn read(&self) -> Result<Box<dyn HubRead>> {
        Ok(self.inner.records.read().await?)
    }

    /// A change of the records; `intent` names it in logs and errors.
    pub(crate) async fn write(&self, intent: &'static str) -> Result<Box<dyn HubWrite>> {
        Ok(self.inner.records.write(intent).await?)
    }

    /// The time in nanoseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }
}
