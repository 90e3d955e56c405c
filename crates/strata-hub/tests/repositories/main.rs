//! Repositories, tags, pulls, Dockerfiles and search, over a registry in a temporary directory.

mod bench;
mod following;
mod removing;
mod rules;
mod searching;
mod support;
mod webhooks;
