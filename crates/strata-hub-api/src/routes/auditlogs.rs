//! The audit log.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use strata_hub::records::{AuditFilter, AuditRow};
use strata_hub::{AuditAction, Hub};

use crate::error::Result;
use crate::identity::Signed;
use crate::input::{Page, Query};
use crate::output::time;

/// Entries of a page unless the client says otherwise.
const PAGE: u64 = 25;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(super::both("/v2/auditlogs/{account}", get(entries)))
        .merge(super::both("/v2/auditlogs/{account}/actions", get(actions)))
}

/// `GET /v2/auditlogs/{account}?action=&name=&actor=&from=&to=&page=&page_size=`.
async fn entries(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(account): Path<String>,
    query: Query,
) -> Result<Json<Value>> {
    let page = Page::with_default(&query, PAGE)?;
    let text = |name| query.first(name).map(str::to_owned);
    let filter = AuditFilter {
        account,
        action: text("action"),
        name: text("name"),
        actor: text("actor"),
        from: query.time("from")?,
        to: query.time("to")?,
        skip: page.skip(),
        limit: page.size,
    };
    let (count, rows) = hub.audit_log(&who, filter).await?;
    Ok(Json(json!({ "count": count, "logs": rows.iter().map(entry).collect::<Vec<_>>() })))
}

fn entry(row: &AuditRow) -> Value {
    let label = AuditAction::ALL.iter().find(|action| action.name == row.action).map(|action| action.label);
    json!({
        "account": row.account,
        "action": row.action,
        "name": row.name,
        "actor": row.actor,
        "data": serde_json::from_str::<Value>(&row.data).unwrap_or_default(),
        "timestamp": time(row.time),
        "action_description": label,
        "ip_address": row.address,
    })
}

/// `GET /v2/auditlogs/{account}/actions`: what can be asked for, by group.
async fn actions(Signed(_): Signed) -> Json<Value> {
    let mut groups = Map::new();
    for action in AuditAction::ALL {
        let group = action.name.split('.').next().unwrap_or_default();
        let label = match group {
            "org" => "Organization",
            "repo" => "Repository",
            _ => "Account",
        };
        let known = groups.entry(group).or_insert_with(|| json!({ "label": label, "actions": [] }));
        if let Some(actions) = known["actions"].as_array_mut() {
            actions.push(json!({ "name": action.name, "label": action.label, "description": action.label }));
        }
    }
    Json(json!({ "actions": groups }))
}
