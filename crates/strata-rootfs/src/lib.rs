//! The root file system of a container on this machine: EROFS mounts over packs, overlays, and the directory fallback.
//!
//! This is the only crate that mounts. What to do is a value ([`mount_plan`], pure); only [`MountPlan::realize`] and the
//! functions it calls touch the kernel. What the kernel can do is tried, not guessed ([`Abilities::probe`]).
//!
//! The order of preference for an image's read-only part: EROFS mounted from its file (Linux 6.12 and later), EROFS
//! through loop devices, a directory written from the view ([`extract`]). Nothing here keeps state: what is mounted is
//! what `/proc/self/mountinfo` says ([`mounts`]), so any process can unmount what another one mounted.
//!
//! All paths that come from images are walked on directory handles with `openat2`, which refuses to leave the target or
//! to follow a link.

mod abilities;
mod content;
mod erofs;
mod error;
mod extract;
mod inside;
mod mountinfo;
mod overlay;
mod plan;
mod sys;

pub use abilities::{Abilities, Method, ParseAbilitiesError, in_user_namespace};
pub use erofs::{ErofsSource, mount_erofs};
pub use error::RootfsError;
pub use extract::{Extracted, Ownership, extract, extract_below};
pub use inside::{
    Detached, TargetKind, change_attributes, change_propagation, directory_inside, make_private, open_inside,
    open_inside_with, open_source, pivot, target_inside,
};
pub use mountinfo::{Mount, detach, mounts, mounts_below, parse_mountinfo, unmount};
pub use overlay::{Overlay, mount_overlay};
pub use plan::{InnerBind, MountPlan, Step, UpperDirectory, ViewOnDisk, mount_plan};
pub use sys::Propagation;
