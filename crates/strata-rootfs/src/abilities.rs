//! What the running kernel really mounts, found out by doing it once.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{CWD, Mode, OFlags, openat, rmdir, unlinkat};
use strata_erofs::{Places, write_image};
use strata_layer::{Content, ContentDigest, ImageView, IndexBuilder, Kind, Metadata, NewEntry, PackId, merge};
use strata_model::{DiffId, Digest};

use crate::erofs::{ErofsSource, detached_erofs};
use crate::overlay::{Overlay, detached_overlay};

/// How the read-only part of a root file system is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// EROFS, from its file.
    ErofsFile,
    /// EROFS, through loop devices.
    ErofsLoop,
    /// A directory of files.
    Directory,
}

impl Method {
    /// How to mount the image; `None` for a directory.
    pub fn erofs_source(self) -> Option<ErofsSource> {
        match self {
            Method::ErofsFile => Some(ErofsSource::File),
            Method::ErofsLoop => Some(ErofsSource::Loop),
            Method::Directory => None,
        }
    }
}

/// What this machine can do in one directory, as this user. Its string form is stable, so that a caller can remember it;
/// it holds until the kernel, the user or the directory's file system changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abilities {
    /// The best way to make the read-only part.
    pub image: Method,
    /// Whether overlays can be mounted with their upper directory here.
    pub overlay: bool,
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.image {
            Method::ErofsFile => "erofs-file",
            Method::ErofsLoop => "erofs-loop",
            Method::Directory => "directory",
        })?;
        f.write_str(if self.overlay { "+overlay" } else { "" })
    }
}

/// A string that is not the form of [`Abilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown abilities")]
pub struct ParseAbilitiesError;

impl FromStr for Abilities {
    type Err = ParseAbilitiesError;

    fn from_str(text: &str) -> Result<Abilities, ParseAbilitiesError> {
        let (image, overlay) = match text.strip_suffix("+overlay") {
            Some(image) => (image, true),
            None => (text, false),
        };
        let image = match image {
            "erofs-file" => Method::ErofsFile,
            "erofs-loop" => Method::ErofsLoop,
            "directory" => Method::Directory,
            _ => return Err(ParseAbilitiesError),
        };
        Ok(Abilities { image, overlay })
    }
}

impl Abilities {
    /// Mounts a tiny image whose metadata lies in `directory` and reads a file from it, and mounts an overlay, both
    /// without giving them a place. Everything that does not work is silently taken as not there; what is made in
    /// `directory` is gone afterwards, save after a crash (`.strata-probe-…`).
    pub fn probe(directory: &Path) -> Abilities {
        let Ok(scratch) = Scratch::new(directory) else {
            return Abilities { image: Method::Directory, overlay: false };
        };
        let works = |source| match try_erofs(source, &scratch.0) {
            Ok(works) => works,
            Err(error) => {
                tracing::debug!(?source, %error, "erofs does not work here");
                false
            }
        };
        let image = if works(ErofsSource::File) {
            Method::ErofsFile
        } else if works(ErofsSource::Loop) {
            Method::ErofsLoop
        } else {
            Method::Directory
        };
        let overlay =
            try_overlay(&scratch.0).inspect_err(|error| tracing::debug!(%error, "overlay does not work here"));
        Abilities { image, overlay: overlay.is_ok() }
    }
}

const PROBE: &[u8] = b"read through the mount";

/// Mounts an image with the one file `probe` and compares its content.
fn try_erofs(source: ErofsSource, directory: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    struct OnePlace;
    impl Places for OnePlace {
        fn place(&self, _: usize, _: &ContentDigest) -> Option<u64> {
            Some(512)
        }
        fn length(&self, _: usize) -> u64 {
            1024
        }
    }
    let (image_path, pack_path) = (directory.join("image"), directory.join("pack"));
    write_image(&probe_view()?, &OnePlace, File::create(&image_path)?)?;
    let mut pack = [0; 1024];
    pack[512..][..PROBE.len()].copy_from_slice(PROBE);
    fs::write(&pack_path, pack)?;
    let mount = detached_erofs(source, &File::open(image_path)?, &[File::open(pack_path)?], directory)?;
    let mut content = Vec::new();
    File::from(openat(&mount, "probe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?).read_to_end(&mut content)?;
    Ok(content == PROBE)
}

fn probe_view() -> Result<ImageView, Box<dyn std::error::Error>> {
    let mut builder = IndexBuilder::default();
    let content = Content { digest: ContentDigest::of(PROBE), pack: 0, size: PROBE.len() as u64 };
    let entry = NewEntry {
        path: b"probe",
        kind: Kind::Regular,
        link: b"",
        metadata: Metadata { mode: 0o444, ..Metadata::default() },
        device: (0, 0),
        content: Some(content),
    };
    if !builder.push(entry, Vec::new()) {
        return Err("the probe does not fit an index".into());
    }
    Ok(merge(&[&builder.finish(DiffId(Digest::of(b"")), 0, 0, vec![PackId([0; 16])])])?)
}

/// Mounts an overlay and writes into it.
fn try_overlay(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let paths = ["lower", "upper", "work"].map(|name| directory.join(name));
    paths.iter().try_for_each(fs::create_dir)?;
    let [lower, upper, work] = &paths;
    let user_xattrs = !rustix::process::geteuid().is_root() || in_user_namespace();
    let mount = detached_overlay(&Overlay { lower, upper, work, user_xattrs }, directory)?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    File::from(openat(&mount, "probe", flags, Mode::RUSR)?).write_all(PROBE)?;
    unlinkat(&mount, "probe", rustix::fs::AtFlags::empty())?;
    Ok(())
}

/// Whether user 0 here is not user 0 of the machine.
pub fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// A directory of our own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(directory: &Path) -> io::Result<Scratch> {
        for attempt in 0..100 {
            let path = directory.join(format!(".strata-probe-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let open = |path: &Path| -> rustix::io::Result<OwnedFd> {
            openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        // The kernel leaves work/work behind with no permissions, which remove_dir_all cannot read as a plain user.
        if open(&self.0.join("work/work")).is_ok() {
            let _ = rmdir(self.0.join("work/work"));
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a probe stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_form_comes_back() {
        for image in [Method::ErofsFile, Method::ErofsLoop, Method::Directory] {
            for overlay in [false, true] {
                let abilities = Abilities { image, overlay };
                assert_eq!(abilities.to_string().parse(), Ok(abilities));
            }
        }
        assert_eq!("squashfs".parse::<Abilities>(), Err(ParseAbilitiesError));
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        Abilities::probe(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_works() {
        let nothing = Abilities { image: Method::Directory, overlay: false };
        assert_eq!(Abilities::probe(Path::new("/nowhere/at/all")), nothing);
    }
}
