//! The hub's HTTP surface: parses, calls one rule of [`strata_hub`], renders. Holds no rule.
//!
//! | module | what it has |
//! |---|---|
//! | `error` | failures as the Hub's clients read them |
//! | `routes` | one module for each family of endpoints |

mod error;
mod routes;

pub use routes::router;
