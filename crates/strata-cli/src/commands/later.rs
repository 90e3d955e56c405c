//! Commands of docker for what this version does not have yet: what runs containers, and builds.

use crate::command_line::{CommandDefinition, Completes, Flags, RunCommand};
use crate::report::{Failure, Outcome};

/// Docker's exit code when a container cannot be started at all.
const NOT_STARTED: u8 = 125;
const NAMES: &[&str] = &["attach", "compose", "exec", "logs", "stats", "top"];

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
    let completes = if matches!(name, "run" | "create") { Completes::FirstImage } else { Completes::Nothing };
    CommandDefinition::new(name, "", "Comes with a later release", run).takes_all().completes(completes).hidden()
}

async fn refuse(flags: &Flags<'_>) -> Outcome {
    let path = flags.invocation.full_path();
    let (program, name) = path.split_once(' ').unwrap_or((&path, ""));
    let code = if matches!(name, "run" | "create" | "exec") { NOT_STARTED } else { 1 };
    let message = format!("{program}: '{name}' comes with a later release");
    Err(Failure::bare(message).with_code(code))
}
