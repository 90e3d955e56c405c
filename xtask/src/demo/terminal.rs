//! Shows a command and its real output, as a person at a terminal would see them.

use crate::process;
use anyhow::{Context as _, Result, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs `strata` against one store.
pub struct Terminal {
    strata: PathBuf,
    root: PathBuf,
    docker_config: PathBuf,
    /// Shown before commands when the store is not the first one.
    prefix: String,
}

impl Terminal {
    /// A terminal whose store is `folder/store`.
    pub fn new(strata: PathBuf, folder: &Path) -> Self {
        Self { strata, root: folder.join("store"), docker_config: folder.join("config"), prefix: String::new() }
    }

    /// The same, with another store.
    pub fn with_root(&self, root: PathBuf) -> Self {
        let prefix = format!("STRATA_ROOT={} ", root.display());
        Self { strata: self.strata.clone(), root, docker_config: self.docker_config.clone(), prefix }
    }

    /// The same with the credentials of an account, which signs in now.
    pub fn signed_in(&self, account: &str, registry: &str, password: &str) -> Result<Self> {
        let docker_config = self.docker_config.with_file_name(format!("config-{account}"));
        let mut login = Command::new(&self.strata);
        login.args(["login", "--username", account, "--password-stdin", registry]).env("DOCKER_CONFIG", &docker_config);
        println!("\n$ strata login --username {account} --password-stdin {registry} < password");
        let mut child = login.stdin(Stdio::piped()).stdout(Stdio::inherit()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().context("a pipe to login")?.write_all(password.as_bytes())?;
        if !child.wait()?.success() {
            bail!("{account} could not sign in at {registry}");
        }
        Ok(Self { strata: self.strata.clone(), root: self.root.clone(), docker_config, prefix: String::new() })
    }

    pub fn chapter(&self, title: &str) {
        println!("\n\n━━ {title}");
    }

    pub fn say(&self, text: &str) {
        println!("\n{text}");
    }

    /// Runs one command without a word, unless it fails.
    pub fn quietly(&self, arguments: &[&str]) -> Result<()> {
        process::capture(&mut self.command(arguments)).map(drop)
    }

    /// Runs one command, prints it with everything it says, and returns its standard output. Fails when it fails.
    pub fn strata(&self, arguments: &[&str]) -> Result<String> {
        let mut shown = Command::new("strata");
        let shown = process::shown(shown.args(arguments));
        println!("\n{}$ {shown}", self.prefix);
        let started = Instant::now();
        let output = self.command(arguments).output().with_context(|| format!("starting {}", self.strata.display()))?;
        let elapsed = started.elapsed();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{stdout}");
        print!("{}", String::from_utf8_lossy(&output.stderr));
        println!("({:.0} ms)", elapsed.as_secs_f64() * 1000.0);
        if !output.status.success() {
            bail!("`{shown}` failed with {}", output.status);
        }
        Ok(stdout)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.strata);
        command.args(arguments).env("STRATA_ROOT", &self.root).env("DOCKER_CONFIG", &self.docker_config);
        command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null());
        command
    }
}
