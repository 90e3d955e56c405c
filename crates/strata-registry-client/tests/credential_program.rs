//! Credential helpers: real programs on the PATH. The PATH is a process's own, so the second half of the test runs in
//! another process of this binary.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use strata_registry_client::{CredentialFiles, Credentials, StoredIn};

/// Keeps one entry in a file, as the protocol says.
const PROGRAM: &str = r#"#!/bin/sh
kept="$DOCKER_CONFIG/kept"
case "$1" in
  store) cat >"$kept" ;;
  get) key=$(cat); if grep -q "\"ServerURL\":\"$key\"" "$kept" 2>/dev/null; then cat "$kept"
       else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) cat >/dev/null; if [ -e "$kept" ]; then rm "$kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
  list) if [ -e "$kept" ]; then echo '{"h.lan":"bob"}'; else echo '{}'; fi ;;
esac
"#;

#[test]
fn credentials_are_kept_by_a_program() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("docker-credential-test");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.path().join("config.json"), r#"{"credsStore":"test"}"#).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "with_the_program_on_the_path"])
        .env("PATH", path)
        .env("DOCKER_CONFIG", directory.path())
        .env_remove("DOCKER_AUTH_CONFIG")
        .env_remove("REGISTRY_AUTH_FILE")
        .status()
        .unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(directory.path().join("config.json")).unwrap();
    assert!(!text.contains("hunter2"), "the file holds no secret");
}

#[tokio::test]
#[ignore = "run by credentials_are_kept_by_a_program"]
async fn with_the_program_on_the_path() {
    let files = CredentialFiles::from_environment();
    assert_eq!(files.find_for_server("h.lan").await.unwrap(), None);
    let password = Credentials::Password { username: "bob".into(), password: "hunter2".into() };
    for credentials in [password, Credentials::IdentityToken { username: String::new(), token: "token".into() }] {
        let stored = files.store("h.lan", &credentials).await.unwrap();
        assert_eq!(stored, StoredIn::Program("docker-credential-test".into()));
        assert_eq!(files.find_for_server("h.lan").await.unwrap(), Some(credentials));
        assert_eq!(files.find_for_server("other.lan").await.unwrap(), None);
        assert_eq!(files.list().await.unwrap(), [("h.lan".to_owned(), "bob".to_owned())].into());
    }
    assert!(files.erase("h.lan").await.unwrap());
    assert!(!files.erase("h.lan").await.unwrap());
}
