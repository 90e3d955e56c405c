//! Signing in with a second factor, as clients of Docker Hub do it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use strata_testkit::one_time_code;

use crate::support::{Answer, Body, PASSWORD, World, basic};

/// The code of an app with this key in base 32, so many steps from now.
fn code(key: &str, steps: i64) -> String {
    one_time_code::at(key, one_time_code::present_step() + steps)
}

impl World {
    async fn first_step(&self) -> Answer {
        self.post("/v2/users/login", None, json!({ "username": "otto", "password": PASSWORD })).await
    }

    async fn second_step(&self, token: &Value, code: &str) -> Answer {
        self.post("/v2/users/2fa-login", None, json!({ "login_2fa_token": token, "code": code })).await
    }
}

const PATH: &str = "/api/v1/account/second-factor";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_alone_is_not_enough_when_it_is_on() {
    let world = World::start().await;
    let otto = basic("otto", PASSWORD);
    let personal = world.personal("otto", "repo:write", None).await;
    world.post(PATH, Some(&personal), json!({})).await.is(StatusCode::FORBIDDEN);
    let session = world.first_step().await.is(StatusCode::OK).json()["token"].as_str().unwrap().to_owned();
    let session = format!("Bearer {session}");

    let new = world.post(PATH, Some(&session), json!({})).await.is(StatusCode::CREATED).json();
    let key = new["key"].as_str().unwrap();
    assert_eq!(new["address"], format!("otpauth://totp/Strata:otto?secret={key}&issuer=Strata"));
    // Not before a code was shown.
    world.get("/v2/user", Some(&otto)).await.is(StatusCode::OK);
    let confirm = format!("{PATH}/confirm");
    world.post(&confirm, Some(&session), json!({ "code": "000000" })).await.is(StatusCode::UNAUTHORIZED);
    let confirmed = world.post(&confirm, Some(&session), json!({ "code": code(key, -1) })).await;
    let recovery = confirmed.is(StatusCode::OK).json()["recovery_codes"].clone();
    assert_eq!(recovery.as_array().map(Vec::len), Some(10));
    world.post(PATH, Some(&session), json!({})).await.is(StatusCode::CONFLICT);
    let state = world.get(PATH, Some(&session)).await.is(StatusCode::OK).json();
    assert_eq!(state, json!({ "is_on": true, "recovery_codes_left": 10 }));

    // The password alone: nothing, but with the words that say what to do. Access tokens go on.
    for path in ["/v2/user", "/v2/", "/token?service=hub"] {
        let refused = world.get(path, Some(&otto)).await.is(StatusCode::FORBIDDEN);
        assert!(refused.text().contains("use an access token"), "{path}: {}", refused.text());
    }
    let secret = json!({ "identifier": "otto", "secret": PASSWORD });
    world.post("/v2/auth/token", None, secret).await.is(StatusCode::FORBIDDEN);
    world.get("/v2/", Some(&personal)).await.is(StatusCode::OK);

    let half = world.first_step().await.is(StatusCode::UNAUTHORIZED).json();
    assert_eq!(half["detail"], "Require secondary authentication on MFA enabled account");
    let half = &half["login_2fa_token"];
    let as_session = format!("Bearer {}", half.as_str().unwrap());
    world.get("/v2/user", Some(&as_session)).await.is(StatusCode::UNAUTHORIZED);
    world.second_step(half, &code(key, 7)).await.is(StatusCode::UNAUTHORIZED);
    world.second_step(&json!(session), &code(key, 0)).await.is(StatusCode::UNAUTHORIZED);
    let full = world.second_step(half, &code(key, 0)).await.is(StatusCode::OK).json();
    let full = format!("Bearer {}", full["token"].as_str().unwrap());
    world.get("/v2/user", Some(&full)).await.is(StatusCode::OK);
    // No code twice, no recovery code twice.
    world.second_step(half, &code(key, 0)).await.is(StatusCode::UNAUTHORIZED);
    let lost = recovery[3].as_str().unwrap();
    world.second_step(half, lost).await.is(StatusCode::OK);
    world.second_step(half, lost).await.is(StatusCode::UNAUTHORIZED);

    let off = json!({ "code": recovery[4] });
    world.send("DELETE", PATH, Some(&full), Body::Json(&json!({ "code": "1" }))).await.is(StatusCode::UNAUTHORIZED);
    world.send("DELETE", PATH, Some(&full), Body::Json(&off)).await.is(StatusCode::NO_CONTENT);
    world.get("/v2/user", Some(&otto)).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_cannot_be_guessed_and_administrators_help_out() {
    let world = World::start().await;
    let session = world.first_step().await.is(StatusCode::OK).json()["token"].as_str().unwrap().to_owned();
    let session = format!("Bearer {session}");
    let new = world.post(PATH, Some(&session), json!({})).await.is(StatusCode::CREATED).json();
    let first = json!({ "code": code(new["key"].as_str().unwrap(), 0) });
    world.post(&format!("{PATH}/confirm"), Some(&session), first).await.is(StatusCode::OK);
    let mut statuses = Vec::new();
    for _ in 0..7 {
        // A right password in between makes no wrong code forgotten.
        let half = world.first_step().await.is(StatusCode::UNAUTHORIZED).json();
        statuses.push(world.second_step(&half["login_2fa_token"], "12345").await.status);
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");

    let path = "/api/v1/admin/users/otto/second-factor";
    world.send("DELETE", path, Some(&basic("ann", PASSWORD)), Body::None).await.is(StatusCode::FORBIDDEN);
    let admin = basic("admin", PASSWORD);
    world.send("DELETE", path, Some(&admin), Body::None).await.is(StatusCode::NO_CONTENT);
    world.send("DELETE", path, Some(&admin), Body::None).await.is(StatusCode::NOT_FOUND);
    world.first_step().await.is(StatusCode::OK);
    let log = world.get("/v2/auditlogs/otto?action=account.second_factor", Some(&admin)).await.is(StatusCode::OK);
    assert!(log.text().contains("second_factor"), "{}", log.text());
}
