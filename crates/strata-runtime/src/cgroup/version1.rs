//! Files of control groups of version 1.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::RuntimeError;

/// A new group has no processors and no memory nodes, and takes no process, until it is given those of the group above.
pub(super) fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    let Some(above) = directory.parent() else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(directory.join(name))?.trim().is_empty() {
            fs::write(directory.join(name), fs::read_to_string(above.join(name))?.trim())?;
        }
    }
    Ok(())
}

/// Asks for the state and says whether it is reached. Freezing is asked for again each time: processes that were made
/// meanwhile hold it up otherwise.
pub(super) fn set_frozen(directory: &Path, frozen: bool) -> Result<bool, RuntimeError> {
    let file = directory.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let written = fs::write(&file, wanted).and_then(|()| fs::read_to_string(&file));
    let state = written.map_err(|cause| RuntimeError::system(format!("writing {}", file.display()), cause))?;
    Ok(state.trim() == wanted)
}
