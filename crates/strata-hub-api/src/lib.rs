//! The hub's HTTP surface: parses, calls one rule of [`strata_hub`], renders. Holds no rule.
//!
//! | module | what it has |
//! |---|---|
//! | `courier` | posting webhooks |
//! | `endpoints` | routes and their description, by the types of their handlers |
//! | `error` | failures as the Hub's clients read them |
//! | `operations`, `telemetry` | health and metrics, what is counted |
//! | `identity` | who sends a request |
//! | `input`, `output` | what requests carry and answers are made of |
//! | `routes` | one module for each family of endpoints |
//! | `requests` | what happens to every request besides its answer |
//! | `tls` | certificates from files |

mod courier;
mod endpoints;
mod error;
mod identity;
mod input;
mod operations;
mod output;
mod requests;
mod routes;
mod telemetry;
mod tls;

pub use courier::HttpCourier;
pub use operations::{Disk, Operations};
pub use requests::observed;
pub use routes::{administration_router, openapi_document, router};
pub use telemetry::Telemetry;
pub use tls::{Certificate, TlsError};
