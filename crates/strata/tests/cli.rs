//! What surrounds the commands: where the store and settings come from, signals, pipes, scripts for shells.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use strata_testkit::{Fault, FaultRule};
use support::{Sandbox, run, sample_image, sample_registry};

/// A sandbox with the sample image pulled, and its reference.
fn pulled() -> (Sandbox, strata_testkit::FakeRegistry, String) {
    let (registry, _) = sample_registry();
    let sandbox = Sandbox::new();
    let reference = registry.reference("sample:1");
    sandbox.run(&["pull", "-q", &reference]).success();
    (sandbox, registry, reference)
}

fn write_docker_config(sandbox: &Sandbox, text: &str) {
    std::fs::create_dir_all(sandbox.path("docker")).unwrap();
    std::fs::write(sandbox.path("docker/config.json"), text).unwrap();
}

#[test]
fn the_store_is_where_it_is_said_to_be() {
    let (sandbox, _registry, _) = pulled();
    let other = sandbox.path("other");
    let other = other.to_str().unwrap();
    assert_eq!(sandbox.run(&["images", "-q"]).success().lines().count(), 1);
    assert_eq!(sandbox.run(&["images", "-q", "--root", other]).success(), "");
    assert_eq!(sandbox.run(&["--root", other, "images", "-q"]).success(), "");
    let root = sandbox.run(&["info", "-f", "{{.DockerRootDir}} {{.Images}}"]).success();
    assert_eq!(root, format!("{} 1\n", sandbox.root().display()));
}

#[test]
fn several_names_are_pulled_and_all_failures_told() {
    let (registry, _) = sample_registry();
    registry.add_image("other", "2", &sample_image(2));
    let sandbox = Sandbox::new();
    let names = ["sample:1", "nosuch:1", "other:2"].map(|name| registry.reference(name));
    let pulled = sandbox.run(&["pull", "-q", &names[0], &names[1], &names[2]]);
    assert_eq!(pulled.stdout, format!("{}\n{}\n", names[0], names[2]));
    assert_eq!(pulled.stderr.lines().count(), 1, "{}", pulled.stderr);
    assert_eq!(pulled.status.code(), Some(1));
    assert_eq!(sandbox.run(&["images", "-q"]).success().lines().count(), 2);
}

#[test]
fn settings_of_docker_s_configuration_count() {
    let (sandbox, _registry, reference) = pulled();
    write_docker_config(
        &sandbox,
        r#"{ "imagesFormat": "{{.Repository}}", "pruneFilters": ["label=nosuch", "label!=nosuch"] }"#,
    );
    let repository = reference.strip_suffix(":1").unwrap();
    assert_eq!(sandbox.run(&["images"]).success(), format!("{repository}\n"));
    assert_eq!(sandbox.run(&["images", "--format", "{{.Tag}}"]).success(), "1\n");
    // No image has the label that the configuration wants.
    assert_eq!(sandbox.run(&["image", "prune", "-a", "-f"]).success(), "Total reclaimed space: 0B\n");
    assert_eq!(sandbox.run(&["images"]).success().lines().count(), 1);
    let elsewhere = sandbox.path("elsewhere");
    let images = sandbox.run(&["--config", elsewhere.to_str().unwrap(), "images"]).success();
    assert!(images.starts_with("REPOSITORY"), "{images}");
}

#[test]
fn the_columns_of_docker_29_are_shown_when_asked_for() {
    let (sandbox, _registry, reference) = pulled();
    let mut command = sandbox.command(&["images"]);
    command.env("STRATA_IMAGES_VIEW", "29");
    let shown = run(command).success();
    let mut lines = shown.lines();
    assert!(
        lines.next().is_some_and(|line| line.ends_with("ID             DISK USAGE   CONTENT SIZE   EXTRA")),
        "{shown}"
    );
    assert!(lines.next().is_some_and(|line| line.starts_with(&reference)), "{shown}");
    assert_eq!(lines.next(), None, "{shown}");
}

#[test]
fn the_default_platform_is_taken_from_the_environment() {
    let registry = strata_testkit::FakeRegistry::start();
    let variant = |platform: &str| {
        strata_testkit::ImageBuilder::new()
            .platform(platform)
            .layer(strata_testkit::Layer::of_file("platform", platform))
            .build()
    };
    let index = strata_testkit::Index::new(vec![variant("linux/amd64"), variant("linux/s390x")]);
    registry.add_index("many", "1", &index);
    let sandbox = Sandbox::new();
    let reference = registry.reference("many:1");
    let mut command = sandbox.command(&["pull", "-q", &reference]);
    command.env("DOCKER_DEFAULT_PLATFORM", "linux/s390x");
    run(command).success();
    assert_eq!(sandbox.run(&["inspect", "-f", "{{.Architecture}}", &reference]).success(), "s390x\n");
}

