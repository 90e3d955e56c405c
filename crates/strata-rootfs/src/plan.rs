//! What to do for a root file system, as a value.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, mount_bind, mount_remount};

use serde::{Deserialize, Serialize};

use crate::abilities::{Abilities, in_user_namespace};
use crate::erofs::{ErofsSource, mount_erofs, mount_error};
use crate::error::RootfsError;
use crate::inside::{Detached, TargetKind, open_source, target_inside};
use crate::overlay::{Overlay, mount_overlay};
use crate::sys::Propagation;

/// Where an image's view lies or would lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewOnDisk {
    /// Its EROFS image.
    pub image: PathBuf,
    /// Its packs, in the order of the view.
    pub packs: Vec<PathBuf>,
    /// Its directory form, shared between containers, whether it exists or not.
    pub directory: PathBuf,
}

/// The directories of a container that wants to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpperDirectory {
    /// What it wrote, or everything, when overlays do not work.
    pub upper: PathBuf,
    /// Scratch space of overlayfs.
    pub work: PathBuf,
    /// Where the read-only part is mounted below the overlay.
    pub lower: PathBuf,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Mount the EROFS image.
    Erofs {
        /// How.
        source: ErofsSource,
        /// The image.
        image: PathBuf,
        /// Its packs in order.
        packs: Vec<PathBuf>,
        /// Where.
        target: PathBuf,
    },
    /// Write the view as files, unless the directory exists. It appears complete or not at all.
    Extract {
        /// Where.
        target: PathBuf,
    },
    /// Mount the overlay.
    Overlay {
        /// The read-only part.
        lower: PathBuf,
        /// The writable part.
        upper: PathBuf,
        /// Scratch space.
        work: PathBuf,
        /// Where.
        target: PathBuf,
    },
    /// Let a directory appear at another place.
    Bind {
        /// The directory.
        source: PathBuf,
        /// Where.
        target: PathBuf,
        /// Whether nothing may be written there.
        read_only: bool,
    },
}

/// The steps to a root file system, in order. Its serialized form is for another process of the same program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// What to do.
    pub steps: Vec<Step>,
}

/// The plan that lets the view appear at `target`, writable when there is an upper directory. Pure.
///
/// Without overlays a writable root is a copy of its own (`upper` holds all of it).
pub fn mount_plan(
    view: &ViewOnDisk,
    upper: Option<&UpperDirectory>,
    abilities: &Abilities,
    target: &Path,
) -> MountPlan {
    let target = target.to_owned();
    let erofs = |source, target| Step::Erofs { source, image: view.image.clone(), packs: view.packs.clone(), target };
    let extract = |target: &PathBuf| Step::Extract { target: target.clone() };
    let bind = |source: &PathBuf, target, read_only| Step::Bind { source: source.clone(), target, read_only };
    let steps = match (upper, abilities.image.erofs_source()) {
        (None, Some(source)) => vec![erofs(source, target)],
        (None, None) => vec![extract(&view.directory), bind(&view.directory, target, true)],
        (Some(upper), _) if !abilities.overlay => vec![extract(&upper.upper), bind(&upper.upper, target, false)],
        (Some(upper), erofs_source) => {
            let (first, lower) = match erofs_source {
                Some(source) => (erofs(source, upper.lower.clone()), upper.lower.clone()),
                None => (extract(&view.directory), view.directory.clone()),
            };
            let (upper, work) = (upper.upper.clone(), upper.work.clone());
            vec![first, Step::Overlay { lower, upper, work, target }]
        }
    };
    MountPlan { steps }
}

