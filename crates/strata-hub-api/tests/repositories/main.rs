//! The endpoints of repositories, tags and search, over loopback.

#[path = "../clients/mod.rs"]
mod clients;
mod documents;
mod support;
mod tools;
