//! `create`: the directory is made privately, then one transaction makes the container and its volumes exist.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use strata_model::Platform;
use strata_runtime::spec::{MASKED_PATHS, READONLY_PATHS, SHM_SIZE};
use strata_store::{ContainerPhase, ContainerRow, ReadTxn, Store, fault};

use super::document::{Config, ContainerDocument, HostConfig};
use super::remove::take_away;
use super::{
    container_directory, container_event, find_container, limits, logs, merge, mounts, names, random_id, short_id,
};
use crate::lookup::{find_image_in, load_documents};
use crate::{EngineError, Result, network, volume};

/// How many made-up names are tried.
const NAME_ATTEMPTS: u32 = 64;
/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Its name; `None` for a made-up one.
    pub name: Option<String>,
    /// The platform of the image.
    pub platform: Option<Platform>,
    /// What runs; `image` names the image.
    pub config: Config,
    /// How it runs.
    pub host_config: HostConfig,
    /// The networks that it is in, by name.
    pub networks: BTreeMap<String, Value>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The ID.
    pub id: String,
    /// What of the request has no effect here.
    pub warnings: Vec<String>,
}

/// Makes a container. `root` is the store's directory.
///
/// # Errors
/// `NoSuchImage`; `Invalid` for settings that make no sense; `Refused` when the name is taken.
pub async fn create_container(store: &Store, root: &Path, request: CreateRequest) -> Result<Created> {
    let name = request.name.as_deref().map(names::checked).transpose()?.map(str::to_owned);
    let id = random_id()?;
    let directory = NewDirectory::make(root, &id)?;
    fault::point("container-directory-made");
    let mut txn = store.write("creating a container").await?;
    let image = find_image_in(&*txn, &request.config.image, request.platform.as_ref()).await?.row;
    let documents = load_documents(&*txn, &image).await?;
    let CreateRequest { mut config, mut host_config, networks, .. } = request;
    merge::complete(&mut config, &documents.config.value().config)?;
    set_defaults(&id, &mut config, &mut host_config)?;
    limits::check_health(config.healthcheck.as_ref())?;
    let networks = all_networks(&*txn, &host_config, networks).await?;
    check_networks(&*txn, &host_config, &networks).await?;
    let planned = mounts::plan(&*txn, root, &host_config, config.volumes.as_ref(), store.now()).await?;
    let volumes = planned.volumes();
    for new in &planned.new_volumes {
        volume::finish_removal(&*txn, root, &new.name).await?;
        txn.insert_volume(new).await?;
    }
    let mut words = merge::command_line(&config).into_iter();
    let document = ContainerDocument {
        path: words.next().unwrap_or_default(),
        args: words.collect(),
        platform: documents.config.value().os.clone(),
        image_platform: image.platform.clone(),
        config,
        host_config,
        mounts: planned.points,
        networks,
    };
    let name = match name {
        Some(name) => free_name(&*txn, name).await?,
        None => made_up_name(&*txn).await?,
    };
    let row = ContainerRow {
        id: id.clone(),
        name,
        image: image.id,
        manifest: image.manifest,
        created: store.now(),
        phase: ContainerPhase::Ready,
        document: document.to_text(),
        volumes,
    };
    txn.insert_container(&row).await?;
    txn.touch_image(&image.id, store.now()).await?;
    txn.insert_event(&container_event(store.now(), "create", &row)).await?;
    txn.commit().await?;
    fault::point("container-created");
    directory.keep();
    if let Err(error) = volume::prepare_volumes(store, root, &row, &document, Some(planned.inherited)).await {
        take_away(store, root, row, true).await?;
        return Err(error);
    }
    Ok(Created { id, warnings: Vec::new() })
}

/// A directory that is locked by us until the container's row is there, and removed when it never comes to be.
struct NewDirectory<'a> {
    root: &'a Path,
    id: &'a str,
    _lock: File,
    is_kept: bool,
}

impl<'a> NewDirectory<'a> {
    fn make(root: &'a Path, id: &'a str) -> Result<NewDirectory<'a>> {
        let directory = container_directory(root, id);
        let failed = |cause: io::Error| EngineError::file("creating", &directory, cause);
        let make = |path: &Path, recursive: bool| DirBuilder::new().mode(0o700).recursive(recursive).create(path);
        make(&root.join("containers"), true).map_err(failed)?;
        make(&directory, false).map_err(failed)?;
        let lock = File::open(&directory).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        let new = NewDirectory { root, id, _lock: lock, is_kept: false };
        for name in ["rootfs", "work"] {
            make(&directory.join(name), false).map_err(failed)?;
        }
        // Its mode is that of the container's root directory.
        DirBuilder::new().mode(0o755).create(directory.join("upper")).map_err(failed)?;
        Ok(new)
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewDirectory<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(container_directory(self.root, self.id));
        }
    }
}

