//! `registry serve`: a registry over the store.

use strata_store::StoreError;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::command_line::{CommandDefinition, FlagKind, Flags, RunsOn};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    let definition = CommandDefinition::new(
        "serve",
        "[OPTIONS]",
        "Serve a registry from the store: push to it and pull from it",
        |context, flags| Box::pin(run(context, flags)),
    )
    .flag_with_default(
        "addr",
        FlagKind::Text("string"),
        "127.0.0.1:5000",
        "Address to listen on; port 0 takes a free one",
    )
    .examples(&[("registry serve --addr 127.0.0.1:5000 --root /srv/registry", "With a store of its own")]);
    CommandDefinition { runs_on: RunsOn::WorkersUntilItEnds, ..definition }
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let address = flags.text("addr").unwrap_or_default();
    let listening = |cause: std::io::Error| Failure::bare(format!("listening on {address}: {cause}"));
    let listener = TcpListener::bind(&address).await.map_err(listening)?;
    let local = listener.local_addr().map_err(listening)?;
    let store = context.store()?.clone();
    let shutdown = stop_signal()?;
    print_line(format_args!("Listening on {local}"))?;
    if !local.ip().is_loopback() {
        complain("WARNING: whoever can connect can read and write; put a proxy with TLS and passwords in front");
    }
    let served = tokio::select! {
        served = context.environment.serve_registry(store.clone(), listener, Box::pin(shutdown)) => served,
        () = store.keep_snapshots(warn_of_snapshot) => Ok(()),
    };
    if let Err(error) = store.snapshot_names().await {
        warn_of_snapshot(&error);
    }
    served.map_err(|cause| Failure::bare(format!("serving on {local}: {cause}")))
}

fn warn_of_snapshot(error: &StoreError) {
    complain(&format!("WARNING: the snapshot of names could not be written: {error}"));
}

/// Is ready when the process is asked to stop. Signals count from this call on.
pub(super) fn stop_signal() -> Outcome<impl Future<Output = ()> + Send + 'static> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
