//! Docker's `config.json`: the `auths`, `credsStore` and `credHelpers` in it.
//!
//! The file belongs to many programs. It is kept as a JSON document in which only the keys named here are touched;
//! everything else survives, in its order. It is written as docker does: mode 0600, tabs, a new file renamed over the old.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use strata_model::ErrorKind;
use strata_transfer::{Result, TransferError};

use crate::credentials::Credentials;
use crate::secret::Secret;

/// A parsed `config.json`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DockerConfig(Map<String, Value>);

impl DockerConfig {
    /// Parses a document; an empty text is an empty document. `origin` is named in the error.
    pub(crate) fn parse(text: &str, origin: &str) -> Result<DockerConfig> {
        if text.trim().is_empty() {
            return Ok(DockerConfig::default());
        }
        // The cause's text can quote the document, so only its place is told.
        let place = |error: &serde_json::Error| format!("line {} column {}", error.line(), error.column());
        serde_json::from_str(text).map(DockerConfig).map_err(|error| {
            TransferError::new(ErrorKind::Invalid, format!("{origin}: malformed JSON at {}", place(&error)))
        })
    }

    /// Reads a file; one that does not exist is empty.
    pub(crate) fn read(path: &Path) -> Result<DockerConfig> {
        match std::fs::read_to_string(path) {
            Ok(text) => DockerConfig::parse(&text, &path.display().to_string()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(DockerConfig::default())
            }
            Err(error) => Err(storage(path, "reading", &error)),
        }
    }

    /// The program that keeps the credentials of `key`: its own, or the one for all.
    pub(crate) fn program_for(&self, key: &str) -> Option<&str> {
        let own = self.0.get("credHelpers").and_then(|map| map.get(key)).and_then(Value::as_str);
        own.or_else(|| self.program_for_all()).filter(|name| !name.is_empty())
    }

    /// The program that keeps all credentials without a program of their own.
    pub(crate) fn program_for_all(&self) -> Option<&str> {
        self.0.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Registries with a program of their own, and the program.
    pub(crate) fn own_programs(&self) -> impl Iterator<Item = (&str, &str)> {
        let map = self.0.get("credHelpers").and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, program)| Some((key.as_str(), program.as_str()?)))
    }

    /// The keys of `auths`.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.get("auths").and_then(Value::as_object).into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// The credentials that the document itself holds under `key`; an entry without any is none.
    pub(crate) fn credentials(&self, key: &str) -> Option<Credentials> {
        let entry = self.0.get("auths")?.get(key)?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (mut username, mut password) =
            text("auth").and_then(decode_auth).unwrap_or_else(|| (String::new(), Secret::default()));
        if username.is_empty() {
            username = text("username").unwrap_or_default().to_owned();
        }
        if password.is_empty() {
            password = text("password").unwrap_or_default().into();
        }
        if let Some(token) = text("registrytoken") {
            return Some(Credentials::RegistryToken(token.into()));
        }
        if let Some(token) = text("identitytoken") {
            return Some(Credentials::IdentityToken { username, token: token.into() });
        }
        (!username.is_empty() || !password.is_empty()).then_some(Credentials::Password { username, password })
    }

    /// Puts credentials into the document.
    pub(crate) fn set(&mut self, key: &str, credentials: &Credentials) {
        let mut entry = self.auths().get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        for name in ["auth", "username", "password", "identitytoken", "registrytoken"] {
            entry.shift_remove(name);
        }
        let auth = |username: &str, password: &str| Value::from(STANDARD.encode(format!("{username}:{password}")));
        match credentials {
            Credentials::Password { username, password } => {
                entry.insert("auth".into(), auth(username, password.expose()));
            }
            Credentials::IdentityToken { username, token } => {
                entry.insert("auth".into(), auth(username, ""));
                entry.insert("identitytoken".into(), token.expose().into());
            }
            Credentials::RegistryToken(token) => {
                entry.insert("registrytoken".into(), token.expose().into());
            }
        }
        self.auths().insert(key.to_owned(), Value::Object(entry));
    }

    /// Notes that a program keeps the credentials of `key`. Tells whether that is a change.
    pub(crate) fn set_elsewhere(&mut self, key: &str) -> bool {
        let empty = Value::Object(Map::new());
        if self.auths().get(key) == Some(&empty) {
            return false;
        }
        self.auths().insert(key.to_owned(), empty);
        true
    }

    /// Takes the entry out. Tells whether there was one.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        match self.0.get_mut("auths").and_then(Value::as_object_mut) {
            Some(auths) => auths.shift_remove(key).is_some(),
            None => false,
        }
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.0.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        auths.as_object_mut().expect("it was made an object")
    }

    /// Writes the document: a crash leaves the old file or the new one. A symbolic link stays one.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let directory = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let write = || -> std::io::Result<()> {
            create_private_directory(&directory)?;
            // A temporary file has mode 0600 from its first byte.
            let mut file = NewFile::in_directory(&directory)?;
            file.write_all(self.text().as_bytes())?;
            file.replace(&path)
        };
        write().map_err(|error| storage(&path, "writing", &error))
    }

    /// The document as it is written.
    pub(crate) fn text(&self) -> String {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        self.0.serialize(&mut serializer).expect("a JSON document serializes to memory");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }
}

