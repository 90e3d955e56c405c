//! Trees and paths of small images, and of generated ones against a naive count.

use proptest::prelude::*;
use strata_layer::{
    Content, ContentDigest, ImageView, IndexBuilder, Kind, LayerIndex, Metadata, NewEntry, PackId, merge,
};
use strata_model::{DiffId, Digest};

use super::paths::PathIndex;
use super::tree::FileTree;
use super::{FileOrder, Look};

/// A layer in one notation: `path/` a directory, `path=text` a file, `path>target` a link, all else an empty file.
fn layer(entries: &[&str]) -> LayerIndex {
    let mut builder = IndexBuilder::default();
    for entry in entries {
        let (path, kind, link, text) = match entry {
            _ if entry.ends_with('/') => (&entry[..entry.len() - 1], Kind::Directory, "", ""),
            _ if entry.contains('>') => {
                let (path, target) = entry.split_once('>').unwrap();
                (path, Kind::Symlink, target, "")
            }
            _ => {
                let (path, text) = entry.split_once('=').unwrap_or((entry, ""));
                (path, Kind::Regular, "", text)
            }
        };
        let digest = ContentDigest::of(text.as_bytes());
        let content = (!text.is_empty()).then_some(Content { digest, pack: 0, size: text.len() as u64 });
        let metadata = Metadata { mode: 0o755, ..Metadata::default() };
        let new = NewEntry { path: path.as_bytes(), kind, link: link.as_bytes(), metadata, device: (0, 0), content };
        assert!(builder.push(new, Vec::new()));
    }
    builder.finish(DiffId(Digest::of(entries.concat().as_bytes())), 0, 0, vec![PackId([1; 16])])
}

fn view(layers: &[LayerIndex]) -> ImageView {
    merge(&layers.iter().collect::<Vec<_>>()).unwrap()
}

fn tree(layers: &[LayerIndex]) -> FileTree {
    let lower = layers.len() - 1;
    FileTree::of(&view(&layers[..lower]), &view(layers), Some(lower as u32))
}

fn shown(tree: &FileTree, path: &str, order: FileOrder) -> Vec<String> {
    let look = Look { path: path.into(), order, skip: 0, limit: 100 };
    let directory = tree.directory(&look).unwrap();
    let line = |entry: &super::DirectoryEntry| {
        let (name, totals) = (String::from_utf8_lossy(&entry.name), entry.totals);
        format!("{name} {:?} {}/{}", entry.state, totals.written_bytes, totals.replaced_bytes)
    };
    directory.entries.iter().map(line).collect()
}

#[test]
fn a_layer_adds_changes_and_removes() {
    let lower = layer(&["a/", "a/kept=1", "a/old=123", "a/same=12", "b/c/d=1234", "b/c/e=1", "f=1"]);
    let upper = layer(&["a/", "a/.wh.kept", "a/old=12345", "a/same=12", "a/new=1", "b/.wh.c", "g/h=12", "l>a"]);
    let tree = tree(&[lower, upper]);
    assert_eq!(
        shown(&tree, "", FileOrder::Name),
        ["a Same 8/6", "b Same 0/5", "g Added 2/0", "l Added 0/0"],
        "f did not change"
    );
    let expected = ["kept Removed 0/1", "new Added 1/0", "old Changed 5/3", "same Rewritten 2/2"];
    assert_eq!(shown(&tree, "/a/", FileOrder::Name), expected);
    assert_eq!(shown(&tree, "a", FileOrder::Size)[0], "old Changed 5/3");
    assert_eq!(shown(&tree, "b", FileOrder::Name), ["c Removed 0/5"]);
    assert!(tree.directory(&Look { path: b"nowhere".into(), ..Look::default() }).is_none());
    assert!(tree.directory(&Look { path: b"l".into(), ..Look::default() }).is_none());
    let page = tree.directory(&Look { path: b"a".into(), skip: 1, limit: 2, ..Look::default() }).unwrap();
    assert_eq!((page.entries.len(), page.total, page.entries[0].name.as_slice()), (2, 4, &b"new"[..]));
    assert_eq!((page.totals.added, page.totals.changed, page.totals.rewritten, page.totals.removed), (1, 1, 1, 1));
}

