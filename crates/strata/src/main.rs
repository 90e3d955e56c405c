//! The program: puts the adapters together and hands over to the command line.

mod engine;
mod hub;
mod logging;
mod memory;
mod reserve;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use strata_cli::{EngineServing, Environment, HubProgram, LogLevel};
use strata_registry::{
    Registry, RegistryRules, RegistryService, collect_periodically, forget_periodically, router, serve,
};
use strata_store::{Durability, Store, StoreError};
use tokio::net::TcpListener;

const CATALOG: &str = "catalog.sqlite";

fn main() -> ExitCode {
    // Before anything else: supervisors and the first processes of containers have one thread.
    if let Some(code) = strata_network::entry() {
        return code;
    }
    if let Some(code) = strata_runtime::entry() {
        return code;
    }
    memory::return_what_is_freed();
    strata_cli::run(std::env::args_os().collect(), &Program)
}

/// Files, SQLite, rustls.
struct Program;

impl Environment for Program {
    fn open_store(&self, root: &Path, durability: Durability) -> Result<Store, StoreError> {
        hub::open_store(root, durability)
    }

    fn set_catalog_aside(&self, root: &Path) -> io::Result<Option<PathBuf>> {
        let catalog = root.join(CATALOG);
        if !catalog.try_exists()? {
            return Ok(None);
        }
        let mut number = 1;
        let aside = loop {
            let aside = root.join(format!("{CATALOG}.lost-{number}"));
            if !aside.try_exists()? {
                break aside;
            }
            number += 1;
        };
        std::fs::rename(&catalog, &aside)?;
        // What SQLite keeps beside it belongs to the old file.
        for suffix in ["-wal", "-shm"] {
            let (beside, target) = (root.join(format!("{CATALOG}{suffix}")), format!("{}{suffix}", aside.display()));
            if beside.try_exists()? {
                std::fs::rename(beside, target)?;
            }
        }
        Ok(Some(aside))
    }

    fn prepare_network(&self) {
        // It fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    fn serve_registry<'a>(
        &'a self,
        store: Store,
        listener: TcpListener,
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>> {
        let registry = Registry::new(store, RegistryRules::default());
        let router = router(registry.clone(), RegistryService::default());
        Box::pin(async move {
            tokio::select! {
                served = serve(listener, router, shutdown) => served,
                () = collect_periodically(registry.clone()) => Ok(()),
                () = forget_periodically(registry) => Ok(()),
            }
        })
    }

    fn serve_engine<'a>(
        &'a self,
        serving: EngineServing,
        started: &'a dyn Fn(&[String]),
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>> {
        Box::pin(engine::serve(serving, started, shutdown))
    }

    fn hub(&self) -> &dyn HubProgram {
        self
    }

    fn start_log(&self, level: LogLevel) {
        logging::start_for_command(level);
    }
}
