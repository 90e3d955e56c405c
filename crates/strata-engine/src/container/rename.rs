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
    let mut txn = store.write("renaming a container").await?;
    let row = find_ready(&*txn, text).await?;
    if row.name == name.trim_start_matches('/') {
        return Err(EngineError::invalid("Renaming a container with the same name as its current name"));
    }
    let name = match names::checked(name) {
        Ok(name) => free_name(&*txn, name.to_owned()).await,
        Err(error) => Err(error),
    };
    let name = name.map_err(|error| error.after("Error when allocating new name"))?;
    let row = ContainerRow { name, ..row };
    txn.update_container(&row).await?;
    txn.insert_event(&container_event(store.now(), "rename", &row)).await?;
    txn.commit().await?;
    Ok(())
}
