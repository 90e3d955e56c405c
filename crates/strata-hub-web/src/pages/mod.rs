//! The pages, one module for each.

pub(crate) mod account;
mod compare;
mod files;
pub(crate) mod home;
mod image;
mod layers;
pub(crate) mod repository;
pub(crate) mod search;
mod trust;
