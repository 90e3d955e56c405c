//! One entry: names, metadata, attributes.

use std::io::Read;

use super::Pass;
use crate::entry::{Kind, Metadata, NewEntry, Timestamp, Xattrs};
use crate::error::{LayerError, TarProblem};
use crate::pack::PackSink;
use crate::path;
use crate::tar::header::Header;
use crate::tar::pax::Pax;

impl<R: Read, S: PackSink> Pass<'_, R, S> {
    pub(super) fn entry(&mut self, header: &Header) -> Result<(), LayerError> {
        let mut extensions = std::mem::take(&mut self.extensions);
        self.name.clear();
        match extensions.long_name.as_deref().or(extensions.pax.path.as_deref()) {
            Some(name) => self.name.extend_from_slice(name),
            None => header.name(&mut self.name),
        }
        let kind = self.tar(kind(header.type_flag(), &self.name))?;
        let metadata = self.tar(metadata(header, &extensions.pax))?;
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => self.tar(header.device())?,
            _ => (0, 0),
        };
        let sparse = self.sparse_form(header, &mut extensions.pax, kind)?;
        self.clean_names(kind, extensions.long_link.as_deref().or(extensions.pax.link.as_deref()), header)?;
        let xattrs = std::mem::take(&mut extensions.pax.xattrs);
        self.admit(&xattrs)?;
        let content = match kind {
            Kind::Regular => self.content(header, &extensions.pax, sparse)?,
            _ => None,
        };
        let entry = NewEntry { path: &self.path, kind, link: &self.link, metadata, device, content };
        if !self.index.push(entry, xattrs) {
            return Err(self.over("number of entries", self.limits.entries));
        }
        self.entries += 1;
        Ok(())
    }

    /// Cleans `name` into `path` and the link target into `link`.
    fn clean_names(&mut self, kind: Kind, target: Option<&[u8]>, header: &Header) -> Result<(), LayerError> {
        if let Err(reason) = path::clean(&self.name, &mut self.path) {
            return Err(self.problem(TarProblem::Path { path: lossy(&self.name), reason }));
        }
        if self.path.is_empty() && kind != Kind::Directory {
            return Err(self.problem(TarProblem::Root));
        }
        let target = target.unwrap_or(header.link());
        self.link.clear();
        match kind {
            Kind::HardLink => {
                let cleaned = path::clean(target, &mut self.link);
                let empty = if self.link.is_empty() { Err(path::PathError::Empty) } else { Ok(()) };
                if let Err(reason) = cleaned.and(empty) {
                    let (path, target) = (lossy(&self.name), lossy(target));
                    return Err(self.problem(TarProblem::HardLink { path, target, reason }));
                }
            }
            Kind::Symlink => {
                if let Err(reason) = path::check_symlink_target(target) {
                    let (path, target) = (lossy(&self.name), lossy(target));
                    return Err(self.problem(TarProblem::Symlink { path, target, reason }));
                }
                self.link.extend_from_slice(target);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks the attributes, and the limits on number and size of entries.
    fn admit(&mut self, xattrs: &Xattrs) -> Result<(), LayerError> {
        let mut size = (self.path.len() + self.link.len()) as u64;
        for (name, value) in xattrs {
            size += (name.len() + value.len()) as u64;
            if let Some(reason) = xattr_problem(name, value) {
                return Err(self.problem(TarProblem::Xattr { path: lossy(&self.path), reason }));
            }
        }
        self.metadata_size += size;
        if self.entries >= self.limits.entries {
            return Err(self.over("number of entries", self.limits.entries));
        }
        self.check("size of names, attributes and headers", self.stored_metadata(), self.limits.metadata_size)
    }
}

pub(crate) fn kind(type_flag: u8, name: &[u8]) -> Result<Kind, TarProblem> {
    Ok(match type_flag {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::Regular,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return Err(TarProblem::Type(type_flag)),
    })
}

pub(crate) fn metadata(header: &Header, pax: &Pax) -> Result<Metadata, TarProblem> {
    // Some writers store owners beyond 2³¹ as negative numbers.
    let id = |value: i64, field| match value {
        0..=0xffff_ffff => Ok(value as u32),
        -0x8000_0000..0 => Ok(value as i32 as u32),
        _ => Err(TarProblem::Number(field)),
    };
    let mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => Timestamp { seconds: header.mtime()?, nanoseconds: 0 },
    };
    Ok(Metadata {
        mode: (header.mode()? & 0o7777) as u16,
        uid: id(pax.uid.map_or_else(|| header.uid(), Ok)?, "uid")?,
        gid: id(pax.gid.map_or_else(|| header.gid(), Ok)?, "gid")?,
        mtime,
    })
}

/// Why Linux would not take an attribute (XATTR_NAME_MAX, XATTR_SIZE_MAX).
pub(crate) fn xattr_problem(name: &[u8], value: &[u8]) -> Option<&'static str> {
    if name.is_empty() || name.len() > 255 || name.contains(&0) {
        return Some("the name is empty, longer than 255 bytes, or contains a NUL byte");
    }
    (value.len() > 64 << 10).then_some("the value is longer than 64 KiB")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
