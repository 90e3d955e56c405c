//! What differs between two images, as far as their documents and findings tell: packages, configuration, layers, bytes.

use std::collections::{BTreeMap, BTreeSet};

use strata_model::{Descriptor, Digest, ImageConfig};

use super::ImageParts;
use super::findings::printable;
use crate::packages::{Package, PackageKind};

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageChange {
    /// Who installs it.
    pub kind: PackageKind,
    /// Its name.
    pub name: String,
    /// Its versions before; empty when it was not there.
    pub before: Vec<String>,
    /// Its versions afterwards; empty when it is not there any more.
    pub after: Vec<String>,
}

/// A value of the configuration that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Which: `User`, `Env PATH`, `Label a.b`.
    pub name: String,
    /// Before.
    pub before: Option<String>,
    /// Afterwards.
    pub after: Option<String>,
}

/// Two images beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageComparison {
    /// Values of the configuration that differ, by name.
    pub config: Vec<ConfigChange>,
    /// Layers in both.
    pub shared: Vec<(Digest, u64)>,
    /// Layers of the first only.
    pub only_before: Vec<(Digest, u64)>,
    /// Layers of the second only: what whoever has the first still has to pull.
    pub only_after: Vec<(Digest, u64)>,
}

impl ImageComparison {
    /// Of two images.
    pub fn of(before: &ImageParts, after: &ImageParts) -> ImageComparison {
        let layers = |image: &ImageParts| {
            let mut seen = BTreeSet::new();
            let is_first = |layer: &&Descriptor| seen.insert(layer.digest);
            image.manifest.layers.iter().filter(is_first).map(|layer| (layer.digest, layer.size)).collect::<Vec<_>>()
        };
        let (old, new) = (layers(before), layers(after));
        let (shared, only_after): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|(digest, _)| old.iter().any(|(other, _)| other == digest));
        let is_gone = |(digest, _): &&(Digest, u64)| !shared.iter().any(|(other, _)| other == digest);
        let only_before = old.iter().filter(is_gone).copied().collect();
        ImageComparison { config: config_changes(&before.config, &after.config), shared, only_before, only_after }
    }
}

impl PackageChange {
    /// What differs between two lists of packages, by kind and name.
    pub fn between(before: &[Package], after: &[Package]) -> Vec<PackageChange> {
        let mut found: BTreeMap<(PackageKind, &str), [BTreeSet<&str>; 2]> = BTreeMap::new();
        for (side, packages) in [before, after].into_iter().enumerate() {
            for package in packages {
                found.entry((package.kind, &package.name)).or_default()[side].insert(&package.version);
            }
        }
        let owned = |versions: &BTreeSet<&str>| versions.iter().map(|version| (*version).to_owned()).collect();
        let changed = found.into_iter().filter(|(_, [before, after])| before != after);
        changed
            .map(|((kind, name), [before, after])| PackageChange {
                kind,
                name: name.to_owned(),
                before: owned(&before),
                after: owned(&after),
            })
            .collect()
    }
}

fn config_changes(before: &ImageConfig, after: &ImageConfig) -> Vec<ConfigChange> {
    let (mut old, new) = (facts_of(before), facts_of(after));
    let mut changes = Vec::new();
    for (name, after) in new {
        let before = old.remove(&name);
        if before.as_ref() != Some(&after) {
            changes.push(ConfigChange { name, before, after: Some(after) });
        }
    }
    changes.extend(old.into_iter().map(|(name, before)| ConfigChange { name, before: Some(before), after: None }));
    changes.sort_by(|one, other| one.name.cmp(&other.name));
    changes
}

/// The values of a configuration by name, as they can be shown: values of the environment that look like secrets are not.
pub fn facts_of(config: &ImageConfig) -> BTreeMap<String, String> {
    let container = &config.config;
    let list = |words: &Option<Vec<String>>| words.as_ref().map(|words| serde_json::json!(words).to_string());
    let mut facts = BTreeMap::new();
    let mut put = |name: String, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.insert(printable(name.as_bytes()), printable(value.as_bytes()));
        }
    };
    put("Entrypoint".into(), list(&container.entrypoint));
    put("Command".into(), list(&container.cmd));
    put("User".into(), Some(container.user.clone()));
    put("Working directory".into(), Some(container.working_dir.clone()));
    put("Stop signal".into(), container.stop_signal.clone());
    put("Shell".into(), list(&container.shell));
    put("Author".into(), Some(config.author.clone()));
    put("Created".into(), config.created.clone());
    put("Health check".into(), container.healthcheck.as_ref().and_then(|check| list(&check.test)));
    for port in container.exposed_ports.iter().flatten().map(|(port, _)| port) {
        put(format!("Port {port}"), Some("exposed".into()));
    }
    for volume in container.volumes.iter().flatten().map(|(volume, _)| volume) {
        put(format!("Volume {volume}"), Some("declared".into()));
    }
    for (name, value) in container.labels.iter().flatten() {
        put(format!("Label {name}"), Some(value.clone()));
    }
    for (position, trigger) in container.on_build.iter().flatten().enumerate() {
        put(format!("On build {}", position + 1), Some(trigger.clone()));
    }
    for variable in container.env.iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        let value = match super::trust::secret_like(name, value) {
            Some(_) => "not shown: it looks like a secret".to_owned(),
            None => value.to_owned(),
        };
        put(format!("Env {name}"), Some(value));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(list: &[(&str, &str)]) -> Vec<Package> {
        let package = |(name, version): &(&str, &str)| Package {
            kind: PackageKind::Dpkg,
            name: (*name).into(),
            version: (*version).into(),
        };
        list.iter().map(package).collect()
    }

    #[test]
    fn packages_come_go_and_change() {
        let before = packages(&[("a", "1"), ("b", "1"), ("b", "2"), ("c", "1")]);
        let after = packages(&[("a", "2"), ("b", "2"), ("b", "1"), ("d", "1")]);
        let shown: Vec<String> = PackageChange::between(&before, &after)
            .iter()
            .map(|change| format!("{} {:?} {:?}", change.name, change.before, change.after))
            .collect();
        assert_eq!(shown, [r#"a ["1"] ["2"]"#, r#"c ["1"] []"#, r#"d [] ["1"]"#]);
    }

    #[test]
    fn configurations_differ_by_value() {
        let config = |text: &str| ImageConfig::parse(text.as_bytes()).unwrap();
        let before = config(r#"{"config":{"Env":["A=1","PASSWORD=old"],"User":"0","Labels":{"x":"1"}}}"#);
        let after = config(r#"{"config":{"Env":["A=2","PASSWORD=new"],"Cmd":["sh"],"ExposedPorts":{"80/tcp":{}}}}"#);
        let shown: Vec<String> = config_changes(&before, &after)
            .iter()
            .map(|change| format!("{}: {:?} {:?}", change.name, change.before, change.after))
            .collect();
        assert_eq!(
            shown,
            [
                r#"Command: None Some("[\"sh\"]")"#,
                r#"Env A: Some("1") Some("2")"#,
                r#"Label x: Some("1") None"#,
                r#"Port 80/tcp: None Some("exposed")"#,
                r#"User: Some("0") None"#,
            ]
        );
    }
}
