//! Making a repository before anything is pushed.

use strata_hub::NewRepository;

use crate::failure::{Failure, Result};
use crate::forms::{Field, Form, Part, Refused, Section, sections};
use crate::site::{Values, Visit};
use crate::views::repository_path;

const PATH: &str = "/new";
/// Who sees a repository.
pub(crate) const VISIBILITIES: [(&str, &str); 2] =
    [("public", "Public: everybody sees and pulls it"), ("private", "Private: those who were given a role")];

async fn show(visit: &Visit, refused: Option<Refused>) -> Result {
    let who = visit.signed_in(PATH)?;
    let namespaces = visit.hub.writable_namespaces(who).await.map_err(|error| Failure::of(visit, error))?;
    let asked = Values::of(visit.uri.query().unwrap_or_default()).first("namespace").to_owned();
    let chosen = if namespaces.contains(&asked) { &asked } else { &who.account };
    let choices: Vec<(&str, &str)> = namespaces.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let private = visit.hub.account(chosen).await.is_ok_and(|account| account.private_by_default);
    let form = Form::post(PATH, "Make repository")
        .with(Field::one("namespace", "Namespace", &choices, chosen))
        .with(Field::line("name", "Name", "").required().hint("Lower-case letters and digits; . _ - between them."))
        .with(Field::line("description", "Description", "").hint("One line of 100 characters at most."))
        .with(Field::one("visibility", "Visibility", &VISIBILITIES, if private { "private" } else { "public" }));
    let text = format!("A first push makes a repository too: docker push {}/{chosen}/NAME.", visit.host);
    let parts = vec![Part::Form(form), Part::Text(text)];
    sections(visit, "New repository", Vec::new(), vec![Section::new("", parts)], refused)
}

/// `GET /new?namespace=`.
pub(crate) async fn form(visit: Visit) -> Result {
    show(&visit, None).await
}

/// `POST /new`.
pub(crate) async fn create(visit: Visit, form: String) -> Result {
    let who = visit.signed_in(PATH)?;
    let values = Values::of(&form);
    let new = NewRepository {
        namespace: values.first("namespace").to_owned(),
        name: values.first("name").trim().to_owned(),
        description: values.first("description").trim().to_owned(),
        full_description: String::new(),
        is_private: Some(values.first("visibility") == "private"),
    };
    match visit.hub.create_repository_as(who, new).await {
        Ok(row) => Ok(visit.told(&repository_path(&row), &format!("{} is made.", row.familiar_name()))),
        Err(error) => show(&visit, Some(Refused { values, error })).await,
    }
}
