//! The last chapter: a container of the seeded web image, its page, what it writes, and its end.

use super::images::{WEB_PAGE, WEB_PORT, WEB_TEXT};
use super::terminal::Terminal;
use crate::process;
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long the server may take until it answers.
const START: Duration = Duration::from_secs(20);

/// Runs the image, if this machine lets us.
pub fn walk(terminal: &Terminal, image: &str) -> Result<()> {
    terminal.chapter("Run it: a writable layer on top");
    match (process::is_root(), process::find("newuidmap").is_some()) {
        (true, _) => {}
        (false, true) => terminal.say("As an ordinary user: in a user namespace, on one network only."),
        (false, false) => {
            terminal.say(
                "Left out: an ordinary user's containers need the program newuidmap (package uidmap). Run the demo as \
                 root, or install it.",
            );
            return Ok(());
        }
    }
    let id = || terminal.strata(&["image", "inspect", "--format", "{{.Id}}", image]);
    terminal.strata(&["pull", "--quiet", image])?;
    let before = id()?;
    let shown = match can_publish() {
        true => served(terminal, image),
        false => alone(terminal, image),
    };
    if shown.is_err() {
        let _ = terminal.quietly(&["rm", "-f", "web"]);
    }
    shown?;
    terminal.say("The image never saw any of it:");
    let page = terminal.strata(&["image", "cat", image, WEB_PAGE])?;
    ensure!(page.contains(WEB_TEXT) && id()? == before, "the container changed its image");
    ensure!(terminal.strata(&["ps", "--all", "--quiet"])?.is_empty(), "a container is left");
    Ok(())
}

/// Root makes bridges; everybody else needs a program for the way in and out.
fn can_publish() -> bool {
    process::is_root() || ["pasta", "slirp4netns"].into_iter().any(|program| process::find(program).is_some())
}

fn served(terminal: &Terminal, image: &str) -> Result<()> {
    let publish = format!("127.0.0.1::{WEB_PORT}");
    let network = if process::is_root() { "demo" } else { "bridge" };
    if process::is_root() {
        terminal.strata(&["network", "create", network])?;
    }
    let outcome = (|| {
        terminal.strata(&["run", "--detach", "--name", "web", "--network", network, "--publish", &publish, image])?;
        terminal.strata(&["ps"])?;
        let address = terminal.strata(&["port", "web", WEB_PORT])?;
        ensure!(fetch(terminal, address.trim())?.contains(WEB_TEXT), "the container does not serve its page");
        terminal.say("What it writes lies in its own layer:");
        let script = format!("echo 'changed in the container' > {WEB_PAGE}; echo new > /srv/web/new");
        terminal.strata(&["exec", "web", "sh", "-c", &script])?;
        ensure!(fetch(terminal, address.trim())?.contains("changed"), "the page is the old one");
        changes(terminal)?;
        terminal.strata(&["stop", "web"])?;
        terminal.strata(&["rm", "web"]).map(drop)
    })();
    if process::is_root() {
        // Also after a failure, which is the one to tell.
        if outcome.is_err() {
            let _ = terminal.quietly(&["rm", "-f", "web"]);
        }
        terminal.strata(&["network", "rm", network])?;
    }
    outcome
}

fn alone(terminal: &Terminal, image: &str) -> Result<()> {
    terminal.say("Left out: a published port, for which an ordinary user needs pasta (package passt) or slirp4netns.");
    let script = format!("cat {WEB_PAGE}; echo changed > {WEB_PAGE}; echo new > /srv/web/new; cat {WEB_PAGE}");
    terminal.strata(&["run", "--name", "web", "--network", "none", image, "sh", "-c", &script])?;
    changes(terminal)?;
    terminal.strata(&["rm", "web"]).map(drop)
}

fn changes(terminal: &Terminal) -> Result<()> {
    let changes = terminal.strata(&["diff", "web"])?;
    let expected = [format!("C {WEB_PAGE}"), "A /srv/web/new".to_owned()];
    ensure!(
        expected.iter().all(|line| changes.lines().any(|other| other == line)),
        "diff does not show what was written"
    );
    Ok(())
}

/// The page at an address, asked for until somebody answers.
fn fetch(terminal: &Terminal, address: &str) -> Result<String> {
    terminal.say(&format!("$ curl http://{address}/"));
    let deadline = Instant::now() + START;
    loop {
        match ask(address) {
            Ok(page) if !page.is_empty() => {
                print!("{page}");
                return Ok(page);
            }
            answered => {
                ensure!(Instant::now() < deadline, "no answer from {address}: {answered:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn ask(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, page) = answer.split_once("\r\n\r\n").context("no answer of a server")?;
    Ok(page.to_owned())
}
