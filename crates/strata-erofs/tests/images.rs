//! Images are read back and compared with their view, and checked by the tools of erofs-utils where they are installed.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use strata_erofs::reader::{Extent, Image};
use strata_erofs::{Places, WriteError, write_image};
use strata_layer::{
    Content, ContentDigest, ImageView, IndexBuilder, Kind, Metadata, NewEntry, PackId, Timestamp, Xattrs, merge,
};
use strata_model::{DiffId, Digest, ErrorKind};

/// Packs in memory: contents one after the other, each at a multiple of 512.
#[derive(Default)]
struct Packs {
    bytes: Vec<Vec<u8>>,
    offsets: HashMap<(usize, ContentDigest), u64>,
}

impl Packs {
    fn add(&mut self, pack: usize, content: &[u8]) -> ContentDigest {
        let digest = ContentDigest::of(content);
        self.bytes.resize(self.bytes.len().max(pack + 1), Vec::new());
        let bytes = &mut self.bytes[pack];
        self.offsets.entry((pack, digest)).or_insert_with(|| {
            let offset = bytes.len() as u64;
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            offset
        });
        digest
    }
}

/// The packs of a view, whose order is that of first use.
struct Ordered<'a>(&'a Packs, Vec<usize>);

impl Ordered<'_> {
    fn new<'a>(packs: &'a Packs, view: &ImageView) -> Ordered<'a> {
        Ordered(packs, view.packs().iter().map(|pack| usize::from(pack.0[0])).collect())
    }
}

impl Places for Ordered<'_> {
    fn place(&self, pack: usize, digest: &ContentDigest) -> Option<u64> {
        self.0.offsets.get(&(self.1[pack], *digest)).copied()
    }

    fn length(&self, pack: usize) -> u64 {
        self.0.bytes[self.1[pack]].len() as u64
    }
}

/// A layer under construction together with its packs.
struct Builder {
    index: IndexBuilder,
    packs: Packs,
}

impl Builder {
    fn new(packs: usize) -> Builder {
        Builder { index: IndexBuilder::default(), packs: Packs { bytes: vec![Vec::new(); packs], ..Packs::default() } }
    }

    fn push(&mut self, entry: NewEntry<'_>, xattrs: Xattrs) {
        assert!(self.index.push(entry, xattrs));
    }

    fn file(&mut self, path: &str, pack: usize, content: &[u8], xattrs: Xattrs) {
        let digest = self.packs.add(pack, content);
        let content = Content { digest, pack: pack as u16, size: content.len() as u64 };
        self.push(NewEntry { content: (content.size > 0).then_some(content), ..entry(path, Kind::Regular) }, xattrs);
    }

    fn finish(self) -> (ImageView, Packs) {
        let ids = (0..self.packs.bytes.len()).map(|pack| PackId([pack as u8; 16])).collect();
        let index = self.index.finish(DiffId(Digest::of(b"layer")), 0, 0, ids);
        (merge(&[&index]).unwrap(), self.packs)
    }
}

fn entry(path: &str, kind: Kind) -> NewEntry<'_> {
    let mtime = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
    let metadata = Metadata { mode: 0o751, uid: 70_000, gid: 80_000, mtime };
    NewEntry { path: path.as_bytes(), kind, link: b"", metadata, device: (0, 0), content: None }
}

fn attribute(name: &str, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.to_vec())
}

/// Something of everything.
fn rich() -> (ImageView, Packs) {
    let mut builder = Builder::new(2);
    builder.file("bin/tool", 0, b"#!/bin/sh\n", vec![attribute("security.capability", &[1, 0, 0, 2, 0, 32, 0, 0])]);
    builder.file("empty", 0, b"", vec![attribute("user.empty", b"")]);
    builder.file("large", 1, &[7; 100_000], Vec::new());
    builder.file("with long attribute", 1, b"x", vec![attribute("user.long", &[9; 5_000]), attribute("user.z", b"z")]);
    for number in 0..300 {
        builder.file(&format!("many/file number {number}"), number % 2, format!("{number}").as_bytes(), Vec::new());
    }
    builder.file("many/!before the dots", 0, b"1", Vec::new());
    builder.file(&format!("many/{}", "n".repeat(255)), 0, b"1", Vec::new());
    builder.push(NewEntry { link: b"bin/tool", ..entry("hard", Kind::HardLink) }, Vec::new());
    let long = "t".repeat(4_095);
    for (path, target) in [("link", "bin/tool"), ("link one block", &long[..512]), ("link long", &long)] {
        builder.push(NewEntry { link: target.as_bytes(), ..entry(path, Kind::Symlink) }, Vec::new());
    }
    builder.push(NewEntry { device: (259, 70_001), ..entry("dev/block", Kind::BlockDevice) }, Vec::new());
    builder.push(NewEntry { device: (1, 3), ..entry("dev/null", Kind::CharDevice) }, Vec::new());
    builder.push(entry("fifo", Kind::Fifo), vec![attribute("trusted.k", b"v"), attribute("com.apple.x", b"gone")]);
    let mut old = entry("old", Kind::Directory);
    (old.metadata.mode, old.metadata.mtime) = (0o7777, Timestamp { seconds: -5, nanoseconds: 999_999_999 });
    builder.push(old, vec![attribute("system.posix_acl_default", &[2, 0, 0, 0])]);
    builder.finish()
}

