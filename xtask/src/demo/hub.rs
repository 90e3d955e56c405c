//! `strata hub serve` on a free port, and the requests that its library is seeded with.

use crate::process;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use strata_testkit::http::Request;

/// Every account's password. The hub lives as long as the demo, on loopback.
pub const PASSWORD: &str = "a password for the demo only";
const TIME: Duration = Duration::from_secs(10);

/// A running hub, stopped when dropped.
pub struct Hub {
    child: Child,
    pub address: String,
    log: PathBuf,
    /// Tokens of those who are signed in.
    sessions: RefCell<HashMap<String, String>>,
}

impl Hub {
    /// Starts a hub with its store in `folder/hub`.
    pub fn start(strata: &Path, folder: &Path) -> Result<Self> {
        // The port is free when asked for; should another program take it before we listen, serving fails and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (password, path) = (folder.join("admin-password"), folder.join("hub.log"));
        fs::write(&password, PASSWORD)?;
        let log = File::create(&path)?;
        let mut command = Command::new(strata);
        command.args(["hub", "serve", "--addr", &address, "--admin-password-file"]).arg(&password);
        command.arg("--root").arg(folder.join("hub"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("starting the embedded hub")?;
        println!("\n$ {} &", process::shown(&command));
        let mut hub = Self { child, address, log: path, sessions: RefCell::default() };
        hub.wait_until_ready()?;
        Ok(hub)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + TIME;
        while TcpStream::connect(&self.address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the embedded hub did not start on {}: {}", self.address, log.trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends a request as an account, and returns the answer's document. Fails unless it succeeds.
    pub fn request(&self, account: &str, method: &'static str, path: &str, document: &Value) -> Result<Value> {
        let request = Request::new(method, path).token(&self.session(account)?);
        let request = request.header("content-type", "application/json").body(document.to_string());
        self.send(request).with_context(|| format!("{method} {path} as {account}"))
    }

    /// Pulls manifests of a public repository, as somebody whom the hub does not know.
    pub fn pull<'a>(&self, repository: &str, tags: impl Iterator<Item = &'a str>) -> Result<()> {
        let ask = format!("/token?service={}&scope=repository:{repository}:pull", self.address);
        let token = self.send(Request::new("GET", &ask))?["token"].as_str().context("a token to pull")?.to_owned();
        for tag in tags {
            let get = Request::new("GET", &format!("/v2/{repository}/manifests/{tag}")).header("accept", "*/*");
            self.send(get.token(&token)).with_context(|| format!("pulling {repository}:{tag}"))?;
        }
        Ok(())
    }

    /// Signs an account in once; a password is slow to check, on purpose.
    fn session(&self, account: &str) -> Result<String> {
        if let Some(token) = self.sessions.borrow().get(account) {
            return Ok(token.clone());
        }
        let credentials = json!({"identifier": account, "secret": PASSWORD});
        let sign_in = Request::new("POST", "/v2/auth/token").header("content-type", "application/json");
        let answer =
            self.send(sign_in.body(credentials.to_string())).with_context(|| format!("signing {account} in"))?;
        let token = answer["access_token"].as_str().context("a token")?.to_owned();
        self.sessions.borrow_mut().insert(account.to_owned(), token.clone());
        Ok(token)
    }

    fn send(&self, request: Request) -> Result<Value> {
        let answer = request.send(&self.address)?;
        ensure!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
