//! Tags and the repository itself go, after one has seen what that frees.

use strata_hub::records::{TagFilter, TagOrder};
use strata_store::registry::RemovalPreview;

use super::{Desk, Done};
use crate::failure::Result;
use crate::forms::{Field, Form, Part, Section};
use crate::site::Values;
use crate::words;

/// Tags to choose from.
const TAGS: u64 = 100;
/// Repositories that are named as reason.
const NAMED: usize = 5;

/// What a removal does to the disk, in words.
fn effect(preview: &RemovalPreview) -> String {
    let freed = match preview.freed {
        0 => "This frees nothing.".to_owned(),
        bytes => format!("This frees {}.", words::size(bytes)),
    };
    if preview.kept == 0 {
        return freed;
    }
    let kept = words::size(preview.kept);
    let named = preview.sharers.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match preview.sharers.len() {
        0 => format!("{freed} {kept} stay because they are needed elsewhere."),
        1 => format!("{freed} {kept} stay because {named} shares them."),
        many if many > NAMED => format!("{freed} {kept} stay because {named} and {} more share them.", many - NAMED),
        _ => format!("{freed} {kept} stay because {named} share them."),
    }
}

impl Desk<'_> {
    pub(super) async fn removal(&self) -> Result<Vec<Section>> {
        let values = Values::of(self.visit.uri.query().unwrap_or_default());
        let chosen: Vec<String> = values.all("tag").map(str::to_owned).collect();
        let mut list = Vec::new();
        if !chosen.is_empty() {
            list.push(self.tags_to_delete(&chosen).await?);
        }
        list.push(self.tags_to_choose(&values).await?);

        let hub = &self.visit.hub;
        let preview = hub.preview_deletion(self.who, &self.name).await.map_err(|error| self.failed(error))?;
        let form = Form::post(self.path("delete-repository"), "Delete repository")
            .dangerous()
            .with(Field::line("confirmation", &format!("Type {} to confirm", self.name), "").required());
        let text = "All tags, descriptions, stars, roles and webhooks go. Nobody can bring them back.";
        let parts = vec![Part::Warning(text.into()), Part::Text(effect(&preview)), Part::Form(form)];
        list.push(Section::new("Delete the repository", parts));
        Ok(list)
    }

    async fn tags_to_delete(&self, chosen: &[String]) -> Result<Section> {
        let hub = &self.visit.hub;
        let preview = hub.preview_untagging(self.who, &self.name, chosen).await.map_err(|error| self.failed(error))?;
        let label = if chosen.len() == 1 { "Delete this tag".into() } else { format!("Delete {} tags", chosen.len()) };
        let form = chosen.iter().fold(Form::post(self.path("delete-tags"), &label).dangerous(), |form, tag| {
            form.with(Field::hidden("tag", tag))
        });
        let parts = vec![
            Part::Text(chosen.join(", ")),
            Part::Text(effect(&preview)),
            Part::Text("Space comes back when garbage collection has looked at what lost its last tag.".into()),
            Part::Form(form),
        ];
        Ok(Section::new("Delete these tags?", parts))
    }

    async fn tags_to_choose(&self, values: &Values) -> Result<Section> {
        let name = values.first("name");
        let filter = TagFilter {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            order: TagOrder::Newest,
            limit: TAGS,
            ..TagFilter::default()
        };
        let (total, tags) = self.visit.hub.tags(&self.row, &filter).await.map_err(|error| self.failed(error))?;
        let tags: Vec<(&str, &str)> = tags.iter().map(|tag| (tag.tag.as_str(), tag.tag.as_str())).collect();
        let find =
            Form::question(self.path("delete"), "Filter").with(Field::of_type("search", "name", "Filter tags", name));
        let chosen: Vec<&str> = values.all("tag").collect();
        let mut choose = Form::question(self.path("delete"), "See what this frees");
        choose.is_inline = false;
        let choose = choose.with(Field::any("tag", "Tags", &tags, &chosen)).with(Field::hidden("name", name));
        let parts = match tags.len() {
            0 => vec![Part::Form(find), Part::Text("There is no such tag.".into())],
            shown if (shown as u64) < total => {
                let text = format!("The newest {shown} of {total} tags. Filter to see others.");
                vec![Part::Form(find), Part::Text(text), Part::Form(choose)]
            }
            _ => vec![Part::Form(find), Part::Form(choose)],
        };
        Ok(Section::new("Delete tags", parts))
    }

    pub(super) async fn delete_tags(&self, values: &Values) -> strata_hub::Result<Done> {
        let tags: Vec<String> = values.all("tag").map(str::to_owned).collect();
        let text = match self.visit.hub.delete_tags_as(self.who, &self.name, &tags).await? {
            1 => "One tag is deleted.".to_owned(),
            number => format!("{number} tags are deleted."),
        };
        Ok(Done::Told(self.path("delete"), text))
    }

    pub(super) async fn delete_repository(&self, values: &Values) -> strata_hub::Result<Done> {
        self.visit.hub.delete_repository_as(self.who, &self.name, values.first("confirmation")).await?;
        Ok(Done::Told("/my".into(), format!("{} is deleted.", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_names_who_shares() {
        let preview = |kept, sharers: &[&str]| RemovalPreview {
            freed: 2_000_000,
            kept,
            sharers: sharers.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(effect(&RemovalPreview::default()), "This frees nothing.");
        for (preview, expected) in [
            (preview(0, &[]), "This frees 2.0 MB."),
            (preview(1000, &[]), "This frees 2.0 MB. 1.0 kB stay because they are needed elsewhere."),
            (preview(1000, &["a/b"]), "This frees 2.0 MB. 1.0 kB stay because a/b shares them."),
            (preview(1000, &["a/b", "c/d"]), "This frees 2.0 MB. 1.0 kB stay because a/b, c/d share them."),
        ] {
            assert_eq!(effect(&preview), expected);
        }
    }
}
