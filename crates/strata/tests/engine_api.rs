//! Docker's own command on `strata serve`: what it prints is what `strata` prints when it is run directly.
//!
//! Commands that change something run on two stores with the same content, each by one of the two; what only looks runs by
//! both on one store, while it is served. What differs has its reason in [`DIFFERENT`], and is checked to differ still.

#[path = "engine_api/clients.rs"]
mod clients;
mod support;
mod tools;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, TarFormat, archive, golden};
use support::containers::sandbox_with_box;
use support::{Run, Sandbox, run, sample_registry, words};
use tools::{Server, have, program};

/// Commands whose output differs, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("images one two", "docker 28.2 misprints `SRun` here"),
    ("exec web /nosuch", "the API tells it where the program's output would be, as docker's daemon does"),
    ("network rm nosuch", "docker 28.2 prints `exit status 1` after what the daemon said"),
];

/// `strata serve` on the store of a sandbox.
fn serve(sandbox: &Sandbox, options: &[&str]) -> Server {
    let socket = sandbox.path("strata.sock").display().to_string();
    let listen = format!("unix://{socket}");
    let arguments = [&["serve", "--listen", &listen], options].concat();
    Server::start(sandbox.command(&arguments), socket, &sandbox.path("serve.log")).expect("a server")
}

fn docker(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = program("docker", [format!("--host=unix://{}", sandbox.path("strata.sock").display())]);
    command.args(arguments).env("DOCKER_CONFIG", sandbox.path("docker")).env("HOME", sandbox.path(""));
    command
}

/// Strata under the name `docker`, so that it speaks of itself as `docker`.
fn strata(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    let link: PathBuf = sandbox.path("program/docker");
    if !link.exists() {
        std::fs::create_dir_all(sandbox.path("program")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_strata"), &link).unwrap();
    }
    let ours = sandbox.command(arguments);
    let mut command = Command::new(link);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(command)
}

fn normal(run: &Run) -> String {
    let mut text = String::new();
    for line in run.stdout.lines() {
        match line.strip_prefix("Total reclaimed space: ") {
            Some(_) => text.push_str("Total reclaimed space: SPACE\n"),
            // Docker prints this step only when it takes long enough to be seen.
            None if line.ends_with(": Verifying Checksum") => {}
            None => writeln!(text, "{line}").unwrap(),
        }
    }
    for line in run.stderr.lines() {
        writeln!(text, "stderr: {line}").unwrap();
    }
    writeln!(text, "exit code: {}", run.status.code().unwrap_or(-1)).unwrap();
    text
}

/// What was found to differ.
#[derive(Default)]
struct Differences(String);

impl Differences {
    fn note(&mut self, line: &str, docker: &Run, strata: &Run) {
        let reason = DIFFERENT.iter().find(|(command, _)| *command == line);
        match (golden::difference(&normal(docker), &normal(strata)), reason) {
            (None, None) | (Some(_), Some(_)) => {}
            (None, Some((_, reason))) => writeln!(self.0, "{line}: is the same, although {reason}").unwrap(),
            (Some(difference), None) => {
                writeln!(self.0, "{line} (- docker on strata serve, + strata)\n{difference}").unwrap();
            }
        }
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "{}", self.0);
    }
}

fn sort_lines(pair: &mut (Run, Run)) {
    for run in [&mut pair.0, &mut pair.1] {
        let mut lines: Vec<&str> = run.stdout.lines().collect();
        lines.sort_unstable();
        run.stdout = lines.join("\n");
    }
}

/// Both on one store.
fn looked(differences: &mut Differences, sandbox: &Sandbox, lines: &[&str]) {
    for line in lines {
        let given = words(line);
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let mut pair = (run(docker(sandbox, &given)), strata(sandbox, &given));
        // Ages are told in seconds, which may pass between the two.
        for _ in 0..2 {
            if normal(&pair.0) == normal(&pair.1) {
                break;
            }
            pair = (run(docker(sandbox, &given)), strata(sandbox, &given));
        }
        differences.note(line, &pair.0, &pair.1);
    }
}

fn loaded(sandbox: &Sandbox) {
    let image = |name: &str, created: &str| {
        ImageBuilder::new()
            .docker()
            .layer(Layer::of_file("etc/os-release", "NAME=sample\n"))
            .layer(Layer::of_file(&format!("opt/{name}"), name.repeat(1000)))
            .setting("Labels", json!({ "name": name, "with.dot": "<a> & b" }))
            .setting("ExposedPorts", json!({ "80/tcp": {} }))
            .setting("Entrypoint", json!(["/entry", "a && b"]))
            .config(|config| config["created"] = json!(created))
            .build()
    };
    let images = [image("alpha", "2005-06-07T08:10:00Z"), image("beta", "2006-06-07T08:10:00.5Z")];
    let tar =
        archive::docker(&[(&images[0], &["alpha:1", "alpha:latest"]), (&images[1], &["example.com/team/beta:1"])]);
    std::fs::write(sandbox.path("images.tar"), tar.tar(TarFormat::Gnu)).unwrap();
    sandbox.run(&["load", "-q", "-i", sandbox.path("images.tar").to_str().unwrap()]).success();
}

