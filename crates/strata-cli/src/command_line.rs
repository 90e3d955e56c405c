//! Commands as data: name, flags, arity, examples; and parsing them as docker's flag library does.
//!
//! clap splits the words; what is said about wrong ones is in `usage`. Flags may stand anywhere among the arguments; yes/no
//! flags take a value only after `=`; values may start with a dash.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::context::Context;
use crate::report::{Failure, Outcome};
use crate::run::LogLevel;
use crate::{help, usage};

/// The function of a command.
pub(crate) type RunCommand = for<'a> fn(&'a Context<'a>, &'a Flags<'a>) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// How many arguments a command takes, and how docker says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
    /// One or more, where docker takes one: its words.
    OneOrMore,
    Any,
}

impl Arity {
    fn allows(self, count: usize) -> bool {
        match self {
            Arity::None => count == 0,
            Arity::Exactly(wanted) => count == wanted,
            Arity::AtLeast(least) => count >= least,
            Arity::AtMost(most) => count <= most,
            Arity::Between(least, most) => (least..=most).contains(&count),
            Arity::OneOrMore => count >= 1,
            Arity::Any => true,
        }
    }
}

/// Which threads a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunsOn {
    /// The caller's: for what takes milliseconds, or waits for the user.
    Caller,
    /// Several: for what moves bytes. Interrupting it ends it in order.
    Workers,
    /// Several, for a command that takes care of interrupts itself.
    WorkersUntilItEnds,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagKind {
    Bool,
    /// One value; the word is shown in the help.
    Text(&'static str),
    /// Any number of values.
    Texts(&'static str),
    /// Any number of `key=value`.
    Filter,
    Number,
}

/// One flag.
#[derive(Clone, Debug)]
pub(crate) struct FlagDefinition {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: FlagKind,
    pub(crate) help: &'static str,
    pub(crate) default: Option<&'static str>,
    /// Accepted, but not shown.
    pub(crate) is_hidden: bool,
}

impl FlagDefinition {
    /// As error messages name it: `-f, --filter`.
    pub(crate) fn shown(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

/// A flag; `name` is `f/filter` or `filter`.
pub(crate) fn flag(name: &'static str, kind: FlagKind, help: &'static str) -> FlagDefinition {
    let (short, long) = match name.split_once('/') {
        Some((short, long)) => (short.chars().next(), long),
        None => (None, name),
    };
    FlagDefinition { long, short, kind, help, default: None, is_hidden: false }
}

/// A command.
#[derive(Clone)]
pub(crate) struct CommandDefinition {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// What follows the name in usage lines.
    pub(crate) usage: &'static str,
    pub(crate) about: &'static str,
    pub(crate) arity: Arity,
    pub(crate) flags: Vec<FlagDefinition>,
    /// Command lines without the program's name, each with what it does.
    pub(crate) examples: &'static [(&'static str, &'static str)],
    pub(crate) runs_on: RunsOn,
    pub(crate) is_hidden: bool,
    /// Whether everything after the first word belongs to somebody else.
    pub(crate) takes_all: bool,
    pub(crate) run: RunCommand,
}

impl CommandDefinition {
    /// A command that takes no arguments, no flags, and runs on the caller's thread.
    pub(crate) fn new(
        name: &'static str,
        usage: &'static str,
        about: &'static str,
        run: RunCommand,
    ) -> CommandDefinition {
        CommandDefinition {
            name,
            aliases: &[],
            usage,
            about,
            arity: Arity::None,
            flags: Vec::new(),
            examples: &[],
            runs_on: RunsOn::Caller,
            is_hidden: false,
            takes_all: false,
            run,
        }
    }

    #[must_use]
    pub(crate) fn arity(self, arity: Arity) -> CommandDefinition {
        CommandDefinition { arity, ..self }
    }

    #[must_use]
    pub(crate) fn flag(mut self, name: &'static str, kind: FlagKind, help: &'static str) -> CommandDefinition {
        self.flags.push(flag(name, kind, help));
        self
    }

    #[must_use]
    pub(crate) fn flag_with_default(
        mut self,
        name: &'static str,
        kind: FlagKind,
        default: &'static str,
        help: &'static str,
    ) -> CommandDefinition {
        self.flags.push(FlagDefinition { default: Some(default), ..flag(name, kind, help) });
        self
    }

    /// A flag of docker that means nothing here.
    #[must_use]
    pub(crate) fn ignored_flag(mut self, name: &'static str, kind: FlagKind) -> CommandDefinition {
        self.flags.push(FlagDefinition { is_hidden: true, ..flag(name, kind, "") });
        self
    }

    #[must_use]
    pub(crate) fn examples(self, examples: &'static [(&'static str, &'static str)]) -> CommandDefinition {
        CommandDefinition { examples, ..self }
    }

    #[must_use]
    pub(crate) fn on_workers(self) -> CommandDefinition {
        CommandDefinition { runs_on: RunsOn::Workers, ..self }
    }

    #[must_use]
    pub(crate) fn hidden(self) -> CommandDefinition {
        CommandDefinition { is_hidden: true, ..self }
    }

    #[must_use]
    pub(crate) fn takes_all(self) -> CommandDefinition {
        CommandDefinition { takes_all: true, arity: Arity::Any, ..self }
    }

    /// The same command under another name, as `image ls` is `images`.
    #[must_use]
    pub(crate) fn named(self, name: &'static str, aliases: &'static [&'static str]) -> CommandDefinition {
        CommandDefinition { name, aliases, ..self }
    }
}

/// A place in the tree of commands.
pub(crate) enum Node {
    Command(CommandDefinition),
    Group(Group),
}

impl Node {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Node::Command(command) => command.name,
            Node::Group(group) => group.name,
        }
    }

    pub(crate) fn about(&self) -> &'static str {
        match self {
            Node::Command(command) => command.about,
            Node::Group(group) => group.about,
        }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self, Node::Command(command) if command.is_hidden)
    }
}

/// Commands under one word. The root is the group of the program itself.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) children: Vec<Node>,
}

