//! Images of a Docker Engine on this machine: archives out of it and into it (Docker Engine API, `GET /images/{name}/get`
//! and `POST /images/load`).
//!
//! HTTP/1.1 on a unix socket, or over TCP on loopback. Nothing is retried: an archive is one request.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use http::StatusCode;
use serde::Deserialize;
use strata_model::ErrorKind;
use strata_transfer::{Result, TransferError};

use crate::config::{host_part, is_loopback};
use crate::connection::innermost;

const DEFAULT_ADDRESS: &str = "unix:///var/run/docker.sock";
/// Largest answer that is read whole, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// A Docker Engine. No connection is kept between requests of different programs; clones share what is open.
#[derive(Clone)]
pub struct DockerDaemon {
    client: reqwest::Client,
    /// What paths are appended to, without a slash at its end.
    base: String,
    /// As the user wrote it, for messages.
    address: String,
}

impl DockerDaemon {
    /// The engine that `DOCKER_HOST` names, or the one at docker's usual socket.
    ///
    /// # Errors
    /// As [`DockerDaemon::at`].
    pub fn from_environment() -> Result<DockerDaemon> {
        let address = std::env::var("DOCKER_HOST").ok().filter(|address| !address.is_empty());
        DockerDaemon::at(address.as_deref().unwrap_or(DEFAULT_ADDRESS))
    }

    /// The engine at `unix:///path` or `tcp://127.0.0.1:2375`.
    ///
    /// # Errors
    /// `Unsupported` for every other address.
    pub fn at(address: &str) -> Result<DockerDaemon> {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let (builder, base) = if let Some(path) = address.strip_prefix("unix://") {
            (builder.unix_socket(path), "http://docker".to_owned())
        } else if let Some(authority) = address.strip_prefix("tcp://").map(|rest| rest.trim_end_matches('/'))
            && is_loopback(host_part(authority))
        {
            (builder.connect_timeout(Duration::from_secs(10)), format!("http://{authority}"))
        } else {
            let message = format!("docker engine at {address}: only unix:// and tcp:// to this machine are supported");
            return Err(TransferError::new(ErrorKind::Unsupported, message).with_hint("set DOCKER_HOST accordingly"));
        };
        let client = builder.build().map_err(|error| {
            let message = format!("docker engine at {address}: setting up HTTP: {}", innermost(&error));
            TransferError::new(ErrorKind::Internal, message)
        })?;
        Ok(DockerDaemon { client, base, address: address.to_owned() })
    }

    /// The archive of an image, as `docker save` writes it: a name with a tag, or an identity.
    ///
    /// # Errors
    /// `NotFound` with the engine's words; `Unavailable` when there is no engine.
    pub async fn image_archive(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let url = format!("{}/images/{name}/get", self.base);
        let response = self.client.get(url).send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&format!("image {name}"), response).await);
        }
        let address = self.address.clone();
        let stream = stream::try_unfold(response, move |mut response| {
            let address = address.clone();
            async move {
                let chunk = response.chunk().await.map_err(|error| {
                    let message = format!("docker engine at {address}: reading an image: {}", innermost(&error));
                    TransferError::new(ErrorKind::Unavailable, message)
                })?;
                Ok(chunk.map(|chunk| (chunk, response)))
            }
        });
        Ok(stream.boxed())
    }

    /// Loads an archive; returns what the engine says of it, such as `Loaded image: app:1`.
    ///
    /// # Errors
    /// With the engine's words when it refuses; `Unavailable` when there is no engine. An error of `archive` ends the
    /// request.
    pub async fn load_archive(
        &self,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<String> {
        let request = self
            .client
            .post(format!("{}/images/load?quiet=1", self.base))
            .header(http::header::CONTENT_TYPE, "application/x-tar")
            .body(reqwest::Body::wrap_stream(archive));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal("loading an image", response).await);
        }
        let answer = self.read_answer(response).await?;
        loaded(&answer).map_err(|cause| {
            TransferError::new(
                ErrorKind::Invalid,
                format!("docker engine at {}: loading an image: {cause}", self.address),
            )
        })
    }

    async fn read_answer(&self, mut response: reqwest::Response) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            let room = MAX_ANSWER - answer.len();
            answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(answer)
    }

    async fn refusal(&self, what: &str, response: reqwest::Response) -> TransferError {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let status = response.status();
        let answer = self.read_answer(response).await.unwrap_or_default();
        let said = match serde_json::from_slice::<Refusal>(&answer) {
            Ok(refusal) => refusal.message,
            Err(_) => format!("unexpected status {status}"),
        };
        let kind = match status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::FORBIDDEN => ErrorKind::Denied,
            StatusCode::BAD_REQUEST => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        TransferError::new(kind, format!("docker engine at {}: {what}: {said}", self.address))
    }

    fn unreachable(&self, error: &reqwest::Error) -> TransferError {
        let Self { address, .. } = self;
        if !error.is_connect() {
            let message = format!("docker engine at {address}: {}", innermost(error));
            return TransferError::new(ErrorKind::Unavailable, message);
        }
        let message = format!(
            "Cannot connect to the Docker daemon at {address}. Is the docker daemon running? ({})",
            innermost(error)
        );
        TransferError::new(ErrorKind::Unavailable, message)
            .with_hint("start docker, or set DOCKER_HOST to where it listens")
    }
}

