//! The machine that this runs on, as `info` and `version` tell of it.

/// What is told of a machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// Name of the distribution.
    pub operating_system: String,
    /// Version of the distribution.
    pub operating_system_version: String,
    /// As `uname -m` names it.
    pub architecture: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Its name.
    pub name: String,
}

impl Machine {
    /// Looks at this machine.
    pub fn look() -> Machine {
        let system = rustix::system::uname();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let line = |key: &str| {
            let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.map(|value| value.trim_matches('"').to_owned())
        };
        Machine {
            kernel: text(system.release()),
            operating_system: line("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            operating_system_version: line("VERSION_ID").unwrap_or_default(),
            architecture: text(system.machine()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: rustix::system::sysinfo().totalram as u64,
            name: text(system.nodename()),
        }
    }
}

/// Nanoseconds that all processors have counted since boot, as docker compares with what a container used.
pub fn processor_time() -> u64 {
    const COUNTED: usize = 7;
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: u64 = line.split_whitespace().take(COUNTED).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}
