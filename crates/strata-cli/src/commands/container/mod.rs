//! Commands about containers, one file each. `strata container X` and the short form are the same.

mod commit;
mod create;
mod diff;
mod options;
mod prune;
mod ps;
mod rename;
mod rm;

use crate::command_line::{CommandDefinition, Group};

/// The short forms.
pub(super) fn definitions() -> Vec<CommandDefinition> {
    vec![
        commit::definition(),
        create::definition(),
        diff::definition(),
        ps::definition(),
        rename::definition(),
        rm::definition(),
    ]
}

/// `container`.
pub(super) fn group() -> Group {
    let children = super::commands([
        commit::definition(),
        create::definition(),
        diff::definition(),
        super::export::definition(),
        super::inspect::container_definition(),
        ps::definition().named("ls", &["ps", "list"]),
        prune::definition(),
        rename::definition(),
        rm::definition().named("rm", &["remove"]),
    ]);
    Group { name: "container", about: "Manage containers", children }
}

pub(super) use prune::prune as prune_stopped;
