//! From the program's arguments to its exit code.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use strata_store::{Durability, Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::command_line::{Invocation, RunsOn};
use crate::commands;
use crate::context::Context;
use crate::engine::EngineServing;
use crate::hub::HubProgram;
use crate::output::print_line;
use crate::report::{Failure, Outcome};

/// Threads for what blocks, at most: each client that waits for a container, or follows its output, takes one.
const WAITING_THREADS: usize = 4096;

/// How much is logged to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what is odd.
    Warn,
    /// And what happens; docker's default.
    Info,
    /// And why.
    Debug,
}

/// What the program is composed of; the binary provides it, so that this crate knows no adapter.
pub trait Environment {
    /// Opens the store below `root`, which is made when it is not there.
    ///
    /// # Errors
    /// As the adapters say.
    #[allow(clippy::result_large_err, reason = "a store is opened once")]
    fn open_store(&self, root: &Path, durability: Durability) -> Result<Store, StoreError>;

    /// Puts the catalog below `root` aside, whatever its state, so that a new one takes its place; tells where it lies now,
    /// `None` when there was none.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn set_catalog_aside(&self, root: &Path) -> io::Result<Option<PathBuf>>;

    /// Called once before the first connection is made: installs the TLS provider.
    fn prepare_network(&self);

    /// Serves the store's repositories until `shutdown` is ready.
    fn serve_registry<'a>(
        &'a self,
        store: Store,
        listener: TcpListener,
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

    /// Serves docker's Engine API until `shutdown` is ready; calls `started` with the addresses once it listens.
    ///
    /// # Errors
    /// When it cannot listen.
    fn serve_engine<'a>(
        &'a self,
        serving: EngineServing,
        started: &'a dyn Fn(&[String]),
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

    /// The hub.
    fn hub(&self) -> &dyn HubProgram;

    /// Starts logging to stderr.
    fn start_log(&self, level: LogLevel);
}

/// Runs the command that `arguments` (the program's name first) ask for, and returns the exit code.
pub fn run(arguments: Vec<OsString>, environment: &dyn Environment) -> ExitCode {
    let code = match dispatch(arguments, environment) {
        Ok(()) => 0,
        Err(failure) => failure.report(),
    };
    ExitCode::from(code)
}

fn dispatch(arguments: Vec<OsString>, environment: &dyn Environment) -> Outcome {
    let invocation = Invocation::parse(commands::tree(), arguments)?;
    if invocation.shows_version() {
        return print_line(commands::version_line());
    }
    let Some(command) = invocation.command() else { return invocation.print_help() };
    if !command.logs_itself {
        environment.start_log(invocation.global().log_level);
    }
    let flags = invocation.flags();
    let context = Context::new(environment, &invocation);
    if command.needs_all_ids {
        strata_engine::enter_user_namespace(&context.root()?)?;
    }
    let runtime = match command.runs_on {
        RunsOn::Caller => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        RunsOn::Workers | RunsOn::WorkersUntilItEnds => {
            tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(WAITING_THREADS).build()
        }
    };
    let runtime = runtime.map_err(|cause| Failure::bare(format!("starting threads: {cause}")))?;
    let work = (command.run)(&context, &flags);
    let outcome = runtime.block_on(async {
        let outcome = match command.runs_on {
            RunsOn::Caller | RunsOn::WorkersUntilItEnds => work.await,
            RunsOn::Workers => until_interrupted(work).await,
        };
        context.settle().await;
        outcome
    });
    // What is still being written stays staged; the next run takes it up.
    runtime.shutdown_background();
    outcome
}

/// A command that is interrupted leaves its staged downloads for the next one.
async fn until_interrupted(work: impl Future<Output = Outcome>) -> Outcome {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return work.await;
    };
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Err(Failure::silent(130)),
        _ = terminate.recv() => Err(Failure::silent(143)),
    }
}
