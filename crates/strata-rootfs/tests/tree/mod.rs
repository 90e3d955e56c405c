//! What the tests of this crate share: tars, layers with packs on disk, trees on disk as comparable values.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use strata_erofs::{Places, write_image};
use strata_layer::{
    ContentDigest, ImageView, LayerIndex, LayerLimits, NothingKnown, PackFooter, PackId, PackSink, PackWriter, merge,
    read_layer,
};

/// A tar under construction.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

/// The fields of an entry that are not at their usual values.
#[derive(Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: u8,
    pub(crate) link: &'a str,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: &'a str,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(&'a str, Vec<u8>)>,
    pub(crate) content: &'a [u8],
}

pub(crate) fn file<'a>(path: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry { content, ..entry(path, b'0', 0o644) }
}

pub(crate) fn directory(path: &str, mode: u32) -> Entry<'_> {
    entry(path, b'5', mode)
}

pub(crate) fn symlink<'a>(path: &'a str, link: &'a str) -> Entry<'a> {
    Entry { link, ..entry(path, b'2', 0o777) }
}

pub(crate) fn hard_link<'a>(path: &'a str, link: &'a str) -> Entry<'a> {
    Entry { link, ..entry(path, b'1', 0o644) }
}

pub(crate) fn entry(path: &str, kind: u8, mode: u32) -> Entry<'_> {
    let (mtime, owner, device) = ("1600000000", (0, 0), (0, 0));
    Entry { path, kind, link: "", mode, owner, mtime, device, xattrs: Vec::new(), content: b"" }
}

impl Tar {
    pub(crate) fn of(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = Tar::default();
        entries.iter().for_each(|entry| tar.push(entry));
        tar.bytes.resize(tar.bytes.len() + 1024, 0);
        tar.bytes
    }

    fn push(&mut self, entry: &Entry<'_>) {
        let mut records = record("mtime", entry.mtime.as_bytes());
        if entry.path.len() > 100 {
            records.extend(record("path", entry.path.as_bytes()));
        }
        if entry.link.len() > 100 {
            records.extend(record("linkpath", entry.link.as_bytes()));
        }
        for (name, value) in &entry.xattrs {
            records.extend(record(&format!("SCHILY.xattr.{name}"), value));
        }
        self.member("PaxHeaders/x", b'x', "", 0o644, (0, 0), (0, 0), &records);
        self.member(entry.path, entry.kind, entry.link, entry.mode, entry.owner, entry.device, entry.content);
    }

