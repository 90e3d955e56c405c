//! The pages, one module for each.

pub(crate) mod account;
pub(crate) mod home;
pub(crate) mod repository;
pub(crate) mod search;
