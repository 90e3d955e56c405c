//! Commands of docker for what this version does not have yet.

use crate::command_line::{CommandDefinition, Flags, RunCommand};
use crate::report::{Failure, Outcome};

const NAMES: &[&str] = &["compose"];

pub(super) fn definitions() -> Vec<CommandDefinition> {
    let mut definitions: Vec<CommandDefinition> = NAMES.iter().map(|name| definition(name)).collect();
    definitions.push(build());
    definitions
}

/// `build`, which `image` has, too.
pub(super) fn build() -> CommandDefinition {
    definition("build")
}

fn definition(name: &'static str) -> CommandDefinition {
    let run: RunCommand = |_, flags| Box::pin(refuse(flags));
    CommandDefinition::new(name, "", "Comes with a later release", run).takes_all().hidden()
}

async fn refuse(flags: &Flags<'_>) -> Outcome {
    let path = flags.invocation.full_path();
    let (program, name) = path.split_once(' ').unwrap_or((&path, ""));
    Err(Failure::bare(format!("{program}: '{name}' comes with a later release")))
}
