//! Making an account for oneself, where the hub's configuration lets everybody.

use strata_hub::{NewUser, Registration};

use crate::failure::{Failure, Result};
use crate::forms::{Field, Form, Part, Refused, Section, sections};
use crate::pages::{password, second_factor};
use crate::site::{Values, Visit};

const PATH: &str = "/register";

/// Whether there is such a page.
pub(crate) fn is_open(visit: &Visit) -> bool {
    visit.hub.settings().accounts.registration == Registration::Open
}

fn show(visit: &Visit, refused: Option<Refused>) -> Result {
    if !is_open(visit) {
        return Err(Failure::not_found(visit, "page"));
    }
    let name = Field::line("name", "Name", "").required().autocomplete("username");
    let form = Form::post(PATH, "Make account")
        .with(name.hint(format!("Your images are {}/NAME/… It can never be changed.", visit.host)))
        .with(Field::line("full_name", "Full name", "").hint("Optional; everybody sees it.").autocomplete("name"))
        .with(Field::of_type("email", "email", "E-mail", "").hint("Optional; only administrators see it."));
    let parts = vec![Part::Form(password::new_password(form))];
    sections(visit, "Make an account", Vec::new(), vec![Section::new("", parts)], refused)
}

/// `GET /register`.
pub(crate) async fn form(visit: Visit) -> Result {
    show(&visit, None)
}

/// `POST /register`.
pub(crate) async fn register(visit: Visit, form: String) -> Result {
    if !is_open(&visit) {
        return Err(Failure::not_found(&visit, "page"));
    }
    let values = Values::of(&form);
    let text = |name: &str| values.first(name).trim().to_owned();
    let made = match password::typed_twice(&values) {
        Ok(password) => {
            let new = NewUser {
                name: text("name"),
                password: Some(password.to_owned()),
                full_name: text("full_name"),
                email: Some(text("email")),
                is_administrator: false,
            };
            visit.hub.register(new, Some(visit.peer)).await
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(account) => {
            let signed = visit.hub.sign_in(&account.name, values.first("password"), Some(visit.peer)).await;
            let signed = signed.map_err(|error| Failure::of(&visit, error))?;
            second_factor::go_on(&visit, signed, "/my", "Your account is made.").await
        }
        Err(error) => show(&visit, Some(Refused { values, error })),
    }
}
