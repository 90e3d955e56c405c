//! The audit log as tables show it: of the whole hub for administrators, of an organization for its owners.

use serde_json::Value;
use strata_hub::records::{AuditFilter, AuditRow};
use strata_hub::{AuditAction, Identity, printable};
use strata_model::{Digest, ErrorKind};

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Table};
use crate::site::{Values, Visit};
use crate::words;

/// Entries on a page.
const PAGE: u64 = 50;

/// What was done to `account`, or, without one, to that which the address asks for: `?actor=&action=&name=&account=&page=`.
pub(crate) async fn parts(visit: &Visit, who: &Identity, path: &str, account: Option<&str>) -> Result<Vec<Part>> {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let number = values.number("page").max(1);
    let given = |name: &str| Some(values.first(name).trim().to_owned()).filter(|text| !text.is_empty());
    let filter = AuditFilter {
        account: account.map(str::to_owned).or(given("account")).unwrap_or_default(),
        action: given("action"),
        name: given("name"),
        actor: given("actor"),
        skip: (number - 1).saturating_mul(PAGE),
        limit: PAGE,
        ..AuditFilter::default()
    };
    let (total, entries) = match visit.hub.audit_log(who, filter).await {
        Ok(found) => found,
        // Nothing was done to an account that is not there.
        Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
        Err(error) => return Err(Failure::of(visit, error)),
    };
    let rows = entries.into_iter().map(|entry| row(entry, visit.now)).collect();
    let heads = &["When", "Who", "What", "To what", "More", "From where"];
    let table = Table { heads, rows, empty: "Nothing is logged like this.".into() };
    let address = |number: u64| format!("{path}?{}", values.with("page", &number.to_string()));
    let paging = Part::Paging(
        (number > 1).then(|| address(number - 1)),
        (number.saturating_mul(PAGE) < total).then(|| address(number + 1)),
    );
    Ok(vec![
        Part::Form(question(path, &values, account)),
        Part::Text(words::exactly(total, "entry")),
        Part::Table(table),
        paging,
    ])
}

fn question(path: &str, values: &Values, account: Option<&str>) -> Form {
    let mut actions = vec![("", "Any")];
    actions.extend(AuditAction::ALL.iter().map(|action| (action.name, action.label)));
    let form = Form::question(path, "Show")
        .with(Field::of_type("search", "actor", "Who", values.first("actor")))
        .with(Field::one("action", "What", &actions, values.first("action")))
        .with(Field::of_type("search", "name", "To what", values.first("name")));
    match account {
        Some(_) => form,
        None => form.with(Field::of_type("search", "account", "Account concerned", values.first("account"))),
    }
}

fn row(entry: AuditRow, now: i64) -> Vec<Cell> {
    let known = AuditAction::ALL.iter().find(|known| known.name == entry.action);
    vec![
        Cell::when(Some(entry.time), now, ""),
        Cell::Text(entry.actor),
        Cell::Text(known.map_or(entry.action, |known| known.label.to_owned())),
        Cell::Text(entry.name),
        Cell::Text(details(&entry.data)),
        Cell::Text(entry.address),
    ]
}

/// What else an entry says, `tag: 1.0, digest: 713ffb203d7a`; the API has it as it is.
fn details(data: &str) -> String {
    let Ok(Value::Object(said)) = serde_json::from_str(data) else { return data.to_owned() };
    let value = |value: &Value| match value.as_str() {
        Some(text) if text.parse::<Digest>().is_ok() => words::short(text).to_owned(),
        Some(text) => printable(text.as_bytes()),
        None => value.to_string(),
    };
    let said = said.iter().map(|(name, found)| format!("{}: {}", name.replace('_', " "), value(found)));
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read() {
        let digest = Digest::of(b"x").to_string();
        let said = format!(r#"{{"digest":"{digest}","is_private":true,"tag":"1\u202e"}}"#);
        let expected = format!("digest: {}, is private: true, tag: 1\\u{{202e}}", words::short(&digest));
        assert_eq!(details(&said), expected);
        assert_eq!((details("{}"), details("words")), (String::new(), "words".to_owned()));
    }
}
