//! What templates show: values made ready to be printed.

use strata_hub::records::{RepositoryRow, TagRow};

use crate::words;

/// A time in three forms.
pub(crate) struct Moment {
    pub(crate) words: String,
    pub(crate) exact: String,
    pub(crate) machine: String,
}

impl Moment {
    pub(crate) fn of(time: i64, now: i64) -> Moment {
        Moment { words: words::ago(time, now), exact: words::exact(time), machine: words::machine(time) }
    }
}

/// How far a publisher is known.
pub(crate) enum Badge {
    Official,
    VerifiedPublisher,
    Community,
}

/// A repository in a list, and the head of its page.
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: String,
    pub(crate) badge: Badge,
    pub(crate) is_private: bool,
    pub(crate) pulls: String,
    pub(crate) pulls_exact: u64,
    pub(crate) stars: String,
    pub(crate) updated: Option<Moment>,
    pub(crate) platforms: String,
}

impl Card {
    pub(crate) fn of(row: &RepositoryRow, now: i64) -> Card {
        let badge = match (row.is_official, row.is_verified) {
            (true, _) => Badge::Official,
            (false, true) => Badge::VerifiedPublisher,
            (false, false) => Badge::Community,
        };
        let architectures: Vec<&str> =
            row.platforms.iter().map(|platform| platform.strip_prefix("linux/").unwrap_or(platform)).collect();
        Card {
            name: row.familiar_name(),
            path: repository_path(row),
            description: row.description.clone(),
            badge,
            is_private: row.is_private,
            pulls: words::counted(row.pulls, "pull"),
            pulls_exact: row.pulls,
            stars: words::counted(row.stars, "star"),
            updated: row.last_pushed.map(|time| Moment::of(time, now)),
            platforms: architectures.join(", "),
        }
    }
}

/// `/_/nginx` for official images, `/r/namespace/name` for others.
pub(crate) fn repository_path(row: &RepositoryRow) -> String {
    named_path(&row.full_name())
}

/// The same of a full name.
pub(crate) fn named_path(full_name: &str) -> String {
    match full_name.strip_prefix("library/") {
        Some(name) => format!("/_/{name}"),
        None => format!("/r/{full_name}"),
    }
}

/// A row of the table of tags.
pub(crate) struct TagView {
    pub(crate) tag: String,
    pub(crate) path: String,
    pub(crate) digest: String,
    pub(crate) short_digest: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) platforms: Vec<(String, String)>,
    pub(crate) pushed: Moment,
    pub(crate) pushed_by: String,
    pub(crate) last_pulled: Option<Moment>,
    pub(crate) pulls: String,
}

impl TagView {
    /// `aliases`: other tags on the same digest.
    pub(crate) fn of(row: &TagRow, aliases: Vec<String>, repository: &str, now: i64) -> TagView {
        let digest = row.manifest.digest.to_string();
        TagView {
            tag: row.tag.clone(),
            path: format!("{repository}/tags/{}", row.tag),
            short_digest: words::short(&digest).to_owned(),
            digest,
            aliases,
            platforms: row.manifest.images.iter().map(|image| (image.platform(), words::size(image.size))).collect(),
            pushed: Moment::of(row.pushed, now),
            pushed_by: row.pushed_by.clone(),
            last_pulled: row.last_pulled.map(|time| Moment::of(time, now)),
            pulls: words::count(row.pulls),
        }
    }
}

/// One choice of a list.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) is_chosen: bool,
}

/// Something to go to.
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) address: String,
    pub(crate) is_current: bool,
}
