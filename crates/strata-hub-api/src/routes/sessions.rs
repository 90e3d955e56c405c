//! One's sessions that began with a password: seen, and ended one by one.

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use strata_hub::{Hub, Session};

use super::both;
use crate::error::Result;
use crate::identity::Signed;
use crate::output::time;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(both("/api/v1/account/sessions", get(list)))
        .merge(both("/api/v1/account/sessions/{id}", delete(end)))
}

fn document(session: &Session) -> Value {
    json!({
        "id": session.row.id,
        "created_at": time(session.row.created),
        "expires_at": time(session.row.expires),
        "creator_ip": session.row.address,
        "creator_ua": session.row.agent,
        "is_current": session.is_current,
    })
}

/// `GET /api/v1/account/sessions`.
async fn list(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<Value>> {
    let sessions = hub.sessions(&who).await?;
    let results: Vec<Value> = sessions.iter().map(document).collect();
    Ok(Json(json!({ "count": results.len(), "next": null, "previous": null, "results": results })))
}

/// `DELETE /api/v1/account/sessions/{id}`.
async fn end(State(hub): State<Hub>, Signed(who): Signed, Path(id): Path<String>) -> Result<StatusCode> {
    hub.end_session(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
