//! What is stored and shared, what waits for collection, and the collection itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use strata_hub::HubError;
use strata_store::{Depth, Repair, Totals};

use super::Desk;
use crate::failure::Result;
use crate::forms::{Cell, Field, Form, Part, Section, Table};
use crate::operator::Operator;
use crate::site::{Values, Visit};
use crate::words;

const PATH: &str = "/admin/storage";
/// Repositories of the list of the largest.
const LARGEST: usize = 20;
/// Days over which is summed what was freed, and those of them that are listed.
const DAYS: u32 = 90;
const DAYS_SHOWN: usize = 14;
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
        let number = |number: u64| Cell::Text(number.to_string());
        let mut used = Vec::new();
        if let Some(disk) = operator.disk() {
            used.push(("Disk", Cell::Text(format!("{} free of {}", words::size(disk.free), words::size(disk.size)))));
        }
        used.extend([
            ("Stored", Cell::Text(format!("{} in {} objects", words::size(totals.object_bytes), totals.objects))),
            (
                "Logical",
                Cell::Text(format!("{} in {} repositories", words::size(totals.linked_bytes), totals.repositories)),
            ),
            ("Saved by sharing", Cell::Text(format!("{}, {}", words::size(shared), ratio(&totals)))),
            ("Files of layers", Cell::Text(format!("{} in {} layers", words::size(totals.pack_bytes), totals.layers))),
        ]);
        let waiting = vec![
            ("Links to be looked at", number(totals.reviews)),
            ("Files to be removed", number(totals.doomed)),
            ("Open uploads", number(totals.uploads)),
        ];
        let freed = self.visit.hub.freed_by_day(DAYS).await.map_err(|error| self.failed(error))?;
        let last = freed.iter().map(|(_, bytes)| bytes).sum();
        let rows = freed.into_iter().take(DAYS_SHOWN);
        let rows = rows.map(|(day, bytes)| vec![Cell::Text(words::day(day)), Cell::Number(words::size(bytes))]);
        let freed = Table { heads: &["Day (UTC)", "Freed"], rows: rows.collect(), empty: "Nothing yet.".into() };
        let mut parts = vec![Part::Table(freed)];
        if last > 0 {
            parts.insert(0, Part::Facts(vec![("In the last 90 days", Cell::Text(words::size(last)))]));
        }
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
            Section::new("Freed", parts),
            Section::new("Check", vec![Part::Text(check_text.into()), Part::Form(check)]),
            Section::new("Largest repositories", vec![Part::Table(largest)]),
        ]);
        self.show("Storage", PATH, list, None)
    }
}

/// How many bytes are shown for each that is stored.
fn ratio(totals: &Totals) -> String {
    format!("{:.1} to 1", totals.linked_bytes as f64 / totals.object_bytes.max(1) as f64)
}

/// `GET /admin/storage`.
pub(crate) async fn storage(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>) -> Result {
    Desk::of(&visit)?.storage(&*operator, None).await
}

/// `POST /admin/storage/collect`.
pub(crate) async fn collect(visit: Visit, Extension(operator): Extension<Arc<dyn Operator>>, form: String) -> Result {
    let desk = Desk::of(&visit)?;
    let idle = (Values::of(&form).first("at_once") == "yes").then_some(Duration::ZERO);
    let freed = visit.hub.collect(idle).await.map_err(|error| desk.failed(error))?;
    operator.recount().await;
    Ok(visit.told(PATH, &format!("Collected: {} freed.", words::size(freed))))
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
