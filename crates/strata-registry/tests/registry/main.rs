//! The registry over real connections, a store in a directory and a catalog in a file.

mod access;
mod blobs;
mod client;
mod delete;
mod limits;
mod listing;
mod manifests;
mod reviews;
mod rules;
mod sending;
mod support;
mod tools;
mod uploads;
