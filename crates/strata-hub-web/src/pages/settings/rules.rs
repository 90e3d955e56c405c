//! Tags that never move, and tags that go by themselves.

use strata_hub::RepositoryUpdate;
use strata_hub::records::{ImmutableTags, Retention};

use super::{Cell, Desk};
use crate::forms::{Field, Form, Part, Section, Table, invalid};
use crate::site::Values;

/// Tags that a preview names.
const NAMED: usize = 200;

impl Desk<'_> {
    pub(super) fn rules(&self) -> Vec<Section> {
        let immutable = &self.row.immutable_tags;
        let fixed = Form::post(self.path("immutable"), "Save")
            .with(Field::check("enabled", "Tags that were set once stay on their digest", immutable.enabled))
            .with(
                Field::area("immutable_tags_settings", "Which tags", &immutable.rules.join("\n"))
                    .hint("Regular expressions, one on each line, that match a whole tag. Without any: every tag."),
            );
        let retention = &self.row.retention;
        let number = |number: u64| number.to_string();
        let goes = Form::post(self.path("retention"), "Save")
            .or("preview", "Show which tags would go")
            .with(Field::check("enabled", "Remove old tags once an hour", retention.enabled))
            .with(
                Field::of_type("number", "keep", "Always keep the newest", &number(retention.keep))
                    .hint("So many tags stay whatever their age."),
            )
            .with(
                Field::of_type(
                    "number",
                    "older_than_days",
                    "Remove after days",
                    &retention.older_than_days.map(number).unwrap_or_default(),
                )
                .hint("Neither pushed nor pulled for so long. Without a number: all but those kept."),
            )
            .with(
                Field::area("retention", "Tags that stay", &retention.except.join("\n"))
                    .hint("Regular expressions, one on each line, that match a whole tag."),
            );
        vec![
            Section::new("Tags that never move", vec![Part::Form(fixed)]),
            Section::new("Tags that go by themselves", vec![Part::Form(goes)]),
        ]
    }

    /// What rules that were typed would remove now.
    pub(super) async fn preview_retention(&self, values: &Values) -> strata_hub::Result<Section> {
        let tags = self.visit.hub.preview_retention(&self.row, &retention(values)?).await?;
        let now = self.visit.now;
        let rows = tags.iter().take(NAMED).map(|tag| {
            vec![
                Cell::Code(tag.tag.clone()),
                Cell::when(Some(tag.pushed), now, ""),
                Cell::when(tag.last_pulled, now, "never"),
            ]
        });
        let table = Table { heads: &["Tag", "Pushed", "Last pull"], rows: rows.collect(), empty: String::new() };
        let text = match tags.len() {
            0 => "No tag would go now.".to_owned(),
            1 => "One tag would go now:".to_owned(),
            number => format!("{number} tags would go now:"),
        };
        let mut parts = vec![Part::Text(text)];
        if !tags.is_empty() {
            parts.push(Part::Table(table));
        }
        Ok(Section::new("Dry run (not saved)", parts))
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

pub(super) fn immutable(values: &Values) -> RepositoryUpdate {
    let rules = lines(values.first("immutable_tags_settings"));
    let immutable_tags = Some(ImmutableTags { enabled: values.first("enabled") == "yes", rules });
    RepositoryUpdate { immutable_tags, ..RepositoryUpdate::default() }
}

pub(super) fn retention_update(values: &Values) -> strata_hub::Result<RepositoryUpdate> {
    Ok(RepositoryUpdate { retention: Some(retention(values)?), ..RepositoryUpdate::default() })
}

fn retention(values: &Values) -> strata_hub::Result<Retention> {
    let number = |name: &'static str| match values.first(name).trim() {
        "" => Ok(None),
        text => text.parse::<u64>().map(Some).map_err(|_| invalid(name, "must be a whole number")),
    };
    Ok(Retention {
        enabled: values.first("enabled") == "yes",
        keep: number("keep")?.unwrap_or(0),
        older_than_days: number("older_than_days")?,
        except: lines(values.first("retention")),
    })
}
