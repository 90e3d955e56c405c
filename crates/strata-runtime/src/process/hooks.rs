//! Programs that a configuration wants to be run at certain moments (OCI runtime specification, "POSIX-platform Hooks").

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{ContainerState, Hook, Spec, StateBuilder};

use crate::error::RuntimeError;

/// Longest part of what a hook says that is repeated in an error, in bytes.
const SAID: u64 = 4096;

/// What hooks are told about the container.
pub(crate) struct Subject<'a> {
    /// Its configuration.
    pub(crate) spec: &'a Spec,
    /// Its ID.
    pub(crate) container: &'a str,
    /// Its directory.
    pub(crate) bundle: &'a Path,
    /// Its init as the machine counts processes, when there is one.
    pub(crate) pid: Option<u32>,
}

impl Subject<'_> {
    /// Runs hooks in order, until one fails.
    pub(crate) fn run(&self, hooks: Option<&Vec<Hook>>, status: ContainerState) -> Result<(), RuntimeError> {
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else { return Ok(()) };
        let state = self.state(status)?;
        hooks.iter().try_for_each(|hook| run(hook, &state))
    }

    /// After the container's end; a failure does not keep the others from running. Returns what failed.
    pub(crate) fn run_poststop(&self) -> Vec<RuntimeError> {
        let hooks = self.spec.hooks().as_ref().and_then(|hooks| hooks.poststop().as_ref());
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else { return Vec::new() };
        match self.state(ContainerState::Stopped) {
            Ok(state) => hooks.iter().filter_map(|hook| run(hook, &state).err()).collect(),
            Err(error) => vec![error],
        }
    }

    fn state(&self, status: ContainerState) -> Result<Vec<u8>, RuntimeError> {
        let mut state = StateBuilder::default()
            .version(self.spec.version().clone())
            .id(self.container)
            .status(status)
            .bundle(self.bundle)
            .annotations(self.spec.annotations().clone().unwrap_or_default());
        if let Some(pid) = self.pid.and_then(|pid| i32::try_from(pid).ok()) {
            state = state.pid(pid);
        }
        let state = state.build().map_err(|error| RuntimeError::Invalid(format!("the state for hooks: {error}")))?;
        serde_json::to_vec(&state).map_err(|error| RuntimeError::Invalid(format!("the state for hooks: {error}")))
    }
}

fn run(hook: &Hook, state: &[u8]) -> Result<(), RuntimeError> {
    let name = hook.path().display();
    let failed = |cause: std::io::Error| RuntimeError::system(format!("running the hook {name}"), cause);
    let mut command = Command::new(hook.path());
    if let Some([first, rest @ ..]) = hook.args().as_deref() {
        command.arg0(first).args(rest);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((key, value)) = variable.split_once('=') {
            command.env(key, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A hook that does not want to know has closed it.
        let _ = input.write_all(state);
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let status = wait(&mut child, timeout).map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    if let Some(output) = child.stderr.take() {
        let _ = output.take(SAID).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    Err(RuntimeError::Invalid(format!("the hook {name} failed ({status}): {}", said.trim())))
}

/// Waits for the end, and kills what takes too long.
fn wait(child: &mut Child, timeout: Option<Duration>) -> std::io::Result<std::process::ExitStatus> {
    let Some(timeout) = timeout else { return child.wait() };
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() >= timeout {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("not done after {timeout:?}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
