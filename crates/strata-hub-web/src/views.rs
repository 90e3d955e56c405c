//! What templates show: values made ready to be printed.

use strata_hub::records::{RepositoryRow, TagRow};
use strata_model::Digest;

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
    /// A letter and the class that colours it, by which the repository is known again.
    pub(crate) mark: (String, String),
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
            mark: mark(&row.full_name()),
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

/// Colours that there are; each is told from the ground in both schemes (`assets/style.css`).
const COLOURS: u64 = 12;

/// The class that colours what has this digest, wherever it is shown.
pub(crate) fn colour(digest: &Digest) -> String {
    let first = digest.raw().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("c{}", first % COLOURS)
}

/// The first letter of the last part of a name, and its colour.
pub(crate) fn mark(name: &str) -> (String, String) {
    let last = name.rsplit('/').next().unwrap_or(name);
    (last.chars().take(1).collect::<String>().to_uppercase(), colour(&Digest::of(name.as_bytes())))
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

/// Tags of one page on the same digest.
pub(crate) struct TagGroup {
    /// In the order of the page.
    pub(crate) tags: Vec<TagView>,
    /// Those of other pages.
    pub(crate) others: Vec<String>,
    /// All names of it, by which it is found as one types.
    pub(crate) names: String,
}

impl TagGroup {
    /// Tags by their digests, in the order in which these come first.
    pub(crate) fn of(tags: Vec<TagView>) -> Vec<TagGroup> {
        let mut groups: Vec<TagGroup> = Vec::new();
        for tag in tags {
            match groups.iter_mut().find(|group| group.digest() == tag.digest) {
                Some(group) => {
                    group.others.retain(|other| *other != tag.tag);
                    group.tags.push(tag);
                }
                None => {
                    let names = [&tag.tag].into_iter().chain(&tag.aliases).map(String::as_str).collect::<Vec<_>>();
                    groups.push(TagGroup { names: names.join(" "), others: tag.aliases.clone(), tags: vec![tag] });
                }
            }
        }
        groups
    }

    fn digest(&self) -> &str {
        self.tags.first().map_or("", |tag| &tag.digest)
    }
}

/// A tag that is no version: cosign keeps under it what belongs to an image.
pub(crate) struct CosignTag {
    pub(crate) kind: &'static str,
    /// The page of the tag.
    pub(crate) path: String,
    /// What it belongs to: a tag of the page, or the beginning of the digest.
    pub(crate) subject: String,
    pub(crate) pushed: Moment,
    pub(crate) pushed_by: String,
}

impl CosignTag {
    /// `None` when the tag only looks like one of cosign's.
    pub(crate) fn of(row: &TagRow, groups: &[TagGroup], repository: &str, now: i64) -> Option<CosignTag> {
        let (kind, subject) = strata_hub::cosign_tag(&row.tag)?;
        let subject = subject.to_string();
        let named = groups.iter().find(|group| group.digest() == subject).and_then(|group| group.tags.first());
        Some(CosignTag {
            kind,
            path: format!("{repository}/tags/{}", row.tag),
            subject: named.map_or_else(|| words::short(&subject).to_owned(), |tag| tag.tag.clone()),
            pushed: Moment::of(row.pushed, now),
            pushed_by: row.pushed_by.clone(),
        })
    }
}

/// One choice of a list.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) is_chosen: bool,
}

impl Choice {
    /// `known`: value and label of each.
    pub(crate) fn list(known: &[(&str, &str)], chosen: &[&str]) -> Vec<Choice> {
        let choice = |(value, label): &(&str, &str)| Choice {
            value: (*value).to_owned(),
            label: (*label).to_owned(),
            is_chosen: chosen.contains(value),
        };
        known.iter().map(choice).collect()
    }
}

/// Something to go to.
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) address: String,
    pub(crate) is_current: bool,
}

impl Step {
    /// To another page.
    pub(crate) fn to(label: impl Into<String>, address: impl Into<String>) -> Step {
        Step { label: label.into(), address: address.into(), is_current: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_has_one_colour() {
        let colours: std::collections::BTreeSet<String> =
            (0..200_u32).map(|number| colour(&Digest::of(&number.to_be_bytes()))).collect();
        assert_eq!(colours.len(), COLOURS as usize);
        assert_eq!(colour(&Digest::of(b"x")), colour(&Digest::of(b"x")));
        assert_eq!(mark("library/nginx").0, "N");
    }

    #[test]
    fn tags_on_one_digest_stand_together() {
        let tag = |name: &str, digest: &str, aliases: &[&str]| TagView {
            tag: name.to_owned(),
            path: String::new(),
            digest: digest.to_owned(),
            short_digest: String::new(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            platforms: Vec::new(),
            pushed: Moment::of(0, 0),
            pushed_by: String::new(),
            last_pulled: None,
            pulls: String::new(),
        };
        let page = vec![
            tag("latest", "a", &["2", "2.1", "stable"]),
            tag("1", "b", &[]),
            tag("2", "a", &["2.1", "latest", "stable"]),
            tag("2.1", "a", &["2", "latest", "stable"]),
        ];
        let groups: Vec<_> = TagGroup::of(page)
            .into_iter()
            .map(|group| (group.tags.into_iter().map(|tag| tag.tag).collect::<Vec<_>>().join(" "), group.others))
            .collect();
        assert_eq!(groups, [("latest 2 2.1".to_owned(), vec!["stable".to_owned()]), ("1".to_owned(), Vec::new())]);
    }
}
