//! `port`: which ports of this machine lead to a container.

use std::net::SocketAddr;

use strata_engine::{BoundPort, bound_ports};

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "port",
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        "List port mappings or a specific mapping for the container",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Between(1, 2))
    .examples(&[("port web 80", "Where it is reached on this machine")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = flags.arguments();
    let ports = bound_ports(context.store()?, &context.root()?, &arguments[0]).await?;
    let Some(asked) = arguments.get(1) else {
        let lines = ports.iter().map(|port| format!("{} -> {}\n", container_port(port), host_port(port)));
        return print(&lines.collect::<String>());
    };
    let whole = if asked.contains('/') { asked.clone() } else { format!("{asked}/tcp") };
    let lines: String = ports
        .iter()
        .filter(|port| container_port(port) == whole)
        .map(|port| format!("{}\n", host_port(port)))
        .collect();
    if lines.is_empty() {
        return Err(Failure::bare(format!("Error: No public port '{asked}' published for {}", arguments[0])));
    }
    print(&lines)
}

/// `80/tcp`.
pub(super) fn container_port(port: &BoundPort) -> String {
    format!("{}/{}", port.container_port, port.protocol.word())
}

/// `0.0.0.0:8080`, `[::]:8080`.
pub(super) fn host_port(port: &BoundPort) -> String {
    SocketAddr::new(port.host_address, port.host_port).to_string()
}
