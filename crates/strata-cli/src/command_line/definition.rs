//! Commands as data: name, flags, arity, examples.

use std::future::Future;
use std::pin::Pin;

use super::Flags;
use crate::context::Context;
use crate::report::Outcome;

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
    pub(super) fn allows(self, count: usize) -> bool {
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

/// What a shell offers as a command's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completes {
    Nothing,
    /// Names of local images.
    Images,
    /// The name of a local image first, then nothing.
    FirstImage,
    /// The name of a repository that local images are of.
    Repositories,
    Files,
    /// One of these.
    Words(&'static [&'static str]),
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
    /// What is wrong with a value, beyond what its kind says.
    pub(crate) check: Option<Check>,
}

/// Says what is wrong with a flag's value.
pub(crate) type Check = fn(&str) -> Result<(), String>;

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
    FlagDefinition { long, short, kind, help, default: None, is_hidden: false, check: None }
}

/// A command.
#[derive(Clone)]
pub(crate) struct CommandDefinition {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// What follows the name in usage lines; `{program}` stands for the program's name.
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
    /// Whether flags after the first argument belong to what it runs.
    pub(crate) options_first: bool,
    pub(crate) completes: Completes,
    /// Whether it starts logging by its own settings.
    pub(crate) logs_itself: bool,
    /// Whether it works on the files of containers, which belong to any of the IDs that a user may have.
    pub(crate) needs_all_ids: bool,
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
            options_first: false,
            completes: Completes::Nothing,
            logs_itself: false,
            needs_all_ids: false,
            run,
        }
    }

    /// What follows the name in the usage lines of a program that was called by this name.
    pub(crate) fn usage_of(&self, program: &str) -> String {
        self.usage.replace("{program}", program)
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

    /// Looks at each value of a flag before the command runs, if the command has the flag.
    #[must_use]
    pub(crate) fn checked(mut self, long: &str, check: Check) -> CommandDefinition {
        self.flags.iter_mut().filter(|flag| flag.long == long).for_each(|flag| flag.check = Some(check));
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
    pub(crate) fn completes(self, completes: Completes) -> CommandDefinition {
        CommandDefinition { completes, ..self }
    }

    #[must_use]
    pub(crate) fn with_all_ids(self) -> CommandDefinition {
        CommandDefinition { needs_all_ids: true, ..self }
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
    pub(crate) fn options_first(self) -> CommandDefinition {
        CommandDefinition { options_first: true, ..self }
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

    /// Whether this is the node's name, or another name of it.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        match self {
            Node::Command(command) => command.name == name || command.aliases.contains(&name),
            Node::Group(group) => group.name == name,
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
        self.children.iter().find(|node| node.is_called(name))
    }
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
