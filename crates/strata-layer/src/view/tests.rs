//! The rules of the merge, one table row each, and the same rules in a naive model for generated layers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use strata_model::{DiffId, Digest};

use super::*;
use crate::entry::{Content, ContentDigest, IndexBuilder, LayerIndex, NewEntry};

/// An entry in the notation of the tables: `path kind detail`.
#[derive(Clone, Debug)]
enum E {
    File(&'static str, &'static str),
    Dir(&'static str, u16),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Char(&'static str, u32, u32),
    Fifo(&'static str),
}
use E::{Char, Dir, Fifo, File, Hard, Link};

impl E {
    fn path(&self) -> &'static str {
        match self {
            File(path, _) | Dir(path, _) | Link(path, _) | Hard(path, _) | Char(path, _, _) | Fifo(path) => path,
        }
    }

    fn new_entry(&self, seconds: i64) -> NewEntry<'_> {
        let mut metadata = Metadata { mode: 0o644, uid: 1, gid: 2, mtime: Timestamp { seconds, nanoseconds: 7 } };
        let (mut link, mut device, mut content) = ("", (0, 0), None);
        let kind = match self {
            File(_, text) => {
                let digest = ContentDigest::of(text.as_bytes());
                content = (!text.is_empty()).then_some(Content { digest, pack: 0, size: text.len() as u64 });
                Kind::Regular
            }
            Dir(_, mode) => {
                metadata.mode = *mode;
                Kind::Directory
            }
            Link(_, target) => {
                link = target;
                Kind::Symlink
            }
            Hard(_, target) => {
                link = target;
                Kind::HardLink
            }
            Char(_, major, minor) => {
                device = (*major, *minor);
                Kind::CharDevice
            }
            Fifo(_) => Kind::Fifo,
        };
        NewEntry { path: self.path().as_bytes(), kind, link: link.as_bytes(), metadata, device, content }
    }
}

fn pack(number: usize) -> PackId {
    PackId([number as u8; 16])
}

fn layer(number: usize, entries: &[E]) -> LayerIndex {
    let mut builder = IndexBuilder::default();
    for entry in entries {
        assert!(builder.push(entry.new_entry(number as i64 + 1), Vec::new()));
    }
    builder.finish(DiffId(Digest::of(&[number as u8])), 0, 0, vec![pack(number)])
}

fn merged(layers: &[Vec<E>]) -> Result<ImageView, MergeError> {
    let layers: Vec<LayerIndex> = layers.iter().enumerate().map(|(number, entries)| layer(number, entries)).collect();
    merge(&layers.iter().collect::<Vec<_>>())
}

/// The view as text, one name a line: `path kind mode layer`, and the detail of its kind. The root is left out.
fn listing(view: &ImageView) -> Vec<String> {
    view.walk().skip(1).map(|(path, id)| line(view, &path, id)).collect()
}

fn line(view: &ImageView, path: &[u8], id: InodeId) -> String {
    let inode = view.inode(id);
    let path = String::from_utf8_lossy(path);
    let detail = match inode.kind {
        Kind::Directory => format!("dir {:o}", inode.metadata.mode),
        Kind::Symlink => format!("-> {}", String::from_utf8_lossy(inode.target)),
        Kind::Regular => {
            let texts = ["1", "2", "3", "4", "one", "two", "three"];
            let digest = inode.content.map(|content| content.digest);
            let text = texts.iter().find(|text| Some(ContentDigest::of(text.as_bytes())) == digest);
            format!("= {}", text.copied().unwrap_or(if digest.is_none() { "" } else { "?" }))
        }
        kind => format!("{kind:?}"),
    };
    let links = if inode.links > 1 && inode.kind != Kind::Directory { format!(" x{}", inode.links) } else { "".into() };
    format!("{path} {detail}{links} @{}", inode.layer)
}

