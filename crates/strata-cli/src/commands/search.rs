//! `search`: images on a registry.

use strata_engine::{SearchRequest, search};
use strata_format::Value;
use strata_format::ellipsis::ellipsis;
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;
use strata_registry_client::FoundImage;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::filters;
use crate::output::{complain, print};
use crate::report::Outcome;

const TABLE: &str = "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";
const HEADERS: [(&str, &str); 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
const DESCRIPTION_WIDTH: usize = 45;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("search", "[OPTIONS] TERM", "Search a registry for images", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .flag("f/filter", FlagKind::Filter, "Filter output based on conditions provided")
    .flag("format", FlagKind::Text("string"), "Pretty-print search using a Go template")
    .flag("limit", FlagKind::Number, "Max number of search results")
    .flag("no-trunc", FlagKind::Bool, "Don't truncate output")
    .examples(&[
        ("search --filter is-official=true redis", "On Docker Hub"),
        ("search registry.example.com/app", "On another registry"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let filters = filters::parse(flags);
    if filters.iter().any(|(key, _)| key == "is-automated") {
        complain(
            "WARNING: the \"is-automated\" filter is deprecated, and searching for \"is-automated=true\" will not yield any results in future.",
        );
    }
    let request = SearchRequest { term: flags.argument(0), limit: flags.number("limit").unwrap_or(0), filters };
    let found = search(context.client()?, &request).await?;
    let format = flags.text("format").unwrap_or_else(|| "table".to_owned());
    print(&render(&found, &format, flags.is_set("no-trunc"))?)
}

fn render(found: &[FoundImage], format: &str, is_whole: bool) -> Outcome<String> {
    let is_json = format == "json";
    let format = Format::new(format, TABLE, None);
    let rows: Vec<Value> = found.iter().map(|image| row(image, is_whole, is_json)).collect();
    Ok(Formatter::new(&format, HEADERS)?.render(&rows)?)
}

fn row(image: &FoundImage, is_whole: bool, is_json: bool) -> Value {
    let description = image.description.replace(['\n', '\r'], " ");
    let yes_no = |value: bool| match (value, is_json) {
        (value, true) => value.to_string(),
        (true, false) => "[OK]".to_owned(),
        (false, false) => String::new(),
    };
    Struct::row("*formatter.searchContext")
        .field("Name", image.name.as_str())
        .field("Description", if is_whole { description } else { ellipsis(&description, DESCRIPTION_WIDTH) })
        .field("StarCount", image.star_count.to_string())
        .field("IsOfficial", yes_no(image.is_official))
        .field("IsAutomated", yes_no(image.is_automated))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let image = FoundImage {
            name: "redis".into(),
            description: "Redis is the world's fastest data platform\nfor caching".into(),
            star_count: 13_000,
            is_official: true,
            ..FoundImage::default()
        };
        assert_eq!(
            render(std::slice::from_ref(&image), "table", false).unwrap(),
            "NAME      DESCRIPTION                                     STARS     OFFICIAL\n\
             redis     Redis is the world's fastest data platform f…   13000     [OK]\n"
        );
        let json = render(&[image], "{{json .IsOfficial}}", false).unwrap();
        assert_eq!(json, "\"[OK]\"\n");
    }
}
