//! Copies between places, exports and manifest lists: on the real backends, with skopeo, umoci, GNU tar and docker's command
//! line as witnesses.

#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod copy;
mod export;
mod manifest;
mod support;