#[test]
fn looking_at_images() {
    if !have(&["docker"]) {
        return;
    }
    let sandbox = Sandbox::new();
    loaded(&sandbox);
    let _server = serve(&sandbox, &[]);
    let mut differences = Differences::default();
    looked(
        &mut differences,
        &sandbox,
        &[
            "images",
            "images -a --no-trunc",
            "images -q",
            "images --digests",
            "images alpha",
            "images example.com/team/beta",
            "images nosuch",
            "images --filter dangling=true",
            "images --filter label=name=beta",
            "images --filter reference='alph*'",
            "images --filter before=example.com/team/beta:1",
            "images --filter since=alpha:1",
            "images --filter nosuch=1",
            "images --filter dangling=perhaps",
            "images --format '{{json .}}'",
            "images one two",
            "history alpha",
            "history --no-trunc alpha",
            "history --format json alpha",
            "history nosuch",
            "inspect alpha",
            "inspect alpha nosuch",
            "image inspect example.com/team/beta:1",
            "image inspect -f '{{.Config.Entrypoint}} {{.RootFS.Layers}}' alpha",
            "image inspect nosuch",
            "save nosuch",
            "volume ls",
            "volume inspect nosuch",
            "network inspect nosuch",
            "container inspect nosuch",
            "ps -a",
        ],
    );
    differences.none();
}

#[test]
fn changing_images() {
    if !have(&["docker"]) {
        return;
    }
    let (served, direct) = (Sandbox::new(), Sandbox::new());
    loaded(&served);
    loaded(&direct);
    let _server = serve(&served, &[]);
    let mut differences = Differences::default();
    for line in [
        "tag nosuch other",
        "tag alpha Upper",
        "tag alpha example.com:5000/deep/er/alpha:v1",
        "tag example.com/team/beta:1 alpha:1",
        "images",
        "rmi nosuch",
        "rmi -f nosuch",
        "rmi example.com:5000/deep/er/alpha:v1",
        "rmi alpha:1",
        "image prune -f",
        "image prune -af --filter label=name=alpha",
        "images",
        "volume create data",
        "volume create --label a=b named",
        "volume ls",
        "volume rm data",
        "volume rm data",
        "volume prune -f",
        "volume prune -af",
        "network create --driver nosuch x",
        "network rm nosuch",
        "network prune -f",
    ] {
        let given = words(line);
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let mut pair = (run(docker(&served, &given)), strata(&direct, &given));
        if line == "images" {
            // Docker lists the repositories of one image in random order.
            sort_lines(&mut pair);
        }
        differences.note(line, &pair.0, &pair.1);
    }
    differences.none();
}

#[test]
fn images_move_to_and_from_registries() {
    if !have(&["docker"]) {
        return;
    }
    let (registry, _) = sample_registry();
    let (served, direct) = (Sandbox::new(), Sandbox::new());
    let _server = serve(&served, &[]);
    let mut differences = Differences::default();
    let host = registry.host();
    let name = format!("{host}/{}", SAMPLE);
    for line in [
        format!("pull {host}/nosuch"),
        format!("pull {name}"),
        format!("pull {name}"),
        format!("pull -q {name}"),
        "pull Upper".to_owned(),
        format!("tag {name} {host}/COPY:2"),
        format!("push {host}/COPY:2"),
        format!("push -q {host}/COPY:2"),
        format!("push {host}/COPY:none"),
        format!("push {host}/unknown"),
        "images --format '{{.Repository}}:{{.Tag}} {{.ID}}'".to_owned(),
    ] {
        // Each pushes to a repository of its own.
        let (theirs, ours) = (words(&line.replace("COPY", "theirs")), words(&line.replace("COPY", "ours")));
        let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        let mut pair = (run(docker(&served, &theirs)), strata(&direct, &ours));
        for (run, repository) in [(&mut pair.0, "/theirs"), (&mut pair.1, "/ours")] {
            run.stdout = run.stdout.replace(repository, "/COPY");
            run.stderr = run.stderr.replace(repository, "/COPY");
        }
        // Layers move side by side.
        sort_lines(&mut pair);
        differences.note(&line, &pair.0, &pair.1);
    }
    differences.none();
}

