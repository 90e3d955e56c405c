//! What the administrator writes about the registries that are mirrored.
//!
//! ```toml
//! max_size = "500GB"
//!
//! [upstream."docker.io"]
//! default = true
//! prefix = "hub"
//! username = "acme"
//! password_file = "/etc/strata/docker-hub"
//! fresh_for = "10m"
//! keep_for = "30d"
//!
//! [upstream."ghcr.io"]
//! url = "https://ghcr.io"
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::MirrorError;
use crate::remote::Remote;

/// The registries that are mirrored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorSettings {
    /// By the name that clients know a registry under: what `ns` says, and what stands in an image's name.
    #[serde(default)]
    pub upstream: BTreeMap<String, UpstreamSettings>,
    /// How much all mirrors may keep together; what was used longest ago goes first. Without it there is no limit.
    pub max_size: Option<ByteSize>,
}

/// One registry that is mirrored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Where it is, with a path if its repositories lie below one; without it `https://` and its name.
    pub url: Option<String>,
    /// Other addresses that answer for it, asked before it.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// `hub` lets `<this server>/hub/library/nginx` mean its `library/nginx`.
    pub prefix: Option<String>,
    /// Whether it has what is not here and no other upstream is meant. At most one can be.
    #[serde(default)]
    pub default: bool,
    /// Who the mirror is to it. Then only callers who signed in may pull through here.
    pub username: Option<String>,
    /// A file with the password or access token.
    pub password_file: Option<PathBuf>,
    /// How long a tag is served without asking again; 10 minutes.
    pub fresh_for: Option<Span>,
    /// How long what is not used stays; 30 days.
    pub keep_for: Option<Span>,
}

/// A length of time: `90s`, `10m`, `12h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// A number of bytes: `512MiB`, `500GB`, `2TB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteSize(pub u64);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        let units = [("ms", 0), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let (count, seconds) = quantity(&text, &units)
            .ok_or_else(|| format!("{text:?} is no length of time such as \"10m\" or \"30d\""))?;
        if seconds == 0 {
            return Ok(Span(Duration::from_millis(count)));
        }
        let seconds = count.checked_mul(seconds).ok_or_else(|| format!("{text:?} is too long"))?;
        Ok(Span(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<ByteSize, String> {
        let units = [
            ("B", 1),
            ("KB", 1000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
        ];
        let (count, unit) =
            quantity(&text, &units).ok_or_else(|| format!("{text:?} is no number of bytes such as \"500GB\""))?;
        count.checked_mul(unit).map(ByteSize).ok_or_else(|| format!("{text:?} is too much"))
    }
}

/// A number and what its unit stands for.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<(u64, u64)> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    Some((digits.parse().ok()?, *factor))
}

/// What no upstream can have for itself if another one has it.
pub(crate) fn check_together(remotes: &[Arc<Remote>]) -> Result<(), MirrorError> {
    for (position, second) in remotes.iter().enumerate() {
        for first in &remotes[..position] {
            let clash =
                |what| MirrorError::Clash { first: first.name().to_owned(), second: second.name().to_owned(), what };
            if first.is_default && second.is_default {
                return Err(clash("only one can be the default"));
            }
            if first.prefix.is_some() && first.prefix == second.prefix {
                return Err(clash("they have the same prefix"));
            }
            if first.root == second.root {
                return Err(clash("their names are the same"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_and_numbers_of_bytes() {
        let span = |text: &str| Span::try_from(text.to_owned()).ok().map(|span| span.0.as_millis());
        for (text, expected) in [
            ("10m", Some(600_000)),
            ("0s", Some(0)),
            (" 30 d ", Some(2_592_000_000)),
            ("250ms", Some(250)),
            ("12h", Some(43_200_000)),
            ("", None),
            ("10", None),
            ("m", None),
            ("-1m", None),
            ("10 weeks", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(span(text), expected, "{text:?}");
        }
        let size = |text: &str| ByteSize::try_from(text.to_owned()).ok().map(|size| size.0);
        for (text, expected) in [
            ("500GB", Some(500_000_000_000)),
            ("1 MiB", Some(1 << 20)),
            ("7B", Some(7)),
            ("7", None),
            ("1gb", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_file_is_read() {
        let settings: MirrorSettings = toml::from_str(
            r#"
            max_size = "10GiB"
            [upstream."docker.io"]
            default = true
            prefix = "hub"
            fresh_for = "1h"
            [upstream."ghcr.io"]
            "#,
        )
        .unwrap();
        assert_eq!(settings.max_size, Some(ByteSize(10 << 30)));
        assert_eq!(settings.upstream["docker.io"].fresh_for, Some(Span(Duration::from_secs(3600))));
        assert_eq!(settings.upstream["ghcr.io"], UpstreamSettings::default());
        for wrong in ["max_size = 3", "[upstream.x]\nfresh_for = \"soon\"", "[upstream.x]\npasword_file = \"x\""] {
            assert!(toml::from_str::<MirrorSettings>(wrong).is_err(), "{wrong}");
        }
    }
}
