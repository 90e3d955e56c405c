//! What is done to a container's process through its supervisor.

use std::path::Path;

use strata_runtime::Control;

use crate::Result;

/// Ends a container at once and for good.
pub(super) fn end_now(directory: &Path) -> Result<()> {
    const KILL: i32 = 9;
    Control::connect(directory)?.stop(Some(KILL), Some(0))?;
    Ok(())
}
