//! The same commands on the same images by Docker and by Strata: the whole output is the same.
//!
//! Docker is the `docker` program of this machine with Debian's daemon (20.10, API 1.41) on the `vfs` driver, in a store of
//! its own. What differs has its reason in [`DIFFERENT`], and is checked to differ still.
//!
//! Stays whole: it is lists of command lines, and what compares them.

mod support;
mod tools;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use strata_testkit::{Image, ImageBuilder, Layer, TarEntry, TarFormat, archive, golden};
use support::{Run, Sandbox, run, words};
use tools::{Docker, docker_registry, have, skopeo_copy};

/// Commands whose output differs, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("images --filter nosuch=1", "20.10 writes `Invalid filter` with a capital letter, 28 does not"),
    ("images --filter dangling=perhaps", "20.10 writes `Invalid filter` with a capital letter, 28 does not"),
    ("image prune -f --filter nosuch=1", "20.10 writes `Invalid filter` with a capital letter, 28 does not"),
    ("rmi Upper", "20.10 does not say which name must be lowercase, 28 does"),
    ("image inspect nosuch", "20.10 puts `no such image: nosuch: ` before what 28 says"),
    ("image inspect -f '{{.Id}}' alpha nosuch gamma", "20.10 puts `no such image: nosuch: ` before what 28 says"),
    ("save nosuch", "20.10 does not add `:latest`, 28 does"),
    ("images one two", "docker 28.2 misprints `SRun` here"),
    ("load -i SANDBOX/text.tar", "20.10 unpacks in a process of its own, and names its exit status"),
    ("load -i SANDBOX/empty.tar", "the daemon names a file in a directory of its own"),
];

/// What must differ in each run is made the same. The amount of space that comes back: Docker counts sizes of files,
/// Strata blocks of the disk. The digest of what is pushed: Docker writes a new manifest, Strata pushes the one it has.
fn normal(run: &Run) -> String {
    let mut text = String::new();
    // Docker prints this step only when it takes long enough to be seen.
    for line in run.stdout.lines().filter(|line| !line.ends_with(": Verifying Checksum")) {
        match (line.strip_prefix("Total reclaimed space: "), line.split_once(": digest: sha256:")) {
            (Some(_), _) => text.push_str("Total reclaimed space: SPACE\n"),
            (_, Some((tag, _))) => writeln!(text, "{tag}: digest: DIGEST size: SIZE").unwrap(),
            _ => writeln!(text, "{line}").unwrap(),
        }
    }
    for line in run.stderr.lines() {
        writeln!(text, "stderr: {line}").unwrap();
    }
    writeln!(text, "exit code: {}", run.status.code().unwrap_or(-1)).unwrap();
    text
}

