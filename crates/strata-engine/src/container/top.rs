//! `top`: the processes of a container as the machine's `ps` shows them.

use std::path::Path;
use std::process::Output;

use strata_runtime::{ContainerStatus, processes, state};
use strata_store::Store;
use tokio::process::Command;

use super::container_directory;
use super::find::find_ready;
use crate::{EngineError, Result};

/// What `ps` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// The names of the columns.
    pub titles: Vec<String>,
    /// The values of each process.
    pub rows: Vec<Vec<String>>,
}

/// The processes of a container that runs; `options` are those of `ps`, and `-ef` when there are none.
///
/// # Errors
/// `NotFound`; `Refused` when it does not run; `Invalid` for what `ps` does not know or does not show numbers with.
pub async fn container_top(store: &Store, root: &Path, text: &str, options: &[String]) -> Result<ProcessTable> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    match state(&directory)?.status {
        ContainerStatus::Running | ContainerStatus::Paused => {}
        ContainerStatus::Restarting => {
            return Err(EngineError::Refused {
                message: format!("container {} is restarting, wait until the container is running", row.id),
            });
        }
        _ => return Err(EngineError::Refused { message: format!("container {} is not running", row.id) }),
    }
    let ids = processes(&directory)?;
    let options = if options.is_empty() { vec!["-ef".to_owned()] } else { options.to_vec() };
    let wanted: Vec<String> = ids.iter().map(u32::to_string).collect();
    let mut output = ps(options.iter().map(String::as_str).chain(["-q", &wanted.join(",")])).await?;
    if !output.status.success() {
        // Some options do not go together with a list of processes.
        output = ps(options.iter().map(String::as_str)).await?;
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(EngineError::invalid(format!("ps: {}", said.lines().next().unwrap_or_default())));
    }
    table(&String::from_utf8_lossy(&output.stdout), &ids)
}

async fn ps(arguments: impl Iterator<Item = &str>) -> Result<Output> {
    let output = Command::new("ps").args(arguments).kill_on_drop(true).output().await;
    output.map_err(|cause| EngineError::file("running", "ps", cause))
}

/// The lines about these processes. The last column has all that is left of a line.
fn table(text: &str, ids: &[u32]) -> Result<ProcessTable> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let id_column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| EngineError::invalid("Couldn't find PID field in ps output"))?;
    // What `-m` adds for threads has no number, and belongs to the process above.
    let mut is_wanted = false;
    let mut rows = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.get(id_column) {
            Some(&"-") => {}
            Some(number) => is_wanted = number.parse().is_ok_and(|number| ids.contains(&number)),
            None => return Err(EngineError::invalid(format!("Unexpected ps output: {line}"))),
        }
        if is_wanted {
            let (columns, rest) = fields.split_at(fields.len().min(titles.len() - 1));
            let mut row: Vec<String> = columns.iter().map(|field| (*field).to_owned()).collect();
            row.push(rest.join(" "));
            rows.push(row);
        }
    }
    Ok(ProcessTable { titles, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_their_number() {
        let text = "UID  PID  PPID CMD\nroot   1     0 init --a b\nroot  12     1 sh -c  sleep 1\nroot 112     1 x\n";
        let found = table(text, &[12, 7]).unwrap();
        assert_eq!(found.titles, ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(found.rows, [["root", "12", "1", "sh -c sleep 1"]]);
        let threads = "PID COMMAND\n12 sh\n- -\n13 x\n- -\n";
        assert_eq!(table(threads, &[12]).unwrap().rows, [["12", "sh"], ["-", "-"]]);
        assert!(table("COMMAND\nsh\n", &[12]).unwrap_err().to_string().contains("PID field"));
    }
}
