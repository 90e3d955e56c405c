//! The settings of a container as docker's API 1.51 shows them: what is asked for when it is made, what is stored in its
//! row, and most of what `inspect` prints. Field names and their order are docker's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strata_model::Healthcheck;

/// A set as Go writes it: keys with empty objects.
pub type Set = BTreeMap<String, Value>;

/// What is stored of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerDocument {
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// `linux`.
    pub platform: String,
    /// The image's platform, `os/architecture[/variant]`.
    pub image_platform: String,
    /// What runs.
    pub config: Config,
    /// How it runs on this machine.
    pub host_config: HostConfig,
    /// What is mounted in it, without what every container has.
    pub mounts: Vec<MountPoint>,
    /// The networks that it was asked to be in, by name.
    pub networks: BTreeMap<String, Value>,
}

/// What runs in a container: the part that does not depend on the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Its host name.
    pub hostname: String,
    /// Its domain.
    pub domainname: String,
    /// User, `uid[:gid]` or names.
    pub user: String,
    /// Whether the client that started it wrote to it.
    pub attach_stdin: bool,
    /// Whether the client that started it read its output.
    pub attach_stdout: bool,
    /// Whether the client that started it read its error output.
    pub attach_stderr: bool,
    /// Ports like `80/tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<Set>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is open.
    pub open_stdin: bool,
    /// Whether it ends with the first client.
    pub stdin_once: bool,
    /// Environment, `KEY=value`; `KEY` alone takes one away.
    pub env: Option<Vec<String>>,
    /// Command, or arguments of the entry point.
    pub cmd: Option<Vec<String>>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The image as the user named it.
    pub image: String,
    /// Paths that are to be volumes.
    pub volumes: Option<Set>,
    /// Working directory.
    pub working_dir: String,
    /// Entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Instructions for images built on the image.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds it has to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of shell-form commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// How a container runs on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// Bind mounts and volumes, `source:destination[:options]`.
    pub binds: Option<Vec<String>>,
    /// Where its ID is written.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where its output goes.
    pub log_config: LogConfig,
    /// `host`, `none`, `bridge`, a network, or `container:ID`.
    pub network_mode: String,
    /// Published ports.
    pub port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    /// When it is started again.
    pub restart_policy: RestartSettings,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Driver of volumes; ours is `local`.
    pub volume_driver: String,
    /// Containers whose volumes it has, too.
    pub volumes_from: Option<Vec<String>>,
    /// Rows and columns of the first client's terminal.
    pub console_size: [u64; 2],
    /// Annotations of the OCI configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Capabilities that it has besides docker's.
    pub cap_add: Option<Vec<String>>,
    /// Capabilities that it does not have.
    pub cap_drop: Option<Vec<String>>,
    /// `private` or `host`.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Options of the resolver.
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    pub dns_search: Option<Vec<String>>,
    /// Lines of the hosts file, `name:address`.
    pub extra_hosts: Option<Vec<String>>,
    /// Groups that its user is in, too.
    pub group_add: Option<Vec<String>>,
    /// `private`, `shareable`, `host`, `none` or `container:ID`.
    pub ipc_mode: String,
    /// Unused.
    pub cgroup: String,
    /// Old links.
    pub links: Option<Vec<String>>,
    /// How readily it is killed for memory.
    pub oom_score_adj: i64,
    /// ``, `host` or `container:ID`.
    pub pid_mode: String,
    /// Whether it may do everything.
    pub privileged: bool,
    /// Whether all exposed ports are published.
    pub publish_all_ports: bool,
    /// Whether its root is read-only.
    pub readonly_rootfs: bool,
    /// Security options.
    pub security_opt: Option<Vec<String>>,
    /// Options of its writable layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    /// Memory file systems by path, with options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// `` or `host`.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `` or `host`.
    pub userns_mode: String,
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Which OCI runtime.
    pub runtime: String,
    /// Unused.
    pub isolation: String,
    /// Relative weight for processors.
    pub cpu_shares: i64,
    /// Bytes of memory; 0 is no limit.
    pub memory: i64,
    /// Billionths of a processor.
    pub nano_cpus: i64,
    /// The cgroup below which its own is made.
    pub cgroup_parent: String,
    /// Relative weight for block devices.
    pub blkio_weight: u16,
    /// Microseconds of a period.
    pub cpu_period: i64,
    /// Microseconds of processor time in a period.
    pub cpu_quota: i64,
    /// Processors.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Devices of the machine.
    pub devices: Option<Vec<DeviceMapping>>,
    /// Rules of the device cgroup.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Bytes that it should stay below.
    pub memory_reservation: i64,
    /// Bytes of memory and swap; -1 is no limit.
    pub memory_swap: i64,
    /// 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Whether it is not killed for memory.
    pub oom_kill_disable: Option<bool>,
    /// Whether a small init reaps its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Processes and threads; 0 and -1 are no limit.
    pub pids_limit: Option<i64>,
    /// Limits of its processes.
    pub ulimits: Option<Vec<Ulimit>>,
    /// Mounts in the long form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<MountRequest>>,
    /// Paths that it cannot see; `None` is docker's list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that it cannot write; `None` is docker's list.
    pub readonly_paths: Option<Vec<String>>,
}

/// Where the output of a container goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local` or `none`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `max-size`, `max-file`.
    pub config: BTreeMap<String, String>,
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// Address of the machine; empty is all.
    pub host_ip: String,
    /// Port of the machine; empty is any.
    pub host_port: String,
}

/// When a container is started again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartSettings {
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// For `on-failure`: how often; 0 is without end.
    pub maximum_retry_count: i64,
}

/// A device of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Its path on the machine.
    pub path_on_host: String,
    /// Its path in the container.
    pub path_in_container: String,
    /// `rwm` or a part of it.
    pub cgroup_permissions: String,
}

/// A limit of processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile` and the like.
    pub name: String,
    /// What no process may exceed.
    pub hard: i64,
    /// What it starts with.
    pub soft: i64,
}

/// A mount in the long form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountRequest {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// A path or the name of a volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where in the container.
    pub target: String,
    /// Whether nothing may be written there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Options of a bind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Options of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// Options of a memory file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `rprivate` and the like.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Whether what is mounted below is left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Whether only the mount itself is read-only, and not what is mounted below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Whether it is refused when what is mounted below cannot be read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
    /// Whether a source that is not there is made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
}

/// Options of a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Whether an empty volume stays empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Labels of a volume that is made for this.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The driver of a volume that is made for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A driver of volumes with its options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Options of a memory file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes; 0 is no limit.
    pub size_bytes: i64,
    /// Permissions.
    pub mode: u32,
}

/// Something that is mounted in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it lies on the machine.
    pub source: String,
    /// Where it is in the container.
    pub destination: String,
    /// `local` for volumes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Options as given.
    pub mode: String,
    /// Whether it may be written.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// How mounts spread.
    pub propagation: String,
}

impl ContainerDocument {
    /// Reads what a row has.
    pub fn parse(row: &strata_store::ContainerRow) -> crate::Result<ContainerDocument> {
        serde_json::from_str(&row.document).map_err(|cause| {
            let what = format!("the settings of container {}", row.id);
            strata_store::StoreError::Malformed { what, cause: cause.to_string() }.into()
        })
    }

    /// What a row keeps.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The command as `ps` shows it: arguments with spaces in quotes.
    pub fn command(&self) -> String {
        let shown = |argument: &String| if argument.contains(' ') { format!("'{argument}'") } else { argument.clone() };
        std::iter::once(self.path.clone()).chain(self.args.iter().map(shown)).collect::<Vec<_>>().join(" ")
    }
}