impl MountPlan {
    /// Does it. Directories that are needed are made; `extract` writes the view into an existing empty directory.
    ///
    /// On failure the mounts that were made are taken away again; an extraction that was finished stays.
    pub fn realize(&self, extract: &mut dyn FnMut(&Path) -> Result<(), RootfsError>) -> Result<(), RootfsError> {
        let mut mounted: Vec<&Path> = Vec::new();
        for step in &self.steps {
            if let Err(error) = step.realize(extract) {
                for target in mounted.into_iter().rev() {
                    if let Err(error) = crate::mountinfo::detach(target) {
                        tracing::warn!(%error, "a mount stays behind");
                    }
                }
                return Err(error);
            }
            mounted.extend(step.mount_target());
        }
        Ok(())
    }
}

impl MountPlan {
    /// Does it in a mount namespace that nobody else sees, with `binds` inside, and hands the root to `work` there. What is
    /// mounted is gone afterwards. Directories that are to be extracted must be there.
    pub fn apart<T: Send>(
        &self,
        target: &Path,
        binds: &[InnerBind],
        work: impl FnOnce(BorrowedFd<'_>) -> T + Send,
    ) -> Result<T, RootfsError> {
        let open = || {
            crate::sys::leave_mount_namespace()
                .map_err(|cause| RootfsError::system("leaving the mount namespace for", target, cause))?;
            self.realize(&mut |path| Err(RootfsError::system("finding directory", path, Errno::NOENT)))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = openat(CWD, target, flags, Mode::empty())
                .map_err(|cause| RootfsError::system("opening directory", target, cause))?;
            binds.iter().try_for_each(|bind| bind.appear(root.as_fd()))?;
            Ok(work(root.as_fd()))
        };
        // The namespace is that of a thread, and ends with it.
        std::thread::scope(|scope| scope.spawn(open).join())
            .unwrap_or_else(|_| Err(RootfsError::system("mounting", target, Errno::IO)))
    }
}

/// A directory or file of the machine that appears inside a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerBind {
    /// The directory or file.
    pub source: PathBuf,
    /// Where inside; made when it is not there.
    pub target: PathBuf,
    /// Whether nothing may be written there.
    pub read_only: bool,
}

impl InnerBind {
    fn appear(&self, root: BorrowedFd<'_>) -> Result<(), RootfsError> {
        let source = open_source(&self.source)?;
        let mode = fstat(&source).map_err(|cause| RootfsError::system("looking at", &self.source, cause))?.st_mode;
        let kind = match FileType::from_raw_mode(mode) {
            FileType::Directory => TargetKind::Directory,
            _ => TargetKind::File,
        };
        let at = target_inside(root, &self.target, kind)?;
        let copy = Detached::copy(source.as_fd(), true, &self.target)?;
        copy.propagate(Propagation::Private, true, &self.target)?;
        if self.read_only {
            copy.change(MountAttrFlags::MOUNT_ATTR_RDONLY, MountAttrFlags::empty(), true, &self.target)?;
        }
        copy.attach(at.as_fd(), &self.target)
    }
}

impl Step {
    fn mount_target(&self) -> Option<&Path> {
        match self {
            Step::Erofs { target, .. } | Step::Overlay { target, .. } | Step::Bind { target, .. } => Some(target),
            Step::Extract { .. } => None,
        }
    }

    fn realize(&self, extract: &mut dyn FnMut(&Path) -> Result<(), RootfsError>) -> Result<(), RootfsError> {
        match self {
            Step::Erofs { source, image, packs, target } => {
                make(target)?;
                let packs = packs.iter().map(|pack| open(pack)).collect::<Result<Vec<_>, _>>()?;
                mount_erofs(*source, &open(image)?, &packs, target)
            }
            Step::Extract { target } => extract_whole(target, extract),
            Step::Overlay { lower, upper, work, target } => {
                [upper, work, target].into_iter().try_for_each(|path| make(path))?;
                mount_overlay(&Overlay { lower, upper, work, user_xattrs: in_user_namespace() }, target)
            }
            Step::Bind { source, target, read_only } => {
                make(target)?;
                let failed = |cause: rustix::io::Errno| mount_error("bind", target, cause.into(), String::new());
                mount_bind(source, target).map_err(failed)?;
                if *read_only {
                    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV;
                    mount_remount(target, flags, "").map_err(failed)?;
                }
                Ok(())
            }
        }
    }
}

