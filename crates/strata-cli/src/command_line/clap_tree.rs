//! The tree of commands as clap sees it, for parsing, completions and manual pages.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::definition::{CommandDefinition, FlagDefinition, FlagKind, Group, Node, flag, global_flags};

/// The name of a command's arguments.
pub(super) const ARGUMENTS: &str = "arguments";
/// The flag for help.
pub(super) const HELP: &str = "help";

/// The whole tree as clap sees it, for completions and manual pages.
pub(crate) fn clap_tree(tree: &Group) -> Command {
    clap_root(tree, &|_| true)
}

/// The tree without the commands that no word names: building them all takes longer than most commands do.
pub(super) fn clap_tree_for(tree: &Group, words: &[OsString]) -> Command {
    clap_root(tree, &|node| words.iter().any(|word| word.to_str().is_some_and(|word| node.is_called(word))))
}

fn clap_root(tree: &Group, is_wanted: &dyn Fn(&Node) -> bool) -> Command {
    let mut root = clap_group(tree, is_wanted).disable_help_subcommand(true).no_binary_name(false);
    for definition in global_flags() {
        let may_follow = definition.short.is_none();
        root = root.arg(clap_flag(&definition).global(may_follow));
    }
    root
}

fn clap_group(group: &Group, is_wanted: &dyn Fn(&Node) -> bool) -> Command {
    let mut command = Command::new(group.name)
        .about(group.about)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .allow_external_subcommands(true)
        .arg(help_flag());
    for child in group.children.iter().filter(|child| is_wanted(child)) {
        command = command.subcommand(match child {
            Node::Group(group) => clap_group(group, is_wanted),
            Node::Command(definition) => clap_command(definition),
        });
    }
    command
}

fn clap_command(definition: &CommandDefinition) -> Command {
    let is_trailing = definition.takes_all || definition.options_first;
    let arguments = Arg::new(ARGUMENTS).num_args(0..).action(ArgAction::Append).trailing_var_arg(is_trailing);
    let mut command = Command::new(definition.name)
        .about(definition.about)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .visible_aliases(definition.aliases.iter().copied())
        .hide(definition.is_hidden)
        .arg(arguments.allow_hyphen_values(definition.takes_all));
    // Docker's `-h` of `run` is the host name.
    command = match definition.flags.iter().any(|flag| flag.short == Some('h')) {
        true => command.arg(clap_flag(&flag(HELP, FlagKind::Bool, "Print usage"))),
        false => command.arg(help_flag()),
    };
    for flag in &definition.flags {
        command = command.arg(clap_flag(flag));
    }
    command
}

fn help_flag() -> Arg {
    clap_flag(&flag("h/help", FlagKind::Bool, "Print usage"))
}

fn clap_flag(definition: &FlagDefinition) -> Arg {
    let mut arg = Arg::new(definition.long).long(definition.long).help(definition.help).hide(definition.is_hidden);
    if let Some(short) = definition.short {
        arg = arg.short(short);
    }
    arg = match definition.kind {
        FlagKind::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value(definition.default.unwrap_or("false"))
            .hide_default_value(true)
            .action(ArgAction::Set)
            .overrides_with(definition.long),
        FlagKind::Text(name) => one_value(arg, definition, name),
        FlagKind::Number => one_value(arg, definition, "int"),
        FlagKind::Texts(name) => arg.value_name(name).action(ArgAction::Append).allow_hyphen_values(true).num_args(1),
        FlagKind::Filter => arg.value_name("filter").action(ArgAction::Append).allow_hyphen_values(true).num_args(1),
    };
    arg
}

fn one_value(arg: Arg, definition: &FlagDefinition, name: &'static str) -> Arg {
    let arg = arg
        .value_name(name)
        .num_args(1)
        .allow_hyphen_values(true)
        .action(ArgAction::Set)
        .overrides_with(definition.long);
    match definition.default {
        Some(default) => arg.default_value(default),
        None => arg,
    }
}
