//! The second factor: asked for after the password, turned on and off by its owner.

use axum::response::Response;
use http::StatusCode;
use http::header::SET_COOKIE;
use strata_hub::{Identity, NewSecondFactor, SignedIn};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, invalid, sections, with_status};
use crate::pages::profile;
use crate::qr::Qr;
use crate::site::{Values, Visit, own_path};

const CODE: &str = "/sign-in/code";
const PATH: &str = "/account/second-factor";
const CONFIRM: &str = "/account/second-factor/confirm";
const DISABLE: &str = "/account/second-factor/disable";

fn code_field() -> Field {
    Field::line("code", "Code", "").required().autocomplete("one-time-code")
}

/// The field for a code beside a password, where one is asked for only of some.
pub(super) fn code_beside_password(is_on: bool) -> Field {
    match is_on {
        true => code_field().hint("Six digits from your app, or one of your recovery codes."),
        false => Field { is_required: false, ..code_field() }.hint("Only with a second factor."),
    }
}

/// Goes on with a sign-in: into a session, or to the page that asks for a code. `text` is told after it.
pub(crate) async fn go_on(visit: &Visit, signed: SignedIn, next: &str, text: &str) -> Result {
    match signed {
        SignedIn::Yes(identity) => enter(visit, &identity, next, text).await,
        SignedIn::NeedsCode(token) => ask(visit, &token, next, None),
    }
}

/// Begins a session.
pub(super) async fn enter(visit: &Visit, identity: &Identity, next: &str, text: &str) -> Result {
    let cookie = visit.begin_session(identity).await?;
    let mut response: Response = match text {
        "" => crate::site::see_other(next, None),
        text => visit.told(next, text),
    };
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

fn ask(visit: &Visit, token: &str, next: &str, refused: Option<Refused>) -> Result {
    let is_first = refused.is_none();
    let form = Form::post(CODE, "Sign in")
        .with(Field::hidden("token", token))
        .with(Field::hidden("next", next))
        .with(code_field().hint("Six digits from your app, or one of your recovery codes."));
    let parts = vec![Part::Form(form)];
    let shown = sections(visit, "Your second factor", Vec::new(), vec![Section::new("", parts)], refused)?;
    // Nobody is signed in yet.
    Ok(if is_first { with_status(StatusCode::UNAUTHORIZED, shown) } else { shown })
}

/// `POST /sign-in/code`.
pub(crate) async fn sign_in(visit: Visit, form: String) -> Result {
    let values = Values::of(&form);
    let (token, next) = (values.first("token").to_owned(), own_path(values.first("next")));
    match visit.hub.sign_in_with_code(&token, values.first("code").trim(), Some(visit.peer)).await {
        Ok(identity) => enter(&visit, &identity, &next, "").await,
        Err(error) => ask(&visit, &token, &next, Some(Refused { values, error })),
    }
}

/// What stands on the page of one's account.
pub(crate) async fn section(visit: &Visit, who: &Identity) -> Result<Section> {
    let state = visit.hub.second_factor(who).await.map_err(|error| Failure::of(visit, error))?;
    let parts = if state.is_on {
        let left = Cell::Text(state.recovery_codes.to_string());
        vec![
            Part::Facts(vec![("State", Cell::text("on")), ("Recovery codes left", left)]),
            Part::Text("docker login takes an access token as the password.".into()),
            Part::Form(Form::post(DISABLE, "Turn off").dangerous().with(code_field())),
        ]
    } else {
        let text = "A code from an app on your phone, besides the password.";
        vec![Part::Text(text.into()), Part::Form(Form::post(PATH, "Set up a second factor"))]
    };
    Ok(Section::new("Second factor", parts))
}

fn show(visit: &Visit, list: Vec<Section>, refused: Option<Refused>) -> Result {
    sections(visit, "Second factor", profile::account_tabs("/account"), list, refused)
}

/// The key as an app takes it, and the form that asks for its first code.
fn set_up(new: NewSecondFactor) -> Section {
    let form = Form::post(CONFIRM, "Turn on").with(code_field().hint("The code that your app shows now."));
    let mut parts = vec![Part::Text("Let your app for one-time codes read this, or type the key into it:".into())];
    parts.extend(Qr::of(&new.address).map(|code| Part::Qr(code, "the address below")));
    parts.extend([Part::Copy("key", new.key), Part::Copy("address", new.address), Part::Form(form)]);
    Section::new("Set it up", parts)
}

/// `POST /account/second-factor`: a new key.
pub(crate) async fn begin(visit: Visit) -> Result {
    let who = visit.signed_in("/account")?;
    let new = visit.hub.begin_second_factor(who).await.map_err(|error| Failure::of(&visit, error))?;
    show(&visit, vec![set_up(new)], None)
}

/// `POST /account/second-factor/confirm`: it is on; the recovery codes are shown once.
pub(crate) async fn confirm(visit: Visit, form: String) -> Result {
    let who = visit.signed_in("/account")?;
    let values = Values::of(&form);
    match visit.hub.confirm_second_factor(who, values.first("code").trim()).await {
        Ok(codes) => {
            let rows = codes.into_iter().map(|code| vec![Cell::Code(code)]).collect();
            let table = Table { heads: &["Recovery codes"], rows, empty: String::new() };
            let text =
                "Keep these where you find them without your phone. Each is good once. They are shown this once.";
            let parts = vec![Part::Warning(text.into()), Part::Table(table)];
            show(&visit, vec![Section::new("The second factor is on", parts)], None)
        }
        Err(error) => {
            let pending = visit.hub.pending_second_factor(who).await.map_err(|error| Failure::of(&visit, error))?;
            let list = pending.map(set_up).into_iter().collect();
            show(&visit, list, Some(refused(values, error)))
        }
    }
}

/// `POST /account/second-factor/disable`.
pub(crate) async fn disable(visit: Visit, form: String) -> Result {
    let who = visit.signed_in("/account")?;
    let values = Values::of(&form);
    match visit.hub.disable_second_factor(who, values.first("code").trim()).await {
        Ok(()) => Ok(visit.told("/account", "The second factor is off.")),
        Err(error) => show(&visit, vec![section(&visit, who).await?], Some(refused(values, error))),
    }
}

/// A wrong code is a wrong field, not a missing sign-in.
fn refused(values: Values, error: strata_hub::HubError) -> Refused {
    let is_wrong = error.kind() == ErrorKind::Unauthenticated;
    Refused { values, error: if is_wrong { invalid("code", "this code is not good") } else { error } }
}
