//! `serve`: docker's Engine API over the store.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use strata_model::Host;
use strata_registry_client::{ClientConfig, CredentialFiles, InsecureRegistry, Mirror, RegistryClient};

use super::registry_serve::stop_signal;
use super::version::VERSION;
use crate::command_line::{CommandDefinition, FlagKind, Flags, RunsOn};
use crate::context::{Context, environment_path};
use crate::engine::{EngineServing, ListenAddress, TlsFiles};
use crate::output::print_line;
use crate::report::{Failure, Outcome};
use crate::run::LogLevel;

const SOCKET: &str = "strata.sock";
const SYSTEM_FILE: &str = "/etc/strata/daemon.json";

pub(super) fn definition() -> CommandDefinition {
    const LIST: FlagKind = FlagKind::Texts("list");
    const FILE: FlagKind = FlagKind::Text("file");
    let definition = CommandDefinition::new(
        "serve",
        "[OPTIONS]",
        "Serve docker's Engine API, for docker's own command and other clients",
        |context, flags| Box::pin(run(context, flags)),
    )
    .with_all_ids()
    .flag("config-file", FILE, "Settings as in docker's daemon.json (default \"/etc/strata/daemon.json\")")
    .flag("group", FlagKind::Text("string"), "Group whose members may connect to the socket")
    .flag("insecure-registry", LIST, "Registry, or range of addresses, that is trusted without proof")
    .flag(
        "listen",
        LIST,
        "Where to listen: unix://PATH, tcp://ADDRESS, fd:// (default /run/strata.sock, or in XDG_RUNTIME_DIR)",
    )
    .flag("read-only", FlagKind::Bool, "Refuse every change")
    .flag("registry-mirror", LIST, "Mirror of Docker Hub")
    .flag("tlscacert", FILE, "Certificates of the authorities that vouch for clients over TCP")
    .flag("tlscert", FILE, "Certificate chain for TCP")
    .flag("tlskey", FILE, "Private key of the certificate")
    .examples(&[
        ("serve", "On /run/strata.sock; DOCKER_HOST=unix:///run/strata.sock docker ps"),
        ("serve --group docker --listen unix:///run/docker.sock", "In docker's place"),
        ("serve --read-only --listen unix:///run/look.sock", "For who may only look"),
    ]);
    CommandDefinition { runs_on: RunsOn::WorkersUntilItEnds, logs_itself: true, ..definition }
}

/// What of docker's `daemon.json` is understood; other keys are left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
    hosts: Vec<String>,
    group: Option<String>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
}

impl Settings {
    /// Those of the file, and those of flags: lists add up, else flags are stronger.
    fn gather(flags: &Flags<'_>) -> Outcome<Settings> {
        let mut settings = Settings::read(flags.text("config-file").as_deref())?;
        settings.registry_mirrors.extend(flags.texts("registry-mirror"));
        settings.insecure_registries.extend(flags.texts("insecure-registry"));
        if !flags.texts("listen").is_empty() {
            settings.hosts = flags.texts("listen");
        }
        let path = |name: &str| flags.text(name).map(PathBuf::from);
        settings.group = flags.text("group").or(settings.group);
        settings.tlscacert = path("tlscacert").or(settings.tlscacert);
        settings.tlscert = path("tlscert").or(settings.tlscert);
        settings.tlskey = path("tlskey").or(settings.tlskey);
        Ok(settings)
    }

