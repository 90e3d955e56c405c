//! The flags that `create` and `run` share, and the settings that they mean.

mod check;
mod mount;
mod network;
mod publish;

use std::collections::BTreeMap;

use serde_json::json;
use strata_engine::document::{Config, DeviceMapping, HostConfig, RestartSettings};
use strata_format::duration;
use strata_model::{Healthcheck, system_words};

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::output::terminal_size;
use crate::report::{Failure, Outcome};

const LIST: FlagKind = FlagKind::Texts("list");
const TEXT: FlagKind = FlagKind::Text("string");
const BYTES: FlagKind = FlagKind::Text("bytes");

/// Name, kind and help of each flag.
const FLAGS: &[(&str, FlagKind, &str)] = &[
    ("add-host", LIST, "Add a custom host-to-IP mapping (host:ip)"),
    ("a/attach", LIST, "Attach to STDIN, STDOUT or STDERR"),
    ("annotation", LIST, "Add an annotation to the container (passed through to the OCI runtime)"),
    ("blkio-weight", FlagKind::Number, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
    ("cap-add", LIST, "Add Linux capabilities"),
    ("cap-drop", LIST, "Drop Linux capabilities"),
    ("cgroup-parent", TEXT, "Optional parent cgroup for the container"),
    ("cgroupns", TEXT, "Cgroup namespace to use (host|private)"),
    ("cidfile", TEXT, "Write the container ID to the file"),
    ("cpu-period", FlagKind::Number, "Limit CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", FlagKind::Number, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    ("c/cpu-shares", FlagKind::Number, "CPU shares (relative weight)"),
    ("cpus", FlagKind::Text("decimal"), "Number of CPUs"),
    ("cpuset-cpus", TEXT, "CPUs in which to allow execution (0-3, 0,1)"),
    ("cpuset-mems", TEXT, "MEMs in which to allow execution (0-3, 0,1)"),
    ("device", LIST, "Add a host device to the container"),
    ("device-cgroup-rule", LIST, "Add a rule to the cgroup allowed devices list"),
    ("dns", LIST, "Set custom DNS servers"),
    ("dns-option", LIST, "Set DNS options"),
    ("dns-search", LIST, "Set custom DNS search domains"),
    ("domainname", TEXT, "Container NIS domain name"),
    ("entrypoint", TEXT, "Overwrite the default ENTRYPOINT of the image"),
    ("e/env", LIST, "Set environment variables"),
    ("env-file", LIST, "Read in a file of environment variables"),
    ("expose", LIST, "Expose a port or a range of ports"),
    ("group-add", LIST, "Add additional groups to join"),
    ("gpus", FlagKind::Text("gpu-request"), "GPU devices to add to the container ('all' to pass all GPUs)"),
    ("health-cmd", TEXT, "Command to run to check health"),
    ("health-interval", FlagKind::Text("duration"), "Time between running the check (ms|s|m|h) (default 0s)"),
    ("health-retries", FlagKind::Number, "Consecutive failures needed to report unhealthy"),
    (
        "health-start-interval",
        FlagKind::Text("duration"),
        "Time between running the check during the start period (ms|s|m|h) (default 0s)",
    ),
    (
        "health-start-period",
        FlagKind::Text("duration"),
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
    ),
    ("health-timeout", FlagKind::Text("duration"), "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
    ("h/hostname", TEXT, "Container host name"),
    ("init", FlagKind::Bool, "Run an init inside the container that forwards signals and reaps processes"),
    ("i/interactive", FlagKind::Bool, "Keep STDIN open even if not attached"),
    ("ip", FlagKind::Text("ip"), "IPv4 address (e.g., 172.30.100.104)"),
    ("ipc", TEXT, "IPC mode to use"),
    ("l/label", LIST, "Set meta data on a container"),
    ("label-file", LIST, "Read in a line delimited file of labels"),
    ("link", LIST, "Add link to another container"),
    ("log-driver", TEXT, "Logging driver for the container"),
    ("log-opt", LIST, "Log driver options"),
    ("m/memory", BYTES, "Memory limit"),
    ("memory-reservation", BYTES, "Memory soft limit"),
    ("memory-swap", BYTES, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    ("mount", FlagKind::Texts("mount"), "Attach a filesystem mount to the container"),
    ("network", FlagKind::Texts("network"), "Connect a container to a network"),
    ("network-alias", LIST, "Add network-scoped alias for the container"),
    ("no-healthcheck", FlagKind::Bool, "Disable any container-specified HEALTHCHECK"),
    ("oom-kill-disable", FlagKind::Bool, "Disable OOM Killer"),
    ("oom-score-adj", FlagKind::Number, "Tune host's OOM preferences (-1000 to 1000)"),
    ("pid", TEXT, "PID namespace to use"),
    ("pids-limit", FlagKind::Number, "Tune container pids limit (set -1 for unlimited)"),
    ("privileged", FlagKind::Bool, "Give extended privileges to this container"),
    ("p/publish", LIST, "Publish a container's port(s) to the host"),
    ("P/publish-all", FlagKind::Bool, "Publish all exposed ports to random ports"),
    ("read-only", FlagKind::Bool, "Mount the container's root filesystem as read only"),
    ("restart", TEXT, "Restart policy to apply when a container exits (default \"no\")"),
    ("rm", FlagKind::Bool, "Automatically remove the container and its associated anonymous volumes when it exits"),
    ("runtime", TEXT, "Runtime to use for this container"),
    ("security-opt", LIST, "Security Options"),
    ("shm-size", BYTES, "Size of /dev/shm"),
    ("stop-signal", TEXT, "Signal to stop the container"),
    ("stop-timeout", FlagKind::Number, "Timeout (in seconds) to stop a container"),
    ("sysctl", LIST, "Sysctl options"),
    ("tmpfs", LIST, "Mount a tmpfs directory"),
    ("t/tty", FlagKind::Bool, "Allocate a pseudo-TTY"),
    ("ulimit", LIST, "Ulimit options"),
    ("u/user", TEXT, "Username or UID (format: <name|uid>[:<group|gid>])"),
    ("userns", TEXT, "User namespace to use"),
    ("uts", TEXT, "UTS namespace to use"),
    ("v/volume", LIST, "Bind mount a volume"),
    ("volumes-from", LIST, "Mount volumes from the specified container(s)"),
    ("w/workdir", TEXT, "Working directory inside the container"),
];

/// Adds the flags to a command.
pub(super) fn add(command: CommandDefinition) -> CommandDefinition {
    let command = FLAGS.iter().fold(command, |command, (name, kind, help)| command.flag(name, *kind, help));
    checked(command).options_first()
}

/// Adds some of the flags to another command.
pub(super) fn add_some(command: CommandDefinition, wanted: &[&str]) -> CommandDefinition {
    let is_wanted = |name: &str| wanted.contains(&name.rsplit('/').next().unwrap_or(name));
    let flags = FLAGS.iter().filter(|(name, ..)| is_wanted(name));
    checked(flags.fold(command, |command, (name, kind, help)| command.flag(name, *kind, help)))
}

fn checked(command: CommandDefinition) -> CommandDefinition {
    check::CHECKS.iter().fold(command, |command, (name, check)| command.checked(name, *check))
}

/// Limits and restart policy that flags mean.
pub(super) fn limits(flags: &Flags<'_>) -> Outcome<HostConfig> {
    Ok(HostConfig {
        restart_policy: restart_policy(&flags.text("restart").unwrap_or_default())?,
        blkio_weight: flags.number("blkio-weight").and_then(|number| u16::try_from(number).ok()).unwrap_or(0),
        cpu_shares: flags.number("cpu-shares").unwrap_or(0),
        memory: value(flags, "memory", check::bytes)?,
        nano_cpus: value(flags, "cpus", check::processors)?,
        cpu_period: flags.number("cpu-period").unwrap_or(0),
        cpu_quota: flags.number("cpu-quota").unwrap_or(0),
        cpuset_cpus: flags.text("cpuset-cpus").unwrap_or_default(),
        cpuset_mems: flags.text("cpuset-mems").unwrap_or_default(),
        memory_reservation: value(flags, "memory-reservation", check::bytes)?,
        memory_swap: value(flags, "memory-swap", check::bytes)?,
        pids_limit: flags.number("pids-limit"),
        ..HostConfig::default()
    })
}

/// Namespaces that can be the machine's or another container's: flag, what docker calls it, the words besides
/// `container:NAME`, and whether that is one of them.
const MODES: &[(&str, &str, &[&str], bool)] = &[
    ("pid", "PID", &["", "host"], true),
    ("uts", "UTS", &["", "host"], false),
    ("userns", "USER", &["", "host"], false),
    ("cgroupns", "CGROUP", &["", "host", "private"], false),
];

fn check_modes(flags: &Flags<'_>) -> Outcome {
    for (flag, name, words, may_join) in MODES {
        let mode = flags.text(flag).unwrap_or_default();
        let joins = *may_join && mode.strip_prefix("container:").is_some_and(|other| !other.is_empty());
        if !joins && !words.contains(&mode.as_str()) {
            return Err(Failure::bare(format!("--{flag}: invalid {name} mode")));
        }
    }
    Ok(())
}

/// What a container is made with.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) host_config: HostConfig,
    pub(super) networks: BTreeMap<String, serde_json::Value>,
}

/// The streams that the client who starts a container takes part in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttachedStreams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

impl AttachedStreams {
    /// None when it runs in the background; what `--attach` names; otherwise output and errors.
    pub(super) fn of(flags: &Flags<'_>) -> Outcome<AttachedStreams> {
        let given = flags.texts("attach");
        if flags.is_set("detach") {
            return match given.is_empty() {
                true => Ok(AttachedStreams::default()),
                false => Err(Failure::bare("conflicting options: cannot specify both --attach and --detach")),
            };
        }
        let all = given.is_empty();
        let mut streams = AttachedStreams { stdin: flags.is_set("interactive"), stdout: all, stderr: all };
        for name in given {
            match name.to_ascii_lowercase().as_str() {
                "stdin" => streams.stdin = true,
                "stdout" => streams.stdout = true,
                _ => streams.stderr = true,
            }
        }
        Ok(streams)
    }
}

/// The settings that flags and arguments mean.
pub(super) fn parse(flags: &Flags<'_>) -> Outcome<Settings> {
    let attached = AttachedStreams::of(flags)?;
    if flags.is_given("gpus") {
        return Err(Failure::daemon("could not select device driver \"\" with capabilities: [[gpu]]"));
    }
    let mut words = flags.arguments().into_iter();
    let image = words.next().unwrap_or_default();
    let command: Vec<String> = words.collect();
    let (mut binds, mut volumes) = (Vec::new(), BTreeMap::new());
    for text in flags.texts("volume") {
        match text.contains(':') {
            true => binds.push(absolute_source(&text)?),
            false => drop(volumes.insert(text, json!({}))),
        }
    }
    let (port_bindings, mut exposed) = publish::published(&flags.texts("publish"))?;
    for text in flags.texts("expose") {
        for port in publish::exposed(&text)? {
            exposed.insert(port, json!({}));
        }
    }
    let labels = pairs(flags, "label", "label-file")?;
    check_modes(flags)?;
    let config = Config {
        hostname: flags.text("hostname").unwrap_or_default(),
        domainname: flags.text("domainname").unwrap_or_default(),
        user: flags.text("user").unwrap_or_default(),
        attach_stdin: attached.stdin,
        attach_stdout: attached.stdout,
        attach_stderr: attached.stderr,
        exposed_ports: some(exposed),
        tty: flags.is_set("tty"),
        open_stdin: flags.is_set("interactive"),
        stdin_once: flags.is_set("interactive") && attached.stdin,
        env: some_list(environment(flags)?),
        cmd: some_list(command),
        healthcheck: healthcheck(flags)?,
        image,
        volumes: some(volumes),
        working_dir: flags.text("workdir").unwrap_or_default(),
        entrypoint: flags.is_given("entrypoint").then(|| vec![flags.text("entrypoint").unwrap_or_default()]),
        labels: some(labels),
        stop_signal: flags.text("stop-signal"),
        stop_timeout: flags.number("stop-timeout"),
        ..Config::default()
    };
    let mut host = HostConfig {
        binds: some_list(binds),
        container_id_file: flags.text("cidfile").unwrap_or_default(),
        port_bindings: some(port_bindings),
        auto_remove: flags.is_set("rm"),
        volumes_from: list(flags, "volumes-from"),
        cap_add: list(flags, "cap-add"),
        cap_drop: list(flags, "cap-drop"),
        cgroupns_mode: flags.text("cgroupns").unwrap_or_default(),
        dns: list(flags, "dns"),
        dns_options: list(flags, "dns-option"),
        dns_search: list(flags, "dns-search"),
        extra_hosts: list(flags, "add-host"),
        group_add: list(flags, "group-add"),
        device_cgroup_rules: list(flags, "device-cgroup-rule"),
        links: list(flags, "link"),
        ipc_mode: flags.text("ipc").unwrap_or_default(),
        oom_score_adj: flags.number("oom-score-adj").unwrap_or(0),
        pid_mode: flags.text("pid").unwrap_or_default(),
        privileged: flags.is_set("privileged"),
        publish_all_ports: flags.is_set("publish-all"),
        readonly_rootfs: flags.is_set("read-only"),
        security_opt: some_list(flags.texts("security-opt").into_iter().map(security_option).collect::<Outcome<_>>()?),
        uts_mode: flags.text("uts").unwrap_or_default(),
        userns_mode: flags.text("userns").unwrap_or_default(),
        shm_size: value(flags, "shm-size", check::bytes)?,
        runtime: flags.text("runtime").unwrap_or_default(),
        cgroup_parent: flags.text("cgroup-parent").unwrap_or_default(),
        oom_kill_disable: flags.is_given("oom-kill-disable").then(|| flags.is_set("oom-kill-disable")),
        init: flags.is_given("init").then(|| flags.is_set("init")),
        ..limits(flags)?
    };
    if let Some((columns, rows)) = terminal_size().filter(|_| flags.is_set("tty")) {
        host.console_size = [rows as u64, columns as u64];
    }
    host.log_config.kind = flags.text("log-driver").unwrap_or_default();
    host.log_config.config = split(&flags.texts("log-opt"));
    host.annotations = some(split(&flags.texts("annotation")));
    host.sysctls = some(split(&flags.texts("sysctl")));
    host.tmpfs = some(tmpfs(&flags.texts("tmpfs")));
    host.devices = some_list(flags.texts("device").iter().map(|text| device(text)).collect::<Outcome<_>>()?);
    host.ulimits = some_list(values(flags, "ulimit", check::ulimit)?);
    host.mounts = some_list(values(flags, "mount", mount::mount)?);
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err(Failure::bare("conflicting options: cannot specify both --restart and --rm"));
    }
    let networks;
    (host.network_mode, networks) = network::networks(flags)?;
    Ok(Settings { config, host_config: host, networks })
}

/// Docker's client reads a profile itself, and wants a value for everything else.
fn security_option(option: String) -> Outcome<String> {
    if !option.contains(['=', ':']) && option != "no-new-privileges" {
        return Err(Failure::bare(format!("Invalid --security-opt: {option:?}")));
    }
    let Some(path) = option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:")) else {
        return Ok(option);
    };
    if matches!(path, "unconfined" | "builtin") {
        return Ok(option);
    }
    let text = std::fs::read_to_string(path).map_err(|cause| {
        let cause = system_words(&cause);
        Failure::bare(format!("opening seccomp profile ({path}) failed: open {path}: {cause}"))
    })?;
    let profile: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
        let cause = if cause.is_eof() { "unexpected end of JSON input".to_owned() } else { cause.to_string() };
        Failure::bare(format!("compacting json for seccomp profile ({path}) failed: {cause}"))
    })?;
    Ok(format!("seccomp={profile}"))
}