#[test]
fn rules() {
    type Row = (&'static str, Vec<Vec<E>>, Vec<&'static str>);
    let rows: Vec<Row> = vec![
        ("no layers", vec![], vec![]),
        ("missing parents", vec![vec![File("a/b/c", "1")]], vec!["a dir 755 @0", "a/b dir 755 @0", "a/b/c = 1 @0"]),
        (
            "a directory described later",
            vec![vec![File("a/b", "1"), Dir("a", 0o700)]],
            vec!["a dir 700 @0", "a/b = 1 @0"],
        ),
        (
            "sorted bytewise",
            vec![vec![File("b", "1"), File("B", "1"), File("a-b", "1"), File("a/b", "1")]],
            vec!["B = 1 @0", "a dir 755 @0", "a/b = 1 @0", "a-b = 1 @0", "b = 1 @0"],
        ),
        (
            "a directory over a directory keeps children",
            vec![vec![Dir("a", 0o755), File("a/b", "1")], vec![Dir("a", 0o700)]],
            vec!["a dir 700 @1", "a/b = 1 @0"],
        ),
        ("a file over a directory", vec![vec![File("a/b", "1")], vec![File("a", "2")]], vec!["a = 2 @1"]),
        ("a directory over a file", vec![vec![File("a", "1")], vec![Dir("a", 0o711)]], vec!["a dir 711 @1"]),
        (
            "a file, then below it from above",
            vec![vec![File("a", "1")], vec![File("a/b", "2")]],
            vec!["a dir 755 @1", "a/b = 2 @1"],
        ),
        (
            "later duplicates win",
            vec![vec![File("a", "1"), File("a", "2"), Link("a", "x"), Fifo("a")]],
            vec!["a Fifo @0"],
        ),
        ("whiteout", vec![vec![File("a", "1"), File("d/x", "1")], vec![File(".wh.a", ""), File(".wh.d", "")]], vec![]),
        (
            "whiteouts spare their own layer, before and after",
            vec![
                vec![File("a", "1"), File("b", "1")],
                vec![File("a", "2"), File(".wh.a", ""), File(".wh.b", ""), File("b", "2")],
            ],
            vec!["a = 2 @1", "b = 2 @1"],
        ),
        (
            "a whiteout of a directory with new children, mark last",
            vec![vec![Dir("d", 0o700), File("d/x", "1")], vec![File("d/y", "2"), File(".wh.d", "")]],
            vec!["d dir 755 @1", "d/y = 2 @1"],
        ),
        (
            "the same, mark first",
            vec![vec![Dir("d", 0o700), File("d/x", "1")], vec![File(".wh.d", ""), File("d/y", "2")]],
            vec!["d dir 755 @1", "d/y = 2 @1"],
        ),
        (
            "opaque anywhere",
            vec![
                vec![Dir("d", 0o700), File("d/x", "1"), File("d/s/o", "1")],
                vec![File("d/y", "2"), File("d/s/n", "2"), File("d/.wh..wh..opq", ""), File("d/z", "2")],
            ],
            vec!["d dir 700 @0", "d/s dir 755 @1", "d/s/n = 2 @1", "d/y = 2 @1", "d/z = 2 @1"],
        ),
        ("opaque root", vec![vec![File("a", "1")], vec![File("b", "2"), File(".wh..wh..opq", "")]], vec!["b = 2 @1"]),
        (
            "opaque on a link acts where it leads",
            vec![vec![File("d/x", "1"), Link("l", "/d")], vec![File("l/.wh..wh..opq", "")]],
            vec!["d dir 755 @0", "l -> /d @0"],
        ),
        (
            "a whiteout below what is not there or no directory",
            vec![vec![File("f", "1")], vec![File("q/r/.wh.x", ""), File("f/.wh.x", "")]],
            vec!["f = 1 @0"],
        ),
        (
            "strange whiteouts",
            vec![vec![File("a", "1")], vec![File(".wh.", ""), File(".wh..", ""), File(".wh...", "")]],
            vec!["a = 1 @0"],
        ),
        (
            "other marks and what is below marks",
            vec![vec![Dir(".wh..wh.aufs", 0o700), File(".wh..wh.orph/x", "1"), File(".wh.a/b", "1")]],
            vec![],
        ),
        (
            "AUFS link directory",
            vec![vec![File(".wh..wh.plnk/1.2", "1"), Hard("a", ".wh..wh.plnk/1.2"), Hard("b", ".wh..wh.plnk/1.2")]],
            vec!["a = 1 x2 @0", "b = 1 x2 @0"],
        ),
        (
            "parents through a lower link",
            vec![vec![Link("var/run", "/run"), Dir("run", 0o711)], vec![File("var/run/x", "2")]],
            vec!["run dir 711 @0", "run/x = 2 @1", "var dir 755 @0", "var/run -> /run @0"],
        ),
        (
            "parents through a dangling link",
            vec![vec![Link("a", "no/deep")], vec![File("a/x", "2")]],
            vec!["a -> no/deep @0", "no dir 755 @1", "no/deep dir 755 @1", "no/deep/x = 2 @1"],
        ),
        (
            "links never lead out",
            vec![vec![Link("a", "../../.."), File("a/../../x", "1")]],
            vec!["a -> ../../.. @0", "x = 1 @0"],
        ),
        (
            "a relative link in a directory",
            vec![vec![Dir("d/e", 0o700), Link("d/l", "e"), File("d/l/x", "1")]],
            vec!["d dir 755 @0", "d/e dir 700 @0", "d/e/x = 1 @0", "d/l -> e @0"],
        ),
        (
            "the last component is not followed",
            vec![vec![Dir("d", 0o700), Link("l", "d")], vec![Dir("l", 0o711), File("l/x", "2")]],
            vec!["d dir 700 @0", "l dir 711 @1", "l/x = 2 @1"],
        ),
        (
            "a hard link keeps its content",
            vec![vec![File("a", "1"), Hard("b", "a"), File("a", "2")]],
            vec!["a = 2 @0", "b = 1 @0"],
        ),
        (
            "across layers too",
            vec![vec![File("a", "1"), Hard("b", "a")], vec![File("a", "2")]],
            vec!["a = 2 @1", "b = 1 @0"],
        ),
        (
            "a hard link to a lower layer",
            vec![vec![File("a", "1")], vec![Hard("b", "a")]],
            vec!["a = 1 x2 @0", "b = 1 x2 @0"],
        ),
        (
            "a hard link survives its target",
            vec![vec![File("a", "1")], vec![Hard("b", "a"), File(".wh.a", "")]],
            vec!["b = 1 @0"],
        ),
        (
            "a hard link through a link, and to one",
            vec![vec![File("d/x", "1"), Link("l", "d"), Hard("h", "l/x"), Hard("k", "l")]],
            vec!["d dir 755 @0", "d/x = 1 x2 @0", "h = 1 x2 @0", "k -> d x2 @0", "l -> d x2 @0"],
        ),
        ("a hard link to itself", vec![vec![File("h", "1")], vec![Hard("h", "h")]], vec!["h = 1 @0"]),
        ("a hard link over its own directory", vec![vec![File("d/x", "1")], vec![Hard("d", "d/x")]], vec!["d = 1 @0"]),
        (
            "overlay whiteouts hide and are not seen",
            vec![vec![File("a", "1"), Char("t", 4, 5)], vec![Char("a", 0, 0)]],
            vec!["t CharDevice @0"],
        ),
        (
            "a removed directory comes back empty",
            vec![vec![File("d/x", "1")], vec![File(".wh.d", "")], vec![File("d/y", "3")]],
            vec!["d dir 755 @2", "d/y = 3 @2"],
        ),
    ];
    for (name, layers, expected) in rows {
        let view = merged(&layers).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(listing(&view), expected, "{name}");
    }
}

