//! Real supervisors: of plain processes, which is all of the supervisor but namespaces and mounts, and of whole bundles.
//!
//! The test program is executed again as the supervisor, as the product's program is.

mod bundles;
mod plain;
mod sys;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Standard};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::cgroup::{Cgroup, Limits};
use crate::control::{AttachEvent, AttachRequest, AttachStream, Control, Update};
use crate::log::{LogQuery, Stream, logs};
use crate::state::{ContainerState, ContainerStatus, HealthStatus, Record, is_supervised, start_ticks, state};
use crate::{RuntimeError, clean};
use plan::{HealthCheck, LogDriver, LogSettings, RestartPolicy, Runtime, SupervisorPlan};

const PATIENCE: Duration = Duration::from_secs(20);

/// A container of a shell script.
struct Container {
    directory: tempfile::TempDir,
}

impl Container {
    fn new(script: &str) -> Container {
        Container::with(script, |_| {})
    }

    fn with(script: &str, change: impl FnOnce(&mut SupervisorPlan)) -> Container {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().expect("a directory");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut plan = SupervisorPlan {
            container: format!("supervised-{}-{number}", std::process::id()),
            mount: strata_rootfs::MountPlan { steps: Vec::new() },
            terminal: false,
            open_stdin: false,
            stdin_once: false,
            init: false,
            log: LogSettings { driver: LogDriver::JsonFile, max_size: None, max_files: 1 },
            restart: RestartPolicy::No,
            stop_signal: 15,
            stop_timeout_seconds: None,
            health: None,
            runtime: Runtime::Own,
            cgroup_parent: Some("strata-tests".to_owned()),
            after_exit: None,
        };
        change(&mut plan);
        let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).expect("written");
        write("supervisor.json", &serde_json::to_vec(&plan).expect("JSON"));
        write("script", script.as_bytes());
        Container { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn start(&self) -> Started {
        start(self.path()).expect("it starts")
    }

    fn control(&self) -> Control {
        Control::connect(self.path()).expect("connected")
    }

    fn state(&self) -> ContainerState {
        state(self.path()).expect("the state is read")
    }

    fn record(&self) -> Record {
        Record::read(self.path()).expect("read").expect("written")
    }

    fn text(&self) -> String {
        let lines = logs(self.path(), LogQuery::default()).expect("a log");
        lines.map(|line| String::from_utf8(line.expect("a line").bytes).expect("UTF-8")).collect()
    }

    /// Until this holds.
    fn until(&self, what: &str, mut holds: impl FnMut(&ContainerState) -> bool) -> ContainerState {
        let began = Instant::now();
        loop {
            let state = self.state();
            if holds(&state) {
                return state;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {state:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_ended(&self) -> ContainerState {
        self.until("it ends", |state| state.status == ContainerStatus::Exited)
    }

    fn until_text(&self, text: &str) {
        self.until(text, |_| self.text().contains(text));
    }

    /// The supervisor's process: init's parent.
    fn supervisor(&self) -> u32 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.state().pid)).expect("init is there");
        stat[stat.rfind(')').expect("a name") + 2..].split(' ').nth(1).expect("a parent").parse().expect("a number")
    }

    fn is_clean(&self) -> bool {
        let record = self.record();
        Cgroup::open(&record.cgroup).expect("groups are read").is_empty() && !self.path().join("control.sock").exists()
    }
}

/// Nothing of a test is left over, also of one that failed.
impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(mut control) = Control::connect(self.path()) {
            let _ = control.signal(9);
        }
        let began = Instant::now();
        while is_supervised(self.path()) && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = clean(self.path());
    }
}

fn kill(process: u32) {
    let status = Command::new("kill").args(["-9", &process.to_string()]).status().expect("kill");
    assert!(status.success());
}

fn is_alive(process: u32) -> bool {
    start_ticks(process).is_some()
}

