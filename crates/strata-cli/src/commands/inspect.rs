//! `inspect` and `image inspect`: everything about images.

mod typed;

use serde_json::Value;
use strata_engine::EngineError;
use strata_format::go_json;
use strata_format::go_json::{Escape, to_string};
use strata_format::template::Template;
use strata_model::Platform;

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Failures, Outcome};

const FORMAT_HELP: &str = "Format output using a custom template:\n\
    'json':             Print in JSON format\n\
    'TEMPLATE':         Print output using the given Go template.\n\
    Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// What docker inspects, in the order it lists.
const TYPES: &[&str] =
    &["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "inspect",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on images",
        |context, flags| Box::pin(run_generic(context, flags)),
    )
    .completes(Completes::Images)
    .arity(Arity::AtLeast(1))
    .flag("f/format", FlagKind::Text("string"), FORMAT_HELP)
    .flag("s/size", FlagKind::Bool, "Display total file sizes if the type is container")
    .flag("type", FlagKind::Text("string"), "Only inspect objects of the given type")
    .examples(&[("inspect --format '{{json .Config}}' nginx", "How an image runs")])
}

pub(super) fn image_definition() -> CommandDefinition {
    CommandDefinition::new(
        "inspect",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Display detailed information on one or more images",
        |context, flags| Box::pin(run_image(context, flags)),
    )
    .arity(Arity::AtLeast(1))
    .flag("f/format", FlagKind::Text("string"), FORMAT_HELP)
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Inspect a specific platform of the multi-platform image.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    )
    .examples(&[("image inspect --format '{{.RootFS.Layers}}' nginx", "The layers of an image")])
}

async fn run_generic(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let kind = flags.text("type").unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind.as_str()) {
        let known: Vec<String> = TYPES.iter().map(|name| format!("{name:?}")).collect();
        return Err(Failure::bare(format!("unknown type: {kind:?}: must be one of {}", known.join(", "))));
    }
    let is_other = !kind.is_empty() && kind != "image";
    let unknown = |text: &str, error: EngineError| match (&error, kind.as_str()) {
        (EngineError::NoSuchImage(_), "") => Failure::bare(format!("Error: No such object: {text}")),
        _ => error.into(),
    };
    let request = Request { platform: None, refused_type: is_other.then_some(kind.as_str()), unknown: &unknown };
    inspect(context, flags, &request).await
}

async fn run_image(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let request =
        Request { platform: context.platform(flags)?, refused_type: None, unknown: &|_, error| Failure::from(error) };
    inspect(context, flags, &request).await
}

/// What the two commands do differently.
struct Request<'a> {
    platform: Option<Platform>,
    /// A type of which there is nothing here.
    refused_type: Option<&'a str>,
    /// What is said of a failure.
    unknown: &'a dyn Fn(&str, EngineError) -> Failure,
}

async fn inspect(context: &Context<'_>, flags: &Flags<'_>, request: &Request<'_>) -> Outcome {
    let style = Style::parse(flags.text("format").as_deref())?;
    let mut failures = Failures::default();
    let mut documents = Vec::new();
    let mut rendered = String::new();
    for text in flags.arguments() {
        let Some(document) = failures.note(find(context, &text, request).await) else { continue };
        if let Style::Template(template) = &style {
            let line = template.execute_or_raw(&typed::image(&document), &document).map_err(Failure::from);
            if let Some(line) = failures.note(line) {
                rendered.push_str(&line);
                rendered.push('\n');
            }
        }
        documents.push(document);
    }
    let text = match &style {
        Style::Template(_) if rendered.is_empty() => "\n".to_owned(),
        Style::Template(_) => rendered,
        Style::Compact => format!("{}\n", api_array(&documents)),
        Style::Indented => format!("{}\n", go_json::indent(&api_array(&documents), "    ")?),
    };
    print(&text)?;
    failures.outcome()
}

async fn find(context: &Context<'_>, text: &str, request: &Request<'_>) -> Outcome<Value> {
    if let Some(kind) = request.refused_type {
        return Err(Failure::daemon(format!("No such {kind}: {text}")));
    }
    let found = strata_engine::inspect(context.store()?, text, request.platform.as_ref()).await;
    found.map(|image| image.json).map_err(|error| (request.unknown)(text, error))
}

/// How documents are printed.
enum Style {
    Indented,
    Compact,
    Template(Template),
}

impl Style {
    fn parse(format: Option<&str>) -> Outcome<Style> {
        Ok(match format {
            None => Style::Indented,
            Some("json") => Style::Compact,
            Some(text) => Style::Template(parse_template(text)?),
        })
    }
}

/// Parses a template; a malformed one has an exit code of its own.
pub(super) fn parse_template(text: &str) -> Outcome<Template> {
    Template::parse(text).map_err(|error| Failure::bare(error.to_string()).with_code(error.exit_status()))
}

/// The documents as docker's daemon sends them: only what it marshals twice has its `<`, `>` and `&` escaped.
fn api_array(documents: &[Value]) -> String {
    let texts: Vec<String> = documents.iter().map(api_object).collect();
    format!("[{}]", texts.join(","))
}

fn api_object(document: &Value) -> String {
    let Some(fields) = document.as_object() else { return to_string(document, Escape::Html) };
    let members: Vec<String> = fields
        .iter()
        .map(|(key, value)| {
            let escape = if key == "Config" { Escape::Html } else { Escape::Minimal };
            format!("{}:{}", to_string(&Value::from(key.as_str()), Escape::Minimal), to_string(value, escape))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}
