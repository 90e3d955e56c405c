//! Public keys with which publishers sign: of an account, or of one repository.

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::Hub;
use strata_hub::records::PublisherKeyRow;

use super::both;
use crate::error::{Failure, Result};
use crate::identity::{MaybeSigned, Signed};
use crate::input::Input;
use crate::output::time;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(both("/api/v1/accounts/{account}/keys", get(of_account).post(add_to_account)))
        .merge(both("/api/v1/accounts/{account}/keys/{id}", delete(remove_from_account)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/keys", get(of_repository).post(add_to_repository)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/keys/{id}", delete(remove_from_repository)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    pem: String,
}

fn document(row: &PublisherKeyRow) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "pem": row.pem,
        "added_by": row.added_by,
        "added_at": time(row.added),
    })
}

async fn listed(hub: &Hub, owner: &str) -> Result<Json<Value>> {
    let results: Vec<Value> = hub.publisher_keys(owner).await?.iter().map(document).collect();
    Ok(Json(json!({ "count": results.len(), "next": null, "previous": null, "results": results })))
}

/// `GET /api/v1/accounts/{account}/keys`: for everybody.
async fn of_account(State(hub): State<Hub>, Path(account): Path<String>) -> Result<Json<Value>> {
    listed(&hub, &hub.account(&account).await?.name).await
}

/// `POST /api/v1/accounts/{account}/keys`.
async fn add_to_account(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(account): Path<String>,
    Input(new): Input<NewKey>,
) -> Result<(StatusCode, Json<Value>)> {
    let row = hub.add_publisher_key(&who, &account, &new.name, &new.pem).await?;
    Ok((StatusCode::CREATED, Json(document(&row))))
}

/// `DELETE /api/v1/accounts/{account}/keys/{id}`.
async fn remove_from_account(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((account, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    hub.remove_publisher_key(&who, &account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/repositories/{namespace}/{name}/keys`: for whoever sees the repository.
async fn of_repository(
    State(hub): State<Hub>,
    MaybeSigned(who): MaybeSigned,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let name = format!("{namespace}/{name}");
    match hub.role_of(who.as_ref(), &name).await? {
        Some(_) => listed(&hub, &hub.repository(&name).await?.full_name()).await,
        None => Err(Failure::new(StatusCode::NOT_FOUND, "object not found")),
    }
}

/// `POST /api/v1/repositories/{namespace}/{name}/keys`.
async fn add_to_repository(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((namespace, name)): Path<(String, String)>,
    Input(new): Input<NewKey>,
) -> Result<(StatusCode, Json<Value>)> {
    let row = hub.add_publisher_key(&who, &format!("{namespace}/{name}"), &new.name, &new.pem).await?;
    Ok((StatusCode::CREATED, Json(document(&row))))
}

/// `DELETE /api/v1/repositories/{namespace}/{name}/keys/{id}`.
async fn remove_from_repository(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((namespace, name, id)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    hub.remove_publisher_key(&who, &format!("{namespace}/{name}"), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