    #[allow(clippy::too_many_arguments)]
    fn member(
        &mut self,
        path: &str,
        kind: u8,
        link: &str,
        mode: u32,
        owner: (u32, u32),
        device: (u32, u32),
        content: &[u8],
    ) {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &path.as_bytes()[..path.len().min(100)]);
        put(100, format!("{mode:07o}").as_bytes());
        put(108, format!("{:07o}", owner.0).as_bytes());
        put(116, format!("{:07o}", owner.1).as_bytes());
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &link.as_bytes()[..link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", device.0).as_bytes());
        put(337, format!("{:07o}", device.1).as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

/// A PAX record, whose length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length =
        (1..).map(|digits| rest + digits).find(|length| rest + length.to_string().len() == *length).unwrap_or(0);
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

struct Sink(File);

impl PackSink for Sink {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Whether layer tars merge.
pub(crate) fn merges(tars: &[Vec<u8>]) -> bool {
    let layers: Vec<LayerIndex> = tars
        .iter()
        .map(|tar| {
            let mut pack = PackWriter::new(PackId([0; 16]), Sink(tempfile::tempfile().unwrap()));
            read_layer(&tar[..], &mut pack, &NothingKnown, &LayerLimits::default()).unwrap().index
        })
        .collect();
    merge(&layers.iter().collect::<Vec<_>>()).is_ok()
}

/// An image on disk: its view, its packs in the order of the view, and its EROFS image.
pub(crate) struct OnDisk {
    pub(crate) view: ImageView,
    pub(crate) packs: Vec<PathBuf>,
    pub(crate) image: PathBuf,
    footers: Vec<Vec<u8>>,
}

impl OnDisk {
    /// Reads layer tars as a pull does and writes everything into `directory`.
    pub(crate) fn make(directory: &Path, tars: &[Vec<u8>]) -> OnDisk {
        let mut paths = HashMap::new();
        let mut layers: Vec<LayerIndex> = Vec::new();
        for (number, tar) in tars.iter().enumerate() {
            let id = PackId([number as u8 + 1; 16]);
            let path = directory.join(format!("{number}.pack"));
            let mut pack = PackWriter::new(id, Sink(File::create(&path).unwrap()));
            layers.push(read_layer(&tar[..], &mut pack, &NothingKnown, &LayerLimits::default()).unwrap().index);
            pack.finish().unwrap();
            paths.insert(id, path);
        }
        let view = merge(&layers.iter().collect::<Vec<_>>()).unwrap();
        let packs: Vec<PathBuf> = view.packs().iter().map(|id| paths[id].clone()).collect();
        let footers = packs.iter().map(|path| fs::read(path).unwrap()).collect();
        let on_disk = OnDisk { view, packs, image: directory.join("image.erofs"), footers };
        write_image(&on_disk.view, &on_disk, File::create(&on_disk.image).unwrap()).unwrap();
        on_disk
    }

    pub(crate) fn open_packs(&self) -> Vec<File> {
        self.packs.iter().map(|path| File::open(path).unwrap()).collect()
    }
}

impl Places for OnDisk {
    fn place(&self, pack: usize, digest: &ContentDigest) -> Option<u64> {
        let bytes = &self.footers[pack];
        Some(PackFooter::parse(bytes.len() as u64, bytes).unwrap().find(digest)?.offset)
    }

    fn length(&self, pack: usize) -> u64 {
        self.footers[pack].len() as u64
    }
}

/// All that a program can see of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    /// Number of names; not of a directory, where file systems differ.
    pub(crate) links: u64,
    /// The first path of the same file.
    pub(crate) same_as: PathBuf,
    pub(crate) device: u64,
    pub(crate) target: Option<PathBuf>,
    pub(crate) content: Option<ContentDigest>,
    pub(crate) size: u64,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Everything in and below a directory, which itself is the empty path.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        if full.symlink_metadata().unwrap().is_dir() {
            pending.extend(fs::read_dir(&full).unwrap().map(|child| path.join(child.unwrap().file_name())));
        }
        found.insert(path, full);
    }
    let mut first_paths: HashMap<u64, PathBuf> = HashMap::new();
    found
        .into_iter()
        .map(|(path, full)| {
            let metadata = full.symlink_metadata().unwrap();
            let same_as = first_paths.entry(metadata.ino()).or_insert(path.clone()).clone();
            (path, facts(&full, &metadata, same_as))
        })
        .collect()
}

fn facts(path: &Path, metadata: &fs::Metadata, same_as: PathBuf) -> Facts {
    let kind = metadata.file_type();
    Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        links: if kind.is_dir() { 0 } else { metadata.nlink() },
        same_as,
        device: if kind.is_block_device() || kind.is_char_device() { metadata.rdev() } else { 0 },
        target: kind.is_symlink().then(|| fs::read_link(path).unwrap()),
        content: kind.is_file().then(|| ContentDigest::of(&fs::read(path).unwrap())),
        size: if kind.is_dir() { 0 } else { metadata.len() },
        xattrs: xattrs(path),
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = lgetxattr(path, name, value.as_mut_slice()).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// Fails with the first path at which two trees differ.
pub(crate) fn assert_same(what: &str, expected: &BTreeMap<PathBuf, Facts>, found: &BTreeMap<PathBuf, Facts>) {
    for (path, facts) in expected {
        assert_eq!(Some(facts), found.get(path), "{what}: {}", path.display());
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{what}: {more:?}");
}

/// Unpacks layer tars with umoci; `None` when it refuses them.
pub(crate) fn umoci_unpack(directory: &Path, tars: &[Vec<u8>]) -> Option<PathBuf> {
    use strata_model::Digest;
    let layout = directory.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        serde_json::json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let layers: Vec<_> = tars.iter().map(|tar| put(tar, "application/vnd.oci.image.layer.v1.tar")).collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    let mut manifest = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "it"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let bundle = directory.join("bundle");
    let output = std::process::Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:it", layout.display()))
        .arg(&bundle)
        .output()
        .unwrap();
    output.status.success().then(|| bundle.join("rootfs"))
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a tool is on the path; when `STRATA_REQUIRE_TOOLS` is set it must be.
pub(crate) fn installed(tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file()));
    assert!(found || std::env::var_os("STRATA_REQUIRE_TOOLS").is_none(), "{tool} is not installed");
    found
}
