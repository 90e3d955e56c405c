//! The workspace as cargo describes it, reduced to what the repository checks ask for.

use crate::process;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the root `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the workspace")
}

/// The cargo that runs us, or the one on PATH.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Everything cargo resolved: members of the workspace and what they pull in.
pub struct Workspace {
    pub packages: Vec<Package>,
    pub target_directory: PathBuf,
}

/// One package, of the workspace or from outside.
pub struct Package {
    pub name: String,
    pub member: bool,
    pub manifest: PathBuf,
    pub license: Option<String>,
    /// Normal and build dependencies, by package name.
    pub dependencies: Vec<String>,
}

impl Workspace {
    /// Asks `cargo metadata`. Works offline once the lock file's crates are there.
    pub fn load() -> Result<Self> {
        let text = process::capture(cargo().args(["metadata", "--format-version", "1", "--all-features"]))?;
        Self::parse(&serde_json::from_str(&text).context("reading cargo metadata")?)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let members = metadata["workspace_members"].as_array().context("cargo metadata lists no members")?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let packages = packages.iter().map(|package| Package::parse(package, members)).collect::<Result<_>>()?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        Ok(Self { packages, target_directory: target.into() })
    }

    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }
}

impl Package {
    fn parse(package: &Value, members: &[Value]) -> Result<Self> {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        let name = text("name").context("a package without a name")?;
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let product = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        Ok(Self {
            member: members.contains(&package["id"]),
            manifest: text("manifest_path").with_context(|| format!("{name} without a manifest"))?.into(),
            license: text("license"),
            dependencies: product.filter_map(|dependency| dependency["name"].as_str().map(str::to_owned)).collect(),
            name,
        })
    }
}