impl Group {
    pub(crate) fn find(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|node| match node {
            Node::Command(command) => command.name == name || command.aliases.contains(&name),
            Node::Group(group) => group.name == name,
        })
    }
}

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

/// Flags of the program itself. Those without a short form may stand after the command, too.
pub(crate) fn global_flags() -> Vec<FlagDefinition> {
    vec![
        flag("config", FlagKind::Text("string"), "Location of docker's client config files (default \"~/.docker\")"),
        flag("D/debug", FlagKind::Bool, "Enable debug mode"),
        flag(
            "l/log-level",
            FlagKind::Text("string"),
            "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
        ),
        flag("no-progress", FlagKind::Bool, "Print plain lines on terminals, too"),
        flag("no-sync", FlagKind::Bool, "Leave it to the kernel when data reach the disk (for CI machines)"),
        flag("root", FlagKind::Text("string"), "Directory of the store (default STRATA_ROOT, or by user)"),
        flag("v/version", FlagKind::Bool, "Print version information and quit"),
    ]
}

const ARGUMENTS: &str = "arguments";
const HELP: &str = "help";

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
        let command = clap_tree(&tree);
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

    /// Prints the help of what was named.
    pub(crate) fn print_help(&self) -> Outcome {
        help::print(&self.tree, &self.program, &self.path)
    }

    fn check_values(&self, command: &CommandDefinition) -> Outcome {
        for flag in command.flags.iter().chain(&global_flags()) {
            let Ok(Some(values)) = self.matches.try_get_many::<String>(flag.long) else { continue };
            for value in values {
                if let Err(cause) = check_value(flag.kind, value) {
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

/// The tree as clap sees it, also for completions and manual pages.
pub(crate) fn clap_tree(tree: &Group) -> Command {
    let mut root = clap_group(tree).disable_help_subcommand(true).no_binary_name(false);
    for definition in global_flags() {
        let may_follow = definition.short.is_none();
        root = root.arg(clap_flag(&definition).global(may_follow));
    }
    root
}

fn clap_group(group: &Group) -> Command {
    let mut command = Command::new(group.name)
        .about(group.about)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .allow_external_subcommands(true)
        .arg(help_flag());
    for child in &group.children {
        command = command.subcommand(match child {
            Node::Group(group) => clap_group(group),
            Node::Command(definition) => clap_command(definition),
        });
    }
    command
}

fn clap_command(definition: &CommandDefinition) -> Command {
    let arguments = Arg::new(ARGUMENTS).num_args(0..).action(ArgAction::Append).trailing_var_arg(definition.takes_all);
    let mut command = Command::new(definition.name)
        .about(definition.about)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .visible_aliases(definition.aliases.iter().copied())
        .hide(definition.is_hidden)
        .arg(arguments.allow_hyphen_values(definition.takes_all))
        .arg(help_flag());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Invocation> {
        let words = line.split(' ').map(OsString::from).collect();
        Invocation::parse(crate::commands::tree(), words)
    }

    fn refused(line: &str) -> (String, u8) {
        match parse(line) {
            Ok(_) => panic!("{line} was understood"),
            Err(failure) => (failure.message, failure.code),
        }
    }

    #[test]
    fn the_tree_is_what_clap_accepts() {
        clap_tree(&crate::commands::tree()).debug_assert();
    }

    #[test]
    fn flags_stand_anywhere_and_take_go_s_values() {
        let parsed = parse("strata images -qa --no-trunc=false --filter label=a=b x -f dangling=true").unwrap();
        let flags = parsed.flags();
        assert!(flags.is_set("quiet") && flags.is_set("all") && !flags.is_set("no-trunc") && !flags.is_set("digests"));
        assert_eq!(flags.texts("filter"), ["label=a=b", "dangling=true"]);
        assert_eq!(flags.arguments(), ["x"]);
        assert!(!parse("strata history -H=false x").unwrap().flags().is_set("human"));
        assert!(parse("strata history x").unwrap().flags().is_set("human"));
        assert_eq!(parse("strata rmi -- -x").unwrap().flags().arguments(), ["-x"]);
        assert_eq!(parse("strata images --format -x").unwrap().flags().text("format").as_deref(), Some("-x"));
        let last = parse("strata pull --platform linux/arm64 --platform amd64 x").unwrap();
        assert_eq!(last.flags().text("platform").as_deref(), Some("amd64"));
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["strata --root /a --no-sync images", "strata images --root /a --no-sync"] {
            let parsed = parse(line).unwrap();
            assert_eq!(parsed.global().root.as_deref(), Some(Path::new("/a")), "{line}");
            assert!(parsed.global().no_sync, "{line}");
        }
        assert_eq!(parse("strata -D images").unwrap().global().log_level, LogLevel::Debug);
        assert_eq!(parse("strata --log-level=info images").unwrap().global().log_level, LogLevel::Info);
        assert_eq!(parse("strata images").unwrap().global().log_level, LogLevel::Warn);
        assert_eq!(refused("strata -l loud images").0, "unable to parse logging level: loud");
        assert!(parse("strata -v").unwrap().shows_version());
        // With a command, -v is that command's.
        let parsed = parse("strata system df -v").unwrap();
        assert!(!parsed.shows_version() && parsed.flags().is_set("verbose"));
    }

    #[test]
    fn what_is_not_understood_is_told_in_docker_s_words() {
        let usage =
            "\n\nUsage:  docker images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'docker images --help' for more information";
        for (line, message) in [
            ("/usr/bin/docker images --foo", "unknown flag: --foo"),
            ("docker images --foo=bar", "unknown flag: --foo"),
            ("docker images -x", "unknown shorthand flag: 'x' in -x"),
            ("docker images -qxa", "unknown shorthand flag: 'x' in -xa"),
            ("docker images --filter", "flag needs an argument: --filter"),
            ("docker images -qf", "flag needs an argument: 'f' in -f"),
            (
                "docker images -q=maybe",
                "invalid argument \"maybe\" for \"-q, --quiet\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "docker images -f dangling",
                "invalid argument \"dangling\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
            ),
        ] {
            assert_eq!(refused(line), (format!("{message}{usage}"), 125), "{line}");
        }
        let (message, code) = refused("docker search --limit many x");
        assert!(message.starts_with(
            "invalid argument \"many\" for \"--limit\" flag: strconv.ParseInt: parsing \"many\": invalid syntax\n\nUsage:  docker search "
        ));
        assert_eq!(code, 125);
        let (message, code) = refused("strata --foo");
        assert_eq!(
            message,
            "unknown flag: --foo\n\nUsage:  strata [OPTIONS] COMMAND [ARG...]\n\nRun 'strata --help' for more information"
        );
        assert_eq!(code, 125);
    }

    #[test]
    fn wrong_numbers_of_arguments() {
        for (line, message, last) in [
            ("docker pull", "docker: 'docker pull' requires 1 argument", "Run 'docker pull"),
            ("docker image rm", "docker: 'docker image rm' requires at least 1 argument", "See 'docker image rm"),
            ("docker images a b", "docker: 'docker images' requires at most 1 argument", "Run 'docker images"),
            ("docker tag a", "docker: 'docker tag' requires 2 arguments", "Run 'docker tag"),
            ("docker load a", "docker: 'docker load' accepts no arguments", "Run 'docker load"),
        ] {
            let (text, code) = refused(line);
            let mut parts = text.split("\n\n");
            assert_eq!(parts.next(), Some(message), "{line}");
            assert!(parts.next().is_some_and(|usage| usage.starts_with("Usage:  docker ")), "{line}");
            assert_eq!(parts.next(), Some(format!("{last} --help' for more information").as_str()), "{line}");
            assert_eq!((parts.next(), code), (None, 1), "{line}");
        }
        let unknown = "docker: unknown command: docker image foo\n\nRun 'docker image --help' for more information";
        assert_eq!(refused("docker image foo"), (unknown.to_owned(), 1));
    }

    #[test]
    fn help_is_no_command() {
        for line in ["strata", "strata image", "strata pull --help", "strata image ls -h", "strata --help"] {
            assert!(parse(line).unwrap().command().is_none(), "{line}");
        }
        // What belongs to a container's command is not ours to understand.
        assert!(parse("strata run -it --rm alpine sh -c x").unwrap().command().is_some());
    }
}
