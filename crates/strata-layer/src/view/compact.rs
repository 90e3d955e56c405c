//! The compact form of a merged tree: the tables of a view, inodes numbered as a depth-first walk meets them.

use std::collections::HashMap;

use super::merge::{MergeCause, MergeError, Name, Node, ROOT, Tree};
use super::{ImageView, InodeRecord, NONE, NameRecord};
use crate::entry::{EntryRef, Kind, LayerIndex, Metadata, PackId, Xattrs};

impl<'a> Tree<'a> {
    /// The names that survive in a directory, sorted.
    fn survivors(&self, directory: u32) -> Vec<&Name<'a>> {
        let mut survivors = Vec::new();
        let mut child = self.nodes[directory as usize].first_child;
        while child != NONE {
            let name = &self.names[child as usize];
            if !self.is_overlay_whiteout(name.node) {
                survivors.push(name);
            }
            child = name.next;
        }
        survivors.sort_unstable_by_key(|name| name.name);
        survivors
    }

    fn is_overlay_whiteout(&self, node: u32) -> bool {
        self.nodes[node as usize].kind == Kind::CharDevice
            && self.source(node).is_some_and(|entry| entry.device == (0, 0))
    }

    /// The view of this tree.
    pub(super) fn finish(mut self) -> Result<ImageView, MergeError> {
        self.lookup = HashMap::new();
        let mut writer = ViewWriter::default();
        let mut numbers = vec![NONE; self.nodes.len()];
        let mut pending = vec![(ROOT, 0)];
        while let Some((node, parent)) = pending.pop() {
            let known = numbers[node as usize];
            if known != NONE {
                writer.view.inodes[known as usize].links += 1;
                continue;
            }
            let number = writer.view.inodes.len() as u32;
            numbers[node as usize] = number;
            self.write_inode(&mut writer, node, parent).map_err(|cause| self.error(node, cause))?;
            if self.nodes[node as usize].kind == Kind::Directory {
                let survivors = self.survivors(node);
                let too_large = |cause| self.error(node, cause);
                let first = writer.view.names.len() as u32;
                for name in &survivors {
                    writer.name(name.name, name.node).map_err(too_large)?;
                }
                let record = &mut writer.view.inodes[number as usize];
                (record.first, record.second, record.links) = (first, survivors.len() as u32, 2);
                if node != ROOT {
                    let parent = &mut writer.view.inodes[parent as usize];
                    parent.links = parent.links.saturating_add(1);
                }
                pending.extend(survivors.iter().rev().map(|name| (name.node, number)));
            }
        }
        for name in &mut writer.view.names {
            name.inode = numbers[name.inode as usize];
        }
        Ok(writer.finish())
    }

    fn write_inode(&self, writer: &mut ViewWriter<'a>, node: u32, parent: u32) -> Result<(), MergeCause> {
        let Node { kind, layer, .. } = self.nodes[node as usize];
        let undescribed = Metadata { mode: 0o755, ..Metadata::default() };
        let source = self.source(node);
        let metadata = source.map_or(undescribed, |entry| entry.metadata);
        let (first, second) = match (kind, source) {
            (Kind::Symlink, Some(entry)) => (writer.text(entry.link)?, entry.link.len() as u32),
            (Kind::CharDevice | Kind::BlockDevice, Some(entry)) => entry.device,
            (Kind::Regular, Some(entry)) => (writer.content(self.layers[layer as usize], &entry)?, 0),
            _ => (NONE, 0),
        };
        let xattrs = source.map_or(NONE, |entry| writer.xattrs(entry.xattrs));
        writer.view.inodes.push(InodeRecord {
            seconds: metadata.mtime.seconds,
            nanoseconds: metadata.mtime.nanoseconds.min(999_999_999),
            uid: metadata.uid,
            gid: metadata.gid,
            layer,
            links: 1,
            xattrs,
            first,
            second,
            parent: if kind == Kind::Directory { parent } else { 0 },
            mode: metadata.mode & 0o7777,
            kind,
        });
        Ok(())
    }

    fn error(&self, node: u32, cause: MergeCause) -> MergeError {
        let layer = self.nodes[node as usize].layer as usize;
        let diff_id = Box::new(self.layers[layer].diff_id);
        MergeError { layer, diff_id, path: self.source(node).map_or(Vec::new(), |entry| entry.path.to_vec()), cause }
    }
}

/// Makes the tables of a view.
struct ViewWriter<'a> {
    view: ImageView,
    packs: HashMap<PackId, u16>,
    xattrs: HashMap<Xattrs, u32>,
    last_xattrs: &'a [(Vec<u8>, Vec<u8>)],
    last_position: u32,
}

impl Default for ViewWriter<'_> {
    fn default() -> Self {
        ViewWriter {
            view: ImageView {
                arena: Vec::new(),
                inodes: Vec::new(),
                names: Vec::new(),
                contents: Vec::new(),
                xattrs: Vec::new(),
                packs: Vec::new(),
            },
            packs: HashMap::new(),
            xattrs: HashMap::new(),
            last_xattrs: &[],
            last_position: NONE,
        }
    }
}

impl<'a> ViewWriter<'a> {
    fn text(&mut self, text: &[u8]) -> Result<u32, MergeCause> {
        let offset = self.view.arena.len();
        if offset + text.len() >= NONE as usize {
            return Err(MergeCause::TooLarge);
        }
        self.view.arena.extend_from_slice(text);
        Ok(offset as u32)
    }

    /// Adds a name, for now with the number of the node in the tree.
    fn name(&mut self, name: &[u8], node: u32) -> Result<(), MergeCause> {
        let offset = self.text(name)?;
        self.view.names.push(NameRecord { offset, length: name.len() as u16, inode: node });
        Ok(())
    }

    fn content(&mut self, index: &LayerIndex, entry: &EntryRef<'a>) -> Result<u32, MergeCause> {
        let Some(mut content) = entry.content else { return Ok(NONE) };
        if content.size == 0 {
            return Ok(NONE);
        }
        let pack = *index.packs.get(usize::from(content.pack)).ok_or(MergeCause::UnknownPack)?;
        content.pack = match self.packs.get(&pack) {
            Some(position) => *position,
            None => {
                let position = u16::try_from(self.packs.len()).map_err(|_| MergeCause::TooLarge)?;
                self.packs.insert(pack, position);
                self.view.packs.push(pack);
                position
            }
        };
        self.view.contents.push(content);
        Ok(self.view.contents.len() as u32 - 1)
    }

    /// Position of an attribute set without the attributes that overlayfs would act on.
    fn xattrs(&mut self, xattrs: &'a [(Vec<u8>, Vec<u8>)]) -> u32 {
        if std::ptr::eq(self.last_xattrs, xattrs) {
            return self.last_position;
        }
        let kept: Xattrs = xattrs.iter().filter(|(name, _)| !is_overlay_xattr(name)).cloned().collect();
        let next = self.xattrs.len() as u32;
        let position = if kept.is_empty() { NONE } else { *self.xattrs.entry(kept).or_insert(next) };
        (self.last_xattrs, self.last_position) = (xattrs, position);
        position
    }

    fn finish(self) -> ImageView {
        let mut view = self.view;
        let mut xattrs: Vec<(Xattrs, u32)> = self.xattrs.into_iter().collect();
        xattrs.sort_unstable_by_key(|(_, position)| *position);
        view.xattrs = xattrs.into_iter().map(|(xattrs, _)| xattrs).collect();
        view.arena.shrink_to_fit();
        view.inodes.shrink_to_fit();
        view.names.shrink_to_fit();
        view.contents.shrink_to_fit();
        view
    }
}

fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}
