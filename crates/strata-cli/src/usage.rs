//! What is said about command lines that cannot be understood, in docker's words.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::command_line::{Arity, CommandDefinition, FlagDefinition, Group, Node, full_path};
use crate::report::Failure;

/// Exit code of wrong flags.
const FLAG_ERROR: u8 = 125;

/// Wrong number of arguments.
pub(crate) fn arity_error(program: &str, path: &str, command: &CommandDefinition) -> Failure {
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    let (wanted, word) = match command.arity {
        Arity::None | Arity::Any => ("accepts no arguments".to_owned(), "Run"),
        Arity::Exactly(count) => (format!("requires {count} {}", plural(count)), "Run"),
        Arity::OneOrMore => ("requires 1 argument".to_owned(), "Run"),
        Arity::AtLeast(count) => (format!("requires at least {count} {}", plural(count)), "See"),
        Arity::AtMost(count) => (format!("requires at most {count} {}", plural(count)), "Run"),
        Arity::Between(least, most) => {
            (format!("requires at least {least} and at most {most} {}", plural(most)), "Run")
        }
    };
    Failure::bare(format!(
        "{program}: '{path}' {wanted}\n\nUsage:  {path}{}\n\n{word} '{path} --help' for more information",
        after_name(command, program)
    ))
}

/// A command that nobody knows.
pub(crate) fn unknown_command(group: &str, name: &str, program: &str) -> Failure {
    let usage = match group.strip_prefix(program).map(str::trim_start) {
        None | Some("") => String::new(),
        // Docker's own usage lines of its groups.
        Some("builder" | "config" | "container" | "context" | "image" | "network" | "plugin" | "system") => {
            format!("\n\nUsage:  {group}")
        }
        Some(_) => format!("\n\nUsage:  {group} COMMAND"),
    };
    Failure::bare(format!(
        "{program}: unknown command: {group} {name}{usage}\n\nRun '{group} --help' for more information"
    ))
}

/// A value that a flag does not take.
pub(crate) fn value_error(
    path: &str,
    command: &CommandDefinition,
    flag: &FlagDefinition,
    value: &str,
    cause: &str,
) -> Failure {
    let message = format!("invalid argument {value:?} for {:?} flag: {cause}", flag.shown());
    let program = path.split(' ').next().unwrap_or_default();
    with_usage(&message, path, &after_name(command, program))
}

/// What clap did not understand.
pub(crate) fn flag_error(error: &clap::Error, tree: &Group, program: &str, words: &[OsString]) -> Failure {
    let (path, rest) = named_command(tree, program, words);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let message = match error.kind() {
        ErrorKind::UnknownArgument => unknown_flag(&flag, words),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues | ErrorKind::NoEquals => {
            needs_argument(&flag, words)
        }
        ErrorKind::InvalidUtf8 => "arguments must be UTF-8".to_owned(),
        _ => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
    };
    with_usage(&message, &path, &rest)
}

fn with_usage(message: &str, path: &str, after_name: &str) -> Failure {
    let text = format!("{message}\n\nUsage:  {path}{after_name}\n\nRun '{path} --help' for more information");
    Failure::bare(text).with_code(FLAG_ERROR)
}

fn after_name(command: &CommandDefinition, program: &str) -> String {
    if command.usage.is_empty() { String::new() } else { format!(" {}", command.usage_of(program)) }
}

fn unknown_flag(flag: &str, words: &[OsString]) -> String {
    let name = flag.split('=').next().unwrap_or(flag);
    if let Some(long) = name.strip_prefix("--") {
        return format!("unknown flag: --{long}");
    }
    let letter = name.trim_start_matches('-').chars().next().unwrap_or('-');
    // clap tells the letter only; docker shows the word from this letter on.
    let word = words.iter().filter_map(|word| word.to_str()).find_map(|word| {
        let cluster = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
        let at = cluster.find(letter)?;
        Some(format!("-{}", &cluster[at..]))
    });
    format!("unknown shorthand flag: {letter:?} in {}", word.unwrap_or_else(|| format!("-{letter}")))
}

/// `flag` is as clap shows it: `--filter <filter>`.
fn needs_argument(flag: &str, words: &[OsString]) -> String {
    let long = flag.split_whitespace().next().unwrap_or(flag);
    let last = words.last().and_then(|word| word.to_str()).unwrap_or_default();
    match last.strip_prefix('-').filter(|rest| !rest.is_empty() && !rest.starts_with('-')) {
        Some(cluster) => {
            let letter = cluster.chars().next_back().unwrap_or('-');
            format!("flag needs an argument: {letter:?} in -{letter}")
        }
        None => format!("flag needs an argument: {long}"),
    }
}

/// The command that the words name as far as it can be told, and what its usage line goes on with.
fn named_command(tree: &Group, program: &str, words: &[OsString]) -> (String, String) {
    let mut group = tree;
    let mut path = Vec::new();
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        match group.find(word) {
            Some(Node::Command(command)) => {
                path.push(command.name);
                return (full_path(program, &path), after_name(command, program));
            }
            Some(Node::Group(below)) => {
                path.push(below.name);
                group = below;
            }
            None => {}
        }
    }
    let rest = if path.is_empty() { " [OPTIONS] COMMAND [ARG...]" } else { " COMMAND" };
    (full_path(program, &path), rest.to_owned())
}
