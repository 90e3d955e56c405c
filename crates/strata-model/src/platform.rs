//! Platforms: what an image runs on, and which image of an index suits a machine.
//!
//! Source: OCI image-index.md "platform"; docker's rules for aliases and for choosing (containerd `platforms`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and variant, in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that are needed.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// A component has characters that no platform has.
    #[error(
        "invalid platform {text:?}: {component:?} is an invalid component of {text:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\""
    )]
    Component {
        /// The whole text.
        text: String,
        /// The offending component.
        component: String,
    },
    /// A single word that is neither an operating system nor an architecture, or more than three components.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
}

const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];
const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// The platform of the machine that this program runs on.
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Platform { os: "linux".into(), architecture: architecture.into(), ..Platform::default() }.normalized()
    }

    /// Whether this is the `unknown/unknown` of build attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// The same platform with aliases replaced and the variant that every machine of the architecture has left out.
    pub fn normalized(&self) -> Platform {
        let mut platform = self.clone();
        platform.os = normal_system(&self.os);
        let (architecture, variant) = normal_architecture(&self.architecture, self.variant.as_deref().unwrap_or(""));
        platform.architecture = architecture;
        platform.variant = (!variant.is_empty()).then_some(variant);
        platform
    }

    /// Whether both name exactly the same operating system, architecture and variant.
    pub fn is_same(&self, other: &Platform) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.os, a.architecture, a.variant) == (b.os, b.architecture, b.variant)
    }

    /// How well an image for `candidate` runs here: 0 is best, `None` is not at all.
    ///
    /// An arm machine runs lower variants, arm64 runs arm, amd64 runs 386 and lower micro-architecture levels.
    pub fn rank(&self, candidate: &Platform) -> Option<usize> {
        let candidate = candidate.normalized();
        self.normalized().accepted().iter().position(|accepted| {
            accepted.os == candidate.os
                && accepted.architecture == candidate.architecture
                && accepted.variant == candidate.variant
        })
    }

    /// The platforms whose images run on this one, best first.
    fn accepted(&self) -> Vec<Platform> {
        let with = |architecture: &str, variant: Option<String>| Platform {
            os: self.os.clone(),
            architecture: architecture.into(),
            variant,
            ..Platform::default()
        };
        let mut accepted = vec![with(&self.architecture, self.variant.clone())];
        let number = |text: &str| text.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
        match self.architecture.as_str() {
            "amd64" => {
                let level = self.variant.as_deref().and_then(number).unwrap_or(1);
                accepted.extend((2..level).rev().map(|level| with("amd64", Some(format!("v{level}")))));
                if level > 1 {
                    accepted.push(with("amd64", None));
                }
                accepted.push(with("386", None));
            }
            "arm64" => {
                if self.variant.is_some() {
                    accepted.push(with("arm64", None));
                }
                accepted.extend((5..=8).rev().map(|version| arm(&with, version)));
            }
            "arm" => {
                let version = self.variant.as_deref().and_then(number).unwrap_or(7);
                accepted.extend((5..version).rev().map(|version| arm(&with, version)));
            }
            _ => {}
        }
        accepted
    }

    /// The entry that suits this machine best; among equals the first.
    pub fn choose<'a, T>(&self, candidates: impl IntoIterator<Item = (&'a Platform, T)>) -> Option<T> {
        candidates
            .into_iter()
            .filter_map(|(platform, item)| self.rank(platform).map(|rank| (rank, item)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, item)| item)
    }
}

fn arm(with: &dyn Fn(&str, Option<String>) -> Platform, version: u32) -> Platform {
    // Normal form: the default variant of arm is v7, written out.
    with("arm", Some(format!("v{version}")))
}

fn normal_system(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".into(),
        other => other.into(),
    }
}

fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant.as_str()) {
        ("i386", _) => ("386", String::new()),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", String::new()),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.to_owned()),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", String::new()),
        ("aarch64" | "arm64", variant) => ("arm64", variant.to_owned()),
        ("armhf", _) => ("arm", "v7".into()),
        ("armel", _) => ("arm", "v6".into()),
        ("arm", "" | "7") => ("arm", "v7".into()),
        ("arm", "5" | "6" | "8") => ("arm", format!("v{variant}")),
        (other, variant) => return (other.to_owned(), variant.to_owned()),
    };
    (architecture.to_owned(), variant)
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Parses `os[/architecture[/variant]]`, or one word that is either; what is missing is this machine's.
    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let components: Vec<&str> = text.split('/').collect();
        for component in &components {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if component.is_empty() || !component.bytes().all(allowed) {
                return Err(PlatformError::Component { text: text.into(), component: (*component).into() });
            }
        }
        let of = |os: &str, architecture: &str, variant: &str| {
            Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: (!variant.is_empty()).then(|| variant.into()),
                ..Platform::default()
            }
            .normalized()
        };
        match components[..] {
            [word] if SYSTEMS.contains(&normal_system(word).as_str()) => {
                let host = Platform::host();
                Ok(of(word, &host.architecture, host.variant.as_deref().unwrap_or("")))
            }
            [word] if ARCHITECTURES.contains(&normal_architecture(word, "").0.as_str()) => Ok(of("linux", word, "")),
            [os, architecture] => Ok(of(os, architecture, "")),
            [os, architecture, variant] => Ok(of(os, architecture, variant)),
            _ => Err(PlatformError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn aliases_and_defaults_are_normalized() {
        for (text, expected) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/i386", "linux/386"),
            ("s390x", "linux/s390x"),
            ("linux/amd64/v1", "linux/amd64"),
        ] {
            assert_eq!(platform(text).to_string(), expected, "{text}");
        }
        assert!("linux/".parse::<Platform>().is_err());
        assert!("toaster".parse::<Platform>().is_err());
        assert!("a/b/c/d".parse::<Platform>().is_err());
    }

    #[test]
    fn the_closest_image_is_chosen() {
        let offered: Vec<Platform> =
            ["linux/386", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64"].map(platform).to_vec();
        let choose = |host: &str| platform(host).choose(offered.iter().map(|p| (p, p.to_string())));
        assert_eq!(choose("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(choose("linux/amd64/v3").as_deref(), Some("linux/amd64"));
        assert_eq!(choose("linux/arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(choose("linux/arm/v6").as_deref(), Some("linux/arm/v6"));
        assert_eq!(choose("linux/s390x"), None);
    }
}
