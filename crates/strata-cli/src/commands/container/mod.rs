//! Commands about containers, one file each. `strata container X` and the short form are the same.

mod commit;
mod cp;
mod create;
mod diff;
mod options;
mod port;
mod process;
mod prune;
pub(super) mod ps;
mod rename;
mod revive;
mod rm;
mod run;
mod session;
mod update;

use crate::command_line::{CommandDefinition, Group};

/// The short forms.
pub(super) fn definitions() -> Vec<CommandDefinition> {
    let mut definitions = vec![
        commit::definition(),
        cp::definition(),
        create::definition(),
        diff::definition(),
        port::definition(),
        ps::definition(),
        rename::definition(),
        rm::definition(),
        run::run_definition(),
        run::start_definition(),
        update::definition(),
    ];
    definitions.extend(process::definitions());
    definitions
}

/// `container`.
pub(super) fn group() -> Group {
    let mut children = super::commands([
        commit::definition(),
        cp::definition(),
        create::definition(),
        diff::definition(),
        super::export::definition(),
        super::inspect::container_definition(),
        port::definition(),
        ps::definition().named("ls", &["ps", "list"]),
        prune::definition(),
        rename::definition(),
        revive::definition(),
        rm::definition().named("rm", &["remove"]),
        run::run_definition(),
        run::start_definition(),
        update::definition(),
    ]);
    children.extend(super::commands(process::definitions()));
    Group { name: "container", about: "Manage containers", children }
}

pub(super) use prune::prune as prune_stopped;
