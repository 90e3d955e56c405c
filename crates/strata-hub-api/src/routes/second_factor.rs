//! The second factor of sign-in: Docker Hub's second step of a login, and turning it on and off.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::NoContent;
use serde::{Deserialize, Serialize};
use strata_hub::Hub;
use utoipa::ToSchema;

use super::users::{SessionToken, incorrect, session_seconds};
use crate::endpoints::{Created, Endpoints};
use crate::error::Result;
use crate::identity::{Client, Signed};
use crate::input::Input;

const OWN: &str = "/api/v1/account/second-factor";

pub(super) fn endpoints() -> Endpoints {
    let log_in_summary = "A session, by the token of a login that asks for a code, and the code";
    let of_others = Endpoints::about("administration").delete(
        "/api/v1/admin/users/{name}/second-factor",
        "Turn a user's second factor off",
        reset,
    );
    Endpoints::about("sign-in")
        .post("/v2/users/2fa-login", log_in_summary, log_in)
        .get(OWN, "Whether codes are asked for", state)
        .post(OWN, "The key of one-time codes, for an app", begin)
        .delete(OWN, "Turn it off by a code", disable)
        .post("/api/v1/account/second-factor/confirm", "Turn it on by a first code; recovery codes", confirm)
        .merge(of_others)
}

/// What the first step answered, and a code.
#[derive(Deserialize, ToSchema)]
struct SecondStep {
    login_2fa_token: String,
    code: String,
}

/// A one-time code, or a recovery code.
#[derive(Deserialize, ToSchema)]
struct Code {
    code: String,
}

/// Whether a second factor is on.
#[derive(Serialize, ToSchema)]
struct SecondFactorBody {
    is_on: bool,
    recovery_codes_left: u64,
}

/// A second factor that is not on yet.
#[derive(Serialize, ToSchema)]
struct NewSecondFactorBody {
    /// The key in base 32, to be typed.
    key: String,
    /// `otpauth://totp/…`, to be shown as a QR code.
    address: String,
}

/// Codes for who has lost the app; each is good once.
#[derive(Serialize, ToSchema)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

async fn log_in(State(hub): State<Hub>, client: Client, Input(step): Input<SecondStep>) -> Result<Json<SessionToken>> {
    let signed = hub.sign_in_with_code(&step.login_2fa_token, &step.code, Some(client.peer)).await;
    let token = hub.session(&signed.map_err(incorrect)?, session_seconds(&hub), &client.agent).await?;
    Ok(Json(SessionToken { token }))
}

async fn state(State(hub): State<Hub>, Signed(who): Signed) -> Result<Json<SecondFactorBody>> {
    let state = hub.second_factor(&who).await?;
    Ok(Json(SecondFactorBody { is_on: state.is_on, recovery_codes_left: state.recovery_codes }))
}

async fn begin(State(hub): State<Hub>, Signed(who): Signed) -> Result<Created<NewSecondFactorBody>> {
    let new = hub.begin_second_factor(&who).await?;
    Ok(Created(NewSecondFactorBody { key: new.key, address: new.address }))
}

async fn confirm(
    State(hub): State<Hub>,
    Signed(who): Signed,
    Input(shown): Input<Code>,
) -> Result<Json<RecoveryCodes>> {
    Ok(Json(RecoveryCodes { recovery_codes: hub.confirm_second_factor(&who, &shown.code).await? }))
}

async fn disable(State(hub): State<Hub>, Signed(who): Signed, Input(shown): Input<Code>) -> Result<NoContent> {
    hub.disable_second_factor(&who, &shown.code).await?;
    Ok(NoContent)
}

/// For who has lost everything.
async fn reset(State(hub): State<Hub>, Signed(who): Signed, Path(name): Path<String>) -> Result<NoContent> {
    hub.reset_second_factor(&who, &name).await?;
    Ok(NoContent)
}
