//! Network namespaces as machines and containers. Each is a sleeping process; they end with the test.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use strata_network::{Endpoint, Mode, NetworkPlan, NetworkState, PROGRAM, Protocol, PublishedPort};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_strata-network");
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "in {LIMIT:?}: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A process that sleeps in a network namespace of its own.
struct Namespace(Child);

impl Namespace {
    fn new() -> Namespace {
        let child = Command::new("unshare").args(["--net", "sleep", "120"]).spawn().expect("unshare");
        let namespace = Namespace(child);
        let own = fs::read_link("/proc/self/ns/net").expect("the test's namespace");
        let theirs = format!("/proc/{}/ns/net", namespace.pid());
        eventually("a namespace of its own", || fs::read_link(&theirs).is_ok_and(|link| link != own));
        namespace
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.pid().to_string(), program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(mut command: Command) -> String {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A machine with a way to a world.
pub(crate) struct Machine {
    own: Namespace,
    world: Namespace,
    directory: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Option<Machine> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let machine =
            Machine { own: Namespace::new(), world: Namespace::new(), directory: TempDir::new().expect("a directory") };
        let world = machine.world.pid().to_string();
        machine.ip(&machine.own, &["link", "add", "out", "type", "veth", "peer", "name", "in", "netns", &world]);
        for (namespace, link, address) in
            [(&machine.own, "out", "192.0.2.1/24"), (&machine.world, "in", "192.0.2.2/24")]
        {
            machine.ip(namespace, &["address", "add", address, "dev", link]);
            machine.ip(namespace, &["link", "set", link, "up"]);
            machine.ip(namespace, &["link", "set", "lo", "up"]);
        }
        Some(machine)
    }

    fn ip(&self, namespace: &Namespace, arguments: &[&str]) {
        let mut command = namespace.command("ip");
        command.args(arguments);
        run(command);
    }

    pub(crate) fn pid(&self) -> i32 {
        self.own.pid()
    }

    pub(crate) fn world(&self) -> i32 {
        self.world.pid()
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 17, 0, 1)
    }

    /// The names of the machine's links.
    pub(crate) fn links(&self) -> Vec<String> {
        let mut command = self.own.command("ip");
        command.args(["-brief", "link"]);
        run(command).lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    }

    /// What the machine's filter holds.
    pub(crate) fn filter(&self) -> String {
        let mut command = self.own.command("nft");
        command.args(["list", "ruleset"]);
        run(command)
    }

    pub(crate) fn remove_network(&self) {
        let subnet = "172.17.0.0/16".parse().expect("a subnet");
        peers_within(self.pid(), || strata_network::remove_network("strata0", &subnet)).expect("removed");
    }
}

/// Does `work` in the network namespace of a process.
pub(crate) fn peers_within<T: Send>(pid: i32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            enter(pid);
            work()
        });
        worker.join().expect("no panic")
    })
}

/// Moves the calling thread into the network namespace of a process.
pub(crate) fn enter(pid: i32) {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).expect("a namespace");
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(kind)).expect("entered");
}

/// A container's directory and namespace.
pub(crate) struct Container<'a> {
    machine: &'a Machine,
    namespace: Namespace,
    directory: PathBuf,
    plan: NetworkPlan,
}

