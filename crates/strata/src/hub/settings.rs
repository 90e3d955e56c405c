//! The hub's configuration: a TOML file, over it variables `STRATA_HUB_…`, over these the flags.
//!
//! A variable names a key in capitals, sections parted by two underscores: `STRATA_HUB_TLS__CERTIFICATE` is `certificate` in
//! `[tls]`. What is wrong is told with file, line and column, or with the variable's or flag's name; keys that nobody knows
//! are wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strata_cli::{HubArguments, HubResult};
use strata_hub::{AccountSettings, HubSettings, IndexingSettings, PullLimitSettings, WebhookSettings};
use strata_mirror::{MirrorSettings, UpstreamSettings};
use toml::{Table, Value};

const VARIABLES: &str = "STRATA_HUB_";
const SYSTEM_FILE: &str = "/etc/strata/hub.toml";
/// Parts of keys whose values are not shown. Names of files that hold a secret are no secret.
const SECRET: [&str; 3] = ["password", "secret", "token"];
const SHOWN_INSTEAD: &str = "(not shown)";

/// The whole configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where to listen.
    pub(crate) addr: String,
    /// Directory of the store.
    pub(crate) root: Option<PathBuf>,
    /// Whether other machines are served without TLS.
    pub(crate) plain_http: bool,
    /// Whether a proxy in front tells where requests come from (`X-Forwarded-For`, `-Proto`, `-Host`).
    pub(crate) trust_proxy: bool,
    pub(crate) tls: TlsSettings,
    pub(crate) administrator: AdministratorSettings,
    pub(crate) log: LogSettings,
    pub(crate) metrics: MetricsSettings,
    pub(crate) storage: StorageSettings,
    pub(crate) accounts: AccountSettings,
    pub(crate) pull_limits: PullLimitSettings,
    pub(crate) indexing: IndexingSettings,
    pub(crate) webhooks: WebhookSettings,
    pub(crate) mirror: MirrorLimits,
    #[serde(skip_serializing)]
    pub(crate) upstream: BTreeMap<String, UpstreamSettings>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            addr: "127.0.0.1:5000".to_owned(),
            root: None,
            plain_http: false,
            trust_proxy: false,
            tls: TlsSettings::default(),
            administrator: AdministratorSettings::default(),
            log: LogSettings::default(),
            metrics: MetricsSettings::default(),
            storage: StorageSettings::default(),
            accounts: AccountSettings::default(),
            pull_limits: PullLimitSettings::default(),
            indexing: IndexingSettings::default(),
            webhooks: WebhookSettings::default(),
            mirror: MirrorLimits::default(),
            upstream: BTreeMap::new(),
        }
    }
}

/// How connections are encrypted; neither or both.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsSettings {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The account that the first start makes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdministratorSettings {
    pub(crate) password_file: Option<PathBuf>,
}

impl AdministratorSettings {
    /// The password from the file, if one is named. Read at each start, used at the first.
    ///
    /// # Errors
    /// When it cannot be read, or is empty.
    pub(crate) fn password(&self) -> HubResult<Option<String>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|cause| format!("reading the administrator's password from {}: {cause}", path.display()))?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(format!("{} holds no password", path.display()).into());
        }
        Ok(Some(password.to_owned()))
    }
}

/// What is written to stderr.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSettings {
    pub(crate) level: Level,
    pub(crate) format: Format,
    /// Whether each request has a line, at level info.
    pub(crate) requests: bool,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: Level::Info, format: Format::Text, requests: true }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Text,
    Json,
}

/// Where `/metrics` is: beside everything else, at an address of its own, or nowhere.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsSettings {
    pub(crate) enabled: bool,
    pub(crate) addr: Option<String>,
}

impl Default for MetricsSettings {
    fn default() -> MetricsSettings {
        MetricsSettings { enabled: true, addr: None }
    }
}

/// What is kept, and for how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageSettings {
    /// Seconds that what lost its last reference stays, so that a tag can be set back.
    pub(crate) keep_unreferenced_seconds: u64,
    /// Days that the history of repositories is kept; the newest entries of each tag are kept longer.
    pub(crate) keep_history_days: u32,
    /// Whether manifests go after that time when their last tag does.
    pub(crate) remove_untagged: bool,
    /// Bytes that must be free for `/readyz` to say so.
    pub(crate) least_free: u64,
    /// Whether a manifest may name layers, and an index manifests, that were not pushed.
    pub(crate) sparse_manifests: bool,
}

