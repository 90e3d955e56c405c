//! The pages, one module for each.

pub(crate) mod account;
pub(crate) mod admin;
mod audit;
mod chart;
mod compare;
pub(crate) mod create;
mod files;
pub(crate) mod home;
mod image;
pub(crate) mod keys;
mod layers;
pub(crate) mod organization;
pub(crate) mod password;
pub(crate) mod profile;
pub(crate) mod register;
pub(crate) mod repository;
pub(crate) mod search;
pub(crate) mod second_factor;
pub(crate) mod settings;
pub(crate) mod tokens;
mod trust;
