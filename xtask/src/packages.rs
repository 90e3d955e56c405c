//! Debian packages that tests, the corpus and the bench use; installed when root, named exactly when not.

use crate::process;
use std::path::Path;
use std::process::{Command, Stdio};

/// A Debian package and the program or file that shows it is there.
pub struct Package {
    name: &'static str,
    probe: &'static str,
}

const fn package(name: &'static str, probe: &'static str) -> Package {
    Package { name, probe }
}

/// What `cargo xtask test` compares against and unpacks with.
pub const FOR_TESTS: &[Package] = &[
    package("skopeo", "skopeo"),
    package("podman", "podman"),
    package("buildah", "buildah"),
    package("umoci", "umoci"),
    package("docker-registry", "docker-registry"),
    package("docker.io", "dockerd"),
    package("runc", "runc"),
    package("erofs-utils", "mkfs.erofs"),
    package("busybox-static", "busybox"),
    package("iproute2", "ip"),
    package("nftables", "nft"),
    package("slirp4netns", "slirp4netns"),
    package("passt", "pasta"),
    package("uidmap", "newuidmap"),
    package("mmdebstrap", "mmdebstrap"),
    package("curl", "curl"),
    package("wrk", "wrk"),
    package("tmux", "tmux"),
    package("zstd", "zstd"),
    package("xz-utils", "xz"),
    package("bzip2", "bzip2"),
    package("jq", "jq"),
    package("tar", "tar"),
    package("attr", "setfattr"),
    package("chromium", "chromium"),
    package("chromium-driver", "chromedriver"),
    package("npm", "npm"),
    package("python3-docker", "/usr/lib/python3/dist-packages/docker/__init__.py"),
    package("docker-compose", "docker-compose"),
];

/// What `cargo xtask screenshots` looks with.
pub const FOR_BROWSER: &[Package] = &[package("chromium", "chromium"), package("chromium-driver", "chromedriver")];

/// What makes the tree of Debian 13.
pub const FOR_DEBIAN13: &[Package] = &[package("mmdebstrap", "mmdebstrap")];

/// What `cargo xtask fuzz` compiles libFuzzer with.
pub const FOR_FUZZ: &[Package] = &[package("g++", "c++")];

/// What `cargo xtask corpus` builds images with.
pub const FOR_CORPUS: &[Package] = &[
    package("mmdebstrap", "mmdebstrap"),
    package("buildah", "buildah"),
    package("skopeo", "skopeo"),
    package("docker-registry", "docker-registry"),
    package("busybox-static", "busybox"),
    package("zstd", "zstd"),
    package("jq", "jq"),
    package("npm", "npm"),
    package("curl", "curl"),
];

/// The peers of `cargo xtask bench`.
pub const FOR_BENCH: &[Package] = &[
    package("docker.io", "dockerd"),
    package("docker-registry", "docker-registry"),
    package("podman", "podman"),
    package("containerd", "ctr"),
    package("skopeo", "skopeo"),
    package("umoci", "umoci"),
    package("runc", "runc"),
    package("wrk", "wrk"),
];

impl Package {
    fn is_present(&self) -> bool {
        process::find(self.probe).is_some()
    }
}

/// Installs what is missing when this is root on Debian. Returns what is missing afterwards; says so on the way.
pub fn ensure(packages: &[Package]) -> Vec<&'static str> {
    if packages.iter().all(Package::is_present) {
        return Vec::new();
    }
    if process::is_root() && process::find("apt-get").is_some() {
        install(&missing(packages));
    }
    let missing = missing(packages);
    if !missing.is_empty() {
        println!("missing: {}", missing.join(" "));
        println!("  to have them: sudo apt-get install --no-install-recommends {}", missing.join(" "));
    }
    missing
}

fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !package.is_present()).map(|package| package.name).collect()
}

fn install(names: &[&str]) {
    let _quiet = NoServices::new();
    let updated = apt_get(&["update", "-q"]);
    if !updated {
        println!("apt-get update failed; trying with the package lists that are there");
    }
    if !apt_get(&[&["install", "-y", "-q", "--no-install-recommends"], names].concat()) {
        // One package that this release lacks must not keep the others out.
        for name in names {
            apt_get(&["install", "-y", "-q", "--no-install-recommends", name]);
        }
    }
}

fn apt_get(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=120"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    println!("$ {}", process::shown(&command));
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Debian starts a package's services when it is installed. Tests start their own on free ports, so the policy file
/// that forbids it is there while installing, unless the machine has a policy already.
struct NoServices {
    written: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let written = !Path::new(POLICY).exists()
            && std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755)).is_ok();
        Self { written }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.written {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
