//! `strata hub serve` on a free port, and the little HTTP that its library is seeded with.

use crate::process;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Every account's password. The hub lives as long as the demo, on loopback.
pub const PASSWORD: &str = "a password for the demo only";
const TIME: Duration = Duration::from_secs(10);

/// A running hub, stopped when dropped.
pub struct Hub {
    child: Child,
    pub address: String,
    log: PathBuf,
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
        let mut hub = Self { child, address, log: path };
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
    pub fn request(&self, account: &str, method: &str, path: &str, document: Option<&Value>) -> Result<Value> {
        let (status, body) = self.exchange(account, method, path, document)?;
        ensure!((200..300).contains(&status), "{method} {path} as {account}: {status} {body}");
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }

    fn exchange(&self, account: &str, method: &str, path: &str, document: Option<&Value>) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIME))?;
        let body = document.map(Value::to_string).unwrap_or_default();
        let basic = STANDARD.encode(format!("{account}:{PASSWORD}"));
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {}\r\nauthorization: Basic {basic}\r\naccept: */*\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without end")?;
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer without status")?;
        Ok((status, body.to_owned()))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
