//! What is stored and shared, what waits for collection, and the collection itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use strata_hub::HubError;
use strata_store::{Depth, Repair};

use super::Desk;
use crate::failure::Result;
use crate::forms::{Cell, Field, Form, Part, Section, Table};
use crate::operator::Operator;
use crate::site::{Values, Visit};
use crate::words;

const PATH: &str = "/admin/storage";
/// Repositories of the list of the largest.
const LARGEST: usize = 20;
/// Problems that a check names.
const PROBLEMS: usize = 50;

impl Desk<'_> {
    async fn storage(&self, operator: &dyn Operator, first: Option<Section>) -> Result {
        let totals = operator.totals().await.map_err(|error| self.failed(error))?;
        let store = self.visit.hub.registry().store();
        let largest = match store.read().await {
            Ok(txn) => txn.registry_largest(LARGEST).await,
            Err(error) => Err(error),
        };
        let largest = largest.map_err(|error| self.failed(HubError::from(error)))?;
        let shared = totals.linked_bytes.saturating_sub(totals.object_bytes);
        let size = |bytes| Cell::Text(words::size(bytes));
        let number = |number: u64| Cell::Text(number.to_string());
        let mut used = Vec::new();
        if let Some(disk) = operator.disk() {
            used.push(("Disk", Cell::Text(format!("{} free of {}", words::size(disk.free), words::size(disk.size)))));
        }
        used.extend([
            ("Stored", Cell::Text(format!("{} in {} objects", words::size(totals.object_bytes), totals.objects))),
            (
                "Shown",
                Cell::Text(format!("{} in {} repositories", words::size(totals.linked_bytes), totals.repositories)),
            ),
            ("Saved by sharing", size(shared)),
            ("Files of layers", Cell::Text(format!("{} in {} layers", words::size(totals.pack_bytes), totals.layers))),
        ]);
        let waiting = vec![
            ("Links to be looked at", number(totals.reviews)),
            ("Files to be removed", number(totals.doomed)),
            ("Open uploads", number(totals.uploads)),
        ];
        let collect = Form::post("/admin/storage/collect", "Collect now").with(Field::check(
            "at_once",
            "Also what clients were promised: a push that is under way may have to send a blob again",
            false,
        ));
        let check = Form::post("/admin/storage/check", "Check now");
        let check_text =
            "Looks whether every file of the catalog is there in full length. strata hub fsck reads every byte.";
        let rows = largest
            .into_iter()
            .map(|(name, bytes)| vec![Cell::link(&name, format!("/r/{name}")), Cell::Number(words::size(bytes))]);
        let largest = Table { heads: &["Repository", "Holds"], rows: rows.collect(), empty: "None.".into() };
        let mut list: Vec<Section> = first.into_iter().collect();
        list.extend([
            Section::new("Used", vec![Part::Facts(used)]),
            Section::new("Garbage collection", vec![Part::Facts(waiting), Part::Form(collect)]),
            Section::new("Check", vec![Part::Text(check_text.into()), Part::Form(check)]),
            Section::new("Largest repositories", vec![Part::Table(largest)]),
        ]);
        self.show("Storage", PATH, list, None)
    }
}

/// `GET /admin/storage`.
pub(crate) async fn storage(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>) -> Result {
    Desk::of(&visit)?.storage(&*operator, None).await
}

/// `POST /admin/storage/collect`.
pub(crate) async fn collect(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>, form: String) -> Result {
    let desk = Desk::of(&visit)?;
    let idle = (Values::of(&form).first("at_once") == "yes").then_some(Duration::ZERO);
    let registry = visit.hub.registry();
    let freed = registry.collect(idle).await.map_err(|error| desk.failed(error.into()))?;
    let leftovers = registry.store().collect_leftovers().await.map_err(|error| desk.failed(error.into()))?;
    operator.recount().await;
    Ok(visit.told(PATH, &format!("Collected: {} freed.", words::size(freed + leftovers))))
}

/// `POST /admin/storage/check`.
pub(crate) async fn check(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>) -> Result {
    let desk = Desk::of(&visit)?;
    let report = visit.hub.registry().store().fsck(Depth::Quick, Repair::No).await;
    let report = report.map_err(|error| desk.failed(error.into()))?;
    let text = match report.problems.len() {
        0 => format!("{} files and rows were looked at: all is well.", report.checked),
        number => format!("{} files and rows were looked at, {number} have problems:", report.checked),
    };
    let rows = report.problems.into_iter().take(PROBLEMS).map(|it| vec![Cell::Code(it.what), Cell::Text(it.cause)]);
    let table = Table { heads: &["What", "Problem"], rows: rows.collect(), empty: String::new() };
    let parts = match table.rows.is_empty() {
        true => vec![Part::Text(text)],
        false => vec![Part::Warning(text), Part::Table(table)],
    };
    desk.storage(&*operator, Some(Section::new("The check's result", parts))).await
}