#[test]
fn errors_name_layer_and_path() {
    let long: &'static str = Box::leak("d/".repeat(2100).into_boxed_str()).trim_end_matches('/');
    let rows: Vec<(Vec<Vec<E>>, usize, MergeCause)> = vec![
        (vec![vec![], vec![Hard("h", "q/r")]], 1, MergeCause::LinkTargetMissing(b"q/r".to_vec())),
        (
            vec![vec![File("x", "1")], vec![File(".wh.x", ""), Hard("h", "x")]],
            1,
            MergeCause::LinkTargetMissing(b"x".to_vec()),
        ),
        (vec![vec![Dir("d", 0o755), Hard("h", "d")]], 0, MergeCause::LinkTargetDirectory(b"d".to_vec())),
        (vec![vec![File("a", "1"), File("a/b", "1")]], 0, MergeCause::NotADirectory(b"a".to_vec())),
        (vec![vec![Link("a", "a")], vec![File("a/b", "1")]], 1, MergeCause::TooManyLinks),
        (vec![vec![Fifo("")]], 0, MergeCause::RootNotADirectory),
        (vec![vec![File("a/..", "1")]], 0, MergeCause::InvalidName(b"..".to_vec())),
        (vec![vec![Link("a", "")]], 0, MergeCause::InvalidTarget),
        (vec![vec![Link("a", "/.wh.b"), File("a/x", "1")]], 0, MergeCause::InvalidName(b".wh.b".to_vec())),
        (vec![vec![File(long, "1")]], 0, MergeCause::PathTooLong),
    ];
    for (layers, layer, cause) in rows {
        let error = merged(&layers).err().expect("an error");
        assert_eq!((error.layer, &error.cause), (layer, &cause));
        assert_eq!(error.path, layers[layer].last().unwrap().path().as_bytes());
        assert_eq!(error.kind(), strata_model::ErrorKind::Invalid);
        assert!(error.to_string().starts_with(&format!("merging layer {layer} (sha256:")), "{error}");
    }
}

