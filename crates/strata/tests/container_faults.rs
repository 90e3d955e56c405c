//! Commands about containers, volumes and networks killed at every step: `ps -a` tells the truth, `rm -f` and the prunes
//! clean up, and nothing is left on the machine. They need root; without it each test says so and ends.

mod support;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use strata_store::fault::CONTAINER_POINTS;
use support::containers::{assert_nothing_left, eventually, sandbox_with_box};
use support::machine::Machine;
use support::{Run, Sandbox, run};

/// A command that is killed, in a sandbox where a container `up` runs on the network `net` with the volume `data`, and a
/// container `down` was made.
struct Kill {
    point: &'static str,
    command: &'static [&'static str],
    /// What `ps -a` shows afterwards, sorted.
    shown: &'static [&'static str],
}

const BOTH: &[&str] = &["down created", "up running"];
const KILLS: &[Kill] = &[
    Kill { point: "container-directory-made", command: &["create", "--name", "new", "box"], shown: BOTH },
    Kill {
        point: "container-created",
        command: &["create", "--name", "new", "box"],
        shown: &["down created", "new created", "up running"],
    },
    Kill {
        point: "volume-filling",
        command: &["create", "--name", "new", "-v", "fresh:/etc", "box"],
        shown: &["down created", "new created", "up running"],
    },
    Kill {
        point: "volumes-filled",
        command: &["create", "--name", "new", "-v", "fresh:/etc", "box"],
        shown: &["down created", "new created", "up running"],
    },
    Kill { point: "container-planned", command: &["start", "down"], shown: BOTH },
    Kill { point: "container-started", command: &["start", "down"], shown: &["down running", "up running"] },
    Kill { point: "container-asked", command: &["stop", "-t", "0", "up"], shown: &["down created", "up exited"] },
    Kill { point: "container-removing", command: &["rm", "-f", "up"], shown: &["down created", "up removing"] },
    Kill {
        point: "container-directory-removed",
        command: &["rm", "-f", "up"],
        shown: &["down created", "up removing"],
    },
    Kill { point: "container-removed", command: &["rm", "-f", "up"], shown: &["down created"] },
    Kill { point: "volume-created", command: &["volume", "create", "fresh"], shown: BOTH },
    Kill { point: "volume-forgotten", command: &["volume", "rm", "spare"], shown: BOTH },
    Kill { point: "network-created", command: &["network", "create", "fresh"], shown: BOTH },
    Kill { point: "network-bridge-removed", command: &["network", "rm", "spare"], shown: BOTH },
    Kill { point: "network-connected", command: &["network", "connect", "spare", "up"], shown: BOTH },
    Kill { point: "network-disconnected", command: &["network", "disconnect", "net", "up"], shown: BOTH },
];

struct Site {
    sandbox: Sandbox,
    machine: Machine,
}

impl Site {
    fn new() -> Option<Site> {
        if !tools::have(&["root", "ip", "nft", "unshare", "nsenter"]) {
            return None;
        }
        Some(Site { sandbox: sandbox_with_box(&[], &[])?, machine: Machine::new() })
    }

    fn strata(&self, arguments: &[&str]) -> Run {
        self.machine.strata(&self.sandbox, arguments)
    }

    fn furnish(&self) {
        self.strata(&["network", "create", "net"]).success();
        self.strata(&["network", "create", "spare"]).success();
        self.strata(&["volume", "create", "spare"]).success();
        let up = ["run", "-d", "--name", "up", "--network", "net", "-p", "18081:80", "-v", "data:/data", "box"];
        self.strata(&[&up[..], &["sleep", "300"]].concat()).success();
        self.strata(&["create", "--name", "down", "--network", "net", "box", "sleep", "300"]).success();
    }

    fn shown(&self) -> Vec<String> {
        let lines = self.strata(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]).success();
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Everything away by ordinary commands.
    fn clean(&self) {
        let ids = self.strata(&["ps", "-aq"]).success();
        let arguments: Vec<&str> = ["rm", "-f", "-v"].into_iter().chain(ids.split_whitespace()).collect();
        if arguments.len() > 3 {
            self.strata(&arguments).success();
        }
        self.strata(&["container", "prune", "-f"]).success();
        self.strata(&["volume", "prune", "-af"]).success();
        self.strata(&["network", "prune", "-f"]).success();
    }

    /// What a machine has after containers: links, rules, control groups, directories.
    #[track_caller]
    fn assert_clean(&self, when: &str, ids: &BTreeSet<String>, rules: &str) {
        assert_nothing_left(&self.sandbox);
        assert_eq!(self.strata(&["volume", "ls", "-q"]).success(), "", "{when}");
        let networks = self.strata(&["network", "ls", "--format", "{{.Name}}"]).success();
        assert_eq!(networks, "bridge\nhost\nnone\n", "{when}");
        eventually(&format!("{when}: no link is left"), || self.links().is_empty());
        assert_eq!(self.rules(), rules, "{when}");
        for id in ids {
            let groups = control_groups(Path::new("/sys/fs/cgroup"), id, 4);
            assert!(groups.is_empty(), "{when}: {groups:?}");
        }
        for folder in ["volumes", "networks"] {
            let left: Vec<_> = fs::read_dir(self.sandbox.root().join(folder)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "{when}: {left:?}");
        }
    }

