//! Files of control groups of version 2.

use std::fs;
use std::path::Path;

use crate::error::RuntimeError;

use super::keyed;

/// Asks for the state and says whether it is reached.
pub(super) fn set_frozen(directory: &Path, frozen: bool) -> Result<bool, RuntimeError> {
    let file = directory.join("cgroup.freeze");
    fs::write(&file, if frozen { "1" } else { "0" })
        .map_err(|cause| RuntimeError::system(format!("writing {}", file.display()), cause))?;
    Ok(keyed(&directory.join("cgroup.events"), "frozen") == Some(u64::from(frozen)))
}

/// The weight of version 2 (1 to 10000) for processor shares of version 1 (2 to 262144), as OCI runtimes convert it.
pub(super) fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The weight of `io.weight` (1 to 10000) for one of `blkio.weight` (10 to 1000).
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_their_ends() {
        assert_eq!((cpu_weight(2), cpu_weight(1024), cpu_weight(262_144)), (1, 39, 10_000));
        assert_eq!((cpu_weight(0), cpu_weight(u64::MAX)), (1, 10_000));
        assert_eq!((io_weight(10), io_weight(1000), io_weight(0)), (1, 10_000, 1));
    }
}
