//! `version`: what runs. Client and server are one program; both blocks are there for those who read them.

use strata_format::Value;
use strata_format::template::Struct;

use super::inspect::parse_template;
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{print, print_line};
use crate::report::Outcome;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of docker's API whose shapes and words are used.
const API_VERSION: &str = "1.51";
const MINIMUM_API_VERSION: &str = "1.24";

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("version", "[OPTIONS]", "Show the version information", |context, flags| {
        Box::pin(run(context, flags))
    })
    .flag("f/format", FlagKind::Text("string"), "Format output using a custom template")
    .examples(&[("version --format '{{.Client.Version}}'", "The number alone")])
}

/// What `--version` prints.
pub(crate) fn version_line() -> String {
    format!("strata version {VERSION}")
}

async fn run(_context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    match flags.text("format").as_deref() {
        None => print(&plain()),
        Some("json") => {
            print_line(strata_format::go_json::to_string(&value().to_json(), strata_format::go_json::Escape::Minimal))
        }
        Some(text) => print_line(parse_template(text)?.execute(&value())?),
    }
}

fn architecture() -> String {
    strata_model::Platform::host().architecture
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn value() -> Value {
    let client = Struct::new("*system.clientVersion")
        .field("Version", VERSION)
        .field("ApiVersion", API_VERSION)
        .field("DefaultAPIVersion", API_VERSION)
        .field("APIVersion", API_VERSION)
        .field("Os", "linux")
        .field("Arch", architecture())
        .field("Context", "default");
    let server = Struct::new("*types.Version")
        .field("Version", VERSION)
        .field("ApiVersion", API_VERSION)
        .field("APIVersion", API_VERSION)
        .field("MinAPIVersion", MINIMUM_API_VERSION)
        .field("Os", "linux")
        .field("Arch", architecture())
        .field("KernelVersion", kernel());
    Struct::new("system.versionInfo").field("Client", client).field("Server", server).into()
}

fn plain() -> String {
    let line = |indent: &str, name: &str, value: &str| {
        let name = format!("{indent}{name}:");
        format!("{name:<20}{value}\n")
    };
    let platform = format!("linux/{}", architecture());
    let mut text = String::from("Client: Strata\n");
    for (name, value) in
        [("Version", VERSION), ("API version", API_VERSION), ("OS/Arch", &platform), ("Context", "default")]
    {
        text.push_str(&line(" ", name, value));
    }
    text.push_str("\nServer: Strata (in the same process)\n Engine:\n");
    let api = format!("{API_VERSION} (minimum version {MINIMUM_API_VERSION})");
    for (name, value) in [
        ("Version", VERSION),
        ("API version", &api),
        ("OS/Arch", &platform),
        ("Kernel version", &kernel()),
        ("Experimental", "false"),
    ] {
        text.push_str(&line("  ", name, value));
    }
    text
}
