//! `search`: images on a registry.

use strata_format::Value;
use strata_format::ellipsis::ellipsis;
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;
use strata_model::Host;
use strata_registry_client::FoundImage;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::filters;
use crate::output::{complain, print};
use crate::report::{Failure, Outcome};

const TABLE: &str = "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";
const HEADERS: [(&str, &str); 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
const DESCRIPTION_WIDTH: usize = 45;
const DEFAULT_LIMIT: i64 = 25;

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
    let (host, term) = split_term(&flags.argument(0))?;
    let limit = match flags.number("limit") {
        None | Some(0) => DEFAULT_LIMIT,
        Some(limit) if (1..=100).contains(&limit) => limit,
        Some(limit) => return Err(Failure::daemon(format!("limit {limit} is outside the range of [1, 100]"))),
    };
    let filter = Filter::parse(filters::parse(flags))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let mut found = context.client()?.search(&host, &term, limit).await?;
    found.retain(|image| filter.accepts(image));
    let format = flags.text("format").unwrap_or_else(|| "table".to_owned());
    print(&render(&found, &format, flags.is_set("no-trunc"))?)
}

/// The registry and what is looked for there.
fn split_term(text: &str) -> Outcome<(Host, String)> {
    if text.contains("://") {
        return Err(Failure::daemon(format!(
            "invalid repository name: repository name ({text}) should not have a scheme"
        )));
    }
    let is_host = |first: &str| first == "localhost" || first.contains(['.', ':']);
    let (host, term) = match text.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => ("docker.io", text),
    };
    let host = host.parse::<Host>().map_err(|cause| Failure::daemon(cause.to_string()))?;
    Ok((host, term.to_owned()))
}

#[derive(Debug, Default)]
struct Filter {
    is_official: Option<bool>,
    is_automated: Option<bool>,
    stars: u64,
}

impl Filter {
    fn parse(given: Vec<(String, String)>) -> Outcome<Filter> {
        let mut filter = Filter::default();
        let invalid = |key: &str, value: &str| Failure::daemon(format!("invalid filter '{key}=[{value}]'"));
        let parse_bool = |key: &str, value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(invalid(key, value)),
        };
        for (key, value) in given {
            match key.as_str() {
                "is-official" => filter.is_official = Some(parse_bool(&key, &value)?),
                "is-automated" => {
                    complain(
                        "WARNING: the \"is-automated\" filter is deprecated, and searching for \"is-automated=true\" will not yield any results in future.",
                    );
                    filter.is_automated = Some(parse_bool(&key, &value)?);
                }
                "stars" => {
                    let stars: u64 = value.parse().map_err(|_| {
                        Failure::daemon(format!(
                            "invalid filter 'stars={value}': strconv.Atoi: parsing {value:?}: invalid syntax"
                        ))
                    })?;
                    filter.stars = filter.stars.max(stars);
                }
                _ => return Err(Failure::daemon(format!("invalid filter '{key}'"))),
            }
        }
        Ok(filter)
    }

    fn accepts(&self, image: &FoundImage) -> bool {
        self.is_official.is_none_or(|wanted| wanted == image.is_official)
            && self.is_automated.is_none_or(|wanted| wanted == image.is_automated)
            && image.star_count >= self.stars
    }
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
    fn terms_with_a_registry() {
        for (text, host, term) in [
            ("redis", "docker.io", "redis"),
            ("me/app", "docker.io", "me/app"),
            ("registry.example.com/me/app", "registry.example.com", "me/app"),
            ("localhost:5000/app", "localhost:5000", "app"),
        ] {
            let (found, rest) = split_term(text).unwrap();
            assert_eq!((found.as_str(), rest.as_str()), (host, term), "{text}");
        }
        let refused = split_term("https://x").unwrap_err().message;
        assert!(refused.ends_with("repository name (https://x) should not have a scheme"), "{refused}");
    }

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