fn write(view: &ImageView, packs: &Packs) -> Vec<u8> {
    let mut image = Vec::new();
    let summary = write_image(view, &Ordered::new(packs, view), &mut image).unwrap();
    assert_eq!((summary.length, summary.inodes), (image.len() as u64, view.len() as u64));
    assert_eq!(image.len() % 512, 0);
    image
}

/// Reads an image back and compares every name, number, attribute and content with the view.
fn compare(view: &ImageView, packs: &Packs, bytes: &[u8]) {
    let image = Image::open(bytes).unwrap();
    let order = Ordered::new(packs, view);
    let tags: Vec<Vec<u8>> = view.packs().iter().map(|pack| pack.to_string().into_bytes()).collect();
    assert_eq!(image.devices().unwrap().iter().map(|device| device.tag.clone()).collect::<Vec<_>>(), tags);
    let mut numbers = HashMap::new();
    let found = image.walk().unwrap();
    let expected: Vec<_> = view.walk().collect();
    assert_eq!(found.len(), expected.len());
    for ((path, number), (expected_path, id)) in found.into_iter().zip(expected) {
        assert_eq!(path, expected_path);
        assert_eq!(*numbers.entry(id).or_insert(number), number, "{}", path.escape_ascii());
        let (found, expected) = (image.inode(number).unwrap(), view.inode(id));
        let mut metadata = expected.metadata;
        if expected.kind == Kind::Symlink {
            metadata.mode = 0o777;
            assert_eq!(image.target(&found).unwrap(), expected.target);
        }
        assert_eq!((found.kind, found.metadata), (expected.kind, metadata), "{}", path.escape_ascii());
        assert_eq!((found.links, found.device), (expected.links, expected.device), "{}", path.escape_ascii());
        let kept = expected.xattrs.iter().filter(|(name, _)| !name.starts_with(b"com."));
        assert!(image.xattrs(&found).unwrap().iter().eq(kept), "{}", path.escape_ascii());
        if expected.kind == Kind::Regular {
            let extents = expected.content.map(|content| Extent {
                device: content.pack + 1,
                offset: order.place(usize::from(content.pack), &content.digest),
                length: content.size,
            });
            assert_eq!(image.extents(&found).unwrap(), Vec::from_iter(extents));
        }
        for (name, child) in view.children(id) {
            assert_eq!(image.child(&found, name).unwrap(), image.child(&found, name).unwrap());
            assert!(image.child(&found, name).unwrap().is_some(), "{child:?}");
        }
    }
}

#[test]
fn a_rich_image_reads_back() {
    let (view, packs) = rich();
    let image = write(&view, &packs);
    compare(&view, &packs, &image);
    assert_eq!(image, write(&view, &packs), "deterministic");
    let summary = write_image(&view, &Ordered::new(&packs, &view), std::io::sink()).unwrap();
    assert_eq!(summary.dropped_xattrs, 1);
}

#[test]
fn an_empty_image_is_small() {
    let view = merge(&[]).unwrap();
    let image = write(&view, &Packs::default());
    compare(&view, &Packs::default(), &image);
    assert_eq!(image.len(), 1536);
}

