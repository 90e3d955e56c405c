//! Accounts and access over HTTP: the hub's endpoints and the registry's on one port.

mod api;
mod registry_access;
mod sign_in;
mod support;
mod tools;
