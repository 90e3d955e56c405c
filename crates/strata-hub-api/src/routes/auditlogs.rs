//! The audit log.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use strata_hub::records::{AuditFilter, AuditRow};
use strata_hub::{AuditAction, Hub};
use utoipa::ToSchema;

use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::identity::Signed;
use crate::input::{Page, Query};
use crate::output::time;

/// Entries of a page unless the client says otherwise.
const PAGE: u64 = 25;

pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("administration").get("/v2/auditlogs/{account}", "The audit log of an account", entries).get(
        "/v2/auditlogs/{account}/actions",
        "Actions that the audit log knows",
        actions,
    )
}

/// A page of an audit log.
#[derive(Serialize, ToSchema)]
struct AuditLog {
    /// Entries of all pages.
    count: u64,
    logs: Vec<AuditEntry>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct AuditEntry {
    account: String,
    action: String,
    /// The repository, member, team, token, … concerned.
    name: String,
    actor: String,
    /// More, as the action has it.
    data: Value,
    timestamp: String,
    action_description: Option<&'static str>,
    ip_address: String,
}

/// What can be asked for, by group.
#[derive(Serialize, ToSchema)]
struct AuditActions {
    actions: BTreeMap<String, AuditGroup>,
}

/// Actions on the same.
#[derive(Serialize, ToSchema)]
struct AuditGroup {
    label: &'static str,
    actions: Vec<AuditActionBody>,
}

/// An action that the log knows.
#[derive(Serialize, ToSchema)]
struct AuditActionBody {
    name: &'static str,
    label: &'static str,
    description: &'static str,
}

/// `GET /v2/auditlogs/{account}?action=&name=&actor=&from=&to=&page=&page_size=`.
async fn entries(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(account): Path<String>,
    query: Query,
) -> Result<Json<AuditLog>> {
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
    Ok(Json(AuditLog { count, logs: rows.into_iter().map(entry).collect() }))
}

fn entry(row: AuditRow) -> AuditEntry {
    let label = AuditAction::ALL.iter().find(|action| action.name == row.action).map(|action| action.label);
    AuditEntry {
        account: row.account,
        action: row.action,
        name: row.name,
        actor: row.actor,
        data: serde_json::from_str(&row.data).unwrap_or_default(),
        timestamp: time(row.time),
        action_description: label,
        ip_address: row.address,
    }
}

/// `GET /v2/auditlogs/{account}/actions`: what can be asked for, by group.
async fn actions(Signed(_): Signed) -> Result<Json<AuditActions>> {
    let mut groups = BTreeMap::new();
    for action in AuditAction::ALL {
        let group = action.name.split('.').next().unwrap_or_default();
        let label = match group {
            "org" => "Organization",
            "repo" => "Repository",
            _ => "Account",
        };
        let known = groups.entry(group.to_owned()).or_insert_with(|| AuditGroup { label, actions: Vec::new() });
        known.actions.push(AuditActionBody { name: action.name, label: action.label, description: action.label });
    }
    Ok(Json(AuditActions { actions: groups }))
}
