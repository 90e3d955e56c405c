//! Commands about containers, one file each. `strata container X` and the short form are the same.

mod attach;
mod commit;
mod cp;
mod create;
mod diff;
mod exec;
mod logs;
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
mod stats;
mod top;
mod update;

use crate::command_line::{CommandDefinition, Group};

/// The short forms.
pub(super) fn definitions() -> Vec<CommandDefinition> {
    let mut definitions = vec![
        attach::definition(),
        commit::definition(),
        cp::definition(),
        create::definition(),
        diff::definition(),
        exec::definition(),
        logs::definition(),
        port::definition(),
        ps::definition(),
        rename::definition(),
        rm::definition(),
        run::run_definition(),
        run::start_definition(),
        stats::definition(),
        top::definition(),
        update::definition(),
    ];
    definitions.extend(process::definitions());
    definitions
}

/// `container`.
pub(super) fn group() -> Group {
    let mut children = super::commands([
        attach::definition(),
        commit::definition(),
        cp::definition(),
        create::definition(),
        diff::definition(),
        exec::definition(),
        super::export::definition(),
        super::inspect::container_definition(),
        logs::definition(),
        port::definition(),
        ps::definition().named("ls", &["ps", "list"]),
        prune::definition(),
        rename::definition(),
        revive::definition(),
        rm::definition().named("rm", &["remove"]),
        run::run_definition(),
        run::start_definition(),
        stats::definition(),
        top::definition(),
        update::definition(),
    ]);
    children.extend(super::commands(process::definitions()));
    Group { name: "container", about: "Manage containers", children }
}

pub(super) use prune::prune as prune_stopped;
