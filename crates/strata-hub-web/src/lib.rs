//! The hub's web pages: server-rendered, readable without JavaScript, with nothing from any other host.
//!
//! A page asks rules of [`strata_hub`] and fills a template; it holds no rule. Who is signed in is told by a cookie that
//! holds a session of the hub. Forms are taken from own pages only.
//!
//! | module | what it has |
//! |---|---|
//! | `pages` | the pages, one module for each |
//! | `forms` | what pages are made of on which people change things |
//! | `operator` | what the program tells pages of administrators |
//! | `site` | who looks, frames, forms, redirects |
//! | `views`, `words`, `qr` | values as they are shown |
//! | `markdown` | what people wrote, made harmless |
//! | `assets`, `security` | files with lasting names; headers of every answer |

// A failure is the answer itself, made once.
#![allow(clippy::result_large_err)]

mod assets;
mod failure;
mod forms;
mod markdown;
mod operator;
mod pages;
mod qr;
mod security;
mod site;
mod views;
mod words;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Extension, Router};
use strata_hub::Hub;

pub use operator::{DiskRoom, MirroredRegistry, Operator};

use pages::admin::{audit, badges, health, storage, users};
use pages::{
    account, create, home, keys, organization, password, profile, register, repository, search, second_factor, tokens,
};

/// Longest form that is read, in bytes.
const LONGEST_FORM: usize = 256 << 10;

/// All pages. To be merged with the routers of the hub's API and of the registry: no path is in two of them.
pub fn router(hub: Hub, operator: Arc<dyn Operator>) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/search", get(search::search))
        .route("/suggest", get(search::suggest))
        .route("/_/{*path}", get(repository::official).post(repository::change_official))
        .route("/r/{*path}", get(repository::repository).post(repository::change_repository))
        .route("/u/{name}", get(account::namespace))
        .route("/my", get(account::mine))
        .route("/sign-in", get(account::sign_in_form).post(account::sign_in))
        .route("/sign-in/code", post(second_factor::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/password", get(password::form).post(password::change))
        .route("/register", get(register::form).post(register::register))
        .route("/new", get(create::form).post(create::create))
        .merge(own_account())
        .merge(organizations())
        .merge(administration())
        .route("/assets/{file}", get(assets::serve))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .layer(Extension(operator))
        .layer(from_fn(security::guard))
        .with_state(hub)
}

fn own_account() -> Router<Hub> {
    Router::new()
        .route("/account", get(profile::profile))
        .route("/account/profile", post(profile::describe))
        .route("/account/password", post(profile::change_password))
        .route("/account/sessions", post(profile::end_sessions))
        .route("/account/sessions/{id}/end", post(profile::end_session))
        .route("/account/second-factor", post(second_factor::begin))
        .route("/account/second-factor/confirm", post(second_factor::confirm))
        .route("/account/second-factor/disable", post(second_factor::disable))
        .route("/account/tokens", get(tokens::own).post(tokens::create_own))
        .route("/account/tokens/{id}/{action}", post(tokens::act_own))
        .route("/account/keys", get(keys::own).post(keys::add_own))
        .route("/account/keys/{id}/remove", post(keys::remove_own))
}

fn organizations() -> Router<Hub> {
    Router::new()
        .route("/orgs/new", get(organization::new_form).post(organization::create))
        .route("/orgs/{name}", get(account::namespace))
        .route("/orgs/{name}/members", get(organization::members).post(organization::add_member))
        .route("/orgs/{name}/members/{user}/{action}", post(organization::change_member))
        .route("/orgs/{name}/teams", get(organization::teams).post(organization::create_team))
        .route("/orgs/{name}/teams/{team}", get(organization::team))
        .route("/orgs/{name}/teams/{team}/{action}", post(organization::change_team))
        .route("/orgs/{name}/tokens", get(tokens::robots).post(tokens::create_robot))
        .route("/orgs/{name}/tokens/{id}/{action}", post(tokens::act_robot))
        .route("/orgs/{name}/keys", get(keys::of_organization).post(keys::add_to_organization))
        .route("/orgs/{name}/keys/{id}/remove", post(keys::remove_from_organization))
        .route("/orgs/{name}/audit", get(organization::audit))
        .route("/orgs/{name}/settings", get(organization::settings).post(organization::describe))
}

fn administration() -> Router<Hub> {
    Router::new()
        .route("/admin", get(users::users))
        .route("/admin/users", get(users::users).post(users::create))
        .route("/admin/users/{name}", get(users::user))
        .route("/admin/users/{name}/{action}", post(users::change))
        .route("/admin/badges", get(badges::badges))
        .route("/admin/badges/official", post(badges::set_official))
        .route("/admin/badges/official/new", post(badges::set_official))
        .route("/admin/badges/verified", post(badges::set_verified))
        .route("/admin/badges/verified/new", post(badges::set_verified))
        .route("/admin/storage", get(storage::storage))
        .route("/admin/storage/collect", post(storage::collect))
        .route("/admin/storage/check", post(storage::check))
        .route("/admin/mirrors", get(health::mirrors))
        .route("/admin/health", get(health::health))
        .route("/admin/audit", get(audit::audit))
}
