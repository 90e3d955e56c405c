//! What a command works with. Everything is made when a command first asks for it: start-up costs nothing that is not used.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use strata_engine::ViewPolicy;
use strata_model::{Host, Platform, Reference};
use strata_registry_client::{ClientConfig, RegistryClient};
use strata_store::{Durability, Store};
use strata_transfer::CopyLimits;

use crate::command_line::{Flags, GlobalOptions, Invocation};
use crate::output::complain;
use crate::report::{Failure, Outcome};
use crate::run::Environment;

const SYSTEM_CONFIG: &str = "/etc/strata/config.toml";
const SYSTEM_ROOT: &str = "/var/lib/strata";
/// Another process that writes for longer is not waited for.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// What a command works with.
pub(crate) struct Context<'a> {
    pub(crate) environment: &'a dyn Environment,
    pub(crate) invocation: &'a Invocation,
    root: OnceCell<PathBuf>,
    store: OnceCell<Store>,
    client: OnceCell<RegistryClient>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(environment: &'a dyn Environment, invocation: &'a Invocation) -> Context<'a> {
        Context { environment, invocation, root: OnceCell::new(), store: OnceCell::new(), client: OnceCell::new() }
    }

    /// The name that texts call the program by.
    pub(crate) fn program(&self) -> &str {
        &self.invocation.program
    }

    fn global(&self) -> &GlobalOptions {
        self.invocation.global()
    }

    /// The store, opened now if it was not yet.
    pub(crate) fn store(&self) -> Outcome<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let durability = if self.global().no_sync { Durability::Unsynced } else { Durability::Synced };
        let store = self.environment.open_store(&self.root()?, durability)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// Waits for what the store still does for work that failed or was interrupted.
    pub(crate) async fn settle(&self) {
        if let Some(store) = self.store.get() {
            let _ = tokio::time::timeout(SETTLE_TIME, store.settle()).await;
        }
    }

    /// Directory of the store: `--root`, `STRATA_ROOT`, `/var/lib/strata` for root, else below the user's data directory.
    pub(crate) fn root(&self) -> Outcome<PathBuf> {
        if let Some(root) = self.root.get() {
            return Ok(root.clone());
        }
        let root = self.find_root()?;
        // Kept: who asks later may have become root of a user namespace.
        Ok(self.root.get_or_init(|| root).clone())
    }

    fn find_root(&self) -> Outcome<PathBuf> {
        if let Some(root) = self.global().root.clone().or_else(|| environment_path("STRATA_ROOT")) {
            return Ok(root);
        }
        if rustix::process::geteuid().is_root() {
            return Ok(SYSTEM_ROOT.into());
        }
        let data = environment_path("XDG_DATA_HOME")
            .or_else(|| environment_path("HOME").map(|home| home.join(".local/share")))
            .ok_or_else(|| Failure::bare("no place for a store: set HOME, or STRATA_ROOT, or give --root"))?;
        Ok(data.join("strata"))
    }

    /// The registry client, configured by the first of strata's configuration files that exists for the user.
    pub(crate) fn client(&self) -> Outcome<&RegistryClient> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        self.environment.prepare_network();
        let client = RegistryClient::new(self.client_config()?);
        Ok(self.client.get_or_init(|| client))
    }

    /// How registries are reached, as those files say.
    pub(crate) fn client_config(&self) -> Outcome<ClientConfig> {
        let user = environment_path("XDG_CONFIG_HOME")
            .or_else(|| environment_path("HOME").map(|home| home.join(".config")))
            .map(|directory| directory.join("strata/config.toml"))
            .filter(|path| path.exists());
        let mut config = ClientConfig::load(&user.unwrap_or_else(|| SYSTEM_CONFIG.into()))
            .map_err(|error| Failure::bare(error.message))?;
        if let Some(directory) = &self.global().config {
            config.credentials.docker_config = Some(directory.join("config.json"));
        }
        Ok(config)
    }

    /// Docker's configuration directory: `--config`, `DOCKER_CONFIG`, `~/.docker`.
    pub(crate) fn docker_directory(&self) -> Option<PathBuf> {
        let global = self.global().config.clone().or_else(|| environment_path("DOCKER_CONFIG"));
        global.or_else(|| environment_path("HOME").map(|home| home.join(".docker")))
    }

    /// A setting of docker's `config.json`; a file that cannot be read has none.
    pub(crate) fn docker_setting(&self, key: &str) -> Option<Value> {
        let path = self.docker_directory()?.join("config.json");
        let text = std::fs::read_to_string(&path).ok()?;
        match serde_json::from_str::<Value>(&text) {
            Ok(document) => document.get(key).cloned(),
            Err(_) => {
                complain(&format!("WARNING: Error loading config file: {}: malformed JSON", path.display()));
                None
            }
        }
    }

    /// A reference as the user wrote it; a name without host belongs to the default registry, if one is set.
    pub(crate) fn reference(&self, text: &str) -> Outcome<Reference> {
        let reference = Reference::parse(text).map_err(|cause| Failure::bare(cause.to_string()))?;
        let names_host = text.split('/').next().is_some_and(|first| first != text && is_host(first));
        match &self.client_config()?.default_registry {
            Some(host) if !names_host && reference.host().is_docker_hub() => on_host(text, host),
            _ => Ok(reference),
        }
    }

    /// The platform that a flag asks for.
    pub(crate) fn platform(&self, flags: &Flags<'_>) -> Outcome<Option<Platform>> {
        flags.text("platform").map(|text| parse_platform(&text)).transpose()
    }

    /// The same, with `DOCKER_DEFAULT_PLATFORM` for a flag that is not given.
    pub(crate) fn platform_or_default(&self, flags: &Flags<'_>) -> Outcome<Option<Platform>> {
        let default = || std::env::var("DOCKER_DEFAULT_PLATFORM").ok().filter(|text| !text.is_empty());
        flags.text("platform").or_else(default).map(|text| parse_platform(&text)).transpose()
    }

    /// How much is transferred at once, and how often it is tried.
    pub(crate) fn limits(&self) -> CopyLimits {
        let usual = CopyLimits::default();
        let configured = self.client().map(|client| client.config().retry.tries);
        CopyLimits { tries: configured.unwrap_or(usual.tries), ..usual }
    }

    /// Whether pulled images are prepared for mounting: by those who can mount.
    pub(crate) fn view_policy(&self) -> ViewPolicy {
        if rustix::process::geteuid().is_root() { ViewPolicy::Prepare } else { ViewPolicy::Skip }
    }

    /// Whether progress may be shown live.
    pub(crate) fn allows_live_progress(&self) -> bool {
        !self.global().no_progress
    }
}

fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The reference on another host; Docker Hub's `library/` is not put before short names there.
fn on_host(text: &str, host: &Host) -> Outcome<Reference> {
    Reference::parse(&format!("{host}/{text}")).map_err(|cause| Failure::bare(cause.to_string()))
}

fn parse_platform(text: &str) -> Outcome<Platform> {
    text.parse::<Platform>().map_err(|cause| Failure::bare(cause.to_string()))
}

/// A variable that names a path and is not empty.
pub(crate) fn environment_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| Path::new(&value).to_path_buf())
}