/// What must differ between containers is made the same: their IDs; the frames in which 20.10 passes on what its runtime
/// says; and the letter with which its errors begin, a small one in 28.
fn of_containers(text: &str) -> String {
    const FRAMES: &[&str] = &[
        "failed to create shim task: ",
        "OCI runtime create failed: ",
        "runc create failed: ",
        "unable to start container process: ",
    ];
    let mut shown = String::new();
    for line in text.lines() {
        let line = match line.strip_prefix("stderr: ").filter(|line| line.contains("Error response from daemon: ")) {
            Some(error) => {
                let error = FRAMES.iter().fold(error.to_owned(), |error, frame| error.replace(frame, ""));
                format!("stderr: {}", error.trim_end_matches(": unknown").to_lowercase())
            }
            None => line.to_owned(),
        };
        let is_id = |word: &str| matches!(word.len(), 12 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parts = line.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
        for part in parts {
            let word = part.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
            shown.push_str(if is_id(word) { "ID" } else { word });
            shown.push_str(&part[word.len()..]);
        }
        shown.push('\n');
    }
    shown
}

/// Both programs, and what was found to differ.
struct Pair {
    sandbox: Sandbox,
    /// Strata under the name `docker`, so that it speaks of itself as `docker`.
    program: PathBuf,
    docker: Docker,
    /// Texts of this run, and what they are called in [`DIFFERENT`].
    names: Vec<(String, &'static str)>,
    wrong: String,
}

impl Pair {
    fn start() -> Option<Pair> {
        let sandbox = Sandbox::new();
        let docker = Docker::start(&sandbox)?;
        let program = sandbox.path("program/docker");
        std::fs::create_dir_all(program.parent()?).ok()?;
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_strata"), &program).ok()?;
        let names = vec![(sandbox.path("").display().to_string(), "SANDBOX/")];
        Some(Pair { sandbox, program, docker, names, wrong: String::new() })
    }

    fn strata(&self, arguments: &[&str]) -> Run {
        let ours = self.sandbox.command(arguments);
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run(command)
    }

    /// As [`Pair::compare`]; rows of lists in any order, as Docker lists the repositories of one image in random order.
    fn compare_all(&mut self, lines: &[&str]) {
        for line in lines {
            match line.starts_with("images") {
                true => self.compare_sorted(line),
                false => self.compare(line),
            }
        }
    }

    /// Runs a command with both and notes a difference. Arguments are separated by spaces; those with spaces are in `'`.
    fn compare(&mut self, line: &str) {
        let arguments = words(line);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let docker = normal(&self.docker.run(&arguments));
        let strata = normal(&self.strata(&arguments));
        let line = self.names.iter().fold(line.to_owned(), |line, (text, name)| line.replace(text, name));
        let reason = DIFFERENT.iter().find(|(command, _)| *command == line);
        match (golden::difference(&docker, &strata), reason) {
            (None, None) | (Some(_), Some(_)) => {}
            (None, Some((_, reason))) => writeln!(self.wrong, "{line}: is the same, although {reason}").unwrap(),
            (Some(difference), None) => writeln!(self.wrong, "{line} (- docker, + strata)\n{difference}").unwrap(),
        }
    }

    /// As [`Pair::compare`], for what containers do.
    fn compare_containers(&mut self, lines: &[&str]) {
        for line in lines {
            let arguments = words(line);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let docker = of_containers(&normal(&self.docker.run(&arguments)));
            let strata = of_containers(&normal(&self.strata(&arguments)));
            if let Some(difference) = golden::difference(&docker, &strata) {
                writeln!(self.wrong, "{line} (- docker, + strata)\n{difference}").unwrap();
            }
        }
    }

    /// As [`Pair::compare`], for commands whose lines Docker prints in no certain order.
    fn compare_sorted(&mut self, line: &str) {
        let arguments = words(line);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let sorted = |run: Run| {
            let text = normal(&run);
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        let (docker, strata) = (sorted(self.docker.run(&arguments)), sorted(self.strata(&arguments)));
        if let Some(difference) = golden::difference(&docker, &strata) {
            writeln!(self.wrong, "{line} (- docker, + strata)\n{difference}").unwrap();
        }
    }

    #[track_caller]
    fn finish(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong);
    }
}

fn base() -> Layer {
    Layer::new(&[
        TarEntry::directory("etc/"),
        TarEntry::file("etc/os-release", "NAME=sample\n"),
        TarEntry::file("etc/large", vec![b'x'; 1_234_567]),
        TarEntry::hard_link("etc/hard", "etc/large"),
    ])
}

fn image(name: &str, created: &str) -> Image {
    ImageBuilder::new()
        .docker()
        .layer(base())
        .layer(Layer::of_file(&format!("opt/{name}"), name.repeat(1000)))
        .setting("Labels", json!({ "name": name, "with.dot": "<a> & b" }))
        .setting("ExposedPorts", json!({ "80/tcp": {}, "443/tcp": {} }))
        .setting("Volumes", json!({ "/data": {} }))
        .setting("WorkingDir", json!("/srv"))
        .setting("User", json!("1000:1000"))
        .setting("StopSignal", json!("SIGQUIT"))
        .setting("Entrypoint", json!(["/entry", "a && b"]))
        .setting("OnBuild", json!(null))
        .config(|config| {
            config["created"] = json!(created);
            config["author"] = json!("Somebody <some@example.com>");
            config["docker_version"] = json!("20.10.1");
            config["history"] = json!([
                { "created": "2005-06-07T08:09:10.123456789Z", "created_by": "/bin/sh -c #(nop) ADD file:0123456789abcdef0123456789abcdef in / " },
                { "created": "2005-06-07T08:09:11Z", "created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true },
                { "created": created, "created_by": "/bin/sh -c echo\tone && echo ünï", "comment": "by hand" },
            ]);
        })
        .build()
}

/// Both have loaded the same three images, one of which has two names.
fn loaded() -> Option<(Pair, [Image; 3])> {
    let mut pair = Pair::start()?;
    let images = [
        image("alpha", "2005-06-07T08:10:00Z"),
        image("beta", "2006-06-07T08:10:00.5Z"),
        ImageBuilder::new()
            .docker()
            .layer(Layer::of_file("alone", "alone"))
            .config(|config| config["created"] = json!("2007-01-01T00:00:00Z"))
            .build(),
    ];
    let tar = archive::docker(&[
        (&images[0], &["alpha:1", "alpha:latest"]),
        (&images[1], &["example.com/team/beta:1"]),
        (&images[2], &["gamma:latest"]),
    ]);
    let file = pair.sandbox.path("images.tar");
    std::fs::write(&file, tar.tar(TarFormat::Gnu)).unwrap();
    pair.compare(&format!("load -i {}", file.display()));
    Some((pair, images))
}

#[test]
fn looking() {
    let Some((mut pair, images)) = loaded() else { return };
    for line in [
        "images",
        "image ls",
        "image list",
        "images -a",
        "images -q",
        "images -aq",
        "images --no-trunc",
        "images -q --no-trunc",
        "images --digests",
        "images --digests --no-trunc",
        "images alpha",
        "images alpha:1",
        "images 'alph*'",
        "images example.com/team/beta",
        "images 'example.com/*/beta'",
        "images beta",
        "images nosuch",
        "images ls",
        "images --filter dangling=true",
        "images --filter dangling=false",
        "images --filter label=name",
        "images --filter label=name=beta",
        "images --filter label=name --filter label=name=alpha",
        "images --filter reference=gamma",
        "images --filter reference='*:latest'",
        "images --filter before=gamma",
        "images --filter since=alpha:1",
        "images --filter before=gamma --filter since=alpha:1",
        "images --filter nosuch=1",
        "images --filter dangling=perhaps",
        "images --filter dangling",
        "images --filter before=nosuch",
        "images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedAt}} {{.Digest}}'",
        "images --format 'table {{.Repository}}\\t{{.ID}}'",
        "images --format '{{json .Repository}}'",
        "images --format '{{upper .Repository}}|{{pad .Tag 1 2}}|{{truncate .ID 4}}'",
        "images --format '{{.Nosuch}}'",
        "images --format '{{'",
        "images --format raw",
        "images -q --format table",
        "images one two",
        "images --nosuch",
        "images -x",
        "history alpha",
        "history alpha:1 --no-trunc",
        "history -q alpha",
        "history -q --no-trunc alpha",
        "history -H=false alpha",
        "history --format '{{.ID}}|{{.CreatedAt}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}' alpha",
        "history --format json gamma",
        "history --format 'table {{.Comment}}\\t{{.Size}}' --no-trunc alpha",
        "history nosuch",
        "history",
        "history a b",
        "inspect nosuch",
        "inspect nosuch alpha:nosuch",
        "image inspect nosuch",
        "image inspect",
        "inspect -f '{{.Id}}' nosuch",
        "inspect -f '{{.Nosuch}}' alpha",
        "inspect -f '{{' alpha",
        "inspect --type nosuch alpha",
        "image inspect -f '{{.Id}}' alpha nosuch gamma",
    ] {
        pair.compare(line);
    }
    for field in [
        ".Id",
        ".ID",
        ".RepoTags",
        ".RepoDigests",
        ".Parent",
        ".Comment",
        ".Created",
        ".DockerVersion",
        ".Author",
        ".Architecture",
        ".Os",
        ".Size",
        ".RootFS.Type",
        ".RootFS.Layers",
        ".Config.Env",
        ".Config.Cmd",
        ".Config.Entrypoint",
        ".Config.Labels",
        ".Config.ExposedPorts",
        ".Config.Volumes",
        ".Config.WorkingDir",
        ".Config.User",
        ".Config.StopSignal",
        ".Config.OnBuild",
        ".Config.Healthcheck",
    ] {
        for name in ["alpha", "example.com/team/beta:1", "gamma"] {
            pair.compare(&format!("inspect -f '{{{{{field}}}}}' {name}"));
            pair.compare(&format!("inspect -f '{{{{json {field}}}}}' {name}"));
        }
    }
    for template in [
        "{{range .RepoTags}}{{.}};{{end}}",
        "{{range $key, $value := .Config.Labels}}{{$key}}={{$value}} {{end}}",
        "{{index .Config.Labels \"with.dot\"}}",
        "{{index .Config.Env 0}}",
        "{{len .RootFS.Layers}}",
        "{{printf \"%s-%d\" .Os .Size}}",
        "{{if .Config.Labels}}labels{{else}}none{{end}}",
        "{{with .Config.User}}user {{.}}{{end}}",
        "{{join .Config.Cmd \" \"}}",
        "{{split .Id \":\"}}",
        "{{println .Os}}",
    ] {
        pair.compare(&format!("inspect -f '{template}' alpha"));
        pair.compare(&format!("inspect -f '{template}' gamma"));
    }
    let id = images[0].id().to_string();
    for text in [&id[..], &id[7..], &id[7..19], &id[7..10], &id[..12]] {
        pair.compare(&format!("inspect -f '{{{{.Id}}}}' {text}"));
        pair.compare(&format!("history -q {text}"));
    }
    pair.finish();
}

#[test]
fn changing() {
    let Some((mut pair, images)) = loaded() else { return };
    let [alpha, beta, gamma] = images.map(|image| image.id().to_string());
    pair.compare_all(&[
        "tag nosuch other",
        "tag alpha Upper",
        "tag alpha bad::tag",
        "tag alpha sha256",
        "tag alpha",
        "tag alpha example.com:5000/deep/er/alpha:v1",
        "tag example.com/team/beta:1 alpha:1",
        "images",
        "image inspect -f '{{.RepoTags}}' alpha:1 alpha:latest",
        "rmi nosuch",
        "rmi -f nosuch",
        "rmi",
        "rmi Upper",
        &format!("rmi {}", &beta[7..19]),
        "rmi alpha:1 nosuch example.com:5000/deep/er/alpha:v1",
        "images --digests",
        "rmi example.com/team/beta:1",
        "images",
        &format!("rmi {}", &gamma[7..17]),
        "images -a",
        "tag alpha alpha:2",
        "tag alpha team/alpha:2",
        &format!("rmi {alpha}"),
        &format!("rmi -f {alpha}"),
        "images -a",
        "rmi --nosuch",
    ]);
    pair.finish();
}

#[test]
fn dangling_and_pruning() {
    let Some((mut pair, images)) = loaded() else { return };
    let gamma = images[2].id().to_string();
    pair.compare_all(&[
        "tag gamma alpha:latest",
        "tag gamma alpha:1",
        "images",
        "images --filter dangling=true",
        "images --filter dangling=true -q --no-trunc",
        "images --filter dangling=false",
        "image prune",
        "image prune -f --filter label=nosuch",
        "image prune -f --filter nosuch=1",
        "image prune -f --filter until=2005-01-01",
        "image prune -f --filter until=abc",
        "image prune -f",
        "images",
        "image prune -f",
        "system df",
        "rmi alpha:latest alpha:1",
        "image prune -a -f --filter label=name=nosuch",
    ]);
    pair.compare(&format!("inspect -f '{{{{.RepoTags}}}}' {gamma}"));
    pair.compare_sorted("image prune -a -f");
    pair.compare("images -a");
    pair.compare("image prune -a -f");
    pair.compare("system df");
    pair.finish();
}

#[test]
fn archives_cross() {
    let Some((mut pair, images)) = loaded() else { return };
    let theirs = pair.sandbox.path("theirs.tar");
    let ours = pair.sandbox.path("ours.tar");
    let names = ["alpha", "example.com/team/beta:1", "gamma:latest"];
    pair.docker.run(&[&["save", "-o", theirs.to_str().unwrap()][..], &names].concat()).success();
    pair.strata(&[&["save", "-o", ours.to_str().unwrap()][..], &names].concat()).success();
    for line in ["save", "save nosuch", "save -o /nosuch/directory/file alpha", "load -i /nosuch.tar"] {
        pair.compare(line);
    }
    // Each loads what the other wrote, over what is there and into nothing.
    for file in [&theirs, &ours] {
        pair.compare(&format!("load -i {}", file.display()));
        pair.compare("images --no-trunc");
        for name in names {
            pair.docker.run(&["rmi", "-f", name]).success();
            pair.strata(&["rmi", "-f", name]).success();
        }
        pair.docker.run(&["rmi", "-f", "alpha:1"]);
        pair.strata(&["rmi", "-f", "alpha:1"]);
        pair.compare("images -aq");
        pair.compare_sorted(&format!("load -i {}", file.display()));
        pair.compare("images --no-trunc");
    }
    for (name, image) in names.iter().zip(&images) {
        for run in
            [pair.docker.run(&["inspect", "-f", "{{.Id}}", name]), pair.strata(&["inspect", "-f", "{{.Id}}", name])]
        {
            assert_eq!(run.success().trim(), image.id().to_string());
        }
    }
    pair.finish();
}

#[test]
fn loading_over_a_name() {
    let Some((mut pair, images)) = loaded() else { return };
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(pair.sandbox.path(name), bytes).unwrap();
    write("again.tar", archive::docker(&[(&images[2], &["alpha:1"])]).tar(TarFormat::Gnu));
    write("unnamed.tar", archive::docker(&[(&images[1], &[])]).tar(TarFormat::Gnu));
    write("text.tar", b"no archive".to_vec());
    write("empty.tar", Vec::new());
    for name in ["again.tar", "unnamed.tar", "text.tar", "empty.tar"] {
        pair.compare(&format!("load -i {}", pair.sandbox.path(name).display()));
    }
    pair.compare_sorted("images");
    pair.finish();
}

#[test]
fn registries() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let Some(mut pair) = Pair::start() else { return };
    let registry = docker_registry(&pair.sandbox);
    pair.names.push((registry.address.clone(), "REGISTRY"));
    let image = ImageBuilder::new().docker().layer(base()).build();
    let file = pair.sandbox.path("image.tar");
    std::fs::write(&file, archive::oci(&image, &[]).tar(TarFormat::Ustar)).unwrap();
    let name = |rest: &str| format!("{}/{rest}", registry.address);
    for tag in ["1", "latest"] {
        skopeo_copy(&format!("oci-archive:{}", file.display()), &format!("docker://{}:{tag}", name("team/sample")));
    }
    for line in [
        format!("pull {}", name("team/sample:1")),
        format!("pull {}", name("team/sample:1")),
        format!("pull {}", name("team/sample")),
        format!("pull -q {}", name("team/sample:1")),
        "images --digests".to_owned(),
        format!("image inspect -f '{{{{.RepoDigests}}}}' {}", name("team/sample:1")),
        format!("pull {}@{}", name("team/sample"), image.digest()),
        format!("pull {}", name("team/sample:nosuch")),
        format!("pull {}", name("nosuch")),
        "pull Upper".to_owned(),
        "pull scratch".to_owned(),
        "pull".to_owned(),
        format!("pull -a {}", name("team/sample:1")),
        format!("rmi {}", name("team/sample:1")),
        format!("rmi {}", name("team/sample")),
        "images -a".to_owned(),
        format!("pull {}@{}", name("team/sample"), image.digest()),
        "images".to_owned(),
        "images --digests".to_owned(),
        format!("tag {}@{} {}", name("team/sample"), image.digest(), name("team/sample:new")),
        format!("push {}", name("team/sample:new")),
        format!("push {}", name("team/sample:nosuch")),
        format!("push {}", name("never")),
        "images".to_owned(),
    ] {
        pair.compare(&line);
    }
    pair.compare_sorted(&format!("pull -a {}", name("team/sample")));
    pair.finish();
}

/// A pair that has the image `box`: busybox with a few of its commands.
fn with_box() -> Option<Pair> {
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok()) else {
        tools::skip("busybox");
        return None;
    };
    let mut pair = Pair::start()?;
    let commands = ["sh", "cat", "cut", "echo", "env", "grep", "hostname", "id", "ls", "pwd", "sleep", "touch", "true"];
    let mut entries = vec![
        TarEntry::directory("bin"),
        TarEntry::directory("data"),
        TarEntry::directory("etc"),
        TarEntry::directory("tmp"),
        TarEntry::file("bin/busybox", busybox).mode(0o755),
        TarEntry::file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:/bin/sh\n"),
        TarEntry::file("etc/group", "root:x:0:\nwww:x:34:\n"),
        TarEntry::file("etc/motd", "of the image\n"),
        TarEntry::file("etc/not-a-program", "text").mode(0o644),
    ];
    entries.extend(commands.map(|name| TarEntry::symbolic_link(format!("bin/{name}"), "busybox")));
    let image = ImageBuilder::new().docker().layer(Layer::new(&entries)).setting("Cmd", json!(["sh"]));
    let image = image.setting("Env", json!(["PATH=/bin"])).setting("Entrypoint", json!(null)).build();
    let file = pair.sandbox.path("box.tar");
    std::fs::write(&file, archive::docker(&[(&image, &["box:latest"])]).tar(TarFormat::Gnu)).unwrap();
    pair.compare(&format!("load -i {}", file.display()));
    Some(pair)
}

#[test]
fn containers_that_do_not_run() {
    let Some(mut pair) = with_box() else { return };
    pair.compare_containers(&[
        "ps -aq",
        "create --name one --network none box",
        "create --name one --network none box",
        "create --name bad/name box",
        "create",
        "create --name two --network none -l a=b -l c -e X=1 -e PATH box echo two",
        "ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Labels}} {{.Mounts}} {{.Networks}} {{.Ports}} {{.LocalVolumes}}'",
        "ps -a --filter label=a --format '{{.Names}}'",
        "ps -a --filter label=a=c --format '{{.Names}}'",
        "ps -a --filter status=created --format '{{.Names}}'",
        "ps -a --filter nosuch=1",
        "ps -a --filter exited=0 --format '{{.Names}}'",
        "ps -a --filter ancestor=box --format '{{.Names}}'",
        "ps -a --filter before=two --format '{{.Names}}'",
        "ps -a --filter since=one --format '{{.Names}}'",
        "ps -a --filter health=none --format '{{.Names}}'",
        "ps -a --filter is-task=false --format '{{.Names}}'",
        "ps -l -q",
        "start two",
        "wait two",
        "logs two",
        "start nosuch",
        "start -a two",
        "start one two",
        "start",
        "stop nosuch",
        "stop one",
        "stop one nosuch two",
        "kill one",
        "kill nosuch",
        "pause one",
        "unpause one",
        "restart nosuch",
        "rename one uno",
        "rename uno two",
        "rename nosuch x",
        "rename uno uno",
        "rename uno",
        "rename",
        "top uno",
        "port uno",
        "port nosuch",
        "port uno 80",
        "diff uno",
        "diff nosuch",
        "logs nosuch",
        "logs uno",
        "rm nosuch",
        "rm uno nosuch",
        "rm",
    ]);
    pair.finish();
}

#[test]
fn runs_and_their_settings() {
    let Some(mut pair) = with_box() else { return };
    pair.compare_containers(&[
        "run --rm --network none box echo hello",
        "run --rm --network none box sh -c 'exit 3'",
        "run --rm --network none box nosuch",
        "run --rm --network none box /etc/not-a-program",
        "run --rm --network none -w relative box true",
        "run --rm --network none -w /etc/motd box true",
        "run --rm --network none -u nobody box true",
        "run --rm --network none -u www box id",
        "run --rm --network none -u 5:6 box id",
        "run --rm --network none --user www:nogroup box id",
        "run --rm --network none --group-add nogroup box id",
        "run --rm --network none -h myhost box hostname",
        "run --rm --network none --memory 1k box true",
        "run --rm --network none --memory abc box true",
        "run --rm --network none --cpus 1000 box true",
        "run --rm --network none --cpus abc box true",
        "run --rm --network none --pids-limit abc box true",
        "run --rm --network none --cap-add NOSUCH box true",
        "run --rm --network none --security-opt nosuch box true",
        "run --rm --network none --restart nosuch box true",
        "run --rm --network none --restart on-failure:3 box true",
        "run --rm --network none --restart always box true",
        "run --rm --network none --restart unless-stopped:3 box true",
        "run --rm --network none --ulimit nosuch=10 box true",
        "run --rm --network none --ulimit nofile=20:10 box true",
        "run --rm --network none --shm-size 1m box sh -c 'grep shm /proc/mounts'",
        "run --rm --network none --shm-size abc box true",
        "run --rm --network none -v /nosuch/dir:relative box true",
        "run --rm --network none -v relative/dir:/x box true",
        "run --rm --network none -v a:/x:nosuchmode box true",
        "run --rm --network none --mount type=bind,source=/nosuch/path,target=/x box true",
        "run --rm --network none --mount type=nosuch,target=/x box true",
        "run --rm --network none --mount type=volume box true",
        "run --rm --network none --mount target=/x,nosuch=1 box true",
        "run --rm --network none --device /dev/nosuch box true",
        "run --rm --network none --device /dev/zero:/dev/mine box sh -c 'ls -l /dev/mine | cut -c1'",
        "run --rm --network none --add-host a:1.2.3.4 box sh -c 'grep 1.2.3.4 /etc/hosts'",
        "run --rm --network none --add-host a box true",
        "run --rm --network none --add-host a:b box true",
        "run --rm --network none --dns abc box true",
        "run --rm --network none --sysctl kernel.shmmax=1 box cat /proc/sys/kernel/shmmax",
        "run --rm --network none --sysctl kernel.nosuch=1 box true",
        "run --rm --network none --sysctl nosuch box true",
        "run --rm --network none --read-only box touch /x",
        "run --rm --network none --entrypoint /bin/echo box a b",
        "run --rm --network none --entrypoint '' box echo a",
        "run --rm --network none --entrypoint nosuch box",
        "run --rm --network none --stop-signal NOSUCH box true",
        "run --rm --network none --log-driver nosuch box true",
        "run --rm --network none --log-opt nosuch=1 box true",
        "run --rm --network nosuch box true",
        "run --rm --network container:nosuch box true",
        "run --rm --network none -p 80:80:80:80 box true",
        "run --rm --network none -p abc box true",
        "run --rm --network none -p 99999:80 box true",
        "run --rm --network none --expose abc box true",
        "run --rm --network none --pull never nosuch-image true",
        "run --rm --network none --pull sometimes box true",
        "run --rm --network none --pid nosuch box true",
        "run --rm --network none --ipc nosuch box true",
        "run --rm --network none --pid container:nosuch box true",
        "run --rm --network none --oom-score-adj 5000 box true",
        "run --rm --network none --health-cmd true --health-interval 1us box true",
        "run --rm --network none --init box sh -c 'echo fine'",
        "run --rm --network none --env-file /nosuch box true",
        "run --rm --network none --volumes-from nosuch box true",
        "run --rm --name 'a b' --network none box true",
        "run -d --rm --network none --attach stdout box true",
        "run --nosuch box",
        "run",
    ]);
    pair.finish();
}

#[test]
fn containers_that_run() {
    let Some(mut pair) = with_box() else { return };
    pair.compare_containers(&[
        "create --name two --network none box",
        "run -d --name web --network none -l role=web box sleep 100",
        "ps --format json --no-trunc -q",
        "run --name web --network none box true",
        "exec web echo hello",
        "exec web sh -c 'exit 4'",
        "exec -u www web id",
        "exec -w /data web pwd",
        "exec -e A=b web env",
        "exec -d web touch /data/made",
        "exec web ls /data",
        "exec nosuch true",
        "exec web",
        "exec two true",
        "stats --no-stream --format '{{.Name}} {{.PIDs}}' web",
        "stats --no-stream nosuch",
        "diff web",
        "port web",
        "inspect -f '{{.State.Status}} {{.State.Running}} {{.RestartCount}} {{.Name}} {{.Path}} {{.Args}}' web",
        "inspect -f '{{json .Config}}' web",
        "inspect -f '{{json .Mounts}}' web",
        "pause web",
        "pause web",
        "exec web true",
        "stats --no-stream --format '{{.Name}}' web",
        "unpause web",
        "unpause web",
        "kill -s NOSUCH web",
        "kill -s 0 web",
        "kill -s WINCH web",
        "rename web web2",
        "stop -t 0 web2",
        "stop -t abc web2",
        "start web2",
        "restart -t 0 web2",
        "kill web2",
        "wait web2",
        "wait nosuch",
        "logs --tail abc web2",
        "logs --since abc web2",
        "update --memory 64m web2",
        "update --memory 1k web2",
        "update nosuch",
        "update web2",
        "commit web2 kept:1",
        "commit nosuch",
        "commit web2 Upper",
        "export nosuch",
        "export web2 -o /nosuch/x",
        "cp web2:/nosuch -",
        "cp web2:/etc/motd /nosuch/dir/x",
        "cp /nosuch web2:/etc",
        "cp a b",
        "cp web2:/a two:/b",
        "cp",
        "attach nosuch",
        "attach web2",
        "container prune -f --filter nosuch=1",
        "container prune -f --filter until=abc",
        "rm -f web2",
        "rm -f nosuch",
        "rm -v two",
    ]);
    pair.finish();
}

#[test]
fn volumes_and_networks() {
    let Some(mut pair) = with_box() else { return };
    pair.compare_containers(&[
        "volume ls",
        "volume create vol",
        "volume create vol",
        "volume create -l a=b --name other",
        "volume create bad/name",
        "volume create -d nosuch vol3",
        "volume create",
        "volume inspect vol -f '{{.Name}} {{.Driver}} {{.Labels}} {{.Options}} {{.Scope}}'",
        "volume inspect nosuch",
        "volume ls -q",
        "volume ls -f name=vo",
        "volume ls -f dangling=true -q",
        "volume ls -f label=a -q",
        "volume ls -f nosuch=1",
        "volume ls -f driver=local -q",
        "run --name user --network none -v vol:/data -v anon:/a box sh -c 'echo kept > /data/file'",
        "volume rm vol",
        "volume rm nosuch",
        "volume rm",
        "volume rm -f nosuch",
        "run --rm --network none -v vol:/d box cat /d/file",
        "run --rm --network none --volumes-from user box cat /data/file",
        "run --rm --network none --volumes-from user:ro box touch /data/x",
        "rm user",
        "volume prune -f --filter nosuch=1",
        "network inspect nosuch",
        "network inspect none -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{json .IPAM}} {{json .Options}} {{json .Labels}}'",
        "network create none",
        "network create",
        "network ls -f nosuch=1",
        "network ls -f driver=null -q",
        "container nosuch",
        "volume nosuch",
    ]);
    pair.finish();
}