/// All that comes until the end, and the exit code.
fn read_to_end(stream: &mut AttachStream) -> (Vec<u8>, Vec<u8>, u64, Option<i32>) {
    let (mut stdout, mut stderr, mut lost) = (Vec::new(), Vec::new(), 0);
    loop {
        match stream.next_event().expect("an event") {
            Some(AttachEvent::Output { stream: Stream::Stdout, bytes }) => stdout.extend(bytes),
            Some(AttachEvent::Output { stream: Stream::Stderr, bytes }) => stderr.extend(bytes),
            Some(AttachEvent::Lost(count)) => lost += count,
            Some(AttachEvent::Exited(code)) => return (stdout, stderr, lost, Some(code)),
            None => return (stdout, stderr, lost, None),
        }
    }
}

fn all_streams() -> AttachRequest {
    AttachRequest { stdin: true, stdout: true, stderr: true, paced: true, removes: false }
}

#[test]
fn it_runs_and_ends() {
    let container = Container::new("echo out; echo err >&2; exit 3");
    let started = container.start();
    assert!(started.pid > 0);
    let state = container.until_ended();
    assert_eq!((state.exit_code, state.pid, state.error.as_str()), (3, 0, ""));
    assert!(state.finished_at >= state.started_at && state.started_at > 0);
    let mut lines: Vec<_> = logs(container.path(), LogQuery::default()).expect("a log").map(Result::unwrap).collect();
    lines.sort_by_key(|line| line.stream as u8);
    assert_eq!(lines.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>(), [b"out\n", b"err\n"]);
    container.until("the lock is free", |_| !is_supervised(container.path()));
    assert!(container.is_clean());
    assert!(matches!(Control::connect(container.path()), Err(RuntimeError::NotFound(_))));
    // And again.
    container.start();
    assert_eq!(container.until_ended().exit_code, 3);
}

#[test]
fn what_cannot_start_says_why() {
    let container = Container::new("");
    fs::remove_file(container.path().join("script")).expect("removed");
    let error = start(container.path()).expect_err("it cannot start");
    assert_eq!(error.exit_code, 127);
    let state = container.state();
    assert_eq!((state.status, state.exit_code), (ContainerStatus::Created, 127));
    assert_eq!((state.error, state.started_at, state.finished_at), (error.message, 0, 0));
    fs::write(container.path().join("supervisor.json"), "{").expect("written");
    assert_eq!(start(container.path()).expect_err("no plan").exit_code, 125);
}

#[test]
fn a_container_runs_once() {
    let container = Container::new("sleep 100");
    container.start();
    let error = start(container.path()).expect_err("it runs");
    assert!(error.message.contains("running already"), "{error}");
    assert_eq!(container.control().stop(Some(9), None).expect("stopped"), 137);
}

#[test]
fn requests() {
    let container = Container::new(
        "trap 'echo got it; exit 7' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.01; done",
    );
    container.start();
    container.until_text("ready");
    let mut control = container.control();
    control.signal(1).expect("sent");
    container.until_text("hup");
    assert!(matches!(control.signal(1000), Err(RuntimeError::Invalid(_))));
    assert!(matches!(control.unpause(), Err(RuntimeError::Conflict(_))));
    assert!(matches!(control.resize(1, 1), Err(RuntimeError::Conflict(_))));
    control.pause().expect("paused");
    assert_eq!(container.state().status, ContainerStatus::Paused);
    assert!(matches!(control.pause(), Err(RuntimeError::Conflict(_))));
    control.unpause().expect("unpaused");
    assert_eq!(container.state().status, ContainerStatus::Running);
    let limits = Limits { pids: Some(50), ..Limits::default() };
    assert_eq!(control.update(Update { limits, restart: None }).expect("updated"), []);
    let group = Cgroup::open(&container.record().cgroup).expect("groups are read");
    assert_eq!(group.statistics().pids.expect("counted").limit, Some(50));
    // A paused container can be stopped; several may wait for it.
    control.pause().expect("paused");
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let mut control = container.control();
            thread::spawn(move || control.wait().expect("waited"))
        })
        .collect();
    assert_eq!(control.stop(None, Some(20)).expect("stopped"), 7);
    for thread in waiting {
        assert_eq!(thread.join().expect("joined"), 7);
    }
    assert!(container.text().contains("got it"));
}

