//! A way out without any rights: `pasta` or `slirp4netns`, whichever the machine has.
//!
//! The program is a child of the attendant and ends with it. Ports are its work too: no bridge of this machine leads into the
//! namespace.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::plan::{BoundPort, PublishedPort};
use crate::ports::bind_all;
use crate::{NetworkError, Result};

const SOCKET: &str = "slirp.sock";
/// How long the program may take until the container's interface is up.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running way out.
pub(crate) struct Program {
    child: Child,
    pub(crate) ports: Vec<BoundPort>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one for the container whose init is `pid`, with the ports that lead to it.
pub(crate) fn start(directory: &Path, pid: i32, ports: &[PublishedPort]) -> Result<Program> {
    // The numbers are settled by binding them for a moment: both programs want a number.
    let bound: Vec<BoundPort> = bind_all(ports)?.into_iter().map(|held| held.port).collect();
    if let Some(program) = pasta(pid, &bound)? {
        return Ok(program);
    }
    slirp4netns(directory, pid, &bound)?.ok_or_else(|| {
        NetworkError::Unsupported(
            "neither pasta nor slirp4netns is installed: without root a container reaches the network through one of them \
             (install the package passt or slirp4netns), or use --network host or none"
                .to_owned(),
        )
    })
}

/// Starts a program; `None` when it is not there. A folder of PATH that may not be looked into says that it is forbidden.
fn spawn(command: &mut Command, input: impl Into<Stdio>, name: &str) -> Result<Option<Child>> {
    match command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
        Ok(child) => Ok(Some(child)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(NetworkError::system(format!("starting {name}"), error)),
    }
}

fn pasta(pid: i32, ports: &[BoundPort]) -> Result<Option<Program>> {
    let mut command = Command::new("pasta");
    command.args(["--config-net", "--foreground", "--quiet", "--no-map-gw", "-T", "none", "-U", "none"]);
    let own: Vec<&BoundPort> = ports.iter().filter(|port| port.host_address.is_ipv4()).collect();
    for (option, word) in [("-t", "tcp"), ("-u", "udp")] {
        let mut any = false;
        for port in own.iter().filter(|port| port.protocol.word() == word) {
            any = true;
            command.arg(option).arg(format!("{}/{}:{}", port.host_address, port.host_port, port.container_port));
        }
        if !any {
            command.args([option, "none"]);
        }
    }
    // As its standard input, opened by us: it gives its rights away before it looks, and then may not look at a container's
    // process, nor join its user namespace, which is ours already.
    let namespace = format!("/proc/{pid}/ns/net");
    let namespace = fs::File::open(&namespace)
        .map_err(|error| NetworkError::system(format!("opening the network namespace {namespace}"), error))?;
    command.args(["--no-netns-quit", "--netns", "/proc/self/fd/0"]);
    let Some(child) = spawn(&mut command, namespace, "pasta")? else { return Ok(None) };
    let mut program = Program { child, ports: ports.to_vec() };
    wait_for_interface(&mut program, "pasta", pid)?;
    Ok(Some(program))
}

fn slirp4netns(directory: &Path, pid: i32, ports: &[BoundPort]) -> Result<Option<Program>> {
    let _ = fs::remove_file(directory.join(SOCKET));
    let folder = fs::File::open(directory)
        .map_err(|error| NetworkError::system(format!("opening {}", directory.display()), error))?;
    let mut command = Command::new("slirp4netns");
    command.current_dir(directory).args(["--configure", "--mtu=65520", "--disable-host-loopback"]);
    command.args(["--api-socket", SOCKET, &pid.to_string(), "eth0"]);
    let Some(child) = spawn(&mut command, Stdio::null(), "slirp4netns")? else { return Ok(None) };
    let mut program = Program { child, ports: ports.to_vec() };
    wait_for_interface(&mut program, "slirp4netns", pid)?;
    for port in ports.iter().filter(|port| port.host_address.is_ipv4()) {
        forward(&folder, port)?;
    }
    Ok(Some(program))
}

/// The interface is in the container's list of interfaces when the program is done with its work.
fn wait_for_interface(program: &mut Program, name: &str, pid: i32) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    let path = format!("/proc/{pid}/net/route");
    while Instant::now() < end {
        if fs::read_to_string(&path).is_ok_and(|routes| routes.lines().count() > 1) {
            return Ok(());
        }
        if program.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = program.child.kill();
    let mut said = String::new();
    if let Some(output) = program.child.stderr.take() {
        let _ = output.take(4096).read_to_string(&mut said);
    }
    let reason = said.lines().last().unwrap_or("it made no interface in time");
    Err(NetworkError::Unsupported(format!("{name} cannot connect the container: {reason}")))
}

/// One request of slirp4netns' interface: a line of JSON there, a line back.
fn forward(folder: &fs::File, port: &BoundPort) -> Result<()> {
    let failed = |error| NetworkError::system("asking slirp4netns for a published port", error);
    // The directory's path may be longer than a socket's may be.
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let end = Instant::now() + START_LIMIT;
    let mut stream = loop {
        match UnixStream::connect(&path) {
            // It listens a moment after the interface is up.
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            connected => break connected.map_err(failed)?,
        }
    };
    let address = match port.host_address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(_) => return Ok(()),
    };
    let request = json!({"execute": "add_hostfwd", "arguments": {
        "proto": port.protocol.word(), "host_addr": address, "host_port": port.host_port, "guest_port": port.container_port,
    }});
    stream.write_all(request.to_string().as_bytes()).map_err(failed)?;
    stream.shutdown(std::net::Shutdown::Write).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    match answer.get("error") {
        None => Ok(()),
        Some(error) => {
            Err(NetworkError::Attendant(format!("slirp4netns does not publish port {}: {error}", port.host_port)))
        }
    }
}
