//! Control groups of a container: limits, statistics, freezing, killing, removal.
//!
//! A container has one directory of the same path in every hierarchy of the machine: in the one of version 2, and in each
//! of version 1 that still exists. A controller is used where the kernel has it ([`hierarchy`]), so that machines with
//! version 2, with version 1, and with both are one case.
//!
//! What the machine cannot limit is a [`Warning`]; what the kernel refuses as a value is an error, as docker has it.
//! Nothing is kept in memory: whoever knows the path ([`Cgroup::open`]) sees and does the same as who made it.

mod devices;
mod hierarchy;
mod limits;
mod statistics;
mod sys;
mod version1;
mod version2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::RuntimeError;
use hierarchy::{Controller, Hierarchies, Version};

pub use limits::{DeviceAccess, DeviceRule, Limits, Throttle, Throttled, Warning};
pub use statistics::{BlockStatistics, CpuStatistics, MemoryStatistics, PidStatistics, Statistics};

/// How long the processes of a group may take to be frozen, or to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The control groups of one container.
#[derive(Clone, Debug)]
pub struct Cgroup {
    places: Vec<Place>,
}

/// One directory of a container's groups, and the controllers it has.
#[derive(Clone, Debug)]
struct Place {
    version: Version,
    directory: PathBuf,
    controllers: Vec<Controller>,
}

impl Cgroup {
    /// The path that a container's groups have when its configuration names none.
    pub fn path(parent: Option<&str>, container: &str) -> String {
        format!("/{}/{container}", parent.unwrap_or("strata").trim_matches('/'))
    }

    /// Makes the groups at `path` (below what this process may write) and gives them the controllers that exist. A group
    /// that cannot be made is a warning. A group that is there already is used, so that creation can be repeated.
    pub fn create(path: &str) -> Result<(Cgroup, Vec<Warning>), RuntimeError> {
        let hierarchies = Hierarchies::of_machine()?;
        let relative = clean(path)?;
        let mut warnings = Vec::new();
        let mut places = Vec::new();
        for hierarchy in &hierarchies.all {
            match hierarchy.make(&relative) {
                Ok(controllers) => places.push(Place {
                    version: hierarchy.version,
                    directory: hierarchy.base.join(&relative),
                    controllers,
                }),
                Err(cause) => warnings.push(Warning::new(
                    "cgroup",
                    format!("making {}: {cause}", hierarchy.base.join(&relative).display()),
                )),
            }
        }
        Ok((Cgroup { places }, warnings))
    }

    /// The groups at `path` as far as they exist; makes nothing.
    pub fn open(path: &str) -> Result<Cgroup, RuntimeError> {
        let relative = clean(path)?;
        let hierarchies = Hierarchies::of_machine()?;
        let places = hierarchies.all.iter().filter_map(|hierarchy| {
            let directory = hierarchy.base.join(&relative);
            let controllers = match hierarchy.version {
                Version::One => hierarchy.controllers.clone(),
                Version::Two => hierarchy::controllers_of(&directory),
            };
            directory.is_dir().then_some(Place { version: hierarchy.version, directory, controllers })
        });
        Ok(Cgroup { places: places.collect() })
    }

