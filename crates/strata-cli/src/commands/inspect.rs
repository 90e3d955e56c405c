//! `inspect`, `image inspect`, `container inspect`, `volume inspect`: everything about one thing.

mod document;
mod typed;

use serde_json::Value;
use strata_engine::{EngineError, image_text};
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
        "Return low-level information on containers, images and volumes",
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

/// `container inspect`.
pub(super) fn container_definition() -> CommandDefinition {
    CommandDefinition::new(
        "inspect",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Display detailed information on one or more containers",
        |context, flags| Box::pin(async move { inspect(context, flags, &[Kind::Container], None).await }),
    )
    .arity(Arity::AtLeast(1))
    .flag("f/format", FlagKind::Text("string"), FORMAT_HELP)
    .flag("s/size", FlagKind::Bool, "Display total file sizes")
    .examples(&[("container inspect -f '{{.State.Status}}' web", "What it does")])
}

/// `network inspect`.
pub(super) fn network_definition() -> CommandDefinition {
    CommandDefinition::new(
        "inspect",
        "[OPTIONS] NETWORK [NETWORK...]",
        "Display detailed information on one or more networks",
        |context, flags| Box::pin(async move { inspect(context, flags, &[Kind::Network], None).await }),
    )
    .arity(Arity::AtLeast(1))
    .flag("f/format", FlagKind::Text("string"), FORMAT_HELP)
    .ignored_flag("v/verbose", FlagKind::Bool)
    .examples(&[("network inspect -f '{{json .Containers}}' backend", "Who is in it")])
}

/// `volume inspect`.
pub(super) fn volume_definition() -> CommandDefinition {
    CommandDefinition::new(
        "inspect",
        "[OPTIONS] VOLUME [VOLUME...]",
        "Display detailed information on one or more volumes",
        |context, flags| Box::pin(async move { inspect(context, flags, &[Kind::Volume], None).await }),
    )
    .arity(Arity::AtLeast(1))
    .flag("f/format", FlagKind::Text("string"), FORMAT_HELP)
    .examples(&[("volume inspect -f '{{.Mountpoint}}' data", "Where its files lie")])
}

/// What can be inspected here, in the order in which a name is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

async fn run_generic(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let kinds: &[Kind] = match flags.text("type").as_deref() {
        None => &[Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
        Some("container") => &[Kind::Container],
        Some("image") => &[Kind::Image],
        Some("network") => &[Kind::Network],
        Some("volume") => &[Kind::Volume],
        Some(kind) if TYPES.contains(&kind) => {
            return Err(Failure::daemon(format!("No such {kind}: {}", flags.argument(0))));
        }
        Some(kind) => {
            let known: Vec<String> = TYPES.iter().map(|name| format!("{name:?}")).collect();
            return Err(Failure::bare(format!("unknown type: {kind:?}: must be one of {}", known.join(", "))));
        }
    };
    inspect(context, flags, kinds, None).await
}

async fn run_image(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    inspect(context, flags, &[Kind::Image], context.platform(flags)?.as_ref()).await
}

async fn inspect(context: &Context<'_>, flags: &Flags<'_>, kinds: &[Kind], platform: Option<&Platform>) -> Outcome {
    let style = Style::parse(flags.text("format").as_deref())?;
    let mut failures = Failures::default();
    let mut documents = Vec::new();
    let mut rendered = String::new();
    for text in flags.arguments() {
        let found = find(context, flags, &text, kinds, platform).await;
        let Some((kind, document)) = failures.note(found) else { continue };
        if let Style::Template(template) = &style {
            let value = match kind {
                Kind::Image => typed::image(&document),
                Kind::Container | Kind::Network | Kind::Volume => document::typed(&document),
            };
            let line = template.execute_or_raw(&value, &document).map_err(Failure::from);
            if let Some(line) = failures.note(line) {
                rendered.push_str(&line);
                rendered.push('\n');
            }
        }
        documents.push(match kind {
            Kind::Image => image_text(&document),
            Kind::Container | Kind::Network | Kind::Volume => to_string(&document, Escape::Minimal),
        });
    }
    let all = format!("[{}]", documents.join(","));
    let text = match &style {
        Style::Template(_) if rendered.is_empty() => "\n".to_owned(),
        Style::Template(_) => rendered,
        Style::Compact => format!("{all}\n"),
        Style::Indented => format!("{}\n", go_json::indent(&all, "    ")?),
    };
    print(&text)?;
    failures.outcome()
}

/// The first thing of these kinds that a text means.
async fn find(
    context: &Context<'_>,
    flags: &Flags<'_>,
    text: &str,
    kinds: &[Kind],
    platform: Option<&Platform>,
) -> Outcome<(Kind, Value)> {
    let (store, root) = (context.store()?, context.root()?);
    for kind in kinds {
        let found = match kind {
            Kind::Container => strata_engine::inspect_container(store, &root, text, flags.is_set("size")).await,
            Kind::Image => strata_engine::inspect(store, text, platform).await.map(|image| image.json),
            Kind::Network => strata_engine::inspect_network(store, &root, text).await,
            Kind::Volume => strata_engine::find_volume(store, &root, text).await.map(|volume| volume.json()),
        };
        match found {
            Ok(document) => return Ok((*kind, document)),
            Err(error) if kinds.len() > 1 && is_absent(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::bare(format!("Error: No such object: {text}")))
}

/// Whether a text means nothing of a kind; another kind may have what it means.
fn is_absent(error: &EngineError) -> bool {
    matches!(error, EngineError::NoSuchImage(_) | EngineError::NotFound { .. })
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
