//! The endpoints of repositories, tags and search, over loopback.

#[path = "../clients/mod.rs"]
mod clients;
#[path = "../description/mod.rs"]
mod description;
mod documents;
mod support;
mod tools;
