//! What is said of a repository, and who sees it.

use strata_hub::{MAX_DESCRIPTION, RepositoryUpdate};

use super::Desk;
use crate::failure::Result;
use crate::forms::{Field, Form, Part, Section};
use crate::markdown;
use crate::pages::create::VISIBILITIES;
use crate::site::Values;

impl Desk<'_> {
    pub(super) async fn general(&self) -> Result<Vec<Section>> {
        let hub = &self.visit.hub;
        let full = hub.full_description(&self.row).await.map_err(|error| self.failed(error))?;
        let categories = hub.categories().await.map_err(|error| self.failed(error))?;
        let known: Vec<(&str, &str)> =
            categories.iter().map(|category| (category.slug.as_str(), category.name.as_str())).collect();
        let chosen: Vec<&str> = self.row.categories.iter().map(String::as_str).collect();
        let description = Field::line("description", "Short description", &self.row.description);
        let mut form = Form::post(self.path("describe"), "Save")
            .or("preview", "Preview")
            .with(description.hint(format!("One line of {MAX_DESCRIPTION} characters at most.")))
            .with(
                Field::area("full_description", "Full description", &full)
                    .hint("Markdown. HTML in it is left out; images become links."),
            )
            .with(
                Field::of_type("url", "source", "Source", self.row.source.as_deref().unwrap_or_default())
                    .hint("Where the source is: https://…"),
            );
        if !known.is_empty() {
            form = form.with(Field::any("categories", "Categories (three at most)", &known, &chosen));
        }
        let visibility = if self.row.is_private { "private" } else { "public" };
        let visibility = Form::post(self.path("visibility"), "Save").with(Field::one(
            "visibility",
            "Who sees it",
            &VISIBILITIES,
            visibility,
        ));
        Ok(vec![
            Section::new("Description", vec![Part::Form(form)]),
            Section::new("Visibility", vec![Part::Form(visibility)]),
        ])
    }
}

/// The full description as its page would show it.
pub(super) fn preview(values: &Values) -> Section {
    let text = values.first("full_description");
    Section::new("Preview (not saved)", vec![Part::Prose(markdown::render(text))])
}

pub(super) fn update(action: &str, values: &Values) -> RepositoryUpdate {
    let text = |name: &str| Some(values.first(name).trim().to_owned());
    match action {
        "visibility" => RepositoryUpdate {
            is_private: Some(values.first("visibility") == "private"),
            ..RepositoryUpdate::default()
        },
        _ => RepositoryUpdate {
            description: text("description"),
            // Browsers send line ends as CR LF.
            full_description: Some(values.first("full_description").replace("\r\n", "\n")),
            source: text("source"),
            categories: Some(values.all("categories").map(str::to_owned).collect()),
            ..RepositoryUpdate::default()
        },
    }
}
