//! Whole outputs of every command, compared with what was recorded under `golden/` and checked by eye against the
//! description of docker 28's command line.
//!
//! A golden file is a transcript: each command with what it wrote to stdout, to stderr and its exit code. To record it
//! anew, set `STRATA_UPDATE_GOLDEN=1`; then read what changed.

mod support;
mod tools;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;
use strata_testkit::{FakeRegistry, Image, ImageBuilder, Index, Layer, TarEntry, TarFormat, archive, golden};
use support::{Run, Sandbox, words};

/// Commands run one after the other in one sandbox, and what they printed.
struct Transcript {
    name: &'static str,
    sandbox: Sandbox,
    /// What is replaced in the text, because it differs from run to run.
    names: Vec<(String, &'static str)>,
    text: String,
}

impl Transcript {
    fn new(name: &'static str) -> Transcript {
        let sandbox = Sandbox::new();
        let directory = sandbox.path("").display().to_string();
        let names = vec![(directory.trim_end_matches('/').to_owned(), "SANDBOX")];
        Transcript { name, sandbox, names, text: String::new() }
    }

    /// Replaces `text` wherever it is printed.
    fn name(&mut self, text: impl Into<String>, shown: &'static str) {
        self.names.push((text.into(), shown));
    }

    /// Runs a command line: words between spaces, or between `'`.
    fn run(&mut self, line: &str) {
        self.run_with_input(line, "");
    }

    fn run_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.run(line);
        }
    }

    fn run_with_input(&mut self, line: &str, input: &str) {
        let done = self.done(line, input);
        let mut text = String::new();
        let typed = if input.is_empty() { String::new() } else { format!(" <<< {input:?}") };
        writeln!(text, "$ strata {line}{typed}").unwrap();
        text.push_str(&done.stdout);
        if !done.stdout.is_empty() && !done.stdout.ends_with('\n') {
            text.push_str("⊣\n");
        }
        for line in done.stderr.lines() {
            writeln!(text, "stderr: {line}").unwrap();
        }
        match done.status.code() {
            Some(0) => text.push('\n'),
            code => writeln!(text, "exit code: {}\n", code.unwrap_or(-1)).unwrap(),
        }
        self.text.push_str(&self.normal(&text));
    }

    fn done(&self, line: &str, input: &str) -> Run {
        let words = words(line);
        let mut command = self.sandbox.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.current_dir(self.sandbox.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output in UTF-8");
        Run { stdout: text(output.stdout), stderr: text(output.stderr), status: output.status }
    }

    fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.names {
            text = text.replace(from, to);
        }
        for years in 10..100 {
            text = text.replace(&format!("{years} years ago"), "NN years ago");
        }
        let mut normal = String::new();
        for line in text.split_inclusive('\n') {
            match line.find("Total reclaimed space: ") {
                Some(at) => writeln!(normal, "{}Total reclaimed space: …", &line[..at]).unwrap(),
                None => normal.push_str(&without_tag_time(line)),
            }
        }
        normal
    }

    fn check(self) {
        let file = format!("{}/tests/golden/{}.txt", env!("CARGO_MANIFEST_DIR"), self.name);
        golden::assert_file(file, &self.text);
    }
}