#[test]
fn who_does_not_want_to_end_is_killed() {
    let container = Container::new("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    container.start();
    container.until_text("ready");
    let began = Instant::now();
    assert_eq!(container.control().stop(None, Some(1)).expect("stopped"), 137);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(container.until_ended().finished_at > 0);
}

#[test]
fn attached_from_the_first_byte() {
    let container = Container::with("cat; echo bye >&2; exit 4", |plan| {
        plan.open_stdin = true;
        plan.stdin_once = true;
    });
    let (_, mut stream) = start_attached(container.path(), all_streams()).expect("it starts");
    let mut writer = stream.try_clone().expect("cloned");
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(|number| (number % 251).to_le_bytes()).collect();
    let expected = sent.clone();
    let thread = thread::spawn(move || {
        writer.write_stdin(&sent).expect("written");
        writer.end_stdin().expect("ended");
    });
    let (stdout, stderr, lost, exit_code) = read_to_end(&mut stream);
    thread.join().expect("joined");
    assert!(stdout == expected, "{} of {} bytes", stdout.len(), expected.len());
    assert_eq!((stderr.as_slice(), lost, exit_code), (b"bye\n".as_slice(), 0, Some(4)));
}

#[test]
fn terminal() {
    let container = Container::with(
        "stty -echo; echo ready; read line; echo \"got $line\"; stty size; read line; exit 5",
        |plan| {
            plan.terminal = true;
            plan.open_stdin = true;
        },
    );
    let (_, stream) = start_attached(container.path(), all_streams()).expect("it starts");
    container.until_text("ready");
    stream.detach();
    // Reattached, with another size.
    let mut stream = container.control().attach(all_streams()).expect("attached");
    container.control().resize(33, 77).expect("resized");
    stream.write_stdin(b"hello\n").expect("written");
    container.until_text("33 77");
    stream.resize(44, 88).expect("resized");
    stream.write_stdin(b"bye\n").expect("written");
    let (stdout, stderr, _, exit_code) = read_to_end(&mut stream);
    assert_eq!(String::from_utf8_lossy(&stdout), "got hello\r\n33 77\r\n");
    assert_eq!((stderr.len(), exit_code), (0, Some(5)));
    container.until_text("got hello");
}

/// Private memory in KiB.
fn private_memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("memory is read");
    let line = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    line("Private_Dirty:")
}

#[test]
fn slow_clients_hold_up_nobody_and_cost_little() {
    let container = Container::with("yes 0123456789abcdef | head -c 100000000; echo done >&2; sleep 100", |plan| {
        plan.log.max_size = Some(1_000_000);
        plan.log.max_files = 2;
    });
    container.start();
    let supervisor = container.supervisor();
    let request = AttachRequest { paced: false, ..all_streams() };
    let mut slow: Vec<_> = (0..5).map(|_| container.control().attach(request).expect("attached")).collect();
    let mut most = 0;
    container.until("the flood is over", |_| {
        most = most.max(private_memory(supervisor));
        container.text().contains("done\n")
    });
    most = most.max(private_memory(supervisor));
    eprintln!("private memory under a flood with 5 slow clients: {most} KiB, idle {} KiB", private_memory(supervisor));
    assert!(most < 5 << 10, "{most} KiB");
    // All of the log is whole lines, and no more than allowed.
    assert!(container.text().lines().all(|line| line == "0123456789abcdef" || line == "done"));
    assert_eq!(container.control().stop(Some(9), None).expect("stopped"), 137);
    let (stdout, _, lost, _) = read_to_end(&mut slow[0]);
    assert!(lost > 0);
    assert!(stdout.len() as u64 + lost <= 100_000_005, "{} and {lost}", stdout.len());
}

