//! Who is on a network under which names: one small file for each container in the network's directory.
//!
//! Attendants read the directory for each question that they are asked, so that a container that comes or goes is known at
//! once. A file is replaced by rename, so a reader sees it whole.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plan::{Endpoint, read, remove, write};
use crate::{NetworkError, Result};

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its address there.
    pub address: Ipv4Addr,
    /// What others there call it.
    pub names: Vec<String>,
}

impl Member {
    fn path(directory: &Path, container: &str) -> PathBuf {
        directory.join(format!("{container}.json"))
    }

    pub(crate) fn announce(endpoint: &Endpoint, container: &str) -> Result<()> {
        let directory = &endpoint.members;
        fs::create_dir_all(directory)
            .map_err(|error| NetworkError::system(format!("making {}", directory.display()), error))?;
        let member = Member { address: endpoint.address, names: endpoint.names.clone() };
        write(&Member::path(directory, container), &member)
    }

    pub(crate) fn withdraw(endpoint: &Endpoint, container: &str) -> Result<()> {
        remove(&Member::path(&endpoint.members, container))
    }

    /// Who is on the network whose members lie in `directory`. Files that are being replaced are left out.
    pub(crate) fn all(directory: &Path) -> Result<Vec<Member>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(NetworkError::system(format!("reading {}", directory.display()), error)),
        };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let documents = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        Ok(documents.filter_map(|path| read(&path).ok().flatten()).collect())
    }
}
