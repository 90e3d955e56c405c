//! The Docker Engine API, versions 1.24 to 1.51, over the use cases of `strata-engine`.
//!
//! Parses a request, calls one function of the engine, renders what it returns in docker's shapes. Nothing is decided here,
//! and nothing is kept between requests: the command line may work on the same store at the same time. What a request does
//! ends when its client goes away.
//!
//! | module | what it has |
//! |---|---|
//! | `server` | listeners (Unix, systemd's, TCP with mutual TLS), connections, their end |
//! | `service` | one request from head to answer: version, `--read-only`, headers, the audit log |
//! | `routes` | the endpoints, one module for each family |
//! | `call` | what a request carries: query, filters, JSON, credentials |
//! | `answer` | answers: JSON, streams that begin with their first byte |
//! | `connection` | connections that become a program's streams |
//! | `status` | failures: the one table from kinds of errors to statuses |
//! | `meetings` | what requests that run at the same time have to do with each other |
//! | `progress` | docker's stream of progress |
//! | `version` | versions of the API |
//! | `websocket` | the handshake and the frames of websockets |

mod answer;
mod call;
mod connection;
mod meetings;
mod progress;
mod routes;
mod server;
mod service;
mod status;
mod sys;
mod tls;
mod version;
mod websocket;

pub use meetings::Meetings;
pub use server::{Listener, listeners_from_systemd, serve};
pub use service::{Access, EngineService, Registries};
pub use tls::{MutualTls, TlsError};
