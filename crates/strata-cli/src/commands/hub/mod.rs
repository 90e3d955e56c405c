//! `hub`: running a registry with accounts, search and trust.

mod backup;
mod config;
mod maintenance;
mod serve;
mod user;

use std::path::PathBuf;

use strata_store::Durability;

use super::commands;
use crate::command_line::{Group, Node};
use crate::context::Context;
use crate::hub::{HubArguments, HubFailure};
use crate::report::{Failure, Outcome};

pub(super) fn group() -> Group {
    let mut children = commands([
        serve::definition(),
        maintenance::collect_definition(),
        maintenance::fsck_definition(),
        backup::backup_definition(),
        backup::restore_definition(),
    ]);
    children.push(Node::Group(config::group()));
    children.push(Node::Group(user::group()));
    Group { name: "hub", about: "Run a hub: a registry with accounts, search and trust", children }
}

/// What the command line says about the hub. The flag `--config`, docker's directory elsewhere, names the hub's file here.
fn arguments(context: &Context<'_>, settings: Vec<(&'static str, String)>) -> Outcome<HubArguments> {
    let global = context.invocation.global();
    let mut settings = settings;
    settings.extend(global.root.as_ref().map(|root| ("root", root.display().to_string())));
    Ok(HubArguments {
        config: global.config.clone(),
        default_root: context.root()?,
        settings,
        durability: if global.no_sync { Durability::Unsynced } else { Durability::Synced },
    })
}

/// The same with a file named as an argument.
fn arguments_with_file(context: &Context<'_>, file: Option<String>) -> Outcome<HubArguments> {
    let arguments = arguments(context, Vec::new())?;
    Ok(HubArguments { config: file.map(PathBuf::from).or(arguments.config), ..arguments })
}

fn failed(failure: HubFailure) -> Failure {
    Failure::bare(failure.to_string())
}
