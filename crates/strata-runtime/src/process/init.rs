//! The container's init, from clone to exec. It is the only thread of its process, so that everything may be done here.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{ContainerState, Linux, LinuxNamespaceType, Process, Spec};
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use rustix::termios::{Winsize, tcsetwinsize};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid};

use super::channel::Channel;
use super::hooks::Subject;
use super::identity::{self, Confinement};
use super::message::{Failure, FromInit, Stage, ToInit};
use super::namespaces::Namespaces;
use super::program::{self, Program};
use super::root::Root;
use super::{Streams, reaper, sys};

/// What init knows, computed by its maker.
pub(super) struct Init<'a> {
    pub(super) spec: &'a Spec,
    pub(super) linux: &'a Linux,
    pub(super) process: &'a Process,
    pub(super) container: &'a str,
    pub(super) bundle: &'a Path,
    pub(super) namespaces: &'a Namespaces,
    pub(super) confinement: &'a Confinement,
    pub(super) in_user_namespace: bool,
    /// Whether it stays the first process and the program is another.
    pub(super) reaps: bool,
}

impl Init<'_> {
    /// Becomes the container's program, or ends.
    pub(super) fn run(self, channel: Channel, streams: Streams) -> ! {
        // Of its maker's signals nothing must be left, and it must not outlive it.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let channel = match self.make(channel, streams) {
            Ok(channel) => channel,
            Err((channel, failure)) => {
                let _ = channel.send(&FromInit::Failed(failure), &[]);
                sys::leave(1)
            }
        };
        let failure = match self.become_program() {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        let _ = channel.send(&FromInit::Failed(failure), &[]);
        sys::leave(1)
    }

    /// Makes the container; the channel comes back at its own number.
    fn make(&self, channel: Channel, streams: Streams) -> Result<Channel, (Channel, Failure)> {
        if !matches!(channel.receive::<ToInit>(), Ok(Some((ToInit::Prepare, _)))) {
            sys::leave(1);
        }
        let made = self.make_container(streams);
        let terminal = match made {
            Ok(terminal) => terminal,
            Err(failure) => return Err((channel, failure)),
        };
        let descriptors: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
        let sent = channel.send(&FromInit::Ready, &descriptors);
        drop(terminal);
        if sent.is_err() || !matches!(channel.receive::<ToInit>(), Ok(Some((ToInit::Start, _)))) {
            sys::leave(1);
        }
        // From here on nothing of the machine is open: a path through /proc/self/fd finds nothing (CVE-2024-21626).
        match channel.keep_alone() {
            Ok(channel) => Ok(channel),
            Err(_) => sys::leave(1),
        }
    }

    fn make_container(&self, streams: Streams) -> Result<Option<OwnedFd>, Failure> {
        let namespace = |action: &'static str| move |cause| Failure::system(Stage::Namespaces, action, cause);
        if self.namespaces.makes(LinuxNamespaceType::User) {
            let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
            set_thread_res_gid(gid, gid, gid).map_err(namespace("becoming root of the user namespace"))?;
            set_thread_res_uid(uid, uid, uid).map_err(namespace("becoming root of the user namespace"))?;
            // Changing the user takes the signal back.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
        }
        self.namespaces.join().map_err(|error| Failure::new(Stage::Namespaces, error))?;
        let new_cgroups = self.namespaces.makes(LinuxNamespaceType::Cgroup);
        if new_cgroups {
            sys::unshare(UnshareFlags::NEWCGROUP)
                .map_err(|cause| Failure::system(Stage::Namespaces, "making the cgroup namespace", cause))?;
        }
        setsid().map_err(namespace("making a session"))?;
        self.names()?;
        if self.namespaces.makes(LinuxNamespaceType::Network) {
            sys::loopback_up()
                .map_err(|cause| Failure::system(Stage::Namespaces, "bringing the loopback device up", cause))?;
        }
        if self.namespaces.makes(LinuxNamespaceType::Mount) {
            strata_rootfs::make_private()?;
        }
        let root = Root::open(self.spec, self.linux, self.bundle, self.in_user_namespace, new_cgroups)?;
        root.assemble()?;
        self.hooks(|hooks| hooks.create_container().as_ref(), ContainerState::Created)?;
        let inside = root.enter()?;
        let terminal = match streams {
            Streams::Descriptors(streams) => {
                place_streams(&streams)?;
                None
            }
            Streams::Terminal => {
                let failed = |cause| Failure::system(Stage::Terminal, "opening the terminal", cause);
                let (master, slave) = sys::open_terminal().map_err(failed)?;
                set_terminal_size(&master, self.process)?;
                inside.console(slave.as_fd())?;
                sys::take_terminal(slave.as_fd()).map_err(failed)?;
                place_streams(&[&slave, &slave, &slave])?;
                Some(master)
            }
        };
        inside.finish()?;
        Ok(terminal)
    }

    fn become_program(&self) -> Result<std::convert::Infallible, Failure> {
        identity::limits(self.process)?;
        identity::personality(self.spec)?;
        identity::hide()?;
        let identity = identity::identity(self.spec, self.process)?;
        own_streams(&identity);
        self.confinement.apply(self.process, &identity)?;
        program::enter_directory(self.process)?;
        self.hooks(|hooks| hooks.start_container().as_ref(), ContainerState::Created)?;
        let program = Program::find(self.process, &identity)?;
        sys::reset_signals();
        match self.reaps {
            true => reaper::leave_first_process(|| self.confinement.apply_last())?,
            false => self.confinement.apply_last()?,
        }
        Err(program.execute())
    }

    fn names(&self) -> Result<(), Failure> {
        if !self.namespaces.has(LinuxNamespaceType::Uts) {
            return Ok(());
        }
        let failed = |action: &'static str| move |cause| Failure::system(Stage::Namespaces, action, cause);
        if let Some(name) = self.spec.hostname() {
            rustix::system::sethostname(name.as_bytes()).map_err(failed("setting the host name"))?;
        }
        if let Some(name) = self.spec.domainname() {
            rustix::system::setdomainname(name.as_bytes()).map_err(failed("setting the domain name"))?;
        }
        Ok(())
    }

    fn hooks(
        &self,
        which: impl FnOnce(&oci_spec::runtime::Hooks) -> Option<&Vec<oci_spec::runtime::Hook>>,
        status: ContainerState,
    ) -> Result<(), Failure> {
        let Some(hooks) = self.spec.hooks().as_ref().and_then(which) else { return Ok(()) };
        let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
        let subject = Subject { spec: self.spec, container: self.container, bundle: self.bundle, pid: Some(pid) };
        subject.run(Some(hooks), status).map_err(|error| Failure::new(Stage::Hook, error))
    }
}

