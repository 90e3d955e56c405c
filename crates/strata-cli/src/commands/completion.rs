//! `completion`: scripts for shells. They ask the program itself, through the hidden command `__complete`, what could
//! follow: so commands, flags and the names of images are completed by one piece of code for every shell.

use std::collections::BTreeSet;

use strata_engine::name_reference;
use strata_model::Reference;
use strata_store::Durability;

use crate::command_line::{
    Arity, CommandDefinition, Completes, FlagDefinition, FlagKind, Flags, Group, Node, global_flags,
};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

/// Tells a script to complete names of files.
const FILES: &str = ":files";

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("completion", "bash|zsh|fish", "Print a completion script for a shell", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .completes(Completes::Words(&["bash", "zsh", "fish"]))
    .examples(&[("completion bash > /etc/bash_completion.d/strata", "For all users of bash")])
}

/// `__complete -- WORD...`: what the last word could become, a line each: word, tab, description.
pub(super) fn answer_definition() -> CommandDefinition {
    CommandDefinition::new("__complete", "-- WORD...", "Tell what could follow", |context, flags| {
        Box::pin(answer(context, flags))
    })
    .takes_all()
    .hidden()
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let script = match flags.argument(0).as_str() {
        "bash" => include_str!("completion/bash.sh"),
        "zsh" => include_str!("completion/zsh.zsh"),
        "fish" => include_str!("completion/fish.fish"),
        other => return Err(Failure::bare(format!("unknown shell {other:?}: must be bash, zsh or fish"))),
    };
    print(&script.replace("PROGRAM", context.program()))
}

async fn answer(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let words = flags.arguments();
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(&words);
    let Some((last, before)) = words.split_last() else { return Ok(()) };
    let mut line = Line::new(&context.invocation.tree);
    for word in before {
        line.take(word);
    }
    let mut text = String::new();
    for (word, about) in line.candidates(last, context).await {
        if word == FILES || word.starts_with(last.as_str()) {
            text.push_str(&format!("{word}\t{}\n", about.lines().next().unwrap_or_default()));
        }
    }
    print(&text)
}

/// The words before the one that is completed.
struct Line<'a> {
    group: &'a Group,
    command: Option<&'a CommandDefinition>,
    /// Arguments of the command so far.
    arguments: usize,
    /// The flag whose value comes next.
    awaits: Option<String>,
    /// Whether `--` has ended the flags.
    is_plain: bool,
    root: Option<String>,
}

impl<'a> Line<'a> {
    fn new(tree: &'a Group) -> Line<'a> {
        Line { group: tree, command: None, arguments: 0, awaits: None, is_plain: false, root: None }
    }

    fn take(&mut self, word: &str) {
        if let Some(flag) = self.awaits.take() {
            if flag == "root" {
                self.root = Some(word.to_owned());
            }
        } else if word == "--" {
            self.is_plain = true;
        } else if word.starts_with('-') && !self.is_plain {
            self.take_flag(word);
        } else if self.command.is_some() {
            self.arguments += 1;
        } else {
            match self.group.find(word) {
                Some(Node::Group(group)) => self.group = group,
                Some(Node::Command(command)) => self.command = Some(command),
                None => {}
            }
        }
    }

    fn take_flag(&mut self, word: &str) {
        if let Some(root) = word.strip_prefix("--root=") {
            self.root = Some(root.to_owned());
        }
        let is_meant = |flag: &FlagDefinition| match word.strip_prefix("--") {
            Some(long) => long == flag.long,
            // Of short flags written together only the last can want a value.
            None => flag.short.is_some() && flag.short == word.chars().last(),
        };
        let flag = self.flags().into_iter().find(is_meant);
        self.awaits = flag.filter(|flag| flag.kind != FlagKind::Bool).map(|flag| flag.long.to_owned());
    }

    fn flags(&self) -> Vec<FlagDefinition> {
        let own = self.command.map(|command| command.flags.clone()).unwrap_or_default();
        own.into_iter().chain(global_flags()).collect()
    }

    async fn candidates(&self, last: &str, context: &Context<'_>) -> Vec<(String, &'static str)> {
        if let Some(flag) = &self.awaits {
            let takes_path = matches!(flag.as_str(), "root" | "config" | "input" | "output");
            return if takes_path { vec![(FILES.to_owned(), "")] } else { Vec::new() };
        }
        if last.starts_with('-') && !self.is_plain {
            let shown = self.flags().into_iter().filter(|flag| !flag.is_hidden);
            return shown.map(|flag| (format!("--{}", flag.long), flag.help)).collect();
        }
        let Some(command) = self.command else {
            let shown = self.group.children.iter().filter(|node| !node.is_hidden());
            return shown.map(|node| (node.name().to_owned(), node.about())).collect();
        };
        let is_first = self.arguments == 0;
        match command.completes {
            Completes::Images => images(self.names(context).await),
            Completes::FirstImage if is_first => images(self.names(context).await),
            Completes::Repositories if is_first => repositories(self.names(context).await),
            Completes::Files => vec![(FILES.to_owned(), "")],
            Completes::Words(words) if is_first => words.iter().map(|word| ((*word).to_owned(), "")).collect(),
            _ => Vec::new(),
        }
    }

    /// The local names; none when there is no store, or it cannot be read.
    async fn names(&self, context: &Context<'_>) -> Vec<Reference> {
        let root = self.root.clone().map(Into::into).or_else(|| context.root().ok());
        let Some(root) = root.filter(|root| root.is_dir()) else { return Vec::new() };
        let Ok(store) = context.environment.open_store(&root, Durability::Synced) else { return Vec::new() };
        let Ok(txn) = store.read().await else { return Vec::new() };
        txn.names().await.unwrap_or_default().iter().filter_map(name_reference).collect()
    }
}

fn images(names: Vec<Reference>) -> Vec<(String, &'static str)> {
    let names: BTreeSet<String> = names.iter().map(Reference::familiar).collect();
    names.into_iter().map(|name| (name, "image")).collect()
}

fn repositories(names: Vec<Reference>) -> Vec<(String, &'static str)> {
    let names: BTreeSet<String> = names.iter().map(Reference::familiar_name).collect();
    names.into_iter().map(|name| (name, "repository")).collect()
}
