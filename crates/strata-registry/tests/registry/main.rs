//! The registry over real connections, a store in a directory and a catalog in a file.

mod blobs;
mod client;
mod delete;
mod listing;
mod manifests;
mod rules;
mod support;
mod tools;
mod uploads;