    /// A file that was named must be there.
    fn read(named: Option<&str>) -> Outcome<Settings> {
        let path = Path::new(named.unwrap_or(SYSTEM_FILE));
        let failed = |cause: &dyn std::fmt::Display| Failure::bare(format!("reading {}: {cause}", path.display()));
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|cause| failed(&cause)),
            Err(cause) if named.is_none() && cause.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(cause) => Err(failed(&cause)),
        }
    }

    fn listen(&self) -> Outcome<Vec<ListenAddress>> {
        if !self.hosts.is_empty() {
            return self.hosts.iter().map(|text| listen_address(text)).collect();
        }
        let is_activated = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        if is_activated {
            return Ok(vec![ListenAddress::Systemd]);
        }
        let folder = match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/run"),
            false => environment_path("XDG_RUNTIME_DIR")
                .ok_or_else(|| Failure::bare("no place for the socket: set XDG_RUNTIME_DIR, or give --listen"))?,
        };
        Ok(vec![ListenAddress::Unix(folder.join(SOCKET))])
    }

    fn tls(&self) -> Outcome<Option<TlsFiles>> {
        match (&self.tlscacert, &self.tlscert, &self.tlskey) {
            (None, None, None) => Ok(None),
            (Some(authority), Some(certificate), Some(key)) => {
                Ok(Some(TlsFiles { authority: authority.clone(), certificate: certificate.clone(), key: key.clone() }))
            }
            _ => Err(Failure::bare("TLS needs --tlscacert, --tlscert and --tlskey")),
        }
    }

    /// The client for registries. It has no credentials: who connects brings their own.
    fn client(&self, config: ClientConfig) -> Outcome<RegistryClient> {
        let invalid = |error: strata_transfer::TransferError| Failure::bare(error.message);
        let mut config = ClientConfig { credentials: CredentialFiles::default(), ..config };
        let hub: Host = "docker.io".parse().map_err(|_| Failure::bare("docker.io is no host"))?;
        for mirror in &self.registry_mirrors {
            config.mirrors.entry(hub.clone()).or_default().push(Mirror::parse(mirror).map_err(invalid)?);
        }
        for registry in &self.insecure_registries {
            config.insecure_registries.push(InsecureRegistry::parse(registry).map_err(invalid)?);
        }
        Ok(RegistryClient::new(config))
    }
}

fn listen_address(text: &str) -> Outcome<ListenAddress> {
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(("tcp", address)) if address.contains(':') => Ok(ListenAddress::Tcp(address.to_owned())),
        Some(("fd", _)) => Ok(ListenAddress::Systemd),
        None if text.starts_with('/') => Ok(ListenAddress::Unix(text.into())),
        _ => Err(Failure::bare(format!("cannot listen on {text:?}: neither unix://PATH, tcp://HOST:PORT nor fd://"))),
    }
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    // Who changed what is worth a line, unless only errors are asked for.
    context.environment.start_log(match context.invocation.global().log_level {
        LogLevel::Warn => LogLevel::Info,
        other => other,
    });
    let settings = Settings::gather(flags)?;
    let (listen, tls) = (settings.listen()?, settings.tls()?);
    if tls.is_none() && listen.iter().any(|address| matches!(address, ListenAddress::Tcp(_))) {
        return Err(Failure::bare(
            "TCP is served with TLS on both sides only: give --tlscacert, --tlscert and --tlskey",
        ));
    }
    context.environment.prepare_network();
    let serving = EngineServing {
        store: context.store()?.clone(),
        root: context.root()?,
        client: settings.client(context.client_config()?)?,
        mirrors: settings.registry_mirrors,
        insecure: settings.insecure_registries,
        view: context.view_policy(),
        limits: context.limits(),
        is_read_only: flags.is_set("read-only"),
        listen,
        group: settings.group,
        tls,
        version: VERSION,
    };
    let shutdown = stop_signal()?;
    let served = context.environment.serve_engine(serving, &announce, Box::pin(shutdown)).await;
    served.map_err(|cause| Failure::bare(cause.to_string()))
}

fn announce(addresses: &[String]) {
    for address in addresses {
        // Whoever closed our output does not want to read it.
        let _ = print_line(format_args!("Listening on {address}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        let unix = |path: &str| ListenAddress::Unix(path.into());
        assert_eq!(listen_address("unix:///run/x.sock").unwrap(), unix("/run/x.sock"));
        assert_eq!(listen_address("/run/x.sock").unwrap(), unix("/run/x.sock"));
        assert_eq!(listen_address("tcp://0.0.0.0:2376").unwrap(), ListenAddress::Tcp("0.0.0.0:2376".into()));
        assert_eq!(listen_address("fd://").unwrap(), ListenAddress::Systemd);
        for bad in ["unix://x", "tcp://host", "ssh://x", "x"] {
            assert!(listen_address(bad).unwrap_err().message.starts_with("cannot listen on "), "{bad}");
        }
    }

    #[test]
    fn docker_s_file_is_understood() {
        let text = r#"{"registry-mirrors": ["http://127.0.0.1:5000"], "insecure-registries": ["10.0.0.0/8"],
            "storage-driver": "overlay2", "log-opts": {"max-size": "10m"}}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let client = settings.client(ClientConfig::default()).unwrap();
        assert_eq!(client.config().insecure_registries, [InsecureRegistry::Network("10.0.0.0".parse().unwrap(), 8)]);
        assert_eq!(client.config().mirrors.values().map(Vec::len).sum::<usize>(), 1);
        let bad = Settings { registry_mirrors: vec!["ftp://x".into()], ..Settings::default() };
        assert!(bad.client(ClientConfig::default()).is_err());
    }
}
