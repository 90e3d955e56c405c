//! A store of its own for each test, and the built program on it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod containers;
pub mod machine;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use strata_testkit::{FakeRegistry, Image, ImageBuilder, Layer, TarEntry};
use tempfile::TempDir;

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Run {
    /// The output of a run that must have succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{:?}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// The error output of a run that must have failed with exit code 1.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.status.code(), Some(1), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }
}

/// A directory with a store, a home and a docker configuration of its own.
pub struct Sandbox {
    directory: TempDir,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn root(&self) -> PathBuf {
        self.path("store")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_on(&self.root(), arguments)
    }

    pub fn command_on(&self, root: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strata"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("STRATA_ROOT", root)
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments))
    }

    /// Runs with a fault point armed.
    pub fn run_with_fault(&self, fault: &str, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("STRATA_FAULT", fault);
        run(command)
    }

    /// Every file of the store below these folders.
    pub fn files(&self, folders: &[&str]) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for folder in folders {
            collect(&self.root().join(folder), &mut files);
        }
        files.sort();
        files
    }
}

/// Containers outlive whoever started them: those of a test that failed, too, end with it, with their networks.
impl Drop for Sandbox {
    fn drop(&mut self) {
        let listed = std::fs::read_dir(self.root().join("containers")).into_iter().flatten().flatten();
        let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
        let containers: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        if containers.is_empty() {
            return;
        }
        let arguments: Vec<&str> =
            ["rm", "-f", "-v"].into_iter().chain(containers.iter().map(String::as_str)).collect();
        let _ = self.command(&arguments).output();
        let _ = self.command(&["network", "prune", "-f"]).output();
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

pub fn run(mut command: Command) -> Run {
    let output = command.output().expect("the program runs");
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
    }
}

/// An image of three layers: a base with links and a large file, noise that does not compress, and a small top.
pub fn sample_image(seed: u64) -> Image {
    let base = Layer::new(&[
        TarEntry::directory("etc"),
        TarEntry::file("etc/os-release", "NAME=sample\n"),
        TarEntry::file("etc/large", strata_testkit::layer::noise(7, 300_000)),
        TarEntry::symbolic_link("etc/link", "os-release"),
        TarEntry::hard_link("etc/hard", "etc/large"),
    ]);
    ImageBuilder::new()
        .layer(base)
        .layer(Layer::of_noise(seed, 2_000_000))
        .layer(Layer::of_file("top", format!("top of {seed}\n")))
        .build()
}

/// A registry with `sample:1`.
pub fn sample_registry() -> (FakeRegistry, Image) {
    let registry = FakeRegistry::start();
    let image = sample_image(1);
    registry.add_image("sample", "1", &image);
    (registry, image)
}

/// The words of a command line: between spaces, except within `'`.
pub fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut is_quoted, mut is_open) = (false, false);
    for character in line.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                is_open = false;
                continue;
            }
            _ => {}
        }
        if !is_open {
            words.push(String::new());
            is_open = true;
        }
        if character != '\'' {
            words.last_mut().expect("an open word").push(character);
        }
    }
    words
}
