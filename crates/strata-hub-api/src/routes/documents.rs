//! What the endpoints of repositories have in common: who may see one.

use http::StatusCode;
use strata_hub::records::{RepositoryRow, Role};
use strata_hub::{Hub, HubError};
use strata_model::ErrorKind;

use crate::error::{Failure, Result};
use crate::identity::MaybeSigned;

/// What somebody sees of what is not there, or not for them.
pub(super) fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "object not found")
}

/// What is not in a repository is not found, whatever rule says so.
pub(super) fn missing(error: HubError) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => not_found(),
        _ => error.into(),
    }
}

/// Whoever asks sees it, and may not.
pub(super) fn refusal(asking: &MaybeSigned) -> Failure {
    match asking.0 {
        Some(_) => HubError::Denied("access to the resource is forbidden with your role".into()).into(),
        None => Failure::new(StatusCode::UNAUTHORIZED, "authentication required"),
    }
}

/// A repository, and what whoever asks may do with it: at least this.
pub(super) async fn repository(
    hub: &Hub,
    asking: &MaybeSigned,
    (namespace, name): &(String, String),
    needed: Role,
) -> Result<(RepositoryRow, Role)> {
    let full_name = format!("{namespace}/{name}");
    let role = hub.role_of(asking.0.as_ref(), &full_name).await?.ok_or_else(not_found)?;
    let row = hub.repository(&full_name).await.map_err(missing)?;
    if role < needed {
        return Err(refusal(asking));
    }
    Ok((row, role))
}
