//! `demo`: the images part of a container course, walked with `strata` on images made of this machine's own files.
//!
//! Builds the binary, starts its registry on loopback, fills it, and then shows each command with its real output.
//! Needs no network, no other service and no root; everything lies in one temporary folder, removed at the end
//! unless `--keep` is given. Any command that fails, or that does not show what the course says, ends the demo.

mod images;
mod machine;
mod terminal;

use crate::process;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context as _, Result, bail, ensure};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use terminal::Terminal;

/// Runs the command.
pub fn run(arguments: &[String]) -> Result<()> {
    let keep = match arguments {
        [] => false,
        [flag] if flag == "--keep" => true,
        other => bail!("unknown arguments {other:?}"),
    };
    process::run(cargo().args(["build", "--release", "--locked", "--package", "strata"]))?;
    let strata = Workspace::load()?.target_directory.join("release/strata");
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("strata-demo-").tempdir()?;
    let terminal = Terminal::new(strata.clone(), folder.path());
    let registry = Registry::start(&strata, folder.path())?;
    let outcome = walk(&terminal, &registry.address, folder.path());
    drop(registry);
    outcome?;
    println!("\nThe course took {:.1} s.", started.elapsed().as_secs_f64());
    if keep {
        println!("Kept in {}", folder.keep().display());
    }
    next_steps(&strata);
    Ok(())
}

