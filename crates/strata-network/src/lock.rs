//! One change of this machine's bridges and filter at a time, whichever store or process makes it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::{FlockOperation, flock};

use crate::{NetworkError, Result};

const LOCK: &str = "/run/strata-network.lock";

/// Waits until nobody else changes anything; held until the file, and what inherited it, is closed.
pub(crate) fn lock() -> Result<File> {
    let failed = |error| NetworkError::system(format!("locking {LOCK}"), error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(LOCK).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(file)
}