/// The sample registry's image.
const SAMPLE: &str = "sample:1";

#[test]
fn a_server_that_runs_on_does_not_rely_on_what_is_gone() {
    if !have(&["docker"]) {
        return;
    }
    let (registry, _) = sample_registry();
    let sandbox = Sandbox::new();
    let name = format!("{}/{SAMPLE}", registry.host());
    sandbox.run(&["pull", "-q", &name]).success();
    let _server = serve(&sandbox, &[]);
    // It takes something in while the image's contents are there to be shared with.
    let rootfs = sandbox.path("rootfs.tar");
    std::fs::write(&rootfs, Layer::of_file("etc/motd", "hello").tar).unwrap();
    run(docker(&sandbox, &["import", rootfs.to_str().unwrap(), "made:1"])).success();
    for _ in 0..2 {
        run(docker(&sandbox, &["rmi", &name])).success();
        run(docker(&sandbox, &["pull", "-q", &name])).success();
    }
}

#[test]
fn archives_are_the_same_bytes() {
    if !have(&["docker"]) {
        return;
    }
    let (served, direct) = (Sandbox::new(), Sandbox::new());
    loaded(&served);
    let _server = serve(&served, &[]);
    let file = |name: &str| served.path(name).display().to_string();
    run(docker(&served, &["save", "-o", &file("theirs.tar"), "alpha", "example.com/team/beta:1"])).success();
    served.run(&["save", "-o", &file("ours.tar"), "alpha", "example.com/team/beta:1"]).success();
    assert_eq!(std::fs::read(file("theirs.tar")).unwrap(), std::fs::read(file("ours.tar")).unwrap());
    let _second = serve(&direct, &[]);
    let loaded = run(docker(&direct, &["load", "-i", &file("ours.tar")])).success();
    assert_eq!(loaded, strata(&Sandbox::new(), &["load", "-i", &file("ours.tar")]).success());
    let rootfs = served.path("rootfs.tar");
    std::fs::write(&rootfs, Layer::of_file("etc/motd", "hello").tar).unwrap();
    let imported =
        run(docker(&served, &["import", "-c", "CMD [\"sh\"]", rootfs.to_str().unwrap(), "made:1"])).success();
    assert_eq!(served.run(&["images", "-q", "--no-trunc", "made:1"]).success(), imported);
    let failed = run(docker(&served, &["import", "-c", "NOSUCH x", rootfs.to_str().unwrap()])).failure();
    assert!(failed.starts_with("Error response from daemon: "), "{failed}");
}

