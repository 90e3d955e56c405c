//! Network namespaces that stand for machines: what is tried there reaches nothing outside.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::containers::eventually;
use super::{Run, Sandbox, run};

/// A machine with nothing but loopback; it is gone with the value.
pub struct Machine(Child);

impl Machine {
    pub fn new() -> Machine {
        let own = fs::read_link("/proc/self/ns/net").expect("the test's namespace");
        let machine = Machine(Command::new("unshare").args(["--net", "sleep", "300"]).spawn().expect("unshare"));
        let theirs = format!("/proc/{}/ns/net", machine.0.id());
        eventually("a namespace", || fs::read_link(&theirs).is_ok_and(|link| link != own));
        machine.ip("link set lo up");
        machine
    }

    /// Another machine, `address`.2, on a cable to this one, `address`.1.
    pub fn neighbour(&self, address: &str) -> Machine {
        let other = Machine::new();
        self.ip(&format!("link add cable type veth peer name cable netns {}", other.0.id()));
        for (machine, number) in [(self, 1), (&other, 2)] {
            machine.ip(&format!("address add {address}.{number}/24 dev cable"));
            machine.ip("link set cable up");
        }
        other
    }

    #[track_caller]
    fn ip(&self, words: &str) {
        let mut command = self.command("ip");
        command.args(words.split(' '));
        run(command).success();
    }

    /// A program on this machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(program);
        command
    }

    /// A command as it is, but on this machine.
    pub fn here(&self, model: &Command) -> Command {
        let mut command = self.command(model.get_program().to_str().expect("a path"));
        command.args(model.get_args()).env_clear().stdin(Stdio::null());
        command.envs(model.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command
    }

    /// What it prints there.
    pub fn run(&self, model: &Command) -> Run {
        run(self.here(model))
    }

    /// The built program on the sandbox's store, on this machine.
    pub fn strata(&self, sandbox: &Sandbox, arguments: &[&str]) -> Run {
        self.run(&sandbox.command(arguments))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
