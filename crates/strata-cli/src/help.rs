//! `--help`, in docker's layout.

use std::fmt::Write as _;

use crate::command_line::{
    CommandDefinition, FlagDefinition, FlagKind, Group, Node, find_node, full_path, global_flags,
};

/// The most used commands, which the program's help names first.
const COMMON: &[&str] = &["pull", "push", "images", "search", "login", "logout", "version", "info"];

/// The help of the command or group at `path`.
pub(crate) fn text(tree: &Group, program: &str, path: &[&str]) -> String {
    match find_node(tree, path) {
        None => of_program(tree, program),
        Some(Node::Group(group)) => of_group(group, &full_path(program, path)),
        Some(Node::Command(command)) => of_command(tree, command, program, path),
    }
}

fn of_program(tree: &Group, program: &str) -> String {
    let visible = || tree.children.iter().filter(|node| !node.is_hidden());
    let is_group = |node: &&Node| matches!(node, Node::Group(_));
    let common: Vec<&Node> = COMMON.iter().filter_map(|name| tree.find(name)).collect();
    let groups: Vec<&Node> = visible().filter(is_group).collect();
    let others: Vec<&Node> = visible().filter(|node| !is_group(node) && !COMMON.contains(&node.name())).collect();
    let mut text = format!("Usage:  {program} [OPTIONS] COMMAND\n\n{}\n", tree.about);
    for (title, nodes) in [("Common Commands", common), ("Management Commands", groups), ("Commands", others)] {
        write_nodes(&mut text, title, &nodes);
    }
    let _ = write!(text, "\nGlobal Options:\n{}", flag_lines(&global_flags()));
    let _ = write!(text, "\nRun '{program} COMMAND --help' for more information on a command.\n");
    text
}

fn of_group(group: &Group, path: &str) -> String {
    let mut text = format!("Usage:  {path} COMMAND\n\n{}\n", group.about);
    let nodes: Vec<&Node> = group.children.iter().filter(|node| !node.is_hidden()).collect();
    write_nodes(&mut text, "Commands", &nodes);
    let _ = write!(text, "\nRun '{path} COMMAND --help' for more information on a command.\n");
    text
}

fn of_command(tree: &Group, command: &CommandDefinition, program: &str, path: &[&str]) -> String {
    let shown = full_path(program, path);
    let mut text = format!("Usage:  {shown}");
    if !command.usage.is_empty() {
        let _ = write!(text, " {}", command.usage_of(program));
    }
    let _ = write!(text, "\n\n{}\n", command.about);
    let aliases = aliases(tree, command, program);
    if aliases.len() > 1 {
        let _ = write!(text, "\nAliases:\n  {}\n", aliases.join(", "));
    }
    if !command.examples.is_empty() {
        text.push_str("\nExamples:\n");
        for (line, about) in command.examples {
            let _ = write!(text, "  # {about}\n  {program} {line}\n");
        }
    }
    if command.flags.iter().any(|flag| !flag.is_hidden) {
        let _ = write!(text, "\nOptions:\n{}", flag_lines(&command.flags));
    }
    text
}

/// Every path of the tree that runs the same function, the one under a group first.
fn aliases(tree: &Group, command: &CommandDefinition, program: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_same = |other: &CommandDefinition| other.about == command.about && other.usage == command.usage;
    for node in &tree.children {
        let Node::Group(group) = node else { continue };
        for child in &group.children {
            if let Node::Command(other) = child
                && is_same(other)
            {
                for name in std::iter::once(&other.name).chain(other.aliases) {
                    found.push(format!("{program} {} {name}", group.name));
                }
            }
        }
    }
    for node in &tree.children {
        if let Node::Command(other) = node
            && is_same(other)
        {
            for name in std::iter::once(&other.name).chain(other.aliases) {
                found.push(format!("{program} {name}"));
            }
        }
    }
    found
}

fn write_nodes(text: &mut String, title: &str, nodes: &[&Node]) {
    if nodes.is_empty() {
        return;
    }
    let mut nodes = nodes.to_vec();
    if title != "Common Commands" {
        nodes.sort_by_key(|node| node.name());
    }
    let width = nodes.iter().map(|node| node.name().len()).max().unwrap_or(0).max(11);
    let _ = write!(text, "\n{title}:\n");
    for node in nodes {
        let _ = writeln!(text, "  {:width$} {}", node.name(), node.about());
    }
}

/// Flags sorted by their long names, their help aligned.
fn flag_lines(flags: &[FlagDefinition]) -> String {
    let mut flags: Vec<&FlagDefinition> = flags.iter().filter(|flag| !flag.is_hidden).collect();
    flags.sort_by_key(|flag| flag.long);
    let left: Vec<String> = flags.iter().map(|flag| flag_left(flag)).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (flag, left) in flags.iter().zip(left) {
        let default = match (flag.kind, flag.default) {
            (FlagKind::Bool, Some("true")) => " (default true)".to_owned(),
            (FlagKind::Number, Some(value)) => format!(" (default {value})"),
            (FlagKind::Text(_), Some(value)) => format!(" (default {value:?})"),
            _ => String::new(),
        };
        // Further lines of a help text are aligned with the first.
        let help = flag.help.replace('\n', &format!("\n{:width$}   ", ""));
        let _ = writeln!(text, "{left:width$}   {help}{default}");
    }
    text
}

fn flag_left(flag: &FlagDefinition) -> String {
    let names = match flag.short {
        Some(short) => format!("  -{short}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    match flag.kind {
        FlagKind::Bool => names,
        FlagKind::Text(name) | FlagKind::Texts(name) => format!("{names} {name}"),
        FlagKind::Filter => format!("{names} filter"),
        FlagKind::Number => format!("{names} int"),
    }
}