#[test]
fn metadata_attributes_packs_and_links() {
    let mut builder = IndexBuilder::default();
    let attribute = |name: &str| (name.as_bytes().to_vec(), b"v".to_vec());
    let both = vec![attribute("trusted.overlay.opaque"), attribute("user.k")];
    assert!(builder.push(Dir("d", 0o7750).new_entry(-5), both.clone()));
    assert!(builder.push(Char("d/c", 300, 70_000).new_entry(1), vec![attribute("user.overlay.origin")]));
    assert!(builder.push(Dir("d/e", 0o755).new_entry(1), vec![attribute("user.k")]));
    let mut file = File("d/f", "one").new_entry(1);
    file.content = file.content.map(|content| Content { pack: 2, ..content });
    assert!(builder.push(file, Vec::new()));
    let index = builder.finish(DiffId(Digest::of(b"x")), 0, 0, vec![pack(7), pack(8), pack(9)]);
    let above = layer(1, &[File("a", "two"), File("b", "")]);
    let view = merge(&[&index, &above]).unwrap();

    assert_eq!(view.packs(), [pack(1), pack(9)], "only used packs, in the order of a walk");
    assert_eq!(view.content_size(), 6);
    assert_eq!(view.inode(InodeId::ROOT).links, 3);
    assert_eq!(view.inode(InodeId::ROOT).metadata, Metadata { mode: 0o755, ..Metadata::default() });
    let directory = view.inode(view.lookup(b"/d/").unwrap());
    assert_eq!((directory.metadata.mode, directory.metadata.mtime.seconds, directory.links), (0o7750, -5, 3));
    assert_eq!(directory.xattrs, [attribute("user.k")]);
    let device = view.inode(view.lookup(b"d/c").unwrap());
    assert_eq!((device.device, device.xattrs.len()), ((300, 70_000), 0));
    assert_eq!(view.inode(view.lookup(b"d/f").unwrap()).content.unwrap().pack, 1);
    assert_eq!(view.inode(view.lookup(b"b").unwrap()).content, None);
    assert_eq!(view.inode(view.lookup(b"d/f").unwrap()).size(), 3);
    let order: Vec<InodeId> = view.walk().map(|(_, id)| id).collect();
    assert!(order.is_sorted() && order.len() == view.len());
    let directory = view.lookup(b"d").unwrap();
    assert_eq!(view.parent(view.lookup(b"d/e").unwrap()), directory);
    assert_eq!(view.children(directory).map(|(name, _)| name).collect::<Vec<_>>(), [b"c", b"e", b"f"]);
}