    /// The links of networks and containers.
    fn links(&self) -> String {
        let mut command = self.machine.command("ip");
        command.args(["-brief", "link"]);
        let all = run(command).success();
        let ours =
            all.lines().filter(|line| line.starts_with("br-") || line.starts_with("veth") || line.starts_with("st"));
        ours.filter(|line| !line.starts_with("strata0")).collect::<Vec<_>>().join("\n")
    }

    fn rules(&self) -> String {
        let mut command = self.machine.command("nft");
        command.args(["-s", "list", "ruleset"]);
        run(command).success()
    }
}

fn control_groups(folder: &Path, id: &str, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(id) {
            found.push(entry.path().display().to_string());
        } else if depth > 0 {
            found.extend(control_groups(&entry.path(), id, depth - 1));
        }
    }
    found
}

fn containers_on_disk(sandbox: &Sandbox) -> BTreeSet<String> {
    let entries = fs::read_dir(sandbox.root().join("containers")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.len() == 64).collect()
}

#[test]
fn every_point_is_tried() {
    let tried: Vec<&str> = KILLS.iter().map(|kill| kill.point).collect();
    assert_eq!(tried, CONTAINER_POINTS);
}

#[test]
fn a_command_killed_at_any_step_leaves_the_truth_and_nothing_else() {
    let Some(site) = Site::new() else { return };
    // What remains of the firewall when everything was used and removed.
    site.furnish();
    site.clean();
    let rules = site.rules();
    for kill in KILLS {
        site.furnish();
        let mut command = site.sandbox.command(kill.command);
        command.env("STRATA_FAULT", kill.point);
        let killed = site.machine.run(&command);
        let died = killed.status.signal().is_some() || killed.status.code().is_some_and(|code| code > 128);
        assert!(died, "{} was not met: {killed:?}", kill.point);
        let ids = containers_on_disk(&site.sandbox);
        assert_eq!(site.shown(), kill.shown, "{}", kill.point);
        site.clean();
        site.assert_clean(kill.point, &ids, &rules);
    }
}

#[test]
fn a_killed_create_leaves_a_volume_that_the_next_start_fills() {
    let Some(site) = Site::new() else { return };
    let mut command = site.sandbox.command(&["create", "--name", "one", "--network", "none", "-v", "vol:/etc", "box"]);
    command.env("STRATA_FAULT", "volume-filling");
    assert!(!site.machine.run(&command).status.success());
    let text = ["run", "--rm", "--network", "none", "--volumes-from", "one", "box", "cat", "/etc/motd"];
    assert_eq!(site.strata(&text).success(), "of the image\n");
}

#[test]
fn a_killed_supervisor_leaves_nothing_on_the_machine() {
    let Some(site) = Site::new() else { return };
    site.furnish();
    site.clean();
    let rules = site.rules();
    site.furnish();
    let ids = containers_on_disk(&site.sandbox);
    kill_supervisor(&site, "up");
    assert_eq!(site.shown(), ["down created", "up exited"]);
    site.clean();
    site.assert_clean("a killed supervisor", &ids, &rules);
}

/// Kills what a container's first process was made by.
fn kill_supervisor(site: &Site, name: &str) {
    let pid = site.strata(&["inspect", "-f", "{{.State.Pid}}", name]).success();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("its status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("its parent").trim().to_owned();
    assert!(Command::new("kill").args(["-9", &parent]).status().expect("kill").success());
    eventually("the container dies", || !fs::exists(format!("/proc/{}/exe", pid.trim())).unwrap_or(false));
}

/// A machine that goes down: every process at once, without warning; a network namespace without links stands for the
/// machine after its start.
#[test]
fn after_a_start_of_the_machine_those_run_that_are_to_run() {
    let Some(mut site) = Site::new() else { return };
    let all = [
        ("always", "always"),
        ("stopped", "always"),
        ("unless", "unless-stopped"),
        ("unless-stopped", "unless-stopped"),
        ("failure", "on-failure"),
        ("once", "no"),
    ];
    site.strata(&["network", "create", "net"]).success();
    for (name, policy) in all {
        let run = ["run", "-d", "--name", name, "--network", "net", "--restart", policy, "box", "sleep", "300"];
        site.strata(&run).success();
    }
    site.strata(&["create", "--name", "never", "--restart", "always", "box", "sleep", "300"]).success();
    site.strata(&["stop", "-t", "0", "stopped", "unless-stopped"]).success();
    for name in ["always", "unless", "failure", "once"] {
        kill_supervisor(&site, name);
    }
    site.machine = Machine::new();
    assert_eq!(site.strata(&["ps", "-q"]).success(), "");
    let revived = site.strata(&["container", "revive"]).success();
    assert_eq!(revived.lines().collect::<Vec<_>>(), ["always", "stopped", "unless", "failure"]);
    let running = site.strata(&["ps", "--format", "{{.Names}}"]).success();
    let running: BTreeSet<&str> = running.lines().collect();
    assert_eq!(running, BTreeSet::from(["always", "failure", "stopped", "unless"]));
    assert_eq!(site.strata(&["container", "revive"]).success(), "", "who runs is left alone");
    site.clean();
    assert_nothing_left(&site.sandbox);
}
