//! What the hub's commands ask of the program: plain data in and out, so that this crate knows neither hub nor adapters.

use std::error::Error;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use strata_store::{Depth, Durability, FsckReport, Repair};

/// A failure of the hub, to be told as it is.
pub type HubFailure = Box<dyn Error + Send + Sync>;
/// Result of what the hub does.
pub type HubResult<T> = Result<T, HubFailure>;
/// What the hub is doing.
pub type HubFuture<'a, T> = Pin<Box<dyn Future<Output = HubResult<T>> + 'a>>;

/// What the command line says about which hub, and how it behaves.
#[derive(Clone, Debug)]
pub struct HubArguments {
    /// The configuration file, if one was named.
    pub config: Option<PathBuf>,
    /// The store's directory when neither a setting nor a variable of the hub names one.
    pub default_root: PathBuf,
    /// Settings that flags give, by their key in the configuration (`tls.certificate`), stronger than all others.
    pub settings: Vec<(&'static str, String)>,
    /// Whether what is stored survives a power cut.
    pub durability: Durability,
}

/// What a hub that listens tells its operator.
#[derive(Clone, Debug)]
pub struct HubStarted {
    /// Where it listens.
    pub address: String,
    /// `http://…` or `https://…`.
    pub url: String,
    /// What is dangerous about how it is set up.
    pub warnings: Vec<String>,
    /// Name and one-time password of the administrator that the first start made.
    pub first_administrator: Option<(String, String)>,
}

/// What a backup or its restoration moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupReport {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are the same on disk as in the store: no room was taken.
    pub linked: u64,
}

/// What to do with a user.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// Make one; without a password it gets one that is shown once.
    Add {
        /// Its name.
        name: String,
        /// Its address.
        email: Option<String>,
        /// Whether it may do everything.
        is_administrator: bool,
        /// Its password.
        password: Option<String>,
    },
    /// Give it another password; without one it gets one that is shown once.
    Password {
        /// Its name.
        name: String,
        /// Its password.
        password: Option<String>,
    },
    /// Let it neither sign in nor use its tokens.
    Disable {
        /// Its name.
        name: String,
    },
    /// Let it in again.
    Enable {
        /// Its name.
        name: String,
    },
}

/// A user as an operator sees it.
#[derive(Clone, Debug)]
pub struct UserLine {
    /// Its name.
    pub name: String,
    /// `administrator`, `user` or `organization`.
    pub kind: &'static str,
    /// Its address, or nothing.
    pub email: String,
    /// Whether it may sign in.
    pub is_disabled: bool,
    /// When it was made, nanoseconds since 1970.
    pub created: i64,
}

/// The hub, as the command line knows it.
pub trait HubProgram {
    /// Serves until `shutdown` is ready; calls `started` once it listens.
    fn serve<'a>(
        &'a self,
        arguments: &'a HubArguments,
        started: &'a dyn Fn(&HubStarted),
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> HubFuture<'a, ()>;

    /// Reads the configuration; tells which file it was (`None`: there is none) and what is dangerous about it.
    ///
    /// # Errors
    /// Naming file, line and column, or the variable or flag.
    fn check_config(&self, arguments: &HubArguments) -> HubResult<(Option<PathBuf>, Vec<String>)>;

    /// The configuration in force, as a file without secrets.
    ///
    /// # Errors
    /// As [`HubProgram::check_config`].
    fn show_config(&self, arguments: &HubArguments) -> HubResult<String>;

    /// Removes what no repository needs; without `now` only what has waited as long as the settings say. Returns the bytes
    /// given back.
    fn collect<'a>(&'a self, arguments: &'a HubArguments, now: bool) -> HubFuture<'a, u64>;

    /// Checks the store, the hub's records, and that every link and tag leads to something.
    fn fsck<'a>(&'a self, arguments: &'a HubArguments, depth: Depth, repair: Repair) -> HubFuture<'a, FsckReport>;

    /// Writes a copy of everything into a new directory, also while the hub serves.
    fn backup<'a>(&'a self, arguments: &'a HubArguments, to: &'a Path) -> HubFuture<'a, BackupReport>;

    /// Makes a hub from a backup where there is none.
    fn restore<'a>(&'a self, arguments: &'a HubArguments, from: &'a Path) -> HubFuture<'a, BackupReport>;

    /// Changes a user; returns the password that was made, if one was.
    fn change_user<'a>(&'a self, arguments: &'a HubArguments, change: UserChange) -> HubFuture<'a, Option<String>>;

    /// Every account.
    fn users<'a>(&'a self, arguments: &'a HubArguments) -> HubFuture<'a, Vec<UserLine>>;
}