#[test]
fn a_content_in_an_unknown_pack_is_corrupt() {
    let mut builder = IndexBuilder::default();
    assert!(builder.push(File("f", "one").new_entry(1), Vec::new()));
    let index = builder.finish(DiffId(Digest::of(b"x")), 0, 0, vec![]);
    let error = merge(&[&index]).err().unwrap();
    assert_eq!((error.cause.clone(), error.kind()), (MergeCause::UnknownPack, strata_model::ErrorKind::Corrupt));
    assert_eq!(error.path, b"f");
}

#[test]
fn lookup_and_resolve() {
    let view = merged(&[vec![
        File("d/e/f", "1"),
        Link("l", "/d/e"),
        Link("d/up", "../l/f"),
        Link("loop", "loop"),
        Link("out", "../../../d"),
        Link("no", "gone"),
    ]])
    .unwrap();
    let file = view.lookup(b"d/e/f").unwrap();
    assert_eq!(view.lookup(b"l/f"), None);
    assert_eq!(view.lookup(b"d/./e/../e/f"), Some(file));
    assert_eq!(view.lookup(b""), Some(InodeId::ROOT));
    let rows: [(&[u8], Result<InodeId, ResolveError>); 9] = [
        (b"/", Ok(InodeId::ROOT)),
        (b"l/f", Ok(file)),
        (b"/d/up", Ok(file)),
        (b"out/e/../../../d/e/f", Ok(file)),
        (b"loop", Err(ResolveError::TooManyLinks)),
        (b"no", Err(ResolveError::NotFound)),
        (b"d/x/y", Err(ResolveError::NotFound)),
        (b"d/up/x", Err(ResolveError::NotADirectory)),
        (b"d/up/..", Err(ResolveError::NotADirectory)),
    ];
    for (path, expected) in rows {
        assert_eq!(view.resolve(path), expected, "{}", path.escape_ascii());
    }
}

#[test]
fn differences() {
    let before = merged(&[vec![
        File("a", "1"),
        File("b", "1"),
        File("d/x", "1"),
        File("d/y", "1"),
        Dir("e", 0o755),
        File("t/u", "1"),
    ]])
    .unwrap();
    let after = merged(&[vec![
        File("a", "1"),
        File("b", "2"),
        File("d/w/v", "1"),
        File("d/y", "1"),
        Dir("e", 0o700),
        File("t", "1"),
    ]])
    .unwrap();
    let changes: Vec<String> = diff(&before, &after)
        .iter()
        .map(|change| format!("{:?} {}", change.kind, change.path.escape_ascii()))
        .collect();
    assert_eq!(changes, ["Modified b", "Added d/w", "Added d/w/v", "Deleted d/x", "Modified e", "Modified t"]);
    let changes: Vec<String> = diff(&after, &before)
        .iter()
        .map(|change| format!("{:?} {}", change.kind, change.path.escape_ascii()))
        .collect();
    assert_eq!(changes, ["Modified b", "Deleted d/w", "Added d/x", "Modified e", "Modified t", "Added t/u"]);
    assert_eq!(diff(&before, &before), []);
}

#[test]
fn a_hundred_thousand_files_stay_small() {
    let mut builder = IndexBuilder::default();
    for number in 0..100_000 {
        let path = format!("usr/share/package-{:04}/file-{number:06}.txt", number / 50);
        let digest = ContentDigest::of(path.as_bytes());
        let mut entry = File("", "1").new_entry(1);
        entry.path = path.as_bytes();
        entry.content = Some(Content { digest, pack: 0, size: 10 });
        assert!(builder.push(entry, Vec::new()));
    }
    let index = builder.finish(DiffId(Digest::of(b"x")), 0, 0, vec![pack(0)]);
    let view = merge(&[&index]).unwrap();
    let bytes = view.arena.len()
        + size_of_val(&view.inodes[..])
        + size_of_val(&view.names[..])
        + size_of_val(&view.contents[..]);
    assert_eq!(view.len(), 102_003);
    assert!(bytes < 16 << 20, "{bytes} bytes");
}

