//! The client side of the OCI distribution protocol.
//!
//! A [`RegistryClient`] speaks with registries; a [`RepositoryClient`] is one repository, as an
//! [`ImageSource`](strata_transfer::ImageSource) and, with a target, an [`ImageSink`](strata_transfer::ImageSink).
//!
//! From the outside in, a request passes these modules:
//!
//! | module | what it adds |
//! |---|---|
//! | `pull`, `push`, `listing`, `search`, `login` | what is asked, and what a failure means to the person asking |
//! | `client` | retries (`retry`) and the answer to a refusal |
//! | `authorization` | tokens and passwords (`challenge`, `scope`, `credentials`) |
//! | `transport` | one exchange: connection, certificates, redirects, an end to waiting |
//!
//! `endpoint` says where a registry and its mirrors are; `config` what the user set. Bytes of blobs are not verified here
//! when they are read (the reader does that), but always before an upload is closed. Bytes of manifests always are.
//!
//! Secrets are of type [`Secret`]; addresses in messages have no query. Everything may be used from many tasks at once.

mod authorization;
mod certificates;
mod challenge;
mod client;
mod config;
mod connection;
mod credential_program;
mod credentials;
mod docker_config;
mod docker_daemon;
mod download;
mod endpoint;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod listing;
mod login;
mod pull;
mod push;
mod rate_limit;
mod repository;
mod retry;
mod scope;
mod search;
mod secret;
mod transport;

pub use client::RegistryClient;
pub use config::{ClientConfig, InsecureRegistry, Mirror, RetryPolicy, Timeouts};
pub use credentials::{CredentialFiles, Credentials, DOCKER_HUB_KEY, StoredIn, server_key};
pub use docker_daemon::DockerDaemon;
pub use download::Download;
pub use login::{Login, Logout};
pub use rate_limit::RateLimit;
pub use repository::RepositoryClient;
pub use search::FoundImage;
pub use secret::Secret;
