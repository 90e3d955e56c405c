//! The members of an archive by path: what was stored, what links where, and the documents kept in memory.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{ArchiveError, Limits, Stored};

/// Links that are followed for one path.
const MAX_LINKS: usize = 40;
/// Longest path that is looked up, in bytes (what Linux takes).
const MAX_PATH: usize = 4096;

enum Node {
    File(Option<Stored>),
    /// Cleaned path of the target.
    Link(String),
}

/// Everything that one pass found. A later member replaces an earlier one of the same path, as unpacking would.
pub(crate) struct Inventory {
    limits: Limits,
    nodes: HashMap<String, Node>,
    documents: HashMap<String, Bytes>,
    kept: u64,
    named: u64,
}

impl Inventory {
    pub(crate) fn new(limits: Limits) -> Inventory {
        Inventory { limits, nodes: HashMap::new(), documents: HashMap::new(), kept: 0, named: 0 }
    }

    /// Adds a file; `stored` is `None` for members that only describe others.
    pub(crate) fn add_file(&mut self, path: String, stored: Option<Stored>) -> Result<(), ArchiveError> {
        self.add(path, Node::File(stored))
    }

    /// Adds a link from `path` to `target`, both cleaned.
    pub(crate) fn add_link(&mut self, path: String, target: String) -> Result<(), ArchiveError> {
        // A link to itself would hide the file that it was made of.
        if path == target {
            return Ok(());
        }
        self.named += target.len() as u64;
        self.add(path, Node::Link(target))
    }

    /// Keeps the bytes of the file at `path`.
    pub(crate) fn keep_document(&mut self, path: &str, bytes: Bytes) -> Result<(), ArchiveError> {
        self.kept += bytes.len() as u64;
        if self.kept > self.limits.documents {
            return Err(ArchiveError::Limit { what: "JSON documents, in bytes,", limit: self.limits.documents });
        }
        self.documents.insert(path.to_owned(), bytes);
        Ok(())
    }

    fn add(&mut self, path: String, node: Node) -> Result<(), ArchiveError> {
        self.named += path.len() as u64;
        if self.nodes.len() as u64 >= self.limits.members {
            return Err(ArchiveError::Limit { what: "members", limit: self.limits.members });
        }
        if self.named > self.limits.documents {
            return Err(ArchiveError::Limit { what: "names, in bytes,", limit: self.limits.documents });
        }
        if let Some(replaced) = self.documents.remove(&path) {
            self.kept -= replaced.len() as u64;
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// The path of the file that `path` leads to through links, which never leave the archive; `None` without one.
    pub(crate) fn follow(&self, path: &str) -> Result<Option<String>, ArchiveError> {
        let mut current = clean(path);
        for _ in 0..MAX_LINKS {
            if current.len() > MAX_PATH {
                return Ok(None);
            }
            if let Some(Node::File(_)) = self.nodes.get(&current) {
                return Ok(Some(current));
            }
            let ends = current.match_indices('/').map(|(at, _)| at).chain([current.len()]);
            let link = ends.into_iter().find_map(|end| match self.nodes.get(&current[..end]) {
                Some(Node::Link(target)) => Some((target, end)),
                _ => None,
            });
            match link {
                Some((target, end)) => current = clean(&format!("{target}/{}", &current[end..])),
                None => return Ok(None),
            }
        }
        Err(ArchiveError::LinkLoop(path.to_owned()))
    }

    /// [`Inventory::follow`], with an error that says which `document` wanted the member.
    pub(crate) fn find(&self, path: &str, document: &str) -> Result<String, ArchiveError> {
        self.follow(path)?.ok_or_else(|| ArchiveError::Missing { document: document.to_owned(), path: path.to_owned() })
    }

    /// What the sink said of the file at a path that was followed.
    pub(crate) fn stored(&self, path: &str) -> Option<Stored> {
        match self.nodes.get(path) {
            Some(Node::File(stored)) => *stored,
            _ => None,
        }
    }

    /// The kept bytes of the file that `path` leads to.
    pub(crate) fn document(&self, path: &str) -> Result<Option<&Bytes>, ArchiveError> {
        Ok(self.follow(path)?.and_then(|path| self.documents.get(&path)))
    }

    /// The kept bytes of a member that has to be there.
    pub(crate) fn needed_document(&self, path: &str, document: &str) -> Result<&Bytes, ArchiveError> {
        let found = self.find(path, document)?;
        self.documents.get(&found).ok_or_else(|| ArchiveError::Document {
            path: path.to_owned(),
            cause: format!("not a JSON document of at most {} bytes", self.limits.document),
        })
    }

    /// Paths of all kept documents, in no order.
    pub(crate) fn document_paths(&self) -> impl Iterator<Item = &str> {
        self.documents.keys().map(String::as_str)
    }
}

/// A path without `.`, empty components, leading and trailing slashes; `..` goes up, but never out.
pub(crate) fn clean(path: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.join("/")
}

/// The target of a symbolic link at `path`, cleaned.
pub(crate) fn symbolic_target(path: &str, target: &str) -> String {
    match (target.starts_with('/'), path.rsplit_once('/')) {
        (false, Some((directory, _))) => clean(&format!("{directory}/{target}")),
        _ => clean(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(files: &[&str], links: &[(&str, &str)]) -> Inventory {
        let mut inventory = Inventory::new(Limits::default());
        for path in files {
            inventory.add_file(clean(path), None).unwrap();
        }
        for (path, target) in links {
            inventory.add_link((*path).to_owned(), symbolic_target(path, target)).unwrap();
        }
        inventory
    }

    #[test]
    fn links_are_followed_within_the_archive() {
        let inventory = inventory(
            &["./a/layer.tar", "layer.tar", "blobs/sha256/x"],
            &[
                ("b/layer.tar", "../a/layer.tar"),
                ("c/layer.tar", "../b/layer.tar"),
                ("d/layer.tar", "../../../../layer.tar"),
                ("e/layer.tar", "/a/layer.tar"),
                ("other", "blobs/sha256"),
                ("loop", "pool"),
                ("pool", "loop"),
                ("dangling", "nowhere"),
                ("self", "self"),
            ],
        );
        for (path, expected) in [
            ("a/layer.tar", Some("a/layer.tar")),
            ("/a/../a//./layer.tar", Some("a/layer.tar")),
            ("c/layer.tar", Some("a/layer.tar")),
            ("d/layer.tar", Some("layer.tar")),
            ("e/layer.tar", Some("a/layer.tar")),
            ("other/x", Some("blobs/sha256/x")),
            ("../../layer.tar", Some("layer.tar")),
            ("dangling", None),
            ("self", None),
            ("", None),
        ] {
            assert_eq!(inventory.follow(path).unwrap().as_deref(), expected, "{path}");
        }
        assert!(matches!(inventory.follow("loop"), Err(ArchiveError::LinkLoop(_))));
    }
}