#[test]
fn containers_and_what_they_use() {
    if !have(&["docker", "root"]) {
        return;
    }
    let Some(sandbox) = sandbox_with_box(&[], &[("ExposedPorts", json!({ "80/tcp": {} }))]) else { return };
    let _server = serve(&sandbox, &[]);
    let docker = |arguments: &[&str]| run(docker(&sandbox, arguments));
    docker(&["volume", "create", "--label", "a=b", "data"]).success();
    let created = ["create", "--name", "one", "--network", "none", "-v", "data:/data", "-e", "A=b", "-l", "job=x"];
    let id = docker(&[&created[..], &["box", "sh", "-c", "echo made > /made; exit 3"]].concat()).success();
    let same = docker(&[&created[..], &["box"]].concat()).failure();
    assert!(same.contains("Conflict. The container name \"/one\" is already in use by container"), "{same}");
    let mut differences = Differences::default();
    let looks = [
        "ps -a --no-trunc",
        "ps -aq",
        "ps -a --size",
        "ps --filter name=one -a --format '{{json .Labels}} {{.Mounts}} {{.Networks}}'",
        "inspect one",
        "container inspect --size one",
        "inspect -f '{{.State.Status}} {{.HostConfig.NetworkMode}}' one",
        "diff one",
        "volume ls",
        "volume inspect data",
        "network ls --no-trunc",
        "network inspect none",
        "ps --filter nosuch=1",
        "port one",
    ];
    looked(&mut differences, &sandbox, &looks);
    assert_eq!(docker(&["start", "one"]).success(), "one\n");
    assert_eq!(docker(&["wait", "one"]).success(), "3\n");
    assert_eq!(docker(&["stop", "one"]).success(), "one\n");
    looked(&mut differences, &sandbox, &looks);
    let killed = docker(&["kill", "one"]).failure();
    assert_eq!(
        killed,
        format!("Error response from daemon: cannot kill container: one: container {} is not running\n", id.trim())
    );
    assert!(docker(&["commit", "-m", "hello", "-c", "CMD true", "one", "made:1"]).success().starts_with("sha256:"));
    looked(&mut differences, &sandbox, &["images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}'"]);

    docker(&["rename", "one", "two"]).success();
    let exported = docker(&["export", "-o", sandbox.path("two.tar").to_str().unwrap(), "two"]);
    exported.success();
    sandbox.run(&["export", "-o", sandbox.path("ours.tar").to_str().unwrap(), "two"]).success();
    let read = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(read("two.tar") == read("ours.tar"), "the tars differ");
    docker(&["cp", "two:/made", sandbox.path("made").to_str().unwrap()]).success();
    assert_eq!(std::fs::read_to_string(sandbox.path("made")).unwrap(), "made\n");
    std::fs::write(sandbox.path("here"), "from here\n").unwrap();
    docker(&["cp", sandbox.path("here").to_str().unwrap(), "two:/tmp/there"]).success();
    docker(&["cp", "two:/tmp/there", sandbox.path("back").to_str().unwrap()]).success();
    assert_eq!(std::fs::read_to_string(sandbox.path("back")).unwrap(), "from here\n");

    let sleeper = ["create", "--name", "sleeper", "--network", "none", "box", "sleep", "60"];
    docker(&sleeper).success();
    docker(&["start", "sleeper"]).success();
    docker(&["pause", "sleeper"]).success();
    let paused = docker(&["pause", "sleeper"]).failure();
    assert!(paused.contains("is already paused"), "{paused}");
    looked(&mut differences, &sandbox, &["ps", "inspect -f '{{.State.Status}} {{.State.Pid}}' sleeper"]);
    docker(&["unpause", "sleeper"]).success();
    docker(&["update", "--memory", "64m", "--memory-swap", "64m", "sleeper"]).success();
    looked(&mut differences, &sandbox, &["inspect -f '{{.HostConfig.Memory}}' sleeper"]);
    let running = docker(&["rm", "sleeper"]).failure();
    assert!(running.contains("cannot remove container \"sleeper\": container is running"), "{running}");
    docker(&["restart", "-t", "0", "sleeper"]).success();
    docker(&["kill", "sleeper"]).success();
    assert_eq!(docker(&["wait", "sleeper"]).success(), "137\n");
    let usage = docker(&["system", "df", "-v"]);
    assert!(usage.success().contains("sleeper"));
    let bad = docker(&["create", "--gpus", "all", "box"]).failure();
    assert!(bad.contains("not supported by strata: device requests (--gpus)"), "{bad}");
    docker(&["rm", "-v", "two"]).success();
    let pruned = docker(&["container", "prune", "-f"]).success();
    assert!(pruned.starts_with("Deleted Containers:\n"), "{pruned}");
    assert_eq!(docker(&["ps", "-aq"]).success(), "");
    differences.none();
}

