//! Public keys with which publishers sign: of an account, or of one repository.

use axum::extract::{Path, State};
use axum::response::NoContent;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strata_hub::Hub;
use strata_hub::records::PublisherKeyRow;
use utoipa::ToSchema;

use crate::endpoints::{Created, Endpoints};
use crate::error::{Failure, Result};
use crate::identity::{MaybeSigned, Signed};
use crate::input::Input;
use crate::output::{List, time};

pub(super) fn endpoints() -> Endpoints {
    const ACCOUNT: &str = "/api/v1/accounts/{account}/keys";
    const REPOSITORY: &str = "/api/v1/repositories/{namespace}/{name}/keys";
    Endpoints::about("signing keys")
        .get(ACCOUNT, "The keys that an account signs with", of_account)
        .post(ACCOUNT, "Add a key, as its owner", add_to_account)
        .delete("/api/v1/accounts/{account}/keys/{id}", "Remove a key, as its owner", remove_from_account)
        .get(REPOSITORY, "The keys that a repository is signed with", of_repository)
        .post(REPOSITORY, "Add a key, as its admin", add_to_repository)
        .delete(
            "/api/v1/repositories/{namespace}/{name}/keys/{id}",
            "Remove a key, as its admin",
            remove_from_repository,
        )
}

/// A key to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    /// The public key.
    pem: String,
}

/// A public key that is signed with.
#[derive(Serialize, ToSchema)]
struct KeyBody {
    id: String,
    name: String,
    pem: String,
    added_by: String,
    added_at: String,
}

fn shown(row: PublisherKeyRow) -> KeyBody {
    KeyBody { id: row.id, name: row.name, pem: row.pem, added_by: row.added_by, added_at: time(row.added) }
}

async fn listed(hub: &Hub, owner: &str) -> Result<List<KeyBody>> {
    Ok(List::whole(hub.publisher_keys(owner).await?.into_iter().map(shown).collect()))
}

/// `GET /api/v1/accounts/{account}/keys`: for everybody.
async fn of_account(State(hub): State<Hub>, Path(account): Path<String>) -> Result<List<KeyBody>> {
    listed(&hub, &hub.account(&account).await?.name).await
}

/// `POST /api/v1/accounts/{account}/keys`.
async fn add_to_account(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path(account): Path<String>,
    Input(new): Input<NewKey>,
) -> Result<Created<KeyBody>> {
    let row = hub.add_publisher_key(&who, &account, &new.name, &new.pem).await?;
    Ok(Created(shown(row)))
}

/// `DELETE /api/v1/accounts/{account}/keys/{id}`.
async fn remove_from_account(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((account, id)): Path<(String, String)>,
) -> Result<NoContent> {
    hub.remove_publisher_key(&who, &account, &id).await?;
    Ok(NoContent)
}

/// `GET /api/v1/repositories/{namespace}/{name}/keys`: for whoever sees the repository.
async fn of_repository(
    State(hub): State<Hub>,
    MaybeSigned(who): MaybeSigned,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<List<KeyBody>> {
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
) -> Result<Created<KeyBody>> {
    let row = hub.add_publisher_key(&who, &format!("{namespace}/{name}"), &new.name, &new.pem).await?;
    Ok(Created(shown(row)))
}

/// `DELETE /api/v1/repositories/{namespace}/{name}/keys/{id}`.
async fn remove_from_repository(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Path((namespace, name, id)): Path<(String, String, String)>,
) -> Result<NoContent> {
    hub.remove_publisher_key(&who, &format!("{namespace}/{name}"), &id).await?;
    Ok(NoContent)
}
