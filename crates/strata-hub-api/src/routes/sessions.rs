//! One's sessions that began with a password: seen, and ended one by one.

use axum::extract::{Path, State};
use axum::response::NoContent;
use serde::Serialize;
use strata_hub::{Hub, Session};
use utoipa::ToSchema;

use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::identity::Signed;
use crate::output::{List, time};

pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("accounts")
        .get("/api/v1/account/sessions", "One's sessions that began with a password", list)
        .delete("/api/v1/account/sessions/{id}", "End one of them", end)
}

/// A session that began with a password.
#[derive(Serialize, ToSchema)]
struct SessionBody {
    id: String,
    created_at: String,
    expires_at: String,
    creator_ip: String,
    creator_ua: String,
    /// Whether it is the one that asks.
    is_current: bool,
}

fn shown(session: Session) -> SessionBody {
    SessionBody {
        id: session.row.id,
        created_at: time(session.row.created),
        expires_at: time(session.row.expires),
        creator_ip: session.row.address,
        creator_ua: session.row.agent,
        is_current: session.is_current,
    }
}

async fn list(State(hub): State<Hub>, Signed(who): Signed) -> Result<List<SessionBody>> {
    Ok(List::whole(hub.sessions(&who).await?.into_iter().map(shown).collect()))
}

async fn end(State(hub): State<Hub>, Signed(who): Signed, Path(id): Path<String>) -> Result<NoContent> {
    hub.end_session(&who, &id).await?;
    Ok(NoContent)
}