fn list(flags: &Flags<'_>, name: &str) -> Option<Vec<String>> {
    some_list(flags.texts(name))
}

/// A value that was looked at before.
fn value<T: Default>(flags: &Flags<'_>, name: &str, parse: fn(&str) -> Result<T, String>) -> Outcome<T> {
    flags.text(name).map_or_else(|| Ok(T::default()), |text| parse(&text).map_err(Failure::bare))
}

/// The same of a flag that may be given several times.
fn values<T>(flags: &Flags<'_>, name: &str, parse: fn(&str) -> Result<T, String>) -> Outcome<Vec<T>> {
    flags.texts(name).iter().map(|text| parse(text).map_err(Failure::bare)).collect()
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some<K: Ord, V>(map: BTreeMap<K, V>) -> Option<BTreeMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

fn split(texts: &[String]) -> BTreeMap<String, String> {
    let split = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(split).collect()
}

fn lines(path: &str) -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| Failure::bare(format!("open {path}: {}", system_words(&cause))))?;
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Variables without a value are this process's own; those that it does not have are left out.
pub(super) fn environment(flags: &Flags<'_>) -> Outcome<Vec<String>> {
    let mut given = Vec::new();
    for path in flags.texts("env-file") {
        given.extend(lines(&path)?);
    }
    given.extend(flags.texts("env"));
    let mut variables: Vec<String> = Vec::new();
    for text in given {
        let key = text.split('=').next().unwrap_or_default();
        if key.is_empty() {
            return Err(Failure::bare(format!("invalid environment variable: {text}")));
        }
        let variable = match text.contains('=') {
            true => Some(text.clone()),
            false => std::env::var(key).ok().map(|value| format!("{key}={value}")),
        };
        let prefix = format!("{key}=");
        variables.retain(|other| !other.starts_with(&prefix));
        variables.extend(variable);
    }
    Ok(variables)
}

