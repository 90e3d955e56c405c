//! The hub's HTTP surface: parses, calls one rule of [`strata_hub`], renders. Holds no rule.
//!
//! | module | what it has |
//! |---|---|
//! | `courier` | posting webhooks |
//! | `error` | failures as the Hub's clients read them |
//! | `operations`, `telemetry` | health and metrics, what is counted |
//! | `routes` | one module for each family of endpoints |
//! | `server`, `tls` | connections, and how they are encrypted |

mod courier;
mod error;
mod operations;
mod routes;
mod server;
mod telemetry;
mod tls;

pub use courier::HttpCourier;
pub use operations::Operations;
pub use routes::router;
pub use server::{Server, listen};
pub use telemetry::Telemetry;
pub use tls::{Certificate, TlsError};