    /// Whether there is no group at all: then nothing is limited, counted or frozen.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All directories, of every hierarchy.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(|place| place.directory.as_path())
    }

    /// The directory of version 2, for `CLONE_INTO_CGROUP`.
    pub fn unified(&self) -> Option<&Path> {
        self.places.iter().find(|place| place.version == Version::Two).map(|place| place.directory.as_path())
    }

    /// Moves a process into all groups. Where that is not permitted, as without privileges, the group is left out and a
    /// warning returned.
    pub fn add(&mut self, process: u32) -> Result<Vec<Warning>, RuntimeError> {
        let mut warnings = Vec::new();
        let mut failure = None;
        self.places.retain(|place| {
            let file = place.directory.join("cgroup.procs");
            match fs::write(&file, process.to_string()) {
                Ok(()) => true,
                Err(cause) if is_denied(&cause) => {
                    warnings.push(Warning::new("cgroup", format!("writing {}: {cause}", file.display())));
                    let _ = fs::remove_dir(&place.directory);
                    false
                }
                Err(cause) => {
                    failure = Some(RuntimeError::system(format!("writing {}", file.display()), cause));
                    true
                }
            }
        });
        failure.map_or(Ok(warnings), Err)
    }

    /// Sets what `limits` names and leaves the rest as it is. Returns what the machine cannot limit.
    ///
    /// # Errors
    /// When the kernel refuses a value, as memory below what is in use.
    pub fn set(&self, limits: &Limits) -> Result<Vec<Warning>, RuntimeError> {
        limits::set(self, limits)
    }

    /// What the container uses.
    pub fn statistics(&self) -> Statistics {
        statistics::read(self)
    }

    /// All processes in the groups and the groups inside of them, as this process counts processes.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        // A process may leave any one of several hierarchies, but not without privileges all of them.
        for place in &self.places {
            visit(&place.directory, &mut |directory| found.extend(numbers(&directory.join("cgroup.procs"))));
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|process| *process != 0);
        found
    }

    /// Whether processes can be frozen.
    pub fn can_freeze(&self) -> bool {
        self.freezer().is_some()
    }

    /// Stops all processes where they are, and returns when they stand.
    pub fn freeze(&self) -> Result<(), RuntimeError> {
        self.set_frozen(true)
    }

    /// Lets all processes go on.
    pub fn thaw(&self) -> Result<(), RuntimeError> {
        self.set_frozen(false)
    }

    /// Kills every process, also those that are made meanwhile or are frozen. They may still be dying on return.
    pub fn kill(&self) {
        let unified = self.unified().map(|unified| fs::write(unified.join("cgroup.kill"), "1"));
        if !matches!(unified, Some(Ok(()))) {
            // Frozen processes make no others, so that one round finds all of them.
            let _ = self.freeze();
        }
        // Who was killed while it put a process into its groups, one after the other, left it in some of them only.
        for process in self.processes() {
            if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // What only an older hierarchy froze has to wake up for its end.
        let _ = self.thaw();
    }

    /// How many processes the kernel killed for memory since the groups were made.
    pub fn out_of_memory_kills(&self) -> u64 {
        match self.place(Controller::Memory) {
            Some(place) if place.version == Version::One => {
                keyed(&place.directory.join("memory.oom_control"), "oom_kill").unwrap_or(0)
            }
            Some(place) => keyed(&place.directory.join("memory.events"), "oom_kill").unwrap_or(0),
            None => 0,
        }
    }

    /// Kills what is left and removes the groups with all groups inside. Repeatable; waits for dying processes.
    pub fn remove(&self) -> Result<(), RuntimeError> {
        let began = Instant::now();
        while !self.processes().is_empty() && began.elapsed() < PATIENCE {
            self.kill();
            thread::sleep(Duration::from_millis(1));
        }
        for place in &self.places {
            remove(&place.directory)
                .map_err(|cause| RuntimeError::system(format!("removing {}", place.directory.display()), cause))?;
        }
        Ok(())
    }

    fn place(&self, controller: Controller) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.contains(&controller))
    }

    fn freezer(&self) -> Option<&Place> {
        // Version 2 freezes without a controller, and its frozen processes can be killed and traced.
        let unified = self.places.iter().find(|place| place.version == Version::Two);
        unified
            .filter(|place| place.directory.join("cgroup.freeze").exists())
            .or_else(|| self.place(Controller::Freezer))
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), RuntimeError> {
        let Some(place) = self.freezer() else {
            return Err(RuntimeError::Unsupported("no control group of this container can be frozen".to_owned()));
        };
        let began = Instant::now();
        loop {
            let settled = match place.version {
                Version::One => version1::set_frozen(&place.directory, frozen)?,
                Version::Two => version2::set_frozen(&place.directory, frozen)?,
            };
            if settled {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let _ = if frozen { self.thaw() } else { Ok(()) };
                return Err(RuntimeError::Conflict(format!("{} does not freeze", place.directory.display())));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A path of a group as a relative one that stays below where groups are made.
fn clean(path: &str) -> Result<PathBuf, RuntimeError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() || parts.contains(&"..") || path.contains('\0') {
        return Err(RuntimeError::Invalid(format!("{path:?} is not the path of a control group")));
    }
    Ok(parts.iter().collect())
}

fn is_denied(cause: &io::Error) -> bool {
    matches!(Errno::from_io_error(cause), Some(Errno::PERM | Errno::ACCESS | Errno::ROFS | Errno::BUSY))
}

/// Calls `on` for a directory and all below it, the outermost first.
fn visit(directory: &Path, on: &mut impl FnMut(&Path)) {
    on(directory);
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        visit(&entry.path(), on);
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    let mut directories = Vec::new();
    visit(directory, &mut |found| directories.push(found.to_owned()));
    let began = Instant::now();
    for found in directories.iter().rev() {
        let mut pause = Duration::from_millis(1);
        while let Err(cause) = fs::remove_dir(found) {
            match Errno::from_io_error(&cause) {
                Some(Errno::NOENT) => break,
                // The last process is dying, or left while its group is not yet told so.
                Some(Errno::BUSY) if began.elapsed() < PATIENCE => thread::sleep(pause),
                _ => return Err(cause),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// The value of a file that holds one number; `max` and what is too large is `u64::MAX`.
fn number(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    match text.trim() {
        "max" => Some(u64::MAX),
        digits => digits.parse().ok(),
    }
}

/// All numbers of a file that holds one a line.
fn numbers(file: &Path) -> Vec<u32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// The value of a key in a file of lines `key value`.
fn keyed(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    value_of(&text, key)
}

fn value_of(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests;
