//! OCI image layouts as documents: paths, the marker file, and changes of `index.json`. Pure functions, for archives
//! as well as for layout directories (OCI image-spec image-layout.md).
//!
//! ```text
//! oci-layout              {"imageLayoutVersion":"1.0.0"}
//! index.json              descriptors of what is saved, named by annotations
//! blobs/<algorithm>/<hex> manifests, configurations and layers
//! ```
//!
//! Whoever updates a directory writes blobs first and replaces `index.json` last, atomically, under a lock of its own.

use serde::Deserialize;
use serde_json::{Map, Value};
use strata_model::{Descriptor, Digest, MediaType, Reference};

use crate::names::{IMAGE_NAME, REF_NAME};
use crate::synthesis::json;
use crate::{ArchiveError, names};

/// The directory of blobs.
pub const BLOBS: &str = "blobs";
/// Path of the index.
pub const INDEX: &str = "index.json";
/// Path of the marker file.
pub const MARKER: &str = "oci-layout";
/// Content of the marker file.
pub const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The path of a blob within a layout.
pub fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Checks the content of the marker file.
///
/// # Errors
/// When it is not JSON, or of a version that is not known.
pub fn check_version(marker: &[u8]) -> Result<(), ArchiveError> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let Marker { version } = serde_json::from_slice(marker).map_err(|cause| malformed(MARKER, &cause))?;
    if version == "1.0.0" { Ok(()) } else { Err(ArchiveError::LayoutVersion(version)) }
}

/// A descriptor with the two annotations that give it a name: the canonical name and the tag.
pub fn with_name(mut descriptor: Descriptor, name: &Reference) -> Descriptor {
    descriptor.annotations.insert(IMAGE_NAME.into(), name.to_string());
    if let Some(tag) = name.tag() {
        descriptor.annotations.insert(REF_NAME.into(), tag.to_string());
    }
    descriptor
}

/// The bytes of an index with these entries.
pub fn index(entries: &[Descriptor]) -> Vec<u8> {
    let entries = entries.iter().map(value).collect();
    render(Map::new(), entries)
}

/// The bytes of an index that has `entry` besides what `existing` has.
///
/// An entry of the same name (`org.opencontainers.image.ref.name`, and canonical name where both have one) is replaced
/// in its place; an entry without a name replaces one of the same digest without a name. All else, also what is not
/// known here, stays as it was. `existing` is `None` for a new layout.
///
/// # Errors
/// When `existing` is not an index.
pub fn add(existing: Option<&[u8]>, entry: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
    let (document, mut entries) = match existing {
        Some(bytes) => parse(bytes)?,
        None => (Map::new(), Vec::new()),
    };
    let added = value(entry);
    let replaced: Vec<usize> =
        (0..entries.len()).filter(|&position| is_same_entry(&entries[position], &added)).collect();
    match replaced.split_first() {
        None => entries.push(added),
        Some((&first, others)) => {
            entries[first] = added;
            others.iter().rev().for_each(|&position| drop(entries.remove(position)));
        }
    }
    Ok(render(document, entries))
}

/// The bytes of the index without the entries of this name (a reference name or a canonical image name).
///
/// # Errors
/// When `existing` is not an index, or no entry has the name.
pub fn remove(existing: &[u8], name: &str) -> Result<Vec<u8>, ArchiveError> {
    let (document, mut entries) = parse(existing)?;
    let before = entries.len();
    entries.retain(|entry| annotation(entry, REF_NAME) != Some(name) && annotation(entry, IMAGE_NAME) != Some(name));
    if entries.len() == before {
        return Err(ArchiveError::NoReference(name.to_owned()));
    }
    Ok(render(document, entries))
}

/// The entry that a name means: by reference name, else by canonical image name. Without a name, the only entry.
///
/// # Errors
/// When `existing` is not an index, or there is no such entry, or there are several.
pub fn find(existing: &[u8], name: Option<&str>) -> Result<Descriptor, ArchiveError> {
    let (_, entries) = parse(existing)?;
    let by = |key: &str| -> Vec<&Value> {
        entries.iter().filter(|entry| name.is_none_or(|name| annotation(entry, key) == Some(name))).collect()
    };
    let mut found = by(REF_NAME);
    if found.is_empty() {
        found = by(IMAGE_NAME);
    }
    match found[..] {
        [entry] => serde_json::from_value(entry.clone()).map_err(|cause| malformed(INDEX, &cause)),
        _ => Err(ArchiveError::NoReference(name.unwrap_or_default().to_owned())),
    }
}

/// The name of an entry, by the rules that archives are loaded by.
///
/// # Errors
/// When the canonical image name is no reference.
pub fn name_of(entry: &Descriptor) -> Result<Option<Reference>, ArchiveError> {
    names::annotated(&entry.annotations)
}

