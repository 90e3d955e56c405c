//! `rename`.

use strata_store::{ContainerRow, Store};

use super::create::free_name;
use super::find::find_ready;
use super::{container_event, names};
use crate::{EngineError, Result};

/// Gives a container another name.
///
/// # Errors
/// `NotFound`; `Invalid` for a malformed name; `Refused` when it is taken.
pub async fn rename_container(store: &Store, text: &str, name: &str) -> Result<()> {
    if name.trim_start_matches('/').is_empty() {
        return Err(EngineError::invalid("Neither old nor new names may be empty"));
    }
    let name = names::checked(name)?.to_owned();
    let mut txn = store.write("renaming a container").await?;
    let row = find_ready(&*txn, text).await?;
    if row.name == name {
        return Err(EngineError::invalid("Renaming a container with the same name as its current name"));
    }
    let name = free_name(&*txn, name).await?;
    let row = ContainerRow { name, ..row };
    txn.update_container(&row).await?;
    txn.insert_event(&container_event(store.now(), "rename", &row)).await?;
    txn.commit().await?;
    Ok(())
}
