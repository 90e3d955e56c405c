//! A hub of its own for each test: the built program and its store.

use std::io::{self, BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::{SqliteCatalog, SqliteHubCatalog};
use strata_hub::records::{TokenReach, TokenScope};
use strata_hub::{Hub, HubSettings, NewAccessToken};
use strata_store::registry::{Registry, RegistryRules};
use strata_store::{Durability, Store, StoreOptions};
pub use strata_testkit::http::{Answer, Request};

/// The administrator's password.
pub const PASSWORD: &str = "correct horse battery staple";
const TIME: Duration = Duration::from_secs(20);

/// The parts of the hub below `root`, for what a test does without HTTP.
pub fn open(root: &Path) -> Hub {
    let catalog = SqliteCatalog::open_with(root.join("catalog.sqlite"), Durability::Unsynced).unwrap();
    let (blobs, packs) = (Arc::new(FsBlobs::open(root)), Arc::new(FsPacks::open(root)));
    let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
    let registry = Registry::new(Store::new(blobs, packs, Arc::new(catalog), options), RegistryRules::default());
    let records = SqliteHubCatalog::open(root.join("hub.sqlite"), Durability::Unsynced).unwrap();
    Hub::new(registry, Arc::new(records), HubSettings::default())
}

/// Makes the administrator below `root`, and an access token of theirs that may do everything.
pub fn administrator(root: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = open(root);
        hub.first_start(Some(PASSWORD.to_owned())).await.unwrap();
        let who = hub.authenticate("admin", PASSWORD, None).await.unwrap();
        let new = NewAccessToken {
            label: "test".into(),
            description: String::new(),
            reach: TokenReach::Personal(TokenScope::Admin),
            expires: None,
            agent: String::new(),
        };
        hub.create_access_token(&who, "admin", new).await.unwrap().secret
    })
}

/// A running hub.
pub struct RunningHub {
    child: Option<Child>,
    pub address: String,
    pub root: PathBuf,
    variables: Vec<(&'static str, String)>,
    configuration: Option<PathBuf>,
    /// What it printed when it started.
    pub announced: Vec<String>,
}

impl RunningHub {
    /// Starts a hub on a free port, which it keeps over restarts.
    pub fn start(root: &Path, variables: &[(&'static str, &str)]) -> RunningHub {
        RunningHub::start_with(root, variables, None)
    }

    /// As [`RunningHub::start`], with this configuration, which is written beside the store.
    pub fn configured(root: &Path, configuration: &str) -> RunningHub {
        let file = root.with_extension("toml");
        std::fs::write(&file, configuration).unwrap();
        RunningHub::start_with(root, &[], Some(file))
    }

    fn start_with(root: &Path, variables: &[(&'static str, &str)], configuration: Option<PathBuf>) -> RunningHub {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let root = root.to_owned();
        let mut hub = RunningHub { child: None, address, root, variables, configuration, announced: Vec::new() };
        hub.restart();
        hub
    }

    /// The program on this hub's store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strata"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.root)
            .env("STRATA_HUB_ROOT", &self.root)
            .stdin(Stdio::null());
        command
    }

    pub fn restart(&mut self) {
        let mut command = self.command(&["hub", "serve", "--addr", &self.address]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("STRATA_HUB_LOG__REQUESTS", "false");
        if let Some(file) = &self.configuration {
            command.arg("--config").arg(file);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(first.starts_with("Listening on "), "{first:?}");
        self.announced = vec![first];
        self.child = Some(child);
        // What follows is read at the end of a test, if at all; the pipe has room for it.
        std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running hub").id()
    }

    /// Kills it as a power cut would end it.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running hub");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end; whether it did in order.
    pub fn stop(&mut self) -> bool {
        let mut child = self.child.take().expect("a running hub");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().success()
    }

    /// Whether it died by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    pub fn get(&self, path: &str) -> Answer {
        Request::new("GET", path).send(&self.address).unwrap()
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Tries until `check` has an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIME;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
