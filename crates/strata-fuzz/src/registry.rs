//! What registries and their clients say to each other, and what the user wrote for the client.

use strata_registry::fuzzing as server;
use strata_registry_client::{ClientConfig, fuzzing as client};

use crate::text;

/// `WWW-Authenticate` headers of an answer, one a line.
pub fn challenge(bytes: &[u8]) {
    client::challenge(bytes.split(|&byte| byte == b'\n'));
}

/// The body of a refusal.
pub fn error_answer(bytes: &[u8]) {
    client::error_body(bytes);
}

/// Other headers of answers: `Content-Range`, `Link`, `Retry-After` and the limits of pulls.
pub fn response_headers(bytes: &[u8]) {
    client::response_headers(bytes);
}

/// Docker's `config.json`. What is written back is read again with the same credentials.
pub fn docker_config(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        client::docker_config(text);
    }
}

/// The client's part of `config.toml`.
pub fn client_config(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let _ = ClientConfig::parse(text);
    }
}

/// The target of a request to the registry: path and query.
pub fn registry_path(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        server::target(text);
    }
}

/// `Range` of a blob whose size the first byte tells, and `Content-Range` of an uploaded chunk.
pub fn range(bytes: &[u8]) {
    if let Some((size, header)) = bytes.split_first()
        && let Some(header) = text(header)
    {
        server::range(header, u64::from(*size));
        server::range(header, u64::MAX - u64::from(*size));
    }
}
