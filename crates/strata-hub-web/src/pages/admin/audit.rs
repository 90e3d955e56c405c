//! The audit log of the whole hub.

use strata_hub::AuditAction;
use strata_hub::records::AuditFilter;

use super::Desk;
use crate::failure::Result;
use crate::forms::{Cell, Field, Form, Part, Section, Table};
use crate::site::{Values, Visit};

const PATH: &str = "/admin/audit";
/// Entries on a page.
const PAGE: u64 = 50;

/// `GET /admin/audit?account=&actor=&action=&name=&page=`.
pub(crate) async fn audit(visit: Visit) -> Result {
    let desk = Desk::of(&visit)?;
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let number = values.number("page").max(1);
    let given = |name: &str| Some(values.first(name).trim().to_owned()).filter(|text| !text.is_empty());
    let filter = AuditFilter {
        account: given("account").unwrap_or_default(),
        action: given("action"),
        name: given("name"),
        actor: given("actor"),
        skip: (number - 1).saturating_mul(PAGE),
        limit: PAGE,
        ..AuditFilter::default()
    };
    // Nothing was done to an account that is not there.
    let (total, entries) = visit.hub.audit_log(desk.who, filter).await.unwrap_or_default();
    let label = |action: &str| {
        let known = AuditAction::ALL.iter().find(|known| known.name == action);
        known.map_or(action, |known| known.label).to_owned()
    };
    let rows = entries.into_iter().map(|entry| {
        vec![
            Cell::when(Some(entry.time), visit.now, ""),
            Cell::Text(entry.actor),
            Cell::Text(label(&entry.action)),
            Cell::Text(entry.name),
            Cell::Code(if entry.data == "{}" { String::new() } else { entry.data }),
            Cell::Text(entry.address),
        ]
    });
    let heads = &["When", "Who", "What", "To what", "More", "From where"];
    let table = Table { heads, rows: rows.collect(), empty: "Nothing is logged like this.".into() };
    let mut actions = vec![("", "Any")];
    actions.extend(AuditAction::ALL.iter().map(|action| (action.name, action.label)));
    let form = Form::question(PATH, "Show")
        .with(Field::of_type("search", "actor", "Who", values.first("actor")))
        .with(Field::one("action", "What", &actions, values.first("action")))
        .with(Field::of_type("search", "name", "To what", values.first("name")))
        .with(Field::of_type("search", "account", "Account concerned", values.first("account")));
    let address = |number: u64| format!("{PATH}?{}", values.with("page", &number.to_string()));
    let paging = Part::Paging(
        (number > 1).then(|| address(number - 1)),
        (number.saturating_mul(PAGE) < total).then(|| address(number + 1)),
    );
    let text = Part::Text(if total == 1 { "1 entry".to_owned() } else { format!("{total} entries") });
    desk.show("Audit log", PATH, vec![Section::new("", vec![Part::Form(form), text, Part::Table(table), paging])], None)
}
