//! Commands as data: name, flags, arity, examples; and parsing them as docker's flag library does.
//!
//! clap splits the words; what is said about wrong ones is in `usage`. Flags may stand anywhere among the arguments; yes/no
//! flags take a value only after `=`; values may start with a dash.

mod clap_tree;
mod definition;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use self::clap_tree::{ARGUMENTS, HELP, clap_tree_for};
use crate::report::{Failure, Outcome};
use crate::run::LogLevel;
use crate::{help, output, usage};

pub(crate) use self::clap_tree::clap_tree;
pub(crate) use self::definition::{
    Arity, Check, CommandDefinition, Completes, FlagDefinition, FlagKind, Group, Node, RunCommand, RunsOn, global_flags,
};

/// What is set for all commands.
#[derive(Clone, Debug)]
pub(crate) struct GlobalOptions {
    pub(crate) root: Option<PathBuf>,
    /// Docker's configuration directory.
    pub(crate) config: Option<PathBuf>,
    pub(crate) no_sync: bool,
    pub(crate) no_progress: bool,
    pub(crate) log_level: LogLevel,
}

/// A parsed command line.
pub(crate) struct Invocation {
    pub(crate) tree: Group,
    pub(crate) program: String,
    /// Canonical names below the program.
    path: Vec<&'static str>,
    matches: ArgMatches,
    global: GlobalOptions,
    wants_help: bool,
    shows_version: bool,
}

impl Invocation {
    /// Parses the words of a command line, the program's name first.
    ///
    /// # Errors
    /// In docker's words and with its exit codes for what cannot be understood.
    pub(crate) fn parse(tree: Group, arguments: Vec<OsString>) -> Outcome<Invocation> {
        let program = program_name(arguments.first());
        let command = clap_tree_for(&tree, &arguments);
        let matches = command
            .try_get_matches_from(&arguments)
            .map_err(|error| usage::flag_error(&error, &tree, &program, &arguments))?;
        let (path, leaf) = follow(&tree, &matches, &program)?;
        let wants_help = is_set(&leaf, HELP);
        let shows_version = path.is_empty() && is_set(&leaf, "version");
        let invocation = Invocation {
            program,
            path,
            global: global_options(&matches, &leaf).map_err(Failure::bare)?,
            matches: leaf,
            tree,
            wants_help,
            shows_version,
        };
        if let (Some(command), false) = (invocation.command(), invocation.wants_help) {
            invocation.check_values(command)?;
            let count = invocation.flags().arguments().len();
            if !command.arity.allows(count) {
                return Err(usage::arity_error(&invocation.program, &invocation.full_path(), command));
            }
        }
        Ok(invocation)
    }

    /// The command; `None` when only its group was named, or help was asked for.
    pub(crate) fn command(&self) -> Option<&CommandDefinition> {
        if self.wants_help {
            return None;
        }
        match find_node(&self.tree, &self.path)? {
            Node::Command(command) => Some(command),
            Node::Group(_) => None,
        }
    }

    /// Whether only the version was asked for.
    pub(crate) fn shows_version(&self) -> bool {
        self.shows_version
    }

    pub(crate) fn global(&self) -> &GlobalOptions {
        &self.global
    }

    /// Flags and arguments of the command.
    pub(crate) fn flags(&self) -> Flags<'_> {
        Flags { matches: &self.matches, invocation: self }
    }

    /// Program and command as docker names them: `docker image ls`.
    pub(crate) fn full_path(&self) -> String {
        full_path(&self.program, &self.path)
    }

    /// Prints the help of what was named. Like docker, on stderr when nobody asked for it.
    pub(crate) fn print_help(&self) -> Outcome {
        let text = help::text(&self.tree, &self.program, &self.path);
        match self.wants_help {
            true => output::print(&text),
            false => {
                output::complain(text.trim_end_matches('\n'));
                Ok(())
            }
        }
    }

    fn check_values(&self, command: &CommandDefinition) -> Outcome {
        for flag in command.flags.iter().chain(&global_flags()) {
            let Ok(Some(values)) = self.matches.try_get_many::<String>(flag.long) else { continue };
            for value in values {
                let checked = check_value(flag.kind, value);
                if let Err(cause) = checked.and_then(|()| flag.check.map_or(Ok(()), |check| check(value))) {
                    return Err(usage::value_error(&self.full_path(), command, flag, value, &cause));
                }
            }
        }
        Ok(())
    }
}