/// Fills in what docker fills in.
fn set_defaults(id: &str, config: &mut Config, host: &mut HostConfig) -> Result<()> {
    let set = |text: &mut String, default: &str| {
        if text.is_empty() {
            default.clone_into(text);
        }
    };
    if config.hostname.is_empty() {
        config.hostname = match host.network_mode.as_str() {
            "host" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            _ => short_id(id).to_owned(),
        };
    }
    if !config.working_dir.is_empty() {
        if !config.working_dir.starts_with('/') {
            return Err(EngineError::invalid(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            )));
        }
        config.working_dir = mounts::clean(&config.working_dir)?;
    }
    set(&mut host.network_mode, "bridge");
    if host.network_mode == "default" {
        host.network_mode = "bridge".into();
    }
    set(&mut host.restart_policy.name, "no");
    set(&mut host.log_config.kind, "json-file");
    set(&mut host.ipc_mode, "private");
    set(&mut host.runtime, "strata");
    let default_namespace = if host.privileged { "host" } else { "private" };
    set(&mut host.cgroupns_mode, default_namespace);
    if host.memory > 0 && host.memory_swap == 0 {
        // By default as much swap as memory.
        host.memory_swap = host.memory.saturating_mul(2);
    }
    if host.shm_size == 0 {
        host.shm_size = SHM_SIZE as i64;
    }
    let owned = |list: &[&str]| Some(list.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
    let is_open =
        host.privileged || host.security_opt.iter().flatten().any(|option| option == "systempaths=unconfined");
    let (masked, read_only) =
        if is_open { (Some(Vec::new()), Some(Vec::new())) } else { (owned(MASKED_PATHS), owned(READONLY_PATHS)) };
    host.masked_paths = host.masked_paths.take().or(masked);
    host.readonly_paths = host.readonly_paths.take().or(read_only);
    check(host)
}

fn check(host: &HostConfig) -> Result<()> {
    limits::check_restart_policy(&host.restart_policy)?;
    limits::check(host)?;
    if host.auto_remove && host.restart_policy.name != "no" {
        return Err(EngineError::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return Err(EngineError::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    limits::check_out_of_memory_score(host.oom_score_adj)?;
    limits::check_namespaces(host)?;
    logs::check(&host.log_config)
}

/// The networks by their names, with the one of the mode.
async fn all_networks(
    txn: &dyn ReadTxn,
    host: &HostConfig,
    asked: BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>> {
    let mut networks = BTreeMap::new();
    for (text, settings) in asked {
        networks.insert(network::network_name(txn, &text).await?, settings);
    }
    if !host.network_mode.starts_with("container:") {
        networks.entry(network::network_name(txn, &host.network_mode).await?).or_default();
    }
    Ok(networks)
}

/// Aliases and addresses belong to networks that somebody made; links to containers that are there.
async fn check_networks(txn: &dyn ReadTxn, host: &HostConfig, networks: &BTreeMap<String, Value>) -> Result<()> {
    for (name, settings) in networks {
        let is_users = !network::is_predefined(name) && !name.starts_with("container:");
        let place = network::EndpointDocument::of_settings(settings, 0)?;
        if !place.aliases.is_empty() && !is_users {
            return Err(EngineError::invalid("network-scoped aliases are only supported for user-defined networks"));
        }
        if place.wanted.is_some() && !is_users {
            let message = "user specified IP address is supported on user defined networks only";
            return Err(EngineError::invalid(message));
        }
    }
    for link in host.links.iter().flatten() {
        let (name, _) = network::parse_link(link);
        find_container(txn, name).await.map_err(|error| match error {
            EngineError::NotFound { message } => {
                EngineError::NotFound { message: format!("could not get container for {name}: {message}") }
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Refuses a name that is taken.
pub(super) async fn free_name(txn: &dyn ReadTxn, name: String) -> Result<String> {
    match txn.container_named(&name).await? {
        None => Ok(name),
        Some(other) => Err(EngineError::Refused {
            message: format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove \
                 (or rename) that container to be able to reuse that name.",
                other.id
            ),
        }),
    }
}

async fn made_up_name(txn: &dyn ReadTxn) -> Result<String> {
    for attempt in 0..NAME_ATTEMPTS {
        let name = names::made_up(attempt)?;
        if txn.container_named(&name).await?.is_none() {
            return Ok(name);
        }
    }
    Ok(format!("container_{}", short_id(&random_id()?)))
}
