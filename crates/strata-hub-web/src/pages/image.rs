//! What the pages about an image share: which one of a tag is meant, how a layer is coloured, how paths of any bytes travel
//! in addresses.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use strata_hub::records::{RepositoryRow, TagRow};
use strata_hub::{Hub, ImageParts, facts_of};
use strata_model::{ErrorKind, ImageConfig};

use super::repository::Head;
use crate::failure::{Failure, Result};
use crate::site::{Values, Visit};
use crate::views::{Step, repository_path};
use crate::words;

/// An image of a tag that is looked at.
pub(super) struct Shown {
    pub(super) tag: TagRow,
    pub(super) platform: String,
    pub(super) parts: ImageParts,
    /// The page of the tag.
    pub(super) path: String,
    /// `platform=…` when the tag has several, to be put at the end of addresses.
    query: String,
}

impl Shown {
    /// The image that the address of a page means: of the tag `name`, or of the default one. `None`: there is no image.
    pub(super) async fn of(
        visit: &Visit,
        row: &RepositoryRow,
        head: &Head,
        name: Option<&str>,
    ) -> Result<Option<Shown>> {
        let failed = |error| Failure::of(visit, error);
        let tag = match name {
            None => head.default.clone(),
            Some(name) => Some(tag(visit, row, name).await?),
        };
        let Some(tag) = tag else { return Ok(None) };
        let values = Values::of(visit.uri.query().unwrap_or_default());
        let Some(found) = found(&visit.hub, row, &tag, values.first("platform")).await.map_err(failed)? else {
            return Ok(None);
        };
        let (parts, platform) = found;
        let query = match tag.manifest.images.len() {
            0 | 1 => String::new(),
            _ => format!("platform={}", encode(platform.as_bytes())),
        };
        let path = format!("{}/tags/{}", repository_path(row), tag.tag);
        Ok(Some(Shown { tag, platform, parts, path, query }))
    }

    /// The address of a part of the tag's page for the same platform; `query` is what it asks besides.
    pub(super) fn address(&self, part: &str, query: &str) -> String {
        let queries: Vec<&str> = [query, self.query.as_str()].into_iter().filter(|query| !query.is_empty()).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        format!("{}/{part}{mark}{}", self.path, queries.join("&"))
    }

    /// `platform=…` when the tag has several platforms.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The other platforms, each with the address of this part, or of the tag's own page; nothing when there is one only.
    pub(super) fn platforms(&self, part: &str) -> Vec<Step> {
        let images = &self.tag.manifest.images;
        if images.len() < 2 {
            return Vec::new();
        }
        let slash = if part.is_empty() { "" } else { "/" };
        let step = |platform: String| Step {
            address: format!("{}{slash}{part}?platform={}", self.path, encode(platform.as_bytes())),
            is_current: platform == self.platform,
            label: platform,
        };
        let mut platforms: Vec<String> = images.iter().map(|image| image.platform()).collect();
        platforms.dedup();
        platforms.into_iter().map(step).collect()
    }
}

/// How an image is configured, as it is read.
pub(super) fn settings_of(config: &ImageConfig) -> Vec<(String, String)> {
    let facts = facts_of(config).into_iter();
    facts.map(|(name, value)| (words::setting(&name, &value), name)).map(|(value, name)| (name, value)).collect()
}

/// A tag that must be there.
pub(super) async fn tag(visit: &Visit, row: &RepositoryRow, name: &str) -> Result<TagRow> {
    match visit.hub.tag(row, name).await {
        Ok(tag) => Ok(tag),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::not_found(visit, "tag")),
        Err(error) => Err(Failure::of(visit, error)),
    }
}

/// The image of a tag for a platform, or else for the first; `None` when it is not kept here, or the tag is no image.
pub(super) async fn found(
    hub: &Hub,
    row: &RepositoryRow,
    tag: &TagRow,
    platform: &str,
) -> strata_hub::Result<Option<(ImageParts, String)>> {
    let images = &tag.manifest.images;
    let Some(image) = images.iter().find(|image| image.platform() == platform).or(images.first()) else {
        return Ok(None);
    };
    match hub.image_parts(row, &image.digest).await {
        Ok(parts) => Ok(Some((parts, image.platform()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of a path as they stand in an address.
pub(super) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string().replace("%2F", "/")
}

/// The bytes that a query gives a name, whether they are text or not.
pub(super) fn bytes_of(query: &str, name: &str) -> Vec<u8> {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name);
    value.map_or_else(Vec::new, |(_, value)| percent_decode_str(&value.replace('+', " ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_bytes_travel() {
        for path in [&b"usr/bin"[..], b"caf\xe9/a b+c&d=e%", b"<script>\"'", b""] {
            let query = format!("page=1&path={}&x=y", encode(path));
            assert_eq!(bytes_of(&query, "path"), path);
        }
        assert_eq!(bytes_of("paths=1", "path"), b"");
    }
}
