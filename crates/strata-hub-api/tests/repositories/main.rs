//! The endpoints of repositories, tags and search, over loopback.

mod documents;
mod support;
mod tools;