/// What the engine's messages say: one JSON object after the other, the last of which can be an error.
fn loaded(answer: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        stream: String,
        error: Option<String>,
    }
    let mut said = String::new();
    for message in serde_json::Deserializer::from_slice(answer).into_iter::<Message>() {
        match message {
            Ok(Message { error: Some(error), .. }) => return Err(error),
            Ok(Message { stream, .. }) => said.push_str(&stream),
            // An old engine answers in plain text, or not at all.
            Err(_) => break,
        }
    }
    Ok(said.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn answers_of_the_engine() {
        let fine = b"{\"stream\":\"Loaded image: a:1\\n\"}\n{\"stream\":\"Loaded image: b:1\\n\"}\n";
        assert_eq!(loaded(fine).unwrap(), "Loaded image: a:1\nLoaded image: b:1");
        let refused = b"{\"stream\":\"x\"}{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}";
        assert_eq!(loaded(refused).unwrap_err(), "no");
        assert_eq!(loaded(b"").unwrap(), "");
        assert_eq!(loaded(b"loaded").unwrap(), "");
    }

    #[test]
    fn only_engines_of_this_machine_are_asked() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for address in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375/", "tcp://[::1]:1"] {
            assert!(DockerDaemon::at(address).is_ok(), "{address}");
        }
        for address in ["tcp://10.0.0.1:2375", "ssh://host", "/run/docker.sock", "npipe:////./pipe/docker"] {
            assert_eq!(DockerDaemon::at(address).err().unwrap().kind, ErrorKind::Unsupported, "{address}");
        }
    }

    /// Answers one request on a socket; returns what was asked.
    async fn answer_once(listener: tokio::net::UnixListener, answer: &'static str) -> String {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&request);
            // A body that is sent in chunks ends with one of length zero.
            let whole =
                if text.starts_with("POST") { text.ends_with("\r\n0\r\n\r\n") } else { text.ends_with("\r\n\r\n") };
            if whole || count == 0 {
                break;
            }
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }

    #[tokio::test]
    async fn archives_go_over_a_unix_socket() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let daemon = DockerDaemon::at(&format!("unix://{}", path.display())).unwrap();
        let error = daemon.image_archive("app:1").await.err().unwrap();
        assert!(error.message.starts_with("Cannot connect to the Docker daemon at unix://"), "{error}");

        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\narchive";
        let asked = tokio::spawn(answer_once(listener, answer));
        let mut stream = daemon.image_archive("host:5000/app:1").await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "archive");
        assert!(stream.next().await.is_none());
        assert!(asked.await.unwrap().starts_with("GET /images/host:5000/app:1/get HTTP/1.1\r\n"));

        std::fs::remove_file(&path).unwrap();
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 32\r\nConnection: close\r\n\r\n{\"message\":\"No such image: app\"}\n";
        let asked = tokio::spawn(answer_once(listener, answer));
        let archive = stream::iter([Ok(Bytes::from_static(b"one")), Ok(Bytes::from_static(b"two"))]);
        let error = daemon.load_archive(archive).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.message.ends_with("No such image: app"), "{error}");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /images/load?quiet=1 HTTP/1.1\r\n") && asked.contains("one"), "{asked}");
    }
}
