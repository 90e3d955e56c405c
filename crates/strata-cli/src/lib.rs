//! The command line: docker's words, flags, output and exit codes for images, and what Strata adds.
//!
//! Every command is one file under `commands`: its definition (flags, usage, examples) and one function that calls a use
//! case of `strata-engine` and renders the facts it returns. What all commands share:
//!
//! * `command_line`: definitions, the tree of commands, parsing; `usage` and `help` print it in docker's words.
//! * `context`: what a command works with: store, registry client, configuration, each made when first asked for.
//! * `hub`, `engine`: what the commands that serve ask of the program.
//! * `report`: failures, their text and exit code. stdout is data, stderr everything else.
//! * `progress`: lines per layer, plain or live.
//!
//! Nothing here is shared between threads but progress, which locks.

mod command_line;
mod commands;
mod context;
mod engine;
mod filters;
mod help;
mod hub;
mod output;
mod progress;
mod prompt;
mod report;
mod run;
mod usage;

pub use engine::{EngineServing, ListenAddress, TlsFiles};
pub use hub::{
    BackupReport, HubArguments, HubFailure, HubFuture, HubProgram, HubResult, HubStarted, UserChange, UserLine,
};
pub use run::{Environment, LogLevel, run};