/// `strata registry serve` on a free port, stopped when dropped.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(strata: &Path, folder: &Path) -> Result<Self> {
        // The port is free when asked for; should another program take it before we listen, serving fails and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let log = std::fs::File::create(folder.join("registry.log"))?;
        let mut command = Command::new(strata);
        command.args(["registry", "serve", "--addr", &address]).arg("--root").arg(folder.join("registry"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("starting the embedded registry")?;
        println!("\n$ {} &", process::shown(&command));
        let mut registry = Self { child, address };
        registry.wait_until_ready(folder)?;
        Ok(registry)
    }

    fn wait_until_ready(&mut self, folder: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&self.address).is_err() {
            let exited = self.child.try_wait()?;
            if exited.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("registry.log")).unwrap_or_default();
                bail!("the embedded registry did not start on {}: {}", self.address, log.trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn walk(terminal: &Terminal, registry: &str, folder: &Path) -> Result<()> {
    let layout = fill(terminal, registry, folder)?;
    let app = |tag: &str| format!("{registry}/demo/app:{tag}");
    pulls(terminal, registry)?;
    looks(terminal, &app("1.0"))?;
    tags(terminal, &app("1.0"), &app("1.1"))?;
    archives(terminal, &app("1.1"), folder)?;
    sharing(terminal, registry, &layout)
}

fn fill(terminal: &Terminal, registry: &str, folder: &Path) -> Result<PathBuf> {
    terminal.chapter("A registry, filled with four images that share their base layers");
    terminal.say("Composed from this machine's own shell, tools, a language runtime, and a small application.");
    let layout = images::compose(folder)?;
    for (tag, name) in images::PUSHES {
        let from = format!("oci:{}:{tag}", layout.display());
        terminal.strata(&["copy", &from, &format!("docker://{registry}/{name}")])?;
    }
    terminal.strata(&["tags", &format!("{registry}/demo/app")])?;
    Ok(layout)
}

fn pulls(terminal: &Terminal, registry: &str) -> Result<()> {
    terminal.chapter("Pull: only what is not here yet");
    let app = format!("{registry}/demo/app");
    terminal.strata(&["pull", "--dry-run", &format!("{app}:1.0")])?;
    terminal.strata(&["pull", &format!("{app}:1.0")])?;
    terminal.say("The second tag shares all layers but one with the first:");
    let second = terminal.strata(&["pull", &format!("{app}:1.1")])?;
    ensure!(second.contains("Already exists"), "the second pull fetched layers that were here");
    terminal.strata(&["pull", &format!("{registry}/demo/base:12")])?;
    terminal.strata(&["images"])?;
    Ok(())
}

fn looks(terminal: &Terminal, image: &str) -> Result<()> {
    terminal.chapter("Look inside, without running anything");
    terminal.strata(&["history", image])?;
    terminal.strata(&["inspect", "--format", "{{.Id}} {{.Os}}/{{.Architecture}} {{json .Config.Cmd}}", image])?;
    terminal.strata(&["image", "inspect", "--format", "{{json .Config.Labels}}", image])?;
    terminal.strata(&["image", "ls", image, "/srv/app"])?;
    terminal.strata(&["image", "cat", image, "/srv/app/start"])?;
    terminal.strata(&["image", "diff", image, &image.replace(":1.0", ":1.1")])?;
    Ok(())
}

fn tags(terminal: &Terminal, old: &str, new: &str) -> Result<()> {
    terminal.chapter("Tags are names, the ID is the image");
    terminal.strata(&["tag", new, "demo:stable"])?;
    let id = |name: &str| terminal.strata(&["images", "--quiet", "--no-trunc", name]);
    ensure!(id(new)? == id("demo:stable")?, "a tag changed the image ID");
    terminal.say("Moving a tag away leaves the old image without a name: it dangles.");
    terminal.strata(&["tag", new, old])?;
    let dangling = terminal.strata(&["images", "--filter", "dangling=true"])?;
    ensure!(dangling.contains("<none>"), "the retagged image does not dangle");
    terminal
        .say("Removing one of several names only takes the name; prune takes what has none and says what came back.");
    terminal.strata(&["rmi", "demo:stable"])?;
    terminal.strata(&["image", "prune", "--force", "--dry-run"])?;
    let pruned = terminal.strata(&["image", "prune", "--force"])?;
    ensure!(pruned.contains("Total reclaimed space"), "prune did not say what it reclaimed");
    Ok(())
}

fn archives(terminal: &Terminal, image: &str, folder: &Path) -> Result<()> {
    terminal.chapter("Save here, load there");
    let archive = folder.join("app.tar").display().to_string();
    terminal.strata(&["save", "--output", &archive, image])?;
    let here = terminal.strata(&["images", "--no-trunc", "--quiet", image])?;
    let second = terminal.with_root(folder.join("second"));
    second.say("A second, empty store:");
    second.strata(&["images"])?;
    second.strata(&["load", "--input", &archive])?;
    let there = second.strata(&["images", "--no-trunc", "--quiet", image])?;
    ensure!(here == there, "the image has another ID after save and load");
    second.say("The same ID: the bytes are the same.");
    second.strata(&["fsck"])?;
    Ok(())
}

fn sharing(terminal: &Terminal, registry: &str, layout: &Path) -> Result<()> {
    terminal.chapter("What sharing saves");
    terminal.strata(&[
        "pull",
        "--quiet",
        &format!("{registry}/demo/app:1.0"),
        &format!("{registry}/demo/runtime:5"),
    ])?;
    terminal.strata(&["system", "df"])?;
    terminal.strata(&["system", "df", "--verbose"])?;
    terminal.say("And a directory layout copied straight to an archive, without a store between:");
    let archive = layout.with_extension("tar").display().to_string();
    terminal.strata(&["copy", &format!("oci:{}:base", layout.display()), &format!("oci-archive:{archive}")])?;
    terminal.strata(&["rmi", &format!("{registry}/demo/runtime:5")])?;
    terminal.strata(&["fsck"])?;
    Ok(())
}

fn next_steps(strata: &Path) {
    let strata = strata.display();
    println!(
        "
What to try next
  {strata} pull debian:12-slim                    from a registry on the network
  {strata} image ls debian:12-slim /etc           look inside without a container
  {strata} registry serve --addr 127.0.0.1:5000   a registry for this machine; docker and skopeo can push to it
  {strata} system df -v                           what is on disk, and what sharing saves
  ln -s {strata} ~/bin/docker                     the same program answers to docker's name
  cargo xtask demo --keep                         this walk again, keeping its stores to look at"
    );
}