/// Extracts beside the target and renames, so that a crash leaves no half directory under its name. Who comes second
/// uses what the first one made; an empty directory gives way.
fn extract_whole(target: &Path, extract: &mut dyn FnMut(&Path) -> Result<(), RootfsError>) -> Result<(), RootfsError> {
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = target.with_file_name(name);
    if partial.exists() {
        remove(&partial)?;
    }
    make(&partial)?;
    extract(&partial)?;
    match fs::rename(&partial, target) {
        Err(_) if target.is_dir() => remove(&partial),
        other => other.map_err(|cause| RootfsError::system("renaming directory", &partial, cause)),
    }
}

fn make(path: &Path) -> Result<(), RootfsError> {
    fs::create_dir_all(path).map_err(|cause| RootfsError::system("creating directory", path, cause))
}

fn remove(path: &Path) -> Result<(), RootfsError> {
    fs::remove_dir_all(path).map_err(|cause| RootfsError::system("removing directory", path, cause))
}

fn open(path: &Path) -> Result<File, RootfsError> {
    File::open(path).map_err(|cause| RootfsError::system("opening", path, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abilities::Method;

    fn step_names(image: Method, overlay: bool, writable: bool) -> Vec<String> {
        let view =
            ViewOnDisk { image: "/v/image".into(), packs: vec!["/p/1".into()], directory: "/v/directory".into() };
        let upper = UpperDirectory { upper: "/c/upper".into(), work: "/c/work".into(), lower: "/c/lower".into() };
        let plan = mount_plan(&view, writable.then_some(&upper), &Abilities { image, overlay }, Path::new("/c/root"));
        let name = |step: &Step| match step {
            Step::Erofs { source, target, .. } => format!("{source:?} {}", target.display()),
            Step::Extract { target } => format!("extract {}", target.display()),
            Step::Overlay { lower, target, .. } => format!("overlay {} {}", lower.display(), target.display()),
            Step::Bind { source, target, read_only } => {
                format!("bind {} {} {read_only}", source.display(), target.display())
            }
        };
        plan.steps.iter().map(name).collect()
    }

    #[test]
    fn plans() {
        use Method::{Directory, ErofsFile, ErofsLoop};
        assert_eq!(step_names(ErofsFile, true, false), ["File /c/root"]);
        assert_eq!(step_names(ErofsLoop, true, true), ["Loop /c/lower", "overlay /c/lower /c/root"]);
        assert_eq!(step_names(ErofsFile, false, true), ["extract /c/upper", "bind /c/upper /c/root false"]);
        assert_eq!(step_names(Directory, true, true), ["extract /v/directory", "overlay /v/directory /c/root"]);
        assert_eq!(step_names(Directory, false, false), ["extract /v/directory", "bind /v/directory /c/root true"]);
    }

    #[test]
    fn an_extraction_appears_whole_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("view");
        let plan = MountPlan { steps: vec![Step::Extract { target: target.clone() }] };
        let failed = plan.realize(&mut |path| {
            fs::write(path.join("half"), "").unwrap();
            Err(RootfsError::ContentMissing { path: "x".into() })
        });
        assert!(failed.is_err() && !target.exists());
        let mut runs = 0;
        for _ in 0..2 {
            plan.realize(&mut |path| {
                runs += 1;
                assert_eq!(fs::read_dir(path).unwrap().count(), 0, "starts empty");
                fs::write(path.join("whole"), "").map_err(|cause| RootfsError::system("writing", path, cause))
            })
            .unwrap();
        }
        assert_eq!((runs, fs::read_dir(directory.path()).unwrap().count()), (1, 1));
        assert!(target.join("whole").is_file());
    }
}