#[test]
fn a_paced_client_misses_nothing() {
    let container = Container::new("head -c 20000000 /dev/zero");
    let (_, mut stream) = start_attached(container.path(), all_streams()).expect("it starts");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(container.state().status, ContainerStatus::Running);
    let mut count = 0;
    loop {
        match stream.next_event().expect("an event") {
            Some(AttachEvent::Output { bytes, .. }) => count += bytes.len(),
            Some(AttachEvent::Exited(code)) => break assert_eq!(code, 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(count, 20_000_000);
}

#[test]
fn restarts() {
    let policy = RestartPolicy::OnFailure { retries: Some(2) };
    let container = Container::with("echo run; exit 9", |plan| plan.restart = policy);
    container.start();
    let state = container.until_ended();
    assert_eq!((state.restarts, state.exit_code), (2, 9));
    assert_eq!(container.text(), "run\nrun\nrun\n");
    let starts: Vec<i64> =
        logs(container.path(), LogQuery::default()).expect("a log").map(|line| line.unwrap().time).collect();
    assert!(starts[1] - starts[0] >= 100_000_000 && starts[2] - starts[1] >= 200_000_000, "{starts:?}");

    let container = Container::with("echo run", |plan| plan.restart = RestartPolicy::Always);
    container.start();
    container.until("restarted", |state| state.restarts >= 2);
    let mut control = container.control();
    control.update(Update { restart: Some(RestartPolicy::No), ..Update::default() }).expect("updated");
    assert_eq!(container.until_ended().exit_code, 0);

    let container = Container::with("exit 1", |plan| plan.restart = RestartPolicy::UnlessStopped);
    container.start();
    container.until("it waits", |state| state.status == ContainerStatus::Restarting);
    container.control().stop(None, None).expect("stopped");
    assert_eq!(container.until_ended().exit_code, 1);
}

#[test]
fn health() {
    let check = HealthCheck {
        test: ["sh", "-c", "echo looked; test ! -e sick"].map(str::to_owned).to_vec(),
        interval: 50_000_000,
        timeout: 5_000_000_000,
        start_period: 0,
        start_interval: 0,
        retries: 2,
    };
    let container = Container::with("sleep 100", |plan| plan.health = Some(check));
    container.start();
    let verdict = |state: &ContainerState| state.health.as_ref().map(|health| health.status);
    assert_eq!(verdict(&container.state()), Some(HealthStatus::Starting));
    let state = container.until("healthy", |state| verdict(state) == Some(HealthStatus::Healthy));
    assert_eq!(state.health.expect("health").log[0].output, "looked\n");
    fs::write(container.path().join("sick"), "").expect("written");
    container.until("unhealthy", |state| verdict(state) == Some(HealthStatus::Unhealthy));
    fs::remove_file(container.path().join("sick")).expect("removed");
    container.until("healthy again", |state| verdict(state) == Some(HealthStatus::Healthy));
    container.control().stop(Some(9), None).expect("stopped");
}

#[test]
fn probes_that_take_too_long_are_killed() {
    let check = HealthCheck {
        test: ["sleep", "100"].map(str::to_owned).to_vec(),
        interval: 1_000_000,
        timeout: 100_000_000,
        start_period: 0,
        start_interval: 0,
        retries: 1,
    };
    let container = Container::with("sleep 100", |plan| plan.health = Some(check));
    container.start();
    let state = container.until("unhealthy", |state| {
        state.health.as_ref().is_some_and(|health| health.status == HealthStatus::Unhealthy)
    });
    assert_eq!(state.health.expect("health").log[0].output, "Health check exceeded timeout (0.1s)");
    container.control().stop(Some(9), None).expect("stopped");
}

#[test]
fn a_killed_supervisor_leaves_the_truth_and_nothing_else() {
    let container = Container::with("echo ready; sleep 100 & sleep 100", |plan| plan.restart = RestartPolicy::Always);
    let init = container.start().pid;
    container.until_text("ready");
    let mut waiting = container.control();
    let waiting = thread::spawn(move || waiting.wait().expect("waited"));
    thread::sleep(Duration::from_millis(50));
    kill(container.supervisor());
    let state = container.until_ended();
    assert_eq!((state.exit_code, state.pid), (137, 0));
    assert_eq!(waiting.join().expect("joined"), 137);
    // The copy of the supervisor kills init, which has no parent-death signal here.
    let began = Instant::now();
    while is_alive(init) {
        assert!(began.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(2));
    }
    for _ in 0..2 {
        clean(container.path()).expect("cleaned");
        assert!(container.is_clean());
        assert_eq!(container.record().state.status, ContainerStatus::Exited);
    }
    // It can be started again, also without anybody having cleaned up.
    container.start();
    kill(container.supervisor());
    container.until_ended();
    container.start();
    assert_eq!(container.state().status, ContainerStatus::Running);
    assert!(matches!(clean(container.path()), Err(RuntimeError::Conflict(_))));
}

#[test]
fn a_process_of_the_same_number_is_left_alone() {
    let container = Container::new("true");
    let mut other = Command::new("sleep").arg("100").spawn().expect("sleep");
    let state = ContainerState {
        status: ContainerStatus::Running,
        pid: other.id(),
        ..state(container.path()).expect("never started")
    };
    let ticks = start_ticks(other.id()).expect("it runs");
    let record = Record { state, init_ticks: ticks - 1, cgroup: String::new(), stopped: false };
    record.write(container.path(), false).expect("written");
    clean(container.path()).expect("cleaned");
    assert!(other.try_wait().expect("looked").is_none());
    Record { init_ticks: ticks, ..record }.write(container.path(), false).expect("written");
    clean(container.path()).expect("cleaned");
    assert_eq!(other.wait().expect("it ends").signal(), Some(9));
}

/// The starter is killed when the supervisor listens, and when it said nothing yet: nothing runs. Later it runs on.
#[test]
fn a_killed_starter() {
    for (stage, runs) in [("spawned", false), ("listening", false), ("going", true), ("running", true)] {
        let container = Container::new("sleep 100");
        let status = Command::new("/proc/self/exe")
            .env(sys::STARTER, stage)
            .arg(container.path())
            .stdout(Standard::null())
            .status()
            .expect("the starter runs");
        assert_eq!(status.signal(), Some(9), "{stage}");
        if runs {
            container.until(stage, |state| state.status == ContainerStatus::Running);
            container.control().stop(Some(9), None).expect("stopped");
        } else {
            container.until(stage, |_| !is_supervised(container.path()));
            thread::sleep(Duration::from_millis(50));
            assert_eq!(container.state().status, ContainerStatus::Created, "{stage}");
            container.start();
            container.control().stop(Some(9), None).expect("stopped");
        }
    }
}

#[test]
fn after_the_end() {
    let container = Container::with("exit 0", |_| {});
    let path = container.path().join("supervisor.json");
    let mut plan = SupervisorPlan::read(container.path()).expect("a plan");
    let file: PathBuf = container.path().join("after");
    plan.after_exit = Some(vec!["touch".to_owned(), file.to_str().expect("UTF-8").to_owned()]);
    fs::write(path, serde_json::to_vec(&plan).expect("JSON")).expect("written");
    container.start();
    container.until("executed", |_| file.exists());
}

#[test]
fn a_hundred_at_once() {
    let containers: Vec<Container> =
        (0..100).map(|number| Container::new(&format!("echo {number}; exit {number}"))).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for chunk in containers.chunks(13) {
            scope.spawn(move || chunk.iter().for_each(|container| drop(container.start())));
        }
    });
    eprintln!("100 started in {:?}", began.elapsed());
    let mut pids = BTreeSet::new();
    for (number, container) in containers.iter().enumerate() {
        let state = container.until_ended();
        assert_eq!(state.exit_code, i32::try_from(number).expect("small"));
        assert_eq!(container.text(), format!("{number}\n"));
        pids.insert(container.record().init_ticks);
    }
    assert!(!pids.is_empty());
    for container in &containers {
        container.until("the lock is free", |_| !is_supervised(container.path()));
        assert!(container.is_clean());
    }
}

#[test]
fn idle_supervisors_are_small() {
    let container = Container::new("sleep 100");
    container.start();
    thread::sleep(Duration::from_millis(100));
    let memory = private_memory(container.supervisor());
    eprintln!("private memory of an idle supervisor: {memory} KiB");
    assert!(memory < 5 << 10, "{memory} KiB");
    container.control().stop(Some(9), None).expect("stopped");
}