// ---- The same rules, naively: a map from full paths to files.

#[derive(Clone, Debug)]
struct ModelFile {
    entry: Option<E>,
    layer: usize,
}

#[derive(Default)]
struct Model {
    names: BTreeMap<String, usize>,
    files: Vec<ModelFile>,
    touched: BTreeSet<String>,
    layer: usize,
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Model {
    fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || self.entry(path).is_some_and(|entry| matches!(entry, None | Some(Dir(..))))
    }

    fn entry(&self, path: &str) -> Option<&Option<E>> {
        self.names.get(path).map(|file| &self.files[*file].entry)
    }

    fn remove(&mut self, path: &str) {
        self.names.retain(|name, _| name != path && !name.starts_with(&format!("{path}/")));
    }

    fn set(&mut self, path: &str, file: usize) {
        self.remove_unless_directory(path, file);
        self.names.insert(path.into(), file);
        let mut path = path;
        while !path.is_empty() {
            self.touched.insert(path.into());
            path = parent_of(path);
        }
    }

    fn remove_unless_directory(&mut self, path: &str, file: usize) {
        if !matches!(self.files[file].entry, None | Some(Dir(..))) || !self.is_directory(path) {
            self.remove(path);
        }
    }

    fn new_file(&mut self, entry: Option<E>) -> usize {
        self.files.push(ModelFile { entry, layer: self.layer });
        self.files.len() - 1
    }

    /// Resolves a directory by rewriting the path until no link is left in it.
    fn directory(&mut self, path: &str, create: bool) -> Result<Option<String>, ()> {
        let mut rest: Vec<String> = path.split('/').map(String::from).collect();
        rest.reverse();
        let mut at = String::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name.is_empty() || name == "." {
                continue;
            }
            if name == ".." {
                at = parent_of(&at).into();
                continue;
            }
            let next = join(&at, &name);
            match self.entry(&next).cloned() {
                Some(Some(Link(_, target))) => {
                    links += 1;
                    if links > 255 {
                        return Err(());
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    rest.extend(target.split('/').rev().map(String::from));
                }
                Some(_) if self.is_directory(&next) => at = next,
                _ if !create => return Ok(None),
                Some(_) if self.touched.contains(&next) => return Err(()),
                _ => {
                    let file = self.new_file(None);
                    self.set(&next, file);
                    at = next;
                }
            }
        }
        Ok(Some(at))
    }

    /// Hides what is at or below `path` and not of this layer.
    fn hide(&mut self, path: &str) {
        let below: Vec<String> =
            self.names.keys().filter(|name| *name == path || name.starts_with(&format!("{path}/"))).cloned().collect();
        for name in below {
            if !self.touched.contains(&name) {
                self.names.remove(&name);
            } else if self.is_directory(&name) && self.files[self.names[&name]].layer != self.layer {
                let file = self.new_file(None);
                self.names.insert(name, file);
            }
        }
    }

