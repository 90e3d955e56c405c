//! `hub config`: the hub's settings, checked and shown.

use crate::command_line::{Arity, CommandDefinition, Flags, Group};
use crate::commands::commands;
use crate::context::Context;
use crate::output::{complain, print, print_line};
use crate::report::Outcome;

pub(super) fn group() -> Group {
    let children = commands([
        CommandDefinition::new("check", "[FILE]", "Check a configuration file", |context, flags| {
            Box::pin(check(context, flags))
        })
        .arity(Arity::AtMost(1))
        .examples(&[("hub config check /etc/strata/hub.toml", "Line and column of what is wrong")]),
        CommandDefinition::new("show", "[FILE]", "Show the settings in force, without secrets", |context, flags| {
            Box::pin(show(context, flags))
        })
        .arity(Arity::AtMost(1)),
    ]);
    Group { name: "config", about: "Check and show the hub's configuration", children }
}

async fn check(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments_with_file(context, flags.arguments().pop())?;
    let (file, warnings) = context.environment.hub().check_config(&arguments).map_err(super::failed)?;
    for warning in warnings {
        complain(&format!("WARNING: {warning}"));
    }
    match file {
        Some(file) => print_line(format_args!("{}: ok", file.display())),
        None => print_line("no configuration file: ok"),
    }
}

async fn show(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments_with_file(context, flags.arguments().pop())?;
    print(&context.environment.hub().show_config(&arguments).map_err(super::failed)?)
}