/// Document without its entries, and the entries; untyped, so that unknown keys survive.
fn parse(bytes: &[u8]) -> Result<(Map<String, Value>, Vec<Value>), ArchiveError> {
    let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(|cause| malformed(INDEX, &cause))?;
    match document.insert("manifests".into(), Value::Null) {
        Some(Value::Array(entries)) => Ok((document, entries)),
        Some(Value::Null) | None => Ok((document, Vec::new())),
        Some(_) => Err(malformed(INDEX, &"`manifests` is not a list")),
    }
}

fn render(mut document: Map<String, Value>, entries: Vec<Value>) -> Vec<u8> {
    if document.is_empty() {
        document.insert("schemaVersion".into(), 2.into());
        document.insert("mediaType".into(), MediaType::OCI_INDEX.as_str().into());
    }
    document.insert("manifests".into(), Value::Array(entries));
    json(&document)
}

fn value(entry: &Descriptor) -> Value {
    serde_json::to_value(entry).unwrap_or_default()
}

fn annotation<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get("annotations")?.get(key)?.as_str()
}

fn is_same_entry(old: &Value, new: &Value) -> bool {
    let same = |key| annotation(old, key) == annotation(new, key);
    match (annotation(old, IMAGE_NAME), annotation(new, IMAGE_NAME)) {
        (Some(old), Some(new)) => old == new,
        _ if annotation(new, REF_NAME).is_some() => same(REF_NAME),
        _ => same(REF_NAME) && same(IMAGE_NAME) && old.get("digest") == new.get("digest"),
    }
}

fn malformed(path: &str, cause: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Document { path: path.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, name: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::new(MediaType::OCI_MANIFEST, Digest::of(content.as_bytes()), content.len() as u64);
        entry.annotations.extend(name.map(|name| (REF_NAME.to_owned(), name.to_owned())));
        entry
    }

    #[test]
    fn entries_are_added_replaced_found_and_removed() {
        let index = add(None, &entry("one", Some("1"))).unwrap();
        let index = add(Some(&index), &entry("two", Some("2"))).unwrap();
        let index = add(Some(&index), &entry("other", Some("1"))).unwrap();
        assert_eq!(find(&index, Some("1")).unwrap(), entry("other", Some("1")));
        assert_eq!(find(&index, Some("2")).unwrap(), entry("two", Some("2")));
        assert!(matches!(find(&index, None), Err(ArchiveError::NoReference(_))));
        let index = remove(&index, "1").unwrap();
        assert_eq!(find(&index, None).unwrap(), entry("two", Some("2")));
        assert!(matches!(remove(&index, "1"), Err(ArchiveError::NoReference(_))));
    }

    #[test]
    fn canonical_names_decide_over_equal_tags() {
        let name = |text: &str| Reference::parse(text).unwrap();
        let index = add(None, &with_name(entry("a", None), &name("a:latest"))).unwrap();
        let index = add(Some(&index), &with_name(entry("b", None), &name("b:latest"))).unwrap();
        let found = find(&index, Some("docker.io/library/b:latest")).unwrap();
        assert_eq!(found.digest, Digest::of(b"b"));
        assert_eq!(name_of(&found).unwrap(), Some(name("b:latest")));
    }

    #[test]
    fn unknown_keys_and_the_order_of_keys_survive() {
        let existing = br#"{"x":1,"schemaVersion":2,"manifests":[{"mediaType":"m","y":[2]}],"annotations":{}}"#;
        let index = String::from_utf8(add(Some(existing), &entry("", Some("t"))).unwrap()).unwrap();
        assert!(index.starts_with(r#"{"x":1,"schemaVersion":2,"manifests":[{"mediaType":"m","y":[2]},{"#), "{index}");
        assert!(index.ends_with(r#"}],"annotations":{}}"#), "{index}");
        assert!(add(Some(b"[]"), &entry("", None)).is_err());
        assert!(add(Some(br#"{"manifests":3}"#), &entry("", None)).is_err());
    }

    #[test]
    fn a_name_of_several_entries_is_not_found() {
        let twice = index(&[entry("a", Some("1.0.0")), entry("b", Some("1.0.0"))]);
        assert!(matches!(find(&twice, Some("1.0.0")), Err(ArchiveError::NoReference(_))));
    }

    #[test]
    fn only_version_1_is_read() {
        check_version(MARKER_CONTENT).unwrap();
        assert!(matches!(check_version(br#"{"imageLayoutVersion":"2.0.0"}"#), Err(ArchiveError::LayoutVersion(_))));
        assert!(matches!(check_version(b"2"), Err(ArchiveError::Document { .. })));
    }
}
