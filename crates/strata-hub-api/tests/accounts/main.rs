//! Accounts and access over HTTP: the hub's endpoints and the registry's on one port.

mod api;
#[path = "../clients/mod.rs"]
mod clients;
#[path = "../description/mod.rs"]
mod description;
mod outsiders;
mod registry_access;
mod second_factor;
mod sign_in;
mod support;
mod tools;