impl<'a> Container<'a> {
    /// On the machine's first network, with the address that ends with `number`.
    pub(crate) fn new(machine: &'a Machine, name: &str, number: u8) -> Container<'a> {
        let directory = machine.directory.path().join(name);
        fs::create_dir(&directory).expect("a directory");
        let mut id: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        id.extend(std::iter::repeat_n('0', 64 - id.len()));
        let endpoint = Endpoint {
            network: "0".repeat(64),
            bridge: "strata0".to_owned(),
            subnet: "172.17.0.0/16".parse().expect("a subnet"),
            gateway: machine.gateway(),
            address: Ipv4Addr::new(172, 17, 0, number),
            interface: "eth0".to_owned(),
            names: vec![name.to_owned()],
            members: machine.directory.path().join("members-strata0"),
            internal: false,
            mtu: 1500,
            hardware: None,
            links: Vec::new(),
        };
        let plan = NetworkPlan {
            container: id,
            mode: Mode::Bridge,
            endpoints: vec![endpoint],
            ports: Vec::new(),
            resolver: false,
            name_servers: Vec::new(),
        };
        Container { machine, namespace: Namespace::new(), directory, plan }
    }

    pub(crate) fn publish(&mut self, protocol: Protocol, host_port: u16, container_port: u16) {
        let host_address = Ipv4Addr::UNSPECIFIED.into();
        self.plan.ports.push(PublishedPort {
            protocol,
            host_address,
            host_port,
            host_port_end: host_port,
            container_port,
        });
    }

    pub(crate) fn resolve_names(&mut self, servers: &[IpAddr]) {
        self.plan.resolver = true;
        self.plan.name_servers = servers.to_vec();
    }

    pub(crate) fn move_to_network(&mut self, bridge: &str, subnet: &str, internal: bool) {
        let endpoint = &mut self.plan.endpoints[0];
        endpoint.bridge = bridge.to_owned();
        endpoint.subnet = subnet.parse().expect("a subnet");
        let first = u32::from(endpoint.subnet.network());
        endpoint.gateway = Ipv4Addr::from(first + 1);
        endpoint.address = Ipv4Addr::from(first + 2);
        endpoint.internal = internal;
        endpoint.members = self.machine.directory.path().join(format!("members-{bridge}"));
    }

    pub(crate) fn pid(&self) -> i32 {
        self.namespace.pid()
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.plan.endpoints[0].address
    }

    pub(crate) fn state(&self) -> Option<NetworkState> {
        strata_network::state(&self.directory).expect("a state or none")
    }

    /// The names on the container's network.
    pub(crate) fn members(&self) -> Vec<String> {
        let members = &self.plan.endpoints[0].members;
        let entries = fs::read_dir(members).expect("members").filter_map(|entry| fs::read(entry.ok()?.path()).ok());
        entries
            .filter_map(|bytes| serde_json::from_slice::<strata_network::Member>(&bytes).ok())
            .flat_map(|member| member.names)
            .collect()
    }

    pub(crate) fn attach(&self) -> Result<NetworkState, String> {
        self.plan.write(&self.directory).expect("a plan");
        let output = self.hook("attach", |command| command);
        self.attached(&output)
    }

    /// With no program to be found, `nft` least of all.
    pub(crate) fn attach_without_programs(&self) -> Result<NetworkState, String> {
        self.plan.write(&self.directory).expect("a plan");
        let output = self.hook("attach", |command| command.env("PATH", "/nowhere"));
        self.attached(&output)
    }

    fn attached(&self, output: &Output) -> Result<NetworkState, String> {
        match output.status.success() {
            true => Ok(self.state().expect("a state")),
            false => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()),
        }
    }

    pub(crate) fn detach(&self) -> Result<(), String> {
        let output = self.hook("detach", |command| command);
        output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn attach_and_kill(&self, after: Duration) {
        self.plan.write(&self.directory).expect("a plan");
        let mut child = self.spawn("attach", |command| command);
        sleep(after);
        let _ = child.kill();
        let _ = child.wait();
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.namespace.0.kill();
        let _ = self.namespace.0.wait();
    }

    fn hook(&self, verb: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Output {
        self.spawn(verb, change).wait_with_output().expect("an end")
    }

    /// As an OCI runtime does: the arguments of the configuration, the state on standard input.
    fn spawn(&self, verb: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Child {
        let arguments = strata_network::hook_arguments(verb, &self.directory);
        assert_eq!(arguments[0], PROGRAM);
        let (machine, pid) = (self.machine.pid(), self.pid());
        // The namespace is entered by this process's child before it executes the hook.
        let mut command = Command::new(BINARY);
        std::os::unix::process::CommandExt::arg0(&mut command, PROGRAM);
        command.args(&arguments[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        peers_within(machine, move || {
            let mut child = command.spawn().expect("the hook");
            let state = format!("{{\"ociVersion\":\"1.2.0\",\"id\":\"x\",\"pid\":{pid},\"bundle\":\"/\"}}");
            let _ = child.stdin.take().expect("its input").write_all(state.as_bytes());
            child
        })
    }
}