#[test]
fn what_cannot_be_written_is_named() {
    struct Odd(Option<u64>, u64);
    impl Places for Odd {
        fn place(&self, _: usize, _: &ContentDigest) -> Option<u64> {
            self.0
        }
        fn length(&self, _: usize) -> u64 {
            self.1
        }
    }
    let mut builder = Builder::new(1);
    builder.file("a/file", 0, &[1; 600], Vec::new());
    let (view, _) = builder.finish();
    let error = |places: &dyn Places| write_image(&view, places, std::io::sink()).unwrap_err();
    let contains = |error: WriteError, text: &str, kind| {
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.kind(), kind);
    };
    contains(error(&Odd(None, 1024)), "content of \"a/file\" is not in pack 0000", ErrorKind::Corrupt);
    contains(error(&Odd(Some(77), 1024)), "content of \"a/file\" cannot lie at byte 77", ErrorKind::Corrupt);
    contains(error(&Odd(Some(512), 1024)), "cannot lie at byte 512", ErrorKind::Corrupt);
    contains(error(&Odd(Some(1 << 41), 1 << 42)), "cannot lie at byte", ErrorKind::Corrupt);
    contains(error(&Odd(Some(0), 1000)), "length 1000 of pack", ErrorKind::Corrupt);

    let mut builder = Builder::new(1);
    builder.file("f", 0, b"", vec![attribute("user.x", &[0; 70_000])]);
    let view = builder.finish().0;
    let large = write_image(&view, &Odd(None, 0), std::io::sink()).unwrap_err();
    contains(large, "attributes of \"f\" are too large", ErrorKind::Unsupported);
    let mut builder = Builder::new(1);
    builder.push(NewEntry { device: (5_000, 1), ..entry("d", Kind::CharDevice) }, Vec::new());
    let view = builder.finish().0;
    let device = write_image(&view, &Odd(None, 0), std::io::sink()).unwrap_err();
    contains(device, "device number 5000:1 of \"d\"", ErrorKind::Unsupported);

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    contains(
        write_image(&view_of_nothing(), &Odd(None, 0), Full).unwrap_err(),
        "writing file system",
        ErrorKind::Storage,
    );
}

fn view_of_nothing() -> ImageView {
    merge(&[]).unwrap()
}

/// A directory so large that numbers pass 65,535, and a file above 1 TiB.
#[test]
fn large_numbers() {
    let mut builder = Builder::new(1);
    for number in 0..40_000 {
        builder.file(&format!("d/{number}"), 0, b"", Vec::new());
    }
    let digest = ContentDigest([1; 32]);
    let content = Some(Content { digest, pack: 0, size: (1 << 40) + 5 });
    builder.push(NewEntry { content, ..entry("huge", Kind::Regular) }, Vec::new());
    let view = builder.finish().0;
    struct Huge;
    impl Places for Huge {
        fn place(&self, _: usize, _: &ContentDigest) -> Option<u64> {
            Some(512)
        }
        fn length(&self, _: usize) -> u64 {
            1 << 40 | 1024
        }
    }
    let mut bytes = Vec::new();
    write_image(&view, &Huge, &mut bytes).unwrap();
    let image = Image::open(&bytes).unwrap();
    let root = image.inode(image.root()).unwrap();
    let huge = image.inode(image.child(&root, b"huge").unwrap().unwrap()).unwrap();
    let extents = image.extents(&huge).unwrap();
    assert_eq!(
        extents,
        [
            Extent { device: 1, offset: Some(512), length: 1 << 40 },
            Extent { device: 1, offset: Some((1 << 40) + 512), length: 5 },
        ]
    );
    let directory = image.inode(image.child(&root, b"d").unwrap().unwrap()).unwrap();
    assert!(image.child(&directory, b"39999").unwrap().unwrap() > 65_535);
    assert_eq!(image.child(&directory, b"40000").unwrap(), None);
}

fn installed(tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file()));
    assert!(found || std::env::var_os("STRATA_REQUIRE_TOOLS").is_none(), "{tool} is not installed");
    found
}

/// Whether the installed tools know blocks smaller than a page (erofs-utils 1.7 and later).
fn knows_small_blocks(checking: &mut Command) -> bool {
    let output = checking.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    !String::from_utf8_lossy(&text).contains("isn't supported on this platform")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// `fsck.erofs` checks every inode and name; `dump.erofs` must say of a file what we meant.
#[test]
fn erofs_utils_agree() {
    if !installed("fsck.erofs") || !installed("dump.erofs") {
        return;
    }
    let (view, packs) = rich();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, write(&view, &packs)).unwrap();
    let devices: Vec<String> = Ordered::new(&packs, &view)
        .1
        .into_iter()
        .map(|pack| {
            let path = directory.path().join(pack.to_string());
            std::fs::write(&path, &packs.bytes[pack]).unwrap();
            format!("--device={}", path.display())
        })
        .collect();
    let tool = |name: &str| {
        let mut command = Command::new(name);
        command.args(&devices);
        command
    };
    if !knows_small_blocks(tool("fsck.erofs").arg(&path)) {
        eprintln!("skipped: erofs-utils before 1.7, as in Debian 12, know no blocks of 512 bytes");
        return;
    }
    run(tool("fsck.erofs").arg(&path));
    let out = directory.path().join("out");
    run(tool("fsck.erofs").arg(format!("--extract={}", out.display())).arg("--no-preserve").arg(&path));
    check_extracted(&view, &packs, &out);
    let dump = run(tool("dump.erofs").arg("--path=/large").arg(&path));
    assert!(dump.contains("100000") && dump.contains("Uid: 70000   Gid: 80000"), "{dump}");
}

