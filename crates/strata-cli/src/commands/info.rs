//! `info`: this machine and its store.

use strata_engine::{ContainerCounts, ContainerFilter, ListRequest, Machine, list, list_containers};
use strata_format::Value;
use strata_format::size::bytes_size;
use strata_format::template::Struct;

use super::inspect::parse_template;
use super::version::VERSION;
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{print, print_line};
use crate::report::Outcome;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("info", "[OPTIONS]", "Display system-wide information", |context, flags| {
        Box::pin(run(context, flags))
    })
    .flag("f/format", FlagKind::Text("string"), "Format output using a custom template")
    .examples(&[("info --format '{{.DockerRootDir}}'", "Where the store lies")])
}

/// What is told, gathered once for both forms.
struct Facts {
    containers: ContainerCounts,
    images: usize,
    root: String,
    machine: Machine,
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let images = list(context.store()?, &ListRequest { all: true, filters: Vec::new() }).await?.len();
    let root = context.root()?;
    let containers = list_containers(context.store()?, &root, &ContainerFilter::default()).await?;
    let facts = Facts {
        containers: ContainerCounts::of(&containers),
        images,
        root: root.display().to_string(),
        machine: Machine::look(),
    };
    match flags.text("format").as_deref() {
        None => print(&facts.plain()),
        Some("json") => print_line(strata_format::go_json::to_string(
            &facts.value().to_json(),
            strata_format::go_json::Escape::Minimal,
        )),
        Some(text) => print_line(parse_template(text)?.execute(&facts.value())?),
    }
}

impl Facts {
    fn plain(&self) -> String {
        let lines = [
            format!("Containers: {}", self.containers.total()),
            format!(" Running: {}", self.containers.running),
            format!(" Paused: {}", self.containers.paused),
            format!(" Stopped: {}", self.containers.stopped),
            format!("Images: {}", self.images),
            format!("Server Version: {VERSION}"),
            "Storage Driver: strata".to_owned(),
            "Swarm: inactive".to_owned(),
            format!("Kernel Version: {}", self.machine.kernel),
            format!("Operating System: {}", self.machine.operating_system),
            "OSType: linux".to_owned(),
            format!("Architecture: {}", self.machine.architecture),
            format!("CPUs: {}", self.machine.processors),
            format!("Total Memory: {}", bytes_size(self.machine.memory as f64)),
            format!("Name: {}", self.machine.name),
            format!("Docker Root Dir: {}", self.root),
            "Debug Mode: false".to_owned(),
            "Experimental: false".to_owned(),
            "Insecure Registries:".to_owned(),
            " ::1/128".to_owned(),
            " 127.0.0.0/8".to_owned(),
            "Live Restore Enabled: true".to_owned(),
        ];
        let mut text =
            format!("Client: Strata\n Version:    {VERSION}\n Context:    default\n Debug Mode: false\n\nServer:\n");
        for line in lines {
            text.push_str(&format!(" {line}\n"));
        }
        text.push('\n');
        text
    }

    fn value(&self) -> Value {
        Struct::new("system.dockerInfo")
            .field("Containers", self.containers.total() as u64)
            .field("ContainersRunning", self.containers.running as u64)
            .field("ContainersPaused", self.containers.paused as u64)
            .field("ContainersStopped", self.containers.stopped as u64)
            .field("Images", self.images as u64)
            .field("Driver", "strata")
            .field("KernelVersion", self.machine.kernel.as_str())
            .field("OperatingSystem", self.machine.operating_system.as_str())
            .field("OSType", "linux")
            .field("Architecture", self.machine.architecture.as_str())
            .field("IndexServerAddress", strata_registry_client::DOCKER_HUB_KEY)
            .field("NCPU", self.machine.processors as u64)
            .field("MemTotal", self.machine.memory)
            .field("DockerRootDir", self.root.as_str())
            .field("Name", self.machine.name.as_str())
            .field("ServerVersion", VERSION)
            .into()
    }
}
