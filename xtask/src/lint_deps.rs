//! `lint-deps`: the direction of dependencies (ARCHITECTURE.md) as a check on `cargo metadata`.
//!
//! Pure crates know bytes and values only; adapters are named by the binary alone; nothing depends on a surface.
//! Development dependencies are free: a test may wire anything to anything.

use crate::workspace::Workspace;
use anyhow::{Result, bail};

/// Which crates of the workspace each crate may name. A crate that is not here fails the check, so that a new crate
/// gets its place in the picture with its first commit.
const ALLOWED: &[(&str, &[&str])] = &[
    // pure: bytes and values
    ("strata-model", &[]),
    ("strata-layer", &["model"]),
    ("strata-erofs", &["layer", "model"]),
    ("strata-archive", &["layer", "model"]),
    ("strata-format", &["model"]),
    // ports and the rules above them
    ("strata-transfer", &["model"]),
    ("strata-store", &["layer", "model", "transfer"]),
    // the hub's rules stand above the store's, and have a port of their own for their records
    ("strata-hub", &["layer", "model", "store"]),
    // adapters
    ("strata-blobs-fs", &["layer", "model", "store"]),
    ("strata-catalog-sql", &["hub", "layer", "model", "store"]),
    ("strata-registry-client", &["model", "transfer"]),
    ("strata-mirror", &["model", "registry-client", "store", "transfer"]),
    ("strata-rootfs", &["erofs", "layer", "model"]),
    ("strata-runtime", &["model", "rootfs"]),
    ("strata-network", &["model"]),
    // use cases
    // format: for the grammar of filters (globs, times), not for wording
    (
        "strata-engine",
        &[
            "archive",
            "erofs",
            "format",
            "layer",
            "model",
            "network",
            "registry-client",
            "rootfs",
            "runtime",
            "store",
            "transfer",
        ],
    ),
    // surfaces
    ("strata-cli", &["engine", "format", "model", "registry-client", "store", "transfer"]),
    ("strata-engine-api", &["engine", "format", "model", "registry-client", "store", "transfer"]),
    ("strata-registry", &["model", "store", "transfer"]),
    ("strata-hub-api", &["hub", "model", "registry", "store"]),
    ("strata-hub-web", &["hub", "model", "registry", "store"]),
    // composition and support
    (
        "strata",
        // archive, layer: a backup is a tar, perhaps compressed
        &[
            "archive",
            "blobs-fs",
            "catalog-sql",
            "cli",
            "engine",
            "engine-api",
            "hub",
            "hub-api",
            "hub-web",
            "layer",
            "mirror",
            "model",
            "network",
            "registry",
            "registry-client",
            "runtime",
            "store",
            "transfer",
        ],
    ),
    ("strata-testkit", &["archive", "layer", "model"]),
    (
        "strata-fuzz",
        &["archive", "erofs", "format", "hub", "layer", "model", "registry", "registry-client", "runtime", "testkit"],
    ),
    ("xtask", &["testkit"]),
];

const PURE: &[&str] = &["strata-model", "strata-layer", "strata-erofs", "strata-archive", "strata-format"];

/// Async runtimes, HTTP, SQL and system calls, which pure crates must not name.
const IMPURE: &[&str] = &["tokio", "reqwest", "hyper", "axum", "rusqlite", "rustix", "libc", "nix", "async-trait"];

/// (crate from outside, the only crates that may name it, what the rule keeps apart)
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["strata-catalog-sql"], "only the SQL catalog knows SQL"),
    ("reqwest", &["strata-registry-client"], "only the registry client speaks HTTP to others"),
    (
        "axum",
        &["strata-engine-api", "strata-registry", "strata-hub-api", "strata-hub-web", "strata"],
        "only surfaces serve HTTP, which the bin joins",
    ),
    ("clap", &["strata-cli", "strata"], "only the command line parses arguments"),
    ("indicatif", &["strata-cli"], "only the command line draws"),
    ("anyhow", &["strata", "strata-testkit", "xtask"], "libraries have typed errors"),
];