fn pairs(flags: &Flags<'_>, name: &str, file: &str) -> Outcome<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for path in flags.texts(file) {
        all.extend(lines(&path)?);
    }
    all.extend(flags.texts(name));
    Ok(split(&all))
}

/// Docker resolves a source that begins with a dot on the client's side.
fn absolute_source(text: &str) -> Outcome<String> {
    let Some((source, rest)) = text.split_once(':').filter(|(source, _)| source.starts_with('.')) else {
        return Ok(text.to_owned());
    };
    let source = std::path::absolute(source)?;
    Ok(format!("{}:{rest}", source.display()))
}

fn restart_policy(text: &str) -> Outcome<RestartSettings> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    let maximum_retry_count = match count {
        "" => 0,
        count => count
            .parse()
            .map_err(|_| Failure::bare("invalid restart policy format: maximum retry count must be an integer"))?,
    };
    Ok(RestartSettings { name: name.to_owned(), maximum_retry_count })
}

fn healthcheck(flags: &Flags<'_>) -> Outcome<Option<Healthcheck>> {
    let duration = |name: &str| {
        let parse = |text: String| duration::parse(&text).map_err(Failure::from);
        flags.text(name).map(parse).transpose()
    };
    let check = Healthcheck {
        test: flags.text("health-cmd").map(|command| vec!["CMD-SHELL".to_owned(), command]),
        interval: duration("health-interval")?,
        timeout: duration("health-timeout")?,
        start_period: duration("health-start-period")?,
        start_interval: duration("health-start-interval")?,
        retries: flags.number("health-retries"),
    };
    let is_given = check != Healthcheck::default();
    match flags.is_set("no-healthcheck") {
        true if is_given => Err(Failure::bare("--no-healthcheck conflicts with --health-* options")),
        true => Ok(Some(Healthcheck { test: Some(vec!["NONE".to_owned()]), ..Healthcheck::default() })),
        false => Ok(is_given.then_some(check)),
    }
}

fn tmpfs(texts: &[String]) -> BTreeMap<String, String> {
    let split = |text: &String| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    };
    texts.iter().map(split).collect()
}

/// `HOST[:CONTAINER][:PERMISSIONS]`.
fn device(text: &str) -> Outcome<DeviceMapping> {
    let is_permissions = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, permissions] if is_permissions(permissions) => (*host, *host, *permissions),
        [host, container] => (*host, *container, "rwm"),
        [host, container, permissions] if is_permissions(permissions) => (*host, *container, *permissions),
        _ => return Err(Failure::bare(format!("invalid device specification: {text}"))),
    };
    Ok(DeviceMapping {
        path_on_host: host.into(),
        path_in_container: container.into(),
        cgroup_permissions: permissions.into(),
    })
}