impl Default for StorageSettings {
    fn default() -> StorageSettings {
        StorageSettings {
            keep_unreferenced_seconds: 3600,
            keep_history_days: 90,
            remove_untagged: true,
            least_free: 256 << 20,
            sparse_manifests: false,
        }
    }
}

/// How much mirrors keep.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MirrorLimits {
    pub(crate) max_size: Option<String>,
}

/// A configuration and where it came from.
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) file: Option<PathBuf>,
    /// What is set, without defaults.
    given: Table,
}

impl Loaded {
    /// The configuration that the command line means.
    ///
    /// # Errors
    /// Naming what is wrong and where.
    pub(crate) fn load(arguments: &HubArguments) -> HubResult<Loaded> {
        let file = arguments.config.clone().or_else(|| Some(PathBuf::from(SYSTEM_FILE)).filter(|path| path.exists()));
        let mut given = Table::new();
        let mut settings = Settings::default();
        if let Some(path) = &file {
            let text = std::fs::read_to_string(path).map_err(|cause| format!("reading {}: {cause}", path.display()))?;
            // The text, not the table: its errors know lines.
            settings = toml::from_str(&text).map_err(|cause| format!("{}: {cause}", path.display()))?;
            given = toml::from_str(&text)?;
        }
        for (source, key, text) in variables().chain(flags(arguments)) {
            (settings, given) = with_setting(&given, &key, &text).map_err(|cause| format!("{source}: {cause}"))?;
        }
        let loaded = Loaded { settings, file, given };
        loaded.settings.check()?;
        Ok(loaded)
    }

    /// The directory of the store.
    pub(crate) fn root(&self, arguments: &HubArguments) -> PathBuf {
        self.settings.root.clone().unwrap_or_else(|| arguments.default_root.clone())
    }

    /// All settings in force as a file, defaults included, without secrets.
    ///
    /// # Errors
    /// When they cannot be written as TOML.
    pub(crate) fn shown(&self, root: &Path) -> HubResult<String> {
        let mut table = Table::try_from(&self.settings)?;
        table.insert("root".to_owned(), Value::String(root.display().to_string()));
        table.extend(self.given.get("upstream").map(|upstream| ("upstream".to_owned(), upstream.clone())));
        hide_secrets(&mut table);
        let mut text = match &self.file {
            Some(path) => format!("# {}, with variables and flags\n", path.display()),
            None => "# no configuration file\n".to_owned(),
        };
        text.push_str(&toml::to_string(&table)?);
        Ok(text)
    }
}

impl Settings {
    fn check(&self) -> HubResult<()> {
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err("tls: certificate and key belong together: give both or neither".into());
        }
        let is_open = !self.is_loopback()? && !self.has_tls();
        if is_open && !self.plain_http && !self.trust_proxy {
            return Err(format!(
                "addr: {} is reached by other machines: give tls.certificate and tls.key, or say plain_http \
                 (--plain-http) if passwords may travel unencrypted",
                self.addr
            )
            .into());
        }
        self.mirror_settings().map(drop)
    }

    /// What is dangerous about it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.has_tls() && !self.is_loopback().unwrap_or(false) && !self.trust_proxy {
            let danger = "other machines reach this hub without TLS: passwords and tokens travel unencrypted";
            warnings.push(danger.to_owned());
        }
        if self.trust_proxy {
            warnings.push("what X-Forwarded-For says is believed: only the proxy must be able to connect".to_owned());
        }
        warnings
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.certificate.is_some()
    }

    /// The address to bind: `:443` means every address.
    pub(crate) fn bind_address(&self) -> String {
        full_address(&self.addr)
    }

    fn is_loopback(&self) -> HubResult<bool> {
        let address = self.bind_address();
        if let Ok(address) = address.parse::<SocketAddr>() {
            return Ok(address.ip().is_loopback());
        }
        let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("addr: {address:?} has no port"))?;
        port.parse::<u16>().map_err(|_| format!("addr: {port:?} is no port"))?;
        Ok(host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
    }

    /// What the hub's rules read.
    pub(crate) fn hub(&self) -> HubSettings {
        HubSettings {
            accounts: self.accounts.clone(),
            pull_limits: self.pull_limits.clone(),
            indexing: self.indexing.clone(),
            webhooks: self.webhooks.clone(),
        }
    }

    /// The mirrors; `None` without any.
    ///
    /// # Errors
    /// When the limit is no size.
    pub(crate) fn mirror_settings(&self) -> HubResult<Option<MirrorSettings>> {
        let max_size = self.mirror.max_size.clone().map(TryInto::try_into).transpose();
        let max_size = max_size.map_err(|cause| format!("mirror.max_size: {cause}"))?;
        let settings = MirrorSettings { upstream: self.upstream.clone(), max_size };
        Ok((!settings.upstream.is_empty()).then_some(settings))
    }
}