    fn apply(&mut self, entry: &E) -> Result<(), ()> {
        let (parents, name) = entry.path().rsplit_once('/').unwrap_or(("", entry.path()));
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let Some(directory) = self.directory(parents, false)? else { return Ok(()) };
            if hidden == ".wh..opq" {
                let children: Vec<String> =
                    self.names.keys().filter(|name| parent_of(name) == directory).cloned().collect();
                children.iter().for_each(|child| self.hide(child));
            } else {
                self.hide(&join(&directory, hidden));
            }
            return Ok(());
        }
        let file = match entry {
            Hard(_, target) => {
                let (parents, name) = target.rsplit_once('/').unwrap_or(("", target));
                let Some(directory) = self.directory(parents, false)? else { return Err(()) };
                let target = join(&directory, name);
                match self.names.get(&target) {
                    Some(file) if !self.is_directory(&target) => *file,
                    _ => return Err(()),
                }
            }
            _ => self.new_file(Some(entry.clone())),
        };
        let directory = self.directory(parents, true)?.ok_or(())?;
        self.set(&join(&directory, name), file);
        Ok(())
    }

    fn run(layers: &[Vec<E>]) -> Result<Model, ()> {
        let mut model = Model::default();
        for (layer, entries) in layers.iter().enumerate() {
            model.layer = layer;
            model.touched.clear();
            entries.iter().try_for_each(|entry| model.apply(entry))?;
        }
        Ok(model)
    }

    /// In the form of [`listing`], but sorted as whole paths.
    fn listing(&self) -> Vec<String> {
        let links = |file: usize| match self.names.values().filter(|other| **other == file).count() {
            1 => String::new(),
            links => format!(" x{links}"),
        };
        let line = |(path, file): (&String, &usize)| {
            let ModelFile { entry, layer } = &self.files[*file];
            let detail = match entry {
                None => "dir 755".into(),
                Some(Dir(_, mode)) => format!("dir {mode:o}"),
                Some(File(_, text)) => format!("= {text}"),
                Some(Link(_, target)) => format!("-> {target}"),
                Some(Char(..)) => return None,
                Some(Fifo(_)) => "Fifo".into(),
                Some(Hard(..)) => unreachable!("bound to its target"),
            };
            Some(format!("{path} {detail}{} @{layer}", links(*file)))
        };
        self.names.iter().filter_map(line).collect()
    }
}

const PATHS: &[&str] = &["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "c/a", "a/b/c", "a/a/a", "b/a/c", "c/b/a"];
const TARGETS: &[&str] = &["a", "/b", "b", "../c", "../../b/a", "/a/b", "c/d", "."];
const MARKS: &[&str] = &[
    ".wh.a",
    ".wh.b",
    ".wh.c",
    "a/.wh.a",
    "a/.wh.b",
    "b/.wh.c",
    "c/.wh.a",
    ".wh..wh..opq",
    "a/.wh..wh..opq",
    "b/.wh..wh..opq",
    "a/b/.wh..wh..opq",
    ".wh..wh.plnk",
];

fn any_entry() -> impl Strategy<Value = E> {
    let path = || proptest::sample::select(PATHS);
    prop_oneof![
        4 => (path(), proptest::sample::select(&["1", "2", "3", ""][..])).prop_map(|(path, text)| File(path, text)),
        3 => (path(), proptest::sample::select(&[0o700u16, 0o1777][..])).prop_map(|(path, mode)| Dir(path, mode)),
        2 => (path(), proptest::sample::select(TARGETS)).prop_map(|(path, target)| Link(path, target)),
        2 => (path(), path()).prop_map(|(path, target)| Hard(path, target)),
        3 => proptest::sample::select(MARKS).prop_map(|path| File(path, "")),
        1 => path().prop_map(Fifo),
        1 => path().prop_map(|path| Char(path, 0, 0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every generated image is cut to the entries the model accepts, so that most cases compare deep trees; the first
    /// entry it refuses must be refused by the merge as well.
    #[test]
    fn merge_equals_the_model(raw in prop::collection::vec(prop::collection::vec(any_entry(), 0..14), 1..5), refuse in any::<bool>()) {
        let mut layers: Vec<Vec<E>> = Vec::new();
        for entries in raw {
            layers.push(Vec::new());
            for entry in entries {
                layers.last_mut().unwrap().push(entry);
                if Model::run(&layers).is_err() {
                    if refuse {
                        prop_assert!(merged(&layers).is_err(), "{layers:?}");
                    }
                    layers.last_mut().unwrap().pop();
                }
            }
        }
        let view = merged(&layers).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut listing = listing(&view);
        let mut expected = Model::run(&layers).map_err(|()| TestCaseError::fail("model"))?.listing();
        listing.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(listing, expected, "{:?}", layers);
        prop_assert_eq!(diff(&view, &view), vec![]);
    }
}