/// Docker's checks of values, in Go's words.
fn check_value(kind: FlagKind, value: &str) -> Result<(), String> {
    let invalid = |function: &str| format!("strconv.{function}: parsing {value:?}: invalid syntax");
    match kind {
        FlagKind::Bool => parse_bool(value).map(drop).ok_or_else(|| invalid("ParseBool")),
        FlagKind::Number => value.parse::<i64>().map(drop).map_err(|_| invalid("ParseInt")),
        FlagKind::Filter if !value.is_empty() && !value.contains('=') => {
            Err("bad format of filter (expected name=value)".to_owned())
        }
        FlagKind::Text(_) | FlagKind::Texts(_) | FlagKind::Filter => Ok(()),
    }
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The name that the program was called by: `strata`, or `docker` through a link.
fn program_name(first: Option<&OsString>) -> String {
    let name = first.and_then(|first| Path::new(first).file_name()).map(|name| name.to_string_lossy().into_owned());
    match name.as_deref() {
        Some("docker") => "docker".to_owned(),
        _ => "strata".to_owned(),
    }
}

pub(crate) fn full_path(program: &str, path: &[&str]) -> String {
    std::iter::once(program).chain(path.iter().copied()).collect::<Vec<_>>().join(" ")
}

/// The node at a path; `None` for the root itself.
pub(crate) fn find_node<'a>(tree: &'a Group, path: &[&str]) -> Option<&'a Node> {
    let (first, rest) = path.split_first()?;
    let node = tree.find(first)?;
    match (node, rest) {
        (_, []) => Some(node),
        (Node::Group(group), rest) => find_node(group, rest),
        (Node::Command(_), _) => None,
    }
}

/// Follows the named commands down; returns their canonical names and the matches of the last.
fn follow(tree: &Group, matches: &ArgMatches, program: &str) -> Outcome<(Vec<&'static str>, ArgMatches)> {
    let mut path = Vec::new();
    let mut group = tree;
    let mut at = matches;
    while let Some((name, below)) = at.subcommand() {
        let Some(node) = group.find(name) else {
            return Err(usage::unknown_command(&full_path(program, &path), name, program));
        };
        path.push(node.name());
        at = below;
        match node {
            Node::Group(next) => group = next,
            Node::Command(_) => break,
        }
    }
    Ok((path, at.clone()))
}

fn is_set(matches: &ArgMatches, name: &str) -> bool {
    let text = matches.try_get_one::<String>(name).ok().flatten();
    text.and_then(|text| parse_bool(text)).unwrap_or(false)
}

/// Flags with a short form stand before the command; clap hands the others down to it.
fn global_options(program: &ArgMatches, command: &ArgMatches) -> Result<GlobalOptions, String> {
    let log_level = program.try_get_one::<String>("log-level").ok().flatten();
    let log_level = match log_level.map(String::as_str) {
        _ if is_set(program, "debug") => LogLevel::Debug,
        None | Some("") => LogLevel::Warn,
        Some("debug" | "trace") => LogLevel::Debug,
        Some("info") => LogLevel::Info,
        Some("warn" | "warning") => LogLevel::Warn,
        Some("error" | "fatal" | "panic") => LogLevel::Error,
        Some(other) => return Err(format!("unable to parse logging level: {other}")),
    };
    let text = |name: &str| command.try_get_one::<String>(name).ok().flatten();
    Ok(GlobalOptions {
        root: text("root").map(PathBuf::from),
        config: text("config").map(PathBuf::from),
        no_sync: is_set(command, "no-sync"),
        no_progress: is_set(command, "no-progress"),
        log_level,
    })
}

/// Flags and arguments of a command as given.
pub(crate) struct Flags<'a> {
    matches: &'a ArgMatches,
    pub(crate) invocation: &'a Invocation,
}

impl Flags<'_> {
    /// Whether a yes/no flag is on.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        is_set(self.matches, name)
    }

    /// The last value of a flag; an empty one counts as none.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.matches.try_get_many::<String>(name).ok().flatten()?.next_back()?.clone();
        (!value.is_empty()).then_some(value)
    }

    /// All values of a flag.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let values = self.matches.try_get_many::<String>(name).ok().flatten();
        values.map(|values| values.cloned().collect()).unwrap_or_default()
    }

    /// The value of a number flag, which was checked.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Whether the user gave the flag.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.matches.try_contains_id(name).unwrap_or(false)
            && self.matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    }

    /// The arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.texts(ARGUMENTS)
    }

    /// One argument; the arity says that it is there.
    pub(crate) fn argument(&self, position: usize) -> String {
        self.arguments().into_iter().nth(position).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
