//! Clients of docker's API as their users have them: docker-py and docker-compose, on `strata serve` of a machine of its own.

use std::path::Path;
use std::process::Command;

use crate::support::containers::{assert_nothing_left, eventually, sandbox_with_box};
use crate::support::machine::Machine;
use crate::support::{Run, Sandbox, run};
use crate::tools::{Server, have, program, skip};

/// Debian's, which has Debian's docker-py.
const PYTHON: &str = "/usr/bin/python3";

/// A machine where `strata serve` is at work on a store with the image `box`.
struct Served {
    server: Option<Server>,
    machine: Machine,
    sandbox: Sandbox,
}

impl Served {
    fn start() -> Option<Served> {
        if !have(&["root", "nft", "ip"]) {
            return None;
        }
        let sandbox = sandbox_with_box(&[], &[])?;
        let machine = Machine::new();
        let socket = sandbox.path("strata.sock").display().to_string();
        let command = machine.here(&sandbox.command(&["serve", "--listen", &format!("unix://{socket}")]));
        let server = Server::start(command, socket, &sandbox.path("serve.log")).expect("a server");
        Some(Served { server: Some(server), machine, sandbox })
    }

    fn client(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = program(name, arguments);
        let socket = self.sandbox.path("strata.sock");
        command.env("DOCKER_HOST", format!("unix://{}", socket.display())).env("HOME", self.sandbox.path(""));
        command.env_remove("PYTHONPATH");
        command
    }

    /// Nothing of containers is left when the clients took everything away.
    fn assert_clean(mut self) {
        drop(self.server.take());
        assert_nothing_left(&self.sandbox);
    }
}

fn has_docker_py() -> bool {
    let is_there = Path::new(PYTHON).exists() && run(program(PYTHON, ["-c", "import docker"])).status.success();
    if !is_there {
        skip("docker-py of this machine's Python");
    }
    is_there
}

#[test]
fn docker_py_finds_what_docker_s_engine_tells_it() {
    if !has_docker_py() {
        return;
    }
    let Some(served) = Served::start() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine_api/docker_py.py");
    let socket = served.sandbox.path("strata.sock").display().to_string();
    run(served.client(PYTHON, &[script, &socket])).success();
    served.assert_clean();
}

const PROJECT: &str = r#"
version: "2.4"
services:
  web:
    image: box
    command: sh -c "echo served > /data/index.html; echo begun; exec httpd -f -p 80 -h /data"
    volumes: ["data:/data"]
    ports: ["127.0.0.1:18080:80"]
    networks: [back]
  app:
    image: box
    command: sleep 300
    depends_on: [web]
    networks: {back: {aliases: [helper]}}
volumes: {data: {}}
networks: {back: {}}
"#;

#[test]
fn docker_compose_brings_a_project_up_and_takes_it_down() {
    if !have(&["docker-compose", "curl"]) {
        return;
    }
    let Some(served) = Served::start() else { return };
    std::fs::create_dir(served.sandbox.path("project")).unwrap();
    std::fs::write(served.sandbox.path("project/docker-compose.yml"), PROJECT).unwrap();
    let compose = |line: &str| -> Run {
        let mut words = vec!["--ansi", "never"];
        words.extend(line.split(' '));
        let mut command = served.client("docker-compose", &words);
        command.current_dir(served.sandbox.path("project"));
        run(command)
    };
    compose("up -d").success();
    let page_is_served = || {
        eventually("the page is served", || {
            let mut fetch = served.machine.command("curl");
            fetch.args(["-s", "-m", "5", "http://127.0.0.1:18080/"]);
            run(fetch).stdout == "served\n"
        });
    };
    page_is_served();
    let found = compose("exec -T app busybox nslookup web").success();
    let address = found.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back().expect("an address");
    let fetched = compose(&format!("exec -T app wget -q -O - http://{address}/")).success();
    assert_eq!(fetched, "served\n");
    assert!(compose("exec -T web busybox nslookup helper").success().contains("Address: "));
    assert!(compose("logs web").success().contains("| begun"));
    compose("restart -t 0 web").success();
    page_is_served();
    let shown = compose("ps").success();
    for part in ["project_app_1", "project_web_1", "127.0.0.1:18080->80/tcp"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    compose("down -v -t 0").success();
    assert_eq!(served.sandbox.run(&["volume", "ls", "-q"]).success(), "");
    let networks = served.sandbox.run(&["network", "ls", "--format", "{{.Name}}"]).success();
    assert_eq!(networks, "bridge\nhost\nnone\n");
    served.assert_clean();
}