#[test]
fn a_reader_that_goes_away_is_no_news() {
    let (sandbox, _registry, reference) = pulled();
    for arguments in [
        &["images"][..],
        &["inspect", &reference],
        &["--help"],
        &["image", "cat", &reference, "/etc/large"],
        &["save", &reference],
    ] {
        let mut command = sandbox.command(arguments);
        // A pipe whose other end is closed.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[test]
fn an_interrupted_pull_leaves_what_came_for_the_next() {
    let (registry, image) = sample_registry();
    let large = image.layers[1].digest().to_string();
    registry.fault(FaultRule::new(&large, Fault::HangAfter(1_000_000)).times(1));
    let sandbox = Sandbox::new();
    let reference = registry.reference("sample:1");
    let mut child =
        sandbox.command(&["pull", &reference]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while registry.bytes_served() < 1_000_000 {
        assert!(Instant::now() < deadline, "nothing came");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(130), ""));
    let before = registry.bytes_served();
    sandbox.run(&["pull", "-q", &reference]).success();
    let again = registry.bytes_served() - before;
    assert!(again < 1_500_000, "{again} bytes came a second time");
    sandbox.run(&["fsck"]).success();
}

#[test]
fn the_registry_tells_where_it_listens() {
    let sandbox = Sandbox::new();
    let mut child =
        sandbox.command(&["registry", "serve", "--addr", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("Listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = sandbox.run(&["registry", "serve", "--addr", &address]).failure();
    assert!(refused.starts_with(&format!("listening on {address}: ")), "{refused}");
}

/// What bash offers for a line, with the script as a user gets it.
fn offered(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_strata")).parent().unwrap().display().to_string();
    let bash = format!(
        "PATH={folder}:$PATH; source <(strata completion bash); COMP_LINE=\"$1\"; COMP_POINT=${{#COMP_LINE}}; \
         _strata_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let ours = sandbox.command(&[]);
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &bash, "bash", line]);
    for (name, value) in ours.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    support::run(command).success().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_names_of_images() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("images.tar");
    let image = strata_testkit::Image::small("completed");
    let names = ["nginx:1.25", "nginx:latest", "team/app:1"];
    let members = strata_testkit::archive::docker(&[(&image, &names)]);
    std::fs::write(&file, members.tar(strata_testkit::TarFormat::Gnu)).unwrap();
    assert_eq!(offered(&sandbox, "strata rmi "), [""; 0], "no store");
    sandbox.run(&["load", "-q", "-i", file.to_str().unwrap()]).success();
    for (line, expected) in [
        ("strata imp", &["import"][..]),
        ("strata image mo", &["mount"]),
        ("strata completion ", &["bash", "fish", "zsh"]),
        ("strata rmi --pl", &["--platform"]),
        ("strata pull --no-s", &["--no-sync"]),
        ("strata rmi ", &names),
        ("strata rmi -f team/app:1 ng", &names[..2]),
        // Bash replaces what follows the colon only.
        ("strata tag nginx:", &["1.25", "latest"]),
        ("strata --no-sync image rm --platform linux/amd64 t", &names[2..]),
        ("strata --root /nosuch rmi ", &[]),
        ("strata images ", &["nginx", "team/app"]),
        ("strata image cat nginx:1.25 ", &[]),
        ("strata load -i ", &[]),
        ("strata nosuch ng", &[]),
    ] {
        let mut found = offered(&sandbox, line);
        found.sort();
        assert_eq!(found, expected, "{line}");
    }
    let started = std::time::Instant::now();
    for _ in 0..10 {
        let told = sandbox.run(&["__complete", "--", "history", "team"]).success();
        assert_eq!(told, "team/app:1\timage\n");
    }
    // 20 ms each in a release build on an idle machine; here both are otherwise.
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn scripts_and_pages_are_written() {
    let sandbox = Sandbox::new();
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef strata"), ("fish", "complete -c strata")] {
        let script = sandbox.run(&["completion", shell]).success();
        assert!(script.contains(part), "{shell}: {script}");
    }
    assert_eq!(sandbox.run(&["completion", "tcsh"]).failure(), "unknown shell \"tcsh\": must be bash, zsh or fish\n");
    let pages = sandbox.path("man");
    sandbox.run(&["man", pages.to_str().unwrap()]).success();
    for page in ["strata.1", "strata-pull.1", "strata-image-prune.1", "strata-registry-serve.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(pages.join("strata-run.1").exists());
    assert!(!pages.join("strata-build.1").exists(), "builds come later");
}

#[test]
fn events_tell_what_was_done() {
    let (sandbox, _registry, reference) = pulled();
    sandbox.run(&["tag", &reference, "mine:1"]).success();
    sandbox.run(&["rmi", "mine:1"]).success();
    let told = |arguments: &[&str]| {
        let mut all = vec!["events", "--since", "1h", "--until", "0s"];
        all.extend(arguments);
        sandbox.run(&all).success()
    };
    assert_eq!(told(&["--format", "{{.Action}}"]), "pull\ntag\nuntag\n");
    assert_eq!(told(&["--filter", "event=tag", "--format", "{{.Type}} {{.Action}}"]), "image tag\n");
    let name = reference.strip_suffix(":1").unwrap();
    let line = told(&["--filter", "event=pull"]);
    assert!(line.ends_with(&format!(" image pull {reference} (name={name})\n")), "{line}");
    let json = told(&["--filter", "event=pull", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["Actor"]["Attributes"]["name"], name);
}
