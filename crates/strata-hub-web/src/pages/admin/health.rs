//! Whether the hub is well: what stands in its way, its queues, its version, the registries that it mirrors.

use std::sync::Arc;

use axum::Extension;

use super::Desk;
use crate::failure::Result;
use crate::forms::{Cell, Part, Section, Table};
use crate::operator::Operator;
use crate::site::Visit;
use crate::words;

/// `GET /admin/health`.
pub(crate) async fn health(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>) -> Result {
    let desk = Desk::of(&visit)?;
    let obstacles = operator.obstacles().await;
    let queues = visit.hub.queue_lengths().await.map_err(|error| desk.failed(error))?;
    let ready = match obstacles.is_empty() {
        true => vec![Part::Text("The hub is ready: catalog, records and disk answer.".into())],
        false => obstacles.into_iter().map(Part::Warning).collect(),
    };
    let number = |number: u64| Cell::Text(number.to_string());
    let mut program = vec![("Version", Cell::text(operator.version()))];
    if let Some(disk) = operator.disk() {
        program.push(("Disk", Cell::Text(format!("{} free of {}", words::size(disk.free), words::size(disk.size)))));
    }
    let queues = vec![
        ("Deliveries of webhooks that wait", number(queues.deliveries)),
        ("Layers that wait for their index", number(queues.index_jobs)),
        ("Layers that could get none", number(queues.failed_index_jobs)),
    ];
    let list = vec![
        Section::new("Readiness", ready),
        Section::new("Program", vec![Part::Facts(program)]),
        Section::new("Queues", vec![Part::Facts(queues)]),
    ];
    desk.show("Health", "/admin/health", list, None)
}

/// `GET /admin/mirrors`.
pub(crate) async fn mirrors(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>) -> Result {
    let desk = Desk::of(&visit)?;
    let rows = operator.mirrors().into_iter().map(|mirror| {
        let state = if mirror.failures == 0 { "answers" } else { "could not always be asked" };
        vec![
            Cell::Text(mirror.name),
            Cell::Number(mirror.hits.to_string()),
            Cell::Number(mirror.misses.to_string()),
            Cell::Number(mirror.failures.to_string()),
            Cell::text(state),
        ]
    });
    let table = Table {
        heads: &["Registry", "Served from here", "Asked for", "Failures", "State"],
        rows: rows.collect(),
        empty: "No registry is mirrored. Name one in hub.toml: [upstream.\"docker.io\"].".into(),
    };
    let text = "Counted since the program started, by manifests.";
    let list = vec![Section::new("", vec![Part::Text(text.into()), Part::Table(table)])];
    desk.show("Mirrors", "/admin/mirrors", list, None)
}