/// `auth` is base64 of `user:password`; docker pads the end with zero bytes.
fn decode_auth(text: &str) -> Option<(String, Secret)> {
    let decoded = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_owned(), Secret::from(password.trim_end_matches('\0'))))
}

fn storage(path: &Path, doing: &str, error: &std::io::Error) -> TransferError {
    TransferError::new(ErrorKind::Storage, format!("{doing} credentials in {}: {error}", path.display()))
}

fn create_private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file with mode 0600 that is removed unless it takes another's place.
struct NewFile {
    file: std::fs::File,
    path: PathBuf,
}

impl NewFile {
    fn in_directory(directory: &Path) -> std::io::Result<NewFile> {
        use std::os::unix::fs::OpenOptionsExt;
        let nanoseconds =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
        let path = directory.join(format!("config.json.{}-{nanoseconds}", std::process::id()));
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(NewFile { file, path })
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    fn replace(self, target: &Path) -> std::io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, target)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn password(username: &str, password: &str) -> Credentials {
        Credentials::Password { username: username.into(), password: password.into() }
    }

    #[test]
    fn entries_in_all_their_forms() {
        let config = DockerConfig::parse(
            r#"{"auths":{
                "plain":{"auth":"dXNlcjpwYTpzcw=="}, "padded":{"auth":"dXNlcjpwYXNzAAA="},
                "split":{"username":"u","password":"p"}, "identity":{"auth":"dXNlcjo=","identitytoken":"tok"},
                "registry":{"registrytoken":"r"}, "empty":{}, "bad":{"auth":"!"}, "odd":3},
                "credHelpers":{"gcr.io":"gcloud"},"credsStore":"desktop"}"#,
            "test",
        )
        .unwrap();
        assert_eq!(config.credentials("plain"), Some(password("user", "pa:ss")));
        assert_eq!(config.credentials("padded"), Some(password("user", "pass")));
        assert_eq!(config.credentials("split"), Some(password("u", "p")));
        let identity = Credentials::IdentityToken { username: "user".into(), token: "tok".into() };
        assert_eq!(config.credentials("identity"), Some(identity));
        assert_eq!(config.credentials("registry"), Some(Credentials::RegistryToken("r".into())));
        for key in ["empty", "bad", "odd", "absent"] {
            assert_eq!(config.credentials(key), None, "{key}");
        }
        assert_eq!(config.program_for("gcr.io"), Some("gcloud"));
        assert_eq!(config.program_for("plain"), Some("desktop"));
    }

    #[test]
    fn writing_keeps_what_others_wrote_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/config.json");
        let mut config =
            DockerConfig::parse(r#"{"psFormat":"x","auths":{"a":{"auth":"","email":"e"}},"zoo":{"k":[1]}}"#, "test")
                .unwrap();
        config.set("a", &password("u", "p"));
        config.set("b", &Credentials::IdentityToken { username: "u".into(), token: "t".into() });
        config.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "{\n\t\"psFormat\": \"x\",\n\t\"auths\": {\n\t\t\"a\": {\n\t\t\t\"email\": \"e\",\n\t\t\t\"auth\": \"dTpw\"\n\t\t},\n\t\t\"b\": {\n\t\t\t\"auth\": \"dTo=\",\n\t\t\t\"identitytoken\": \"t\"\n\t\t}\n\t},\n\t\"zoo\": {\n\t\t\"k\": [\n\t\t\t1\n\t\t]\n\t}\n}";
        assert_eq!(text, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
        let mut read = DockerConfig::read(&path).unwrap();
        assert!(read.remove("a"));
        assert!(!read.remove("a"));
        assert!(read.set_elsewhere("b"));
        assert!(!read.set_elsewhere("b"));
    }

    #[test]
    fn a_malformed_file_is_an_error_that_quotes_nothing() {
        let error = DockerConfig::parse("{\"auths\": hunter2}", "file").unwrap_err();
        assert!(error.message.starts_with("file: malformed JSON at line 1"), "{}", error.message);
        assert!(!error.message.contains("hunter2"));
    }
}
