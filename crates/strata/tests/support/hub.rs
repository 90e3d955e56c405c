//! A hub of its own for each test: the built program, its store, and the smallest HTTP client that tells what happened.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
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
    /// What it printed when it started.
    pub announced: Vec<String>,
}

impl RunningHub {
    /// Starts a hub on a free port, which it keeps over restarts.
    pub fn start(root: &Path, variables: &[(&'static str, &str)]) -> RunningHub {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut hub = RunningHub { child: None, address, root: root.to_owned(), variables, announced: Vec::new() };
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

/// A request.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.text()))
    }
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Request {
        Request { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn token(self, token: &str) -> Request {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body = bytes.into();
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Errors
    /// When the connection or the server ends before the answer does.
    pub fn send(&self, address: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        parse(&received, self.method)
    }
}

fn parse(received: &[u8], method: &str) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early");
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<_, _> = head.lines().skip(1).filter_map(header).collect();
    let mut body = received[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        body = unchunked(&body).ok_or_else(broken)?;
    } else if let Some(length) = headers.get("content-length").and_then(|length| length.parse::<usize>().ok())
        && method != "HEAD"
        && body.len() != length
    {
        return Err(broken());
    }
    Ok(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend(rest.get(line + 2..line + 2 + length)?);
        rest = rest.get(line + 2 + length + 2..)?;
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