#[test]
fn a_directory_becomes_a_file_and_back() {
    let (directory, file) = (layer(&["d/", "d/x=123"]), layer(&["d=12"]));
    assert_eq!(shown(&tree(&[directory, file]), "", FileOrder::Name), ["d Changed 2/3"]);
    let (file, directory) = (layer(&["d=12"]), layer(&["d/", "d/x=123"]));
    let tree = tree(&[file, directory]);
    assert_eq!(shown(&tree, "", FileOrder::Name), ["d Changed 3/2"]);
    assert_eq!(shown(&tree, "d", FileOrder::Name), ["x Added 3/0"]);
}

#[test]
fn paths_are_found_with_what_they_hide() {
    let layers = [
        layer(&["usr/bin/", "bin>usr/bin", "usr/bin/tool=1", "etc/tool.conf=12", "gone/tool=123", "caf\u{e9}=1"]),
        layer(&["bin/tool=1234", "gone/.wh.tool", "gone/.wh..wh..opq"]),
    ];
    let index = PathIndex::of(&layers, &view(&layers));
    let search = |text: &str| {
        let found = index.search(text, 0, 10);
        let path = |path: &super::FoundPath| {
            let copies: Vec<String> =
                path.copies.iter().map(|copy| format!("{}:{:?}", copy.layer, copy.size)).collect();
            format!("{} {:?} {}", String::from_utf8_lossy(&path.path), path.layer, copies.join(" "))
        };
        (found.total, found.paths.iter().map(path).collect::<Vec<_>>())
    };
    let (tool, conf) = ("usr/bin/tool Some(1) 0:Some(1) 1:Some(4)", "etc/tool.conf Some(0) 0:Some(2)");
    let gone = "gone/tool None 0:Some(3) 1:None";
    assert_eq!(search("TOOL"), (3, vec![gone.into(), tool.into(), conf.into()]), "last names first");
    assert_eq!(search("/usr/bin/tool"), (1, vec![tool.to_owned()]));
    assert_eq!(search("/bin/tool").0, 0, "from the root, after links");
    assert_eq!(search("bin/tool").0, 1);
    assert_eq!(search("f\u{e9}").0, 1);
    assert_eq!(search("/e"), (1, vec![conf.to_owned()]));
    for nothing in ["", " ", "/", "absent", "tool.*conf", "\0"] {
        assert_eq!(search(nothing).0, 0, "{nothing:?}");
    }
    assert_eq!(index.search("tool", 2, 10).paths.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every file of the finished image that is not as it was is in the tree once, and so is every file that went.
    #[test]
    fn a_tree_counts_what_differs(
        lower in prop::collection::btree_map("[ab](/[ab]){0,2}", "[x-z]{1,3}", 0..8),
        upper in prop::collection::btree_map("[ab](/[ab]){0,2}", "[x-z]{1,3}", 0..8),
    ) {
        let of = |files: &std::collections::BTreeMap<String, String>| {
            let is_parent = |path: &String| files.keys().any(|other| other.starts_with(&format!("{path}/")));
            let entries: Vec<String> =
                files.iter().filter(|(path, _)| !is_parent(path)).map(|(path, text)| format!("{path}={text}")).collect();
            view(&[layer(&entries.iter().map(String::as_str).collect::<Vec<_>>())])
        };
        let (before, after) = (of(&lower), of(&upper));
        let files = |view: &ImageView| {
            let found = view.walk().filter(|(_, id)| view.inode(*id).kind == Kind::Regular);
            found.map(|(path, id)| (path, view.inode(id).content.map(|content| content.digest))).collect::<Vec<_>>()
        };
        let (old, new) = (files(&before), files(&after));
        let added = new.iter().filter(|(path, _)| before.lookup(path).is_none()).count();
        let tree = FileTree::of(&before, &after, None);
        let totals = tree.directory(&Look { limit: 100, ..Look::default() }).unwrap().totals;
        let same = new.iter().filter(|file| old.contains(file)).count() as u64;
        prop_assert_eq!(totals.rewritten, 0);
        prop_assert!(totals.added >= added as u64, "{totals:?}");
        prop_assert_eq!(totals.added + totals.changed + same, new.len() as u64, "{:?}", totals);
        prop_assert_eq!(totals.removed + totals.changed + same, old.len() as u64, "{:?}", totals);
        prop_assert_eq!(totals == super::FileTotals::default(), old == new);
    }
}
