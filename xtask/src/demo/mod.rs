//! `demo`: the images part of a container course, walked with `strata` on images made of this machine's own files.
//!
//! Builds the binary, starts its hub on loopback, seeds a library, and then shows each command with its real output.
//! Needs no network, no other service and no root, but for the last chapter, containers, which says what it leaves out
//! without; everything lies in one temporary folder, removed at the end
//! unless `--keep` is given. Any command that fails, or that does not show what the course says, ends the demo.

mod containers;
pub mod hub;
mod images;
mod library;
mod machine;
mod readme;
pub mod terminal;

use crate::process;
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, bail, ensure};
use hub::Hub;
use images::Images;
use std::path::{Path, PathBuf};
use std::time::Instant;
use terminal::Terminal;

/// Runs the command.
pub fn run(arguments: &[String]) -> Result<()> {
    let keep = match arguments {
        [] => false,
        [flag] if flag == "--keep" => true,
        other => bail!("unknown arguments {other:?}"),
    };
    let strata = built()?;
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("strata-demo-").tempdir()?;
    let terminal = Terminal::new(strata.clone(), folder.path());
    let hub = Hub::start(&strata, folder.path())?;
    let outcome = walk(&terminal, &hub, folder.path());
    drop(hub);
    outcome?;
    println!("\nThe course took {:.1} s.", started.elapsed().as_secs_f64());
    if keep {
        println!("Kept in {}", folder.keep().display());
    }
    next_steps(&strata);
    Ok(())
}

/// Builds the program; says where it is.
pub fn built() -> Result<PathBuf> {
    process::run(cargo().args(["build", "--release", "--locked", "--package", "strata"]))?;
    Ok(Workspace::load()?.target_directory.join("release/strata"))
}

fn walk(terminal: &Terminal, hub: &Hub, folder: &Path) -> Result<()> {
    let registry = &hub.address;
    let images = fill(terminal, hub, folder)?;
    let layout = &images.layout;
    let app = |tag: &str| format!("{registry}/acme/app:{tag}");
    finds(terminal, registry)?;
    pulls(terminal, registry)?;
    looks(terminal, &app("1.0"))?;
    tags(terminal, &app("1.0"), &app("1.1"))?;
    archives(terminal, &app("1.1"), folder)?;
    sharing(terminal, registry, layout)?;
    if images.has_web {
        containers::walk(terminal, &format!("{registry}/web:1"))?;
    } else {
        terminal.say("No containers: without perl or python there is no server to run.");
    }
    Ok(())
}

/// Fills a hub as the demo does.
pub fn fill(terminal: &Terminal, hub: &Hub, folder: &Path) -> Result<Images> {
    terminal.chapter("A hub of your own, with a small library");
    terminal.say(
        "Images composed from this machine's own shell, tools, a language runtime, and a small application, pushed by the \
         administrator, a verified publisher and two members of the community.",
    );
    let images = images::compose(folder)?;
    library::seed(hub, terminal, &images)?;
    Ok(images)
}

fn finds(terminal: &Terminal, registry: &str) -> Result<()> {
    terminal.chapter("Search: find an image by what it is");
    let found = terminal.strata(&["search", &format!("{registry}/app")])?;
    ensure!(found.contains("acme/app"), "search does not find the publisher's image");
    terminal.say("Only official ones, or only what others liked:");
    let official = terminal.strata(&["search", "--filter", "is-official=true", &format!("{registry}/base")])?;
    ensure!(official.contains("base") && !official.contains("bob/"), "the filter does not hold");
    terminal.strata(&["search", "--filter", "stars=2", "--no-trunc", &format!("{registry}/app")])?;
    terminal.strata(&["tags", &format!("{registry}/acme/app")])?;
    Ok(())
}

fn pulls(terminal: &Terminal, registry: &str) -> Result<()> {
    terminal.chapter("Pull: only what is not here yet");
    let app = format!("{registry}/acme/app");
    terminal.strata(&["pull", "--dry-run", &format!("{app}:1.0")])?;
    terminal.strata(&["pull", &format!("{app}:1.0")])?;
    terminal.say("The second tag shares all layers but one with the first:");
    let second = terminal.strata(&["pull", &format!("{app}:1.1")])?;
    ensure!(second.contains("Already exists"), "the second pull fetched layers that were here");
    terminal.strata(&["pull", &format!("{registry}/base:12")])?;
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
    terminal.strata(&["pull", "--quiet", &format!("{registry}/acme/app:1.0"), &format!("{registry}/runtime:5")])?;
    terminal.strata(&["system", "df"])?;
    terminal.strata(&["system", "df", "--verbose"])?;
    terminal.say("And a directory layout copied straight to an archive, without a store between:");
    let archive = layout.with_extension("tar").display().to_string();
    terminal.strata(&["copy", &format!("oci:{}:base", layout.display()), &format!("oci-archive:{archive}")])?;
    terminal.strata(&["rmi", &format!("{registry}/runtime:5")])?;
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
  {strata} run --rm -it debian:12-slim bash       a container, without a daemon
  {strata} hub serve                              a hub for this machine; docker, podman and skopeo can push to it
  {strata} system df -v                           what is on disk, and what sharing saves
  ln -s {strata} ~/bin/docker                     the same program answers to docker's name
  cargo xtask demo --keep                         this walk again, keeping its stores to look at"
    );
}
