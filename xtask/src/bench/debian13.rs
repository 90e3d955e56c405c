//! The peers as Debian 13 has them: a tree made by `mmdebstrap` from the mirror that this machine uses, and a process
//! that has pivoted into it in a mount namespace of its own (runc wants a real root, a bare chroot is not enough).
//!
//! The bench folder is bound into the tree at its own path, so that stores and sockets have one name inside and outside.

use super::peers::Host;
use crate::{packages, process};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: &str = "ca-certificates,containerd,crun,docker.io,docker-cli,podman,runc";

/// Pivots into the tree `$0` and stays there. `$1` is bound at its own path.
const PIVOT: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs tmpfs "$0/run"
mkdir -p "$0$1" "$0/old"
mount --bind "$1" "$0$1"
cd "$0"
pivot_root . old
umount -l /old
touch /run/ready
exec sleep infinity
"#;

/// The tree with the process that holds its namespace; the namespace ends with it.
pub struct Debian13 {
    holder: Child,
}

impl Debian13 {
    /// Makes the tree when it is missing, which takes some minutes, and enters it.
    pub fn start(folder: &Path) -> Result<Self> {
        let tree = folder.join("debian13");
        if !tree.join("usr/bin/podman").exists() {
            make(&tree)?;
        }
        let bench = folder.join("bench");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", PIVOT]).arg(&tree).arg(&bench).stdin(Stdio::null());
        let holder = command.spawn().context("making a mount namespace")?;
        let mut debian13 = Self { holder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while process::capture(debian13.host().command("test").args(["-e", "/run/ready"])).is_err() {
            if Instant::now() > deadline || debian13.holder.try_wait()?.is_some() {
                bail!("no process could pivot into {}", tree.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(debian13)
    }

    /// Where commands run that belong to it.
    pub fn host(&self) -> Host {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let process = self.holder.id().to_string();
        Host::within(["nsenter", "-t", &process, "-m", "--", "env", path])
    }
}

impl Drop for Debian13 {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn make(tree: &Path) -> Result<()> {
    let missing = packages::ensure(packages::FOR_DEBIAN13);
    if !missing.is_empty() {
        bail!("cannot make a tree of Debian 13 without {}", missing.join(", "));
    }
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let mirrors = process::capture(&mut targets)?;
    let mirror = mirrors.lines().find(|line| !line.contains("security")).context("apt has no mirror")?;
    let unfinished = tree.with_extension("new");
    let _ = fs::remove_dir_all(&unfinished);
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--mode=root", &format!("--include={PACKAGES}"), "trixie"]);
    process::run(command.arg(&unfinished).arg(mirror))?;
    fs::rename(&unfinished, tree).with_context(|| format!("naming {}", tree.display()))
}