#[test]
fn what_is_served_is_told_and_can_be_looked_at_only() {
    if !have(&["docker"]) {
        return;
    }
    let sandbox = Sandbox::new();
    loaded(&sandbox);
    let server = serve(
        &sandbox,
        &["--read-only", "--registry-mirror", "http://127.0.0.1:9", "--insecure-registry", "10.0.0.0/8"],
    );
    let docker = |arguments: &[&str]| run(docker(&sandbox, arguments));
    assert_eq!(docker(&["version", "-f", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}"]).success(), "1.51 1.24\n");
    let info =
        docker(&["info", "-f", "{{.Driver}} {{.RegistryConfig.Mirrors}} {{.DockerRootDir}} {{.Images}}"]).success();
    assert_eq!(info, format!("strata [http://127.0.0.1:9] {} 2\n", sandbox.root().display()));
    assert!(docker(&["info"]).success().contains("  10.0.0.0/8\n"));
    let refused = docker(&["rmi", "alpha"]).failure();
    assert_eq!(refused, "Error response from daemon: strata serves read-only: DELETE /images/alpha is refused\n");
    let built = docker(&["tag", "alpha", "other"]).failure();
    assert!(built.contains("strata serves read-only"), "{built}");
    drop(server);
    let log = std::fs::read_to_string(sandbox.path("serve.log")).unwrap();
    assert!(log.starts_with("Listening on unix://"), "{log}");
    let audit: Vec<&str> = log.lines().filter(|line| line.contains("audit")).collect();
    assert_eq!(audit.len(), 2, "{log}");
    for part in ["uid=0", "method=DELETE", "path=\"/v1.", "/images/alpha\"", "status=403"] {
        assert!(audit[0].contains(part), "{part}: {}", audit[0]);
    }
    assert!(!sandbox.path("strata.sock").exists());
}

#[test]
fn credentials_are_the_client_s() {
    if !have(&["docker"]) {
        return;
    }
    let registry = FakeRegistry::start_with_account("me", "secret", false);
    let image = ImageBuilder::new().layer(Layer::of_file("a", "b")).build();
    registry.add_image("app", "latest", &image);
    let sandbox = Sandbox::new();
    let _server = serve(&sandbox, &[]);
    let docker = |arguments: &[&str]| run(docker(&sandbox, arguments));
    let name = format!("{}/app", registry.host());
    assert!(!docker(&["pull", &name]).status.success());
    let wrong = docker(&["login", "-u", "me", "-p", "wrong", &registry.host()]);
    assert!(!wrong.status.success(), "{wrong:?}");
    let login = docker(&["login", "-u", "me", "-p", "secret", &registry.host()]).success();
    assert!(login.contains("Login Succeeded"), "{login}");
    docker(&["pull", "-q", &name]).success();
}

/// A command of docker's with something to read.
fn docker_with_input(sandbox: &Sandbox, arguments: &[&str], input: &str) -> Run {
    let mut command = docker(sandbox, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("docker");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
    }
}

#[test]
fn programs_are_talked_with() {
    if !have(&["docker", "root"]) {
        return;
    }
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let _server = serve(&sandbox, &[]);
    let docker = |arguments: &[&str]| run(docker(&sandbox, arguments));
    const RUN: [&str; 3] = ["run", "--network", "none"];
    let both = docker(&[&RUN[..], &["--rm", "box", "sh", "-c", "echo out; echo err >&2; exit 7"]].concat());
    assert_eq!((both.stdout.as_str(), both.stderr.as_str(), both.status.code()), ("out\n", "err\n", Some(7)));
    for number in 0..5 {
        let text = number.to_string();
        assert_eq!(docker(&[&RUN[..], &["--rm", "box", "echo", &text]].concat()).success(), format!("{text}\n"));
    }
    let echoed = docker_with_input(&sandbox, &[&RUN[..], &["--rm", "-i", "box", "cat"]].concat(), "one\ntwo\n");
    assert_eq!(echoed.success(), "one\ntwo\n");
    let much = docker(
        &[&RUN[..], &["--rm", "box", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"]]
            .concat(),
    );
    let much = much.success();
    assert_eq!((much.lines().count(), much.lines().last()), (20_000, Some("line 19999")));
    let unknown = docker(&[&RUN[..], &["--rm", "box", "/nosuch"]].concat());
    assert_eq!(unknown.status.code(), Some(127), "{unknown:?}");
    assert_eq!(docker(&["ps", "-aq"]).success(), "");

    docker(&[&RUN[..], &["-d", "--name", "web", "box", "sh", "-c", "echo begun; echo oops >&2; sleep 60"]].concat())
        .success();
    support::containers::eventually("both lines", || docker(&["logs", "web"]).stderr == "oops\n");
    let mut differences = Differences::default();
    looked(
        &mut differences,
        &sandbox,
        &[
            "logs web",
            "logs --timestamps web",
            "logs --tail 1 web",
            "logs --until 10m web",
            "logs nosuch",
            "exec web echo hello",
            "exec web sh -c 'echo out; echo err >&2; exit 5'",
            "exec -e A=b -w /tmp -u www web sh -c 'echo $A; pwd; id -u'",
            "exec web /nosuch",
            "exec nosuch true",
            "top web -o pid,args",
            "inspect web",
        ],
    );
    differences.none();
    let unknown = docker(&["exec", "web", "/nosuch"]);
    assert_eq!(unknown.status.code(), Some(127), "{unknown:?}");
    assert!(unknown.stdout.starts_with("OCI runtime exec failed: exec failed: "), "{unknown:?}");
    assert_eq!(docker_with_input(&sandbox, &["exec", "-i", "web", "cat"], "to cat\n").success(), "to cat\n");
    let stats = docker(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"]).success();
    assert_eq!(stats, "web 1\n");
    let mut follower = self::docker(&sandbox, &["logs", "-f", "web"]);
    let mut follower = follower.stdout(Stdio::null()).spawn().unwrap();
    let mut watcher = self::docker(&sandbox, &["attach", "web"]);
    let mut watcher = watcher.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    docker(&["kill", "web"]).success();
    assert!(follower.wait().unwrap().success());
    assert_eq!(watcher.wait().unwrap().code(), Some(137));
    let refused = docker(&["exec", "web", "true"]).failure();
    assert!(refused.contains("is not running"), "{refused}");
    docker(&["rm", "web"]).success();
}