fn check_extracted(view: &ImageView, packs: &Packs, out: &Path) {
    let order = Ordered::new(packs, view);
    for (path, id) in view.walk() {
        let path = out.join(std::str::from_utf8(&path).unwrap());
        let inode = view.inode(id);
        match (inode.kind, inode.content) {
            (Kind::Regular, None) => assert_eq!(std::fs::read(&path).unwrap(), b""),
            (Kind::Regular, Some(content)) => {
                let offset = order.place(usize::from(content.pack), &content.digest).unwrap() as usize;
                let pack = &packs.bytes[order.1[usize::from(content.pack)]];
                assert!(std::fs::read(&path).unwrap() == pack[offset..][..content.size as usize], "{}", path.display());
            }
            (Kind::Symlink, _) => {
                assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes(), inode.target);
            }
            _ => assert!(path.symlink_metadata().is_ok(), "{}", path.display()),
        }
    }
}

/// Visits all of an image; errors are fine.
fn exercise(bytes: &[u8]) {
    let Ok(image) = Image::open(bytes) else { return };
    let _ = image.devices();
    let _ = image.walk();
    for number in 0..(bytes.len() as u64 / 32).min(200) {
        if let Ok(inode) = image.inode(number) {
            let _ = (image.entries(&inode), image.target(&inode), image.xattrs(&inode), image.extents(&inode));
        }
    }
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[!-.0-9a-c]{1,4}", 1 => "[a-z]{100,255}"]
        .prop_filter("no dots", |name| name != "." && name != "..")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn generated_images_read_back(
        files in prop::collection::vec(
            (prop::collection::vec(any_name(), 1..4), 0..4usize, 0..3usize, prop::collection::vec(any::<u8>(), 0..700)),
            0..80,
        )
    ) {
        let mut builder = Builder::new(3);
        let mut names = std::collections::BTreeSet::new();
        for (path, kind, pack, bytes) in files {
            // A name is a directory or something else, so that no entry contradicts another one of the layer.
            let path: Vec<String> = path.iter().enumerate().map(|(depth, name)| {
let is_file = depth + 1 == path.len();
                let mut name = name.clone();
                name.truncate(254);
                // No file ends so: a directory never meets a file of its name.
                if !is_file {
                    name.push('~');
                }
                name
            }).collect();
            let path = path.join("/");
            if path.ends_with('+') || path.contains(".wh.") || !names.insert(path.clone()) {
                continue;
            }
            match kind {
                0 => builder.file(&path, pack, &bytes, vec![attribute("user.a", &bytes)]),
                1 => builder.file(&path, pack, &bytes, Vec::new()),
                2 => builder.push(
                    NewEntry { link: &bytes.iter().map(|byte| byte | 1).chain([1]).collect::<Vec<u8>>(), ..entry(&path, Kind::Symlink) },
                    Vec::new(),
                ),
                _ => builder.push(entry(&format!("{path}+"), Kind::Directory), vec![attribute("user.d", &bytes)]),
            }
        }
        let (view, packs) = builder.finish();
        compare(&view, &packs, &write(&view, &packs));
    }

    #[test]
    fn damaged_images_do_not_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40), cut in any::<prop::sample::Index>()) {
        let mut builder = Builder::new(1);
        for number in 0..30 {
            builder.file(&format!("d{}/f{number}", number % 3), 0, &[number], vec![attribute("user.k", &[number; 30])]);
        }
        let (view, packs) = builder.finish();
        let mut image = write(&view, &packs);
        for (position, byte) in damage {
            let position = 1024 + position.index(image.len() - 1024);
            image[position] = byte;
        }
        exercise(&image);
        exercise(&image[..cut.index(image.len())]);
    }

    #[test]
    fn random_bytes_do_not_panic(tail in prop::collection::vec(any::<u8>(), 128..4096)) {
        let mut bytes = vec![0; 1024];
        bytes.extend(tail);
        bytes[1024..1028].copy_from_slice(&0xE0F5_E1E2u32.to_le_bytes());
        (bytes[1036], bytes[1104]) = (9, 12);
        bytes[1105..1108].fill(0);
        exercise(&bytes);
    }
}
