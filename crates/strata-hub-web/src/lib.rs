//! The hub's web pages: server-rendered, readable without JavaScript, with nothing from any other host.
//!
//! A page asks rules of [`strata_hub`] and fills a template; it holds no rule. Who is signed in is told by a cookie that
//! holds a session of the hub. Forms are taken from own pages only.
//!
//! | module | what it has |
//! |---|---|
//! | `pages` | the pages, one module for each |
//! | `site` | who looks, frames, forms, redirects |
//! | `views`, `words` | values as they are shown |
//! | `markdown` | what people wrote, made harmless |
//! | `assets`, `security` | files with lasting names; headers of every answer |

// A failure is the answer itself, made once.
#![allow(clippy::result_large_err)]

mod assets;
mod failure;
mod markdown;
mod pages;
mod security;
mod site;
mod views;
mod words;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use strata_hub::Hub;

use pages::{account, home, repository, search};

/// Longest form that is read, in bytes.
const LONGEST_FORM: usize = 256 << 10;

/// All pages. To be merged with the routers of the hub's API and of the registry: no path is in two of them.
pub fn router(hub: Hub) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/search", get(search::search))
        .route("/suggest", get(search::suggest))
        .route("/_/{*path}", get(repository::official).post(repository::change_official))
        .route("/r/{*path}", get(repository::repository).post(repository::change_repository))
        .route("/u/{name}", get(account::namespace))
        .route("/my", get(account::mine))
        .route("/sign-in", get(account::sign_in_form).post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/assets/{file}", get(assets::serve))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .layer(from_fn(security::guard))
        .with_state(hub)
}