/// An address with a host: `:443` means every address.
pub(crate) fn full_address(address: &str) -> String {
    if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() }
}

fn variables() -> impl Iterator<Item = (String, String, String)> {
    let mut found: Vec<_> = std::env::vars()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(VARIABLES)?.to_lowercase().replace("__", ".");
            Some((name.clone(), key, value))
        })
        .collect();
    found.sort();
    found.into_iter()
}

fn flags(arguments: &HubArguments) -> impl Iterator<Item = (String, String, String)> {
    arguments.settings.iter().map(|(key, value)| (format!("flag for {key}"), (*key).to_owned(), value.clone()))
}

/// The settings with one more. A text that is a number or the like is tried as that first, then as text.
fn with_setting(given: &Table, key: &str, text: &str) -> Result<(Settings, Table), String> {
    let typed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let candidates = typed.into_iter().chain([Value::String(text.to_owned())]);
    let mut failure = String::new();
    for value in candidates {
        let mut table = given.clone();
        insert(&mut table, key, value)?;
        match table.clone().try_into::<Settings>() {
            Ok(settings) => return Ok((settings, table)),
            Err(cause) => failure = cause.to_string(),
        }
    }
    Err(failure.trim_end().to_owned())
}

fn insert(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((section, rest)) => {
            let below = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let below = below.as_table_mut().ok_or_else(|| format!("{section} is no section"))?;
            insert(below, rest, value)
        }
    }
}

fn hide_secrets(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        let is_secret = SECRET.iter().any(|word| key.contains(word)) && !key.ends_with("_file");
        match value {
            Value::Table(below) => hide_secrets(below),
            _ if is_secret => *value = Value::String(SHOWN_INSTEAD.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use strata_store::Durability;

    use super::*;

    fn load(text: &str, settings: Vec<(&'static str, String)>) -> Result<Loaded, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hub.toml");
        std::fs::write(&path, text).unwrap();
        let arguments = HubArguments {
            config: Some(path),
            default_root: "/store".into(),
            settings,
            durability: Durability::Unsynced,
        };
        Loaded::load(&arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn errors_name_the_line_or_the_flag() {
        for (text, expected) in [
            ("addr = \"127.0.0.1:1\"\n\n[tls]\ncertifcate = \"x\"\n", "line 4, column 1"),
            ("[log]\nlevel = \"loud\"\n", "line 2, column 9"),
            ("addr = \n", "line 1"),
            ("[storage]\nleast_free = \"much\"\n", "line 2, column 14"),
            ("addr = \"0.0.0.0:5000\"\n", "plain_http"),
            ("addr = \"nonsense\"\n", "has no port"),
            ("[tls]\nkey = \"a\"\n", "belong together"),
            ("[mirror]\nmax_size = \"huge\"\n", "mirror.max_size"),
        ] {
            let failure = load(text, Vec::new()).err().unwrap_or_default();
            assert!(failure.contains(expected), "{text}: {failure}");
        }
        let failure = load("", vec![("log.format", "xml".into())]).err().unwrap_or_default();
        assert!(failure.contains("log.format") && failure.contains("xml"), "{failure}");
    }

    #[test]
    fn flags_are_stronger_than_the_file() {
        let text = "addr = \"127.0.0.1:1\"\n[log]\nrequests = true\n[upstream.\"docker.io\"]\n";
        let loaded = load(text, vec![("addr", "127.0.0.1:2".into()), ("log.requests", "false".into())]).unwrap();
        assert_eq!((loaded.settings.addr.as_str(), loaded.settings.log.requests), ("127.0.0.1:2", false));
        assert!(loaded.settings.mirror_settings().unwrap().is_some());
        let shown = loaded.shown(Path::new("/srv/hub")).unwrap();
        assert!(shown.contains("addr = \"127.0.0.1:2\"") && shown.contains("root = \"/srv/hub\""), "{shown}");
        assert!(shown.contains("[upstream.\"docker.io\"]"), "{shown}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut table: Table = toml::from_str("password = \"x\"\npassword_file = \"/f\"\n[a]\ntoken = 1\n").unwrap();
        hide_secrets(&mut table);
        let shown = toml::to_string(&table).unwrap();
        assert!(!shown.contains("\"x\"") && !shown.contains("= 1") && shown.contains("/f"), "{shown}");
    }
}
