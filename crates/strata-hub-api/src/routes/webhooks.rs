//! `/api/v1/repositories/{namespace}/{name}/webhooks`: for administrators of the repository.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::NoContent;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strata_hub::records::{DeliveryRow, Role, WebhookRow};
use strata_hub::{Hub, Identity, NewWebhook, WebhookEvent};
use utoipa::ToSchema;

use super::administration::time;
use crate::endpoints::{Created, Endpoints};
use crate::error::{Failure, Result};
use crate::identity::MaybeSigned;
use crate::input::Input;

/// Deliveries that are shown.
const DELIVERIES: usize = 100;

pub(super) fn endpoints() -> Endpoints {
    const ALL: &str = "/api/v1/repositories/{namespace}/{name}/webhooks";
    const ONE: &str = "/api/v1/repositories/{namespace}/{name}/webhooks/{id}";
    Endpoints::about("webhooks")
        .get(ALL, "Webhooks of a repository", list)
        .post(ALL, "Make a webhook", create)
        .get(ONE, "A webhook", show)
        .patch(ONE, "Turn a webhook on or off", update)
        .delete(ONE, "Remove a webhook", remove)
        .get("/api/v1/repositories/{namespace}/{name}/webhooks/{id}/deliveries", "What was sent last", deliveries)
}

/// A webhook to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhookBody {
    name: String,
    /// `https://…` or `http://…`; private addresses only as the hub's configuration allows.
    url: String,
    /// Signs each delivery; made when it is not given.
    secret: Option<String>,
    /// `push`, `delete`, `tag`; all when none is given.
    #[serde(default)]
    events: Vec<String>,
}

/// What is to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookUpdateBody {
    /// Whether anything is sent.
    active: bool,
}

/// A webhook.
#[derive(Serialize, ToSchema)]
struct WebhookBody {
    id: String,
    name: String,
    url: String,
    events: Vec<String>,
    active: bool,
    creator: String,
    created_at: String,
    /// Only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// One attempt to tell a webhook something, or several.
#[derive(Serialize, ToSchema)]
struct DeliveryBody {
    id: i64,
    event: String,
    /// `waiting`, `delivered` or `failed`.
    state: &'static str,
    attempts: u64,
    /// What the receiver answered last.
    status: Option<u16>,
    /// Why the last attempt failed.
    error: String,
    created_at: String,
    attempted_at: Option<String>,
    next_attempt_at: Option<String>,
    /// What was sent.
    body: String,
}

fn shown(row: WebhookRow, secret: Option<String>) -> WebhookBody {
    WebhookBody {
        id: row.id,
        name: row.name,
        url: row.url,
        events: row.events.split(',').map(str::to_owned).collect(),
        active: row.is_active,
        creator: row.creator,
        created_at: time(row.created),
        secret,
    }
}

fn shown_delivery(row: DeliveryRow) -> DeliveryBody {
    let state = match (row.due, row.error.is_empty()) {
        (Some(_), _) => "waiting",
        (None, true) => "delivered",
        (None, false) => "failed",
    };
    DeliveryBody {
        id: row.id,
        event: row.event,
        state,
        attempts: row.attempts,
        status: row.status,
        error: row.error,
        created_at: time(row.created),
        attempted_at: row.attempted.map(time),
        next_attempt_at: row.due.map(time),
        body: row.body,
    }
}

async fn list(
    State(hub): State<Hub>,
    Path((namespace, name)): Path<(String, String)>,
    asking: MaybeSigned,
) -> Result<Json<Vec<WebhookBody>>> {
    let (repository, _) = administered(&hub, asking, &namespace, &name).await?;
    let webhooks = hub.webhooks(&repository).await?;
    Ok(Json(webhooks.into_iter().map(|row| shown(row, None)).collect()))
}

async fn create(
    State(hub): State<Hub>,
    Path((namespace, name)): Path<(String, String)>,
    asking: MaybeSigned,
    Input(new): Input<NewWebhookBody>,
) -> Result<Created<WebhookBody>> {
    let (repository, who) = administered(&hub, asking, &namespace, &name).await?;
    let events = new.events.iter().map(|word| event(word)).collect::<Result<_>>()?;
    let new = NewWebhook { name: new.name, url: new.url, secret: new.secret, events };
    let created = hub.create_webhook_as(&who, &repository, new).await?;
    Ok(Created(shown(created.webhook, Some(created.secret))))
}

fn event(word: &str) -> Result<WebhookEvent> {
    let found = WebhookEvent::ALL.into_iter().find(|event| event.as_str() == word);
    found.ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, format!("events: {word:?} is none of push, delete, tag")))
}

async fn show(
    State(hub): State<Hub>,
    Path((namespace, name, id)): Path<(String, String, String)>,
    asking: MaybeSigned,
) -> Result<Json<WebhookBody>> {
    let (repository, _) = administered(&hub, asking, &namespace, &name).await?;
    Ok(Json(shown(hub.webhook(&repository, &id).await?, None)))
}

async fn update(
    State(hub): State<Hub>,
    Path((namespace, name, id)): Path<(String, String, String)>,
    asking: MaybeSigned,
    Input(update): Input<WebhookUpdateBody>,
) -> Result<Json<WebhookBody>> {
    let (repository, who) = administered(&hub, asking, &namespace, &name).await?;
    Ok(Json(shown(hub.switch_webhook_as(&who, &repository, &id, update.active).await?, None)))
}

async fn remove(
    State(hub): State<Hub>,
    Path((namespace, name, id)): Path<(String, String, String)>,
    asking: MaybeSigned,
) -> Result<NoContent> {
    let (repository, who) = administered(&hub, asking, &namespace, &name).await?;
    hub.delete_webhook_as(&who, &repository, &id).await?;
    Ok(NoContent)
}

async fn deliveries(
    State(hub): State<Hub>,
    Path((namespace, name, id)): Path<(String, String, String)>,
    asking: MaybeSigned,
) -> Result<Json<Vec<DeliveryBody>>> {
    let (repository, _) = administered(&hub, asking, &namespace, &name).await?;
    let rows = hub.deliveries(&repository, &id, DELIVERIES).await?;
    Ok(Json(rows.into_iter().map(shown_delivery).collect()))
}

/// The repository's full name and who asks, who must be its administrator. Who may not see it is told that there is none.
async fn administered(hub: &Hub, asking: MaybeSigned, namespace: &str, name: &str) -> Result<(String, Identity)> {
    let MaybeSigned(identity) = asking;
    let repository = format!("{namespace}/{name}");
    match (hub.role_of(identity.as_ref(), &repository).await?, identity) {
        (Some(Role::Admin), Some(identity)) => Ok((repository, identity)),
        (Some(_), _) => Err(Failure::new(StatusCode::FORBIDDEN, "this is for administrators of the repository")),
        (None, _) => Err(Failure::new(StatusCode::NOT_FOUND, "repository not found")),
    }
}