/// The time when a tag was last set differs from run to run.
fn without_tag_time(line: &str) -> String {
    for key in ["\"LastTagTime\": \"", "\"LastTagTime\":\""] {
        if let Some((before, rest)) = line.split_once(key)
            && let Some((_, after)) = rest.split_once('"')
        {
            return format!("{before}{key}…\"{after}");
        }
    }
    line.to_owned()
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
        .layer(base())
        .layer(Layer::of_file(&format!("opt/{name}"), name.repeat(1000)))
        .setting("Labels", json!({ "name": name, "with.dot": "<a> & b" }))
        .setting("ExposedPorts", json!({ "80/tcp": {} }))
        .setting("Volumes", json!({ "/data": {} }))
        .setting("WorkingDir", json!("/srv"))
        .setting("User", json!("1000:1000"))
        .setting("StopSignal", json!("SIGQUIT"))
        .setting("Entrypoint", json!(["/entry", "a && b"]))
        .setting("Healthcheck", json!({ "Test": ["CMD", "true"], "Interval": 5_000_000_000_u64 }))
        .config(|config| {
            config["created"] = json!(created);
            config["author"] = json!("Somebody <some@example.com>");
            config["history"] = json!([
                { "created": "2005-06-07T08:09:10.123456789Z", "created_by": "/bin/sh -c #(nop) ADD file:0123456789abcdef0123456789abcdef in / " },
                { "created": "2005-06-07T08:09:11Z", "created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true },
                { "created": created, "created_by": "/bin/sh -c echo\tone && echo ünï", "comment": "by hand" },
            ]);
        })
        .build()
}

fn alpha() -> Image {
    image("alpha", "2005-06-07T08:10:00Z")
}

fn beta() -> Image {
    image("beta", "2006-06-07T08:10:00.5Z")
}

fn gamma() -> Image {
    ImageBuilder::new()
        .layer(Layer::of_file("alone", "alone"))
        .config(|config| config["created"] = json!("2007-01-01T00:00:00Z"))
        .build()
}

/// A transcript in whose store three images are, one of them with two names.
fn with_images(name: &'static str) -> Transcript {
    let transcript = Transcript::new(name);
    let tar = archive::docker(&[
        (&alpha(), &["alpha:1", "alpha:latest"]),
        (&beta(), &["example.com/team/beta:1"]),
        (&gamma(), &["gamma:latest"]),
    ]);
    std::fs::write(transcript.sandbox.path("images.tar"), tar.tar(TarFormat::Gnu)).unwrap();
    transcript.sandbox.run(&["load", "-i", transcript.sandbox.path("images.tar").to_str().unwrap()]).success();
    transcript
}

/// A transcript with a registry that has one image under two tags, and several platforms under another.
fn with_registry(name: &'static str) -> (Transcript, FakeRegistry) {
    let mut transcript = Transcript::new(name);
    let registry = FakeRegistry::start();
    let single =
        ImageBuilder::new().layer(base()).config(|config| config["created"] = json!("2005-06-07T08:10:00Z")).build();
    registry.add_image("team/sample", "1", &single);
    registry.add_image("team/sample", "latest", &single);
    let variant = |platform: &str| {
        ImageBuilder::new()
            .platform(platform)
            .layer(Layer::of_file("arch", platform))
            .config(|config| config["created"] = json!("2006-01-01T00:00:00Z"))
            .build()
    };
    let index = Index::new(vec![variant("linux/amd64"), variant("linux/arm64"), variant("linux/arm/v7")]);
    registry.add_index("team/many", "1", &index);
    // Ports have five digits, and so has what stands for them: columns stay as wide as they were.
    transcript.name(registry.host(), "127.0.0.1:PPPPP");
    (transcript, registry)
}

#[test]
fn an_empty_store() {
    let mut transcript = Transcript::new("empty");
    transcript.run_all(&[
        "images",
        "images -a",
        "images -q",
        "images --digests",
        "images --no-trunc",
        "images --format '{{.ID}}'",
        "images --format json",
        "images nosuch",
        "images ls",
        "images --tree",
        "image ls ls",
        "history nosuch",
        "inspect nosuch",
        "image inspect nosuch",
        "image inspect -f '{{.Id}}' nosuch",
        "tag nosuch other",
        "rmi nosuch",
        "rmi -f nosuch",
        "rmi nosuch also:nosuch 0123abcd",
        "image prune -f",
        "image prune -a -f",
        "save -o out.tar nosuch",
        "push nosuch",
        "push nosuch:1",
        "image ls nosuch /",
        "image cat nosuch /etc",
        "image mount nosuch SANDBOX",
        "system df",
        "system df -v",
        "system prune -f",
        "fsck",
        "fsck --repair",
        "events --since 0 --until 1",
    ]);
    transcript.check();
}

#[test]
fn wrong_arguments() {
    let mut transcript = Transcript::new("arguments");
    transcript.run_all(&[
        "nosuch",
        "image nosuch",
        "system nosuch",
        "pull",
        "image pull",
        "push",
        "push a b",
        "images a b",
        "image ls a b",
        "history",
        "image history",
        "history a b",
        "inspect",
        "image inspect",
        "tag",
        "tag a",
        "image tag a b c",
        "rmi",
        "image rm",
        "image remove",
        "image prune x",
        "save",
        "image save",
        "load x",
        "image load x",
        "import",
        "import a b c",
        "search",
        "search a b",
        "login a b",
        "logout a b",
        "system df x",
        "system prune x",
        "version x",
        "info x",
        "copy",
        "copy a",
        "tags",
        "fsck x",
        "manifest inspect",
        "registry serve x",
        "image ls",
        "image cat",
        "image cat a",
        "image diff a",
        "image mount a",
        "image unmount",
        "images --nosuch",
        "images -x",
        "images -qx",
        "pull --nosuch a",
        "image prune --nosuch",
        "history --platform nosuch/nosuch/nosuch/nosuch a",
        "pull --platform 'a b' x",
        "images --filter",
        "images --filter dangling",
        "images --filter dangling=perhaps",
        "images --filter nosuch=1",
        "images --tree -q",
        "images --tree --no-trunc",
        "images --tree --digests",
        "images --tree --format x",
        "image prune -f --filter dangling=perhaps",
        "image prune -f --filter nosuch=1",
        "image prune -f --filter until=nonsense",
        "run",
        "build .",
    ]);
    transcript.check();
}

#[test]
fn malformed_references() {
    let mut transcript = Transcript::new("references");
    let hex = "0123456789abcdef".repeat(4);
    transcript.run_all(&[
        "pull Upper",
        "pull a//b",
        "pull ''",
        "pull a:b:c",
        "pull example.com/Upper:1",
        &format!("pull {hex}"),
        "pull a@sha256:0123",
        &format!("pull a@md5:{hex}"),
        &format!("pull {}", "a/".repeat(130) + "a"),
        "pull scratch",
        "pull -a a:1",
        "push Upper",
        "push -a a:1",
        "tag a Upper",
        "tag Upper a",
        "tag a b::c",
        &format!("tag a b@sha256:{hex}"),
        "tag a sha256",
        &format!("tag a {hex}"),
        "rmi Upper",
        "rmi a//b",
        "inspect Upper",
        "image inspect Upper",
        "history Upper",
        "save -o x.tar Upper",
        "images Upper",
        "search https://example.com/x",
        "search --limit 101 x",
        "search --filter stars=abc x",
    ]);
    transcript.check();
}

#[test]
fn lists() {
    let mut transcript = with_images("images");
    transcript.run_all(&[
        "images",
        "image ls",
        "image list",
        "images -a",
        "images -q",
        "images --no-trunc",
        "images -q --no-trunc",
        "images --digests",
        "images alpha",
        "images alpha:1",
        "images 'alph*'",
        "images 'example.com/*/beta'",
        "images beta",
        "images --filter label=name",
        "images --filter label=name=beta",
        "images --filter reference='*:latest' --filter reference=alpha:1",
        "images --filter before=gamma --filter since=alpha:1",
        "images --filter until=2006-01-01T00:00:00Z",
        "images --filter dangling=true",
        "images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedAt}} {{.Digest}}'",
        "images --format 'table {{.Repository}}\\t{{.ID}}'",
        "images --format json",
        "images --format raw",
        "images --format '{{upper .Repository}}|{{pad .Tag 1 2}}|{{truncate .ID 4}}'",
        "images --format '{{.Nosuch}}'",
        "images --format '{{'",
        "images --tree",
        "history alpha",
        "history --no-trunc alpha",
        "history -q alpha",
        "history -q --no-trunc alpha",
        "history -H=false alpha",
        "history --format json alpha",
        "history --format '{{.CreatedBy}}|{{.Comment}}' alpha",
        "history --platform linux/s390x alpha",
    ]);
    transcript.check();
}

#[test]
fn inspections() {
    let mut transcript = with_images("inspect");
    transcript.run_all(&[
        "inspect alpha",
        "image inspect gamma",
        "inspect -f json gamma",
        "inspect gamma nosuch alpha:1 -f '{{.Id}}'",
        "image inspect gamma nosuch -f '{{.Id}}'",
        "inspect -f '{{.Id}} {{.ID}} {{.RepoTags}} {{.Created}} {{.Size}}' alpha",
        "inspect -f '{{json .Config}}' alpha",
        "inspect -f '{{.Config.Labels}} {{index .Config.Labels \"with.dot\"}}' alpha",
        "inspect -f '{{range .RootFS.Layers}}{{.}};{{end}}' alpha",
        "inspect -f '{{.Config.Nosuch}}' alpha",
        "inspect -f '{{.Nosuch}}' alpha",
        "inspect -f '{{' alpha",
        "inspect --type image -f '{{.Id}}' alpha",
        "inspect --type container alpha",
        "inspect --type nosuch alpha",
        "inspect -f '{{.Id}}' gamm",
    ]);
    let id = gamma().id().to_string();
    for text in [&id[..], &id[7..], &id[7..19], &id[7..10]] {
        transcript.run(&format!("inspect -f '{{{{.RepoTags}}}}' {text}"));
    }
    transcript.check();
}

#[test]
fn changes() {
    let mut transcript = with_images("changes");
    let [alpha, beta, gamma] = [alpha(), beta(), gamma()].map(|image| image.id().to_string());
    transcript.run_all(&[
        "tag alpha example.com:5000/deep/er/alpha:v1",
        "tag example.com/team/beta:1 alpha:1",
        "images",
        &format!("rmi {}", &beta[7..19]),
        "rmi --dry-run example.com/team/beta:1 alpha:1",
        "rmi alpha:1 nosuch example.com:5000/deep/er/alpha:v1",
        "rmi example.com/team/beta:1",
        "images",
        &format!("rmi {}", &gamma[7..17]),
        "tag alpha alpha:2",
        "tag alpha team/alpha:2",
        &format!("rmi {alpha}"),
        "rmi 'alpha:*'",
        &format!("rmi -f {alpha}"),
        "images -a",
        "fsck",
    ]);
    transcript.check();
}

#[test]
fn pruning() {
    let mut transcript = with_images("prune");
    transcript.run_all(&["tag gamma alpha:latest", "tag gamma alpha:1", "images", "images -q --filter dangling=true"]);
    transcript.run_with_input("image prune", "n\n");
    transcript.run_with_input("image prune", "");
    transcript.run_with_input("image prune -a", "no\n");
    transcript.run_with_input("system prune", "n\n");
    transcript.run_with_input("system prune -a --filter label=x", "n\n");
    transcript.run_all(&[
        "image prune -f --dry-run",
        "image prune -f --filter label=nosuch",
        "image prune -f --filter until=2005-01-01",
    ]);
    transcript.run_with_input("image prune", "y\n");
    transcript.run_all(&[
        "image prune -f",
        "image prune -a -f --filter label=name=nosuch",
        "image prune -a -f --filter label!=name",
        "image prune -a -f --filter reference='example.com/*/*'",
        "images",
        "image prune -a -f",
    ]);
    transcript.check();
}

#[test]
fn archives() {
    let mut transcript = with_images("archives");
    transcript.run_all(&[
        "save -o all.tar alpha example.com/team/beta:1 gamma",
        "save -o id.tar sha256:nosuch",
        "save -o /nosuch/directory/x.tar alpha",
        "load -i nosuch.tar",
        "load -i all.tar",
        "load -q -i all.tar",
    ]);
    let archive = archive::docker(&[(&gamma(), &["alpha:1"])]).tar(TarFormat::Gnu);
    std::fs::write(transcript.sandbox.path("over.tar"), archive).unwrap();
    transcript.run("load -i over.tar");
    let archive = archive::docker(&[(&beta(), &[])]).tar(TarFormat::Gnu);
    std::fs::write(transcript.sandbox.path("unnamed.tar"), archive).unwrap();
    transcript.run("load -i unnamed.tar");
    std::fs::write(transcript.sandbox.path("text.tar"), "no archive").unwrap();
    std::fs::write(transcript.sandbox.path("empty.tar"), "").unwrap();
    transcript.run_all(&["load -i text.tar", "load -i empty.tar", "load --platform linux/s390x -i all.tar"]);
    let damaged = |name: &str, from: &[u8], to: &[u8]| {
        let mut bytes = archive::docker(&[(&gamma(), &["damaged:1"])]).tar(TarFormat::Gnu);
        let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        std::fs::write(transcript.sandbox.path(name), bytes).unwrap();
    };
    damaged("layer.tar", b"alone\0\0", b"ALONE");
    damaged("name.tar", b"damaged:1", b"DAMAGED:1");
    damaged("config.tar", b"\"architecture\"", b"\"Architecture\"");
    transcript.run_all(&["load -i layer.tar", "load -i name.tar", "load -i config.tar", "images -a"]);
    transcript.check();
}

#[test]
fn pulls_and_pushes() {
    let (mut transcript, registry) = with_registry("registry");
    let name = |rest: &str| registry.reference(rest);
    for line in [
        format!("pull --dry-run {}", name("team/sample:1")),
        format!("pull {}", name("team/sample:1")),
        format!("pull {}", name("team/sample:1")),
        format!("pull {}", name("team/sample")),
        format!("pull -q {}", name("team/sample:1")),
        format!("pull -a {}", name("team/sample")),
        format!("pull --dry-run {}", name("team/sample:1")),
        "images --digests".to_owned(),
        format!("inspect -f '{{{{.RepoDigests}}}}' {}", name("team/sample:1")),
        format!("pull {}@{}", name("team/sample"), registry_digest(&registry, "team/sample", "1")),
        format!("pull {}", name("team/sample:nosuch")),
        format!("pull {}", name("nosuch")),
        format!("pull --platform linux/s390x {}", name("team/many:1")),
        format!("pull --platform linux/arm64 {}", name("team/many:1")),
        format!("pull --platform arm {}", name("team/many:1")),
        format!("images {}", name("team/many")),
        format!("images --tree {}", name("team/many")),
        format!("image inspect --platform linux/arm64 -f '{{{{.Architecture}}}}' {}", name("team/many:1")),
        format!("image inspect --platform linux/386 -f '{{{{.Architecture}}}}' {}", name("team/many:1")),
        format!("tags {}", name("team/sample")),
        format!("tags {}", name("nosuch")),
        format!("manifest inspect {}", name("team/many:1")),
        format!("manifest inspect {}", name("team/sample:1")),
        format!("manifest inspect -v {}", name("team/sample:1")),
        format!("manifest inspect {}", name("nosuch:1")),
        format!("tag {} {}", name("team/sample:1"), name("team/sample:new")),
        format!("push {}", name("team/sample:new")),
        format!("push -q {}", name("team/sample:new")),
        format!("push {}", name("team/sample:nosuch")),
        format!("push {}", name("never")),
        format!("tag {} {}", name("team/sample:1"), name("other/sample")),
        format!("push {}", name("other/sample")),
        format!("rmi {}", name("team/sample:new")),
        format!("rmi {}", name("team/sample:1")),
        format!("rmi {}", name("team/sample:latest")),
        "images -a".to_owned(),
        "fsck".to_owned(),
    ] {
        transcript.run(&line);
    }
    // The commands themselves were written with the registry's address.
    transcript.text = transcript.text.replace(&registry.host(), "127.0.0.1:PPPPP");
    transcript.check();
}

fn registry_digest(registry: &FakeRegistry, repository: &str, tag: &str) -> strata_model::Digest {
    strata_model::Digest::of(&registry.manifest(repository, tag).unwrap().1)
}

/// Lines of layers that are fetched at once come in any order; each layer's own lines do not.
#[test]
fn progress_of_several_layers() {
    let (registry, image) = support::sample_registry();
    let sandbox = Sandbox::new();
    let printed = sandbox.run(&["pull", &registry.reference("sample:1")]).success();
    for layer in &image.layers {
        let short = &layer.digest().hex()[..12];
        let of_layer: Vec<&str> =
            printed.lines().filter_map(|line| line.strip_prefix(short)?.strip_prefix(": ")).collect();
        assert_eq!(
            of_layer,
            ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"],
            "{printed}"
        );
    }
    let others: Vec<&str> =
        printed.lines().filter(|line| !line.chars().take(12).all(|c| c.is_ascii_hexdigit())).collect();
    let reference = registry.reference("sample:1");
    let expected = [
        "1: Pulling from sample".to_owned(),
        format!("Digest: {}", image.digest()),
        format!("Status: Downloaded newer image for {reference}"),
        reference.clone(),
    ];
    assert_eq!(others, expected, "{printed}");
    // An image over the same base: what is here is not fetched.
    let second = ImageBuilder::new()
        .layer(image.layers[0].clone())
        .layer(image.layers[1].clone())
        .layer(Layer::of_file("other", "other"))
        .build();
    registry.add_image("sample", "2", &second);
    let printed = sandbox.run(&["pull", &registry.reference("sample:2")]).success();
    for layer in &image.layers[..2] {
        assert!(printed.contains(&format!("{}: Already exists\n", &layer.digest().hex()[..12])), "{printed}");
    }
}

#[test]
fn what_is_on_disk() {
    let mut transcript = with_images("system");
    transcript.run_all(&[
        "system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}'",
        "system df --format json",
        "system df",
        "fsck",
    ]);
    transcript.check();
}

#[test]
fn words_about_itself() {
    let mut transcript = Transcript::new("itself");
    transcript.name(env!("CARGO_PKG_VERSION"), "VERSION");
    transcript.run_all(&[
        "--help",
        "image --help",
        "system --help",
        "registry --help",
        "pull --help",
        "images --help",
        "rmi --help",
        "image prune --help",
        "save --help",
        "load --help",
        "help pull",
        "--version",
        "-v",
        "version --format '{{.Client.Version}}'",
        "version --format '{{.Nosuch}}'",
        "version --format '{{'",
    ]);
    transcript.check();
}

#[test]
fn called_as_docker_it_is_docker() {
    let sandbox = Sandbox::new();
    let docker = sandbox.path("docker-program/docker");
    std::fs::create_dir_all(docker.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_strata"), &docker).unwrap();
    let run = |arguments: &[&str]| {
        let ours = sandbox.command(arguments);
        let mut command = std::process::Command::new(&docker);
        command.args(arguments).env_clear();
        for (name, value) in ours.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        support::run(command)
    };
    golden::assert_text("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n", &run(&["images"]).success());
    golden::assert_text(
        "docker: 'docker pull' requires 1 argument\n\nUsage:  docker pull [OPTIONS] NAME[:TAG|@DIGEST]\n\n\
         Run 'docker pull --help' for more information\n",
        &run(&["pull"]).failure(),
    );
    golden::assert_text(
        "docker: unknown command: docker nosuch\n\nRun 'docker --help' for more information\n",
        &run(&["nosuch"]).failure(),
    );
    let flag = run(&["images", "--nosuch"]);
    golden::assert_text(
        "unknown flag: --nosuch\n\nUsage:  docker images [OPTIONS] [REPOSITORY[:TAG]]\n\n\
         Run 'docker images --help' for more information\n",
        &flag.stderr,
    );
    assert_eq!(flag.status.code(), Some(125));
}