/// Never anywhere in the tree: one TLS provider (ring), no OpenSSL, no C build of minutes.
const BANNED: &[&str] = &["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"];

/// Licences that may be linked into the binary, besides what `OR` offers. `deny.toml` holds the same list.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
    "bzip2-1.0.6",
];

/// Runs the check on this workspace.
pub fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let violations = violations(&workspace);
    if !violations.is_empty() {
        bail!("{} violations\n  {}", violations.len(), violations.join("\n  "));
    }
    println!("lint-deps: ok ({} crates, {} packages)", workspace.members().count(), workspace.packages.len());
    Ok(())
}

fn violations(workspace: &Workspace) -> Vec<String> {
    [directions(workspace), confinement(workspace), banned(workspace), licences(workspace)].concat()
}

fn directions(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in workspace.members() {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!("{} has no place in lint_deps.rs and ARCHITECTURE.md yet", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|name| name.starts_with("strata")) {
            let short = dependency.strip_prefix("strata-").unwrap_or(dependency);
            if !allowed.contains(&short) {
                found.push(format!("{} must not depend on {dependency}", package.name));
            }
        }
    }
    found
}

fn confinement(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in workspace.members() {
        for dependency in &package.dependencies {
            if PURE.contains(&package.name.as_str()) && IMPURE.contains(&dependency.as_str()) {
                found.push(format!("{} is pure and must not depend on {dependency}", package.name));
            }
            let confined = CONFINED.iter().find(|(name, ..)| name == dependency);
            if let Some((_, owners, reason)) = confined
                && !owners.contains(&package.name.as_str())
            {
                found.push(format!("{} must not depend on {dependency}: {reason}", package.name));
            }
        }
    }
    found
}

fn banned(workspace: &Workspace) -> Vec<String> {
    let banned = workspace.packages.iter().filter(|package| BANNED.contains(&package.name.as_str()));
    banned.map(|package| format!("{} is in the tree; `cargo tree -i {0}` shows who brings it", package.name)).collect()
}

fn licences(workspace: &Workspace) -> Vec<String> {
    let outside = workspace.packages.iter().filter(|package| !package.member);
    let refused = outside.filter(|package| !package.license.as_deref().is_some_and(permissive));
    refused
        .map(|package| format!("{}: licence {:?} is not on the list", package.name, package.license.as_deref()))
        .collect()
}

/// Whether an SPDX expression can be met with the listed licences. Parentheses are read as one level deep, which is
/// all that crates use; `/` is the old spelling of `OR`.
fn permissive(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(" WITH LLVM-exception", "");
    let groups: Vec<&str> = expression.split(['(', ')']).collect();
    if groups.len() > 1 {
        // "(A OR B) AND C": every part between parentheses must be met, the joining words aside.
        let parts = groups.iter().map(|part| part.trim().trim_start_matches("AND ").trim_end_matches(" AND").trim());
        return parts.filter(|part| !["", "AND"].contains(part)).all(permissive);
    }
    expression.split(" OR ").any(|choice| choice.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn this_workspace_keeps_its_directions() {
        run().unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            member: true,
            manifest: Default::default(),
            license: None,
            dependencies: dependencies.iter().map(|&name| name.into()).collect(),
        }
    }

    #[test]
    fn wrong_directions_are_found() {
        for (name, dependency, expected) in [
            ("strata-model", "tokio", "strata-model is pure and must not depend on tokio"),
            ("strata-store", "strata-cli", "strata-store must not depend on strata-cli"),
            ("strata-engine", "strata-catalog-sql", "strata-engine must not depend on strata-catalog-sql"),
            ("strata-engine", "rusqlite", "only the SQL catalog knows SQL"),
            ("strata-new", "serde", "has no place"),
        ] {
            let packages = vec![package(name, &[dependency])];
            let found = violations(&Workspace { packages, target_directory: Default::default() });
            assert!(found.iter().any(|violation| violation.contains(expected)), "{name} → {dependency}: {found:?}");
        }
    }

    #[test]
    fn licence_expressions() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("Apache-2.0 AND ISC", true),
        ] {
            assert_eq!(permissive(expression), expected, "{expression}");
        }
    }
}
