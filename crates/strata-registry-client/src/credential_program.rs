//! The programs `docker-credential-NAME`, which keep credentials in a key ring (docker-credential-helpers protocol).
//!
//! One argument says what is asked; input and output are JSON on stdin and stdout.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_model::ErrorKind;
use strata_transfer::{Result, TransferError};
use tokio::io::AsyncWriteExt;

use crate::credentials::Credentials;
use crate::secret::Secret;

/// The user name that says that the secret is an identity token.
const TOKEN_USERNAME: &str = "<token>";
const NOT_FOUND: &str = "credentials not found in native keychain";
/// A key ring may ask its user; a program that hangs must still end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program, by the part of its name that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CredentialProgram(String);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default, rename = "ServerURL")]
    server: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: Secret,
}

impl CredentialProgram {
    /// # Errors
    /// `Invalid` when the name could mean a path.
    pub(crate) fn new(name: &str) -> Result<CredentialProgram> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(TransferError::new(
                ErrorKind::Invalid,
                format!("credential helper {name:?}: not a valid name"),
            ));
        }
        Ok(CredentialProgram(name.to_owned()))
    }

    /// The program's whole name.
    pub(crate) fn name(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    /// The credentials of `key`, if the program has any.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Credentials>> {
        let Some(output) = self.run("get", key.as_bytes()).await? else { return Ok(None) };
        let Entry { username, secret, .. } = self.read_json("get", &output)?;
        if secret.is_empty() && username.is_empty() {
            return Ok(None);
        }
        Ok(Some(if username == TOKEN_USERNAME {
            Credentials::IdentityToken { username: String::new(), token: secret }
        } else {
            Credentials::Password { username, password: secret }
        }))
    }

    /// Keeps credentials.
    pub(crate) async fn store(&self, key: &str, credentials: &Credentials) -> Result<()> {
        let (username, secret) = match credentials {
            Credentials::Password { username, password } => (username.clone(), password.clone()),
            Credentials::IdentityToken { token, .. } | Credentials::RegistryToken(token) => {
                (TOKEN_USERNAME.to_owned(), token.clone())
            }
        };
        let entry = Entry { server: key.to_owned(), username, secret };
        let input = serde_json::to_vec(&entry).map_err(|_| self.failed("store", "cannot be written as JSON"))?;
        self.run("store", &input).await.map(drop)
    }

    /// Forgets credentials. Tells whether there were any.
    pub(crate) async fn erase(&self, key: &str) -> Result<bool> {
        Ok(self.run("erase", key.as_bytes()).await?.is_some())
    }

    /// All keys and their user names.
    pub(crate) async fn list(&self) -> Result<BTreeMap<String, String>> {
        match self.run("list", b"").await? {
            Some(output) => self.read_json("list", &output),
            None => Ok(BTreeMap::new()),
        }
    }

    fn read_json<'a, T: Deserialize<'a>>(&self, action: &str, output: &'a [u8]) -> Result<T> {
        // The cause can quote a secret.
        serde_json::from_slice(output).map_err(|_| self.failed(action, "its output is not the JSON expected"))
    }

    /// Runs the program; `None` when it says that it has nothing.
    async fn run(&self, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
        let spawned = tokio::process::Command::new(self.name())
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| {
            self.failed(action, &error.to_string())
                .with_hint("install the program, or take it out of credsStore and credHelpers in docker's config.json")
        })?;
        let stdin = child.stdin.take();
        let exchange = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input (list) closes the pipe; that is its right.
                let _ = stdin.write_all(input).await;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| self.failed(action, &format!("gave no answer in {} s", PATIENCE.as_secs())))?
            .map_err(|error| self.failed(action, &error.to_string()))?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains(NOT_FOUND) {
            return Ok(None);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let cause = [said.trim(), complaint.trim()].into_iter().find(|text| !text.is_empty());
        Err(self.failed(action, &format!("{}: {}", output.status, cause.unwrap_or("no message"))))
    }

    fn failed(&self, action: &str, cause: &str) -> TransferError {
        TransferError::new(ErrorKind::Unauthenticated, format!("credential helper {} {action}: {cause}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        assert!(CredentialProgram::new("osxkeychain").is_ok());
        for name in ["", "../x", "a/b", "a b", "a;b"] {
            assert!(CredentialProgram::new(name).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_clear_error() {
        let program = CredentialProgram::new("that-does-not-exist").unwrap();
        let error = program.get("host").await.unwrap_err();
        assert!(error.message.starts_with("credential helper docker-credential-that-does-not-exist get: "));
        assert!(error.hint.is_some());
    }
}
