//! The second factor of sign-in: Docker Hub's second step of a login, and turning it on and off.

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::Hub;

use super::both;
use super::users::{incorrect, session_seconds};
use crate::error::Result;
use crate::identity::{Client, Signed};
use crate::input::Input;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .merge(both("/v2/users/2fa-login", post(log_in)))
        .merge(both("/api/v1/account/second-factor", get(state).post(begin).delete(disable)))
        .merge(both("/api/v1/account/second-factor/confirm", post(confirm)))
        .merge(both("/api/v1/admin/users/{name}/second-factor", delete(reset)))
}

#[derive(Deserialize)]
struct SecondStep {
    login_2fa_token: String,
    code: String,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// `POST /v2/users/2fa-login`: a session, by the token of the first step and a code.
async fn log_in(State(hub): State<Hub>, client: Client, Input(step): Input<SecondStep>) -> Result<Json<Value>> {
    let signed = hub.sign_in_with_code(&step.login_2fa_token, &step.code, Some(client.peer)).await;
    let token = hub.session(&signed.map_err(incorrect)?, session_seconds(&hub), &client.agent).await?;
    Ok(Json(json!({ "token": token })))
}

/// `GET /api/v1/account/second-factor`.
async fn state(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<Value>> {
    let state = hub.second_factor(&who).await?;
    Ok(Json(json!({ "is_on": state.is_on, "recovery_codes_left": state.recovery_codes })))
}

/// `POST /api/v1/account/second-factor`: the key for an app.
async fn begin(State(hub): State<Hub>, Signed(who): Signed) -> Result<(StatusCode, Json<Value>)> {
    let new = hub.begin_second_factor(&who).await?;
    Ok((StatusCode::CREATED, Json(json!({ "key": new.key, "address": new.address }))))
}

/// `POST /api/v1/account/second-factor/confirm`: turns it on by a first code.
async fn confirm(State(hub): State<Hub>, Signed(who): Signed, Input(shown): Input<Code>) -> Result<Json<Value>> {
    let codes = hub.confirm_second_factor(&who, &shown.code).await?;
    Ok(Json(json!({ "recovery_codes": codes })))
}

/// `DELETE /api/v1/account/second-factor`: turns it off by a code.
async fn disable(State(hub): State<Hub>, Signed(who): Signed, Input(shown): Input<Code>) -> Result<StatusCode> {
    hub.disable_second_factor(&who, &shown.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/admin/users/{name}/second-factor`: for who has lost everything.
async fn reset(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<StatusCode> {
    hub.reset_second_factor(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