/// Gives a terminal the size that the configuration says.
pub(super) fn set_terminal_size(master: &OwnedFd, process: &Process) -> Result<(), Failure> {
    let Some(size) = process.console_size() else { return Ok(()) };
    let count = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = Winsize { ws_row: count(size.height()), ws_col: count(size.width()), ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).map_err(|cause| Failure::system(Stage::Terminal, "setting the terminal's size", cause))
}

/// Puts the program's streams at 0, 1 and 2.
pub(super) fn place_streams(streams: &[impl AsFd; 3]) -> Result<(), Failure> {
    for (number, stream) in (0..).zip(streams) {
        sys::place(stream.as_fd(), number, false)
            .map_err(|cause| Failure::system(Stage::Terminal, "placing the standard streams", cause))?;
    }
    Ok(())
}

/// The program's user may open its own pipes again, as through `/dev/stdout`. What is no pipe or terminal stays whose it is.
pub(super) fn own_streams(identity: &crate::user::Identity) {
    use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(status) = fstat(stream) else { continue };
        let kind = FileType::from_raw_mode(status.st_mode);
        let null = kind == FileType::CharacterDevice && status.st_rdev == rustix::fs::makedev(1, 3);
        if matches!(kind, FileType::Fifo | FileType::CharacterDevice) && !null && status.st_uid != identity.uid {
            let _ = fchown(stream, Some(Uid::from_raw(identity.uid)), None::<Gid>);
        }
    }
}
