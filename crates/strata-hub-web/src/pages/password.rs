//! Choosing another password: by showing the old one, which may be one that is good for nothing else.

use strata_model::ErrorKind;

use crate::failure::Result;
use crate::forms::{Field, Form, Part, Refused, Section, invalid, sections};
use crate::pages::second_factor;
use crate::site::{Values, Visit, own_path, see_other};

const PATH: &str = "/password";

/// The fields of a new password.
pub(crate) fn new_password(form: Form) -> Form {
    let hint = "8 characters or more. A sentence is easy to remember and hard to guess.";
    form.with(Field::password("password", "New password", "new-password").hint(hint)).with(Field::password(
        "repeated",
        "New password again",
        "new-password",
    ))
}

/// What was typed twice.
pub(crate) fn typed_twice(values: &Values) -> strata_hub::Result<&str> {
    match values.first("password") == values.first("repeated") {
        true => Ok(values.first("password")),
        false => Err(invalid("repeated", "is not the same")),
    }
}

/// Where somebody with a one-time password goes on.
pub(crate) fn must_change(name: &str, next: &str) -> axum::response::Response {
    let encode = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    see_other(&format!("{PATH}?name={}&next={}", encode(name), encode(next)), None)
}

fn show(visit: &Visit, name: &str, next: &str, refused: Option<Refused>) -> Result {
    let form = Form::post(PATH, "Change password")
        .with(Field::hidden("next", next))
        .with(Field::line("name", "Name", name).required().autocomplete("username"))
        .with(Field::password("old", "Old or one-time password", "current-password"))
        .with(second_factor::code_beside_password(false));
    let text = "A one-time password is good for this page only: choose one of your own. Whoever is signed in with the old \
                password has to sign in again.";
    let parts = vec![Part::Text(text.to_owned()), Part::Form(new_password(form))];
    sections(visit, "Choose a password", Vec::new(), vec![Section::new("", parts)], refused)
}

/// `GET /password?name=&next=`.
pub(crate) async fn form(visit: Visit) -> Result {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let name = Some(values.first("name")).filter(|name| !name.is_empty()).or(visit.viewer()).unwrap_or_default();
    show(&visit, name, &own_path(values.first("next")), None)
}

/// `POST /password`.
pub(crate) async fn change(visit: Visit, form: String) -> Result {
    let values = Values::of(&form);
    let (name, next) = (values.first("name").trim().to_owned(), own_path(values.first("next")));
    let (old, peer) = (values.first("old"), Some(visit.peer));
    let changed = match typed_twice(&values) {
        Ok(new) => visit.hub.change_password(&name, old, new, values.first("code"), peer).await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(who) => second_factor::enter(&visit, &who, &next, "Your password is changed.").await,
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {
            let error = invalid("old", "the name or the password is wrong");
            show(&visit, &name, &next, Some(Refused { values, error }))
        }
        Err(error) => show(&visit, &name, &next, Some(Refused { values, error })),
    }
}
