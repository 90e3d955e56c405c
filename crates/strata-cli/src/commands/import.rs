//! `import`: a root file system as an image of one layer.

use std::collections::HashMap;
use std::io::{self, Read};

use strata_engine::{ImportRequest, import, open_address};
use strata_model::Digest;

use super::load::open;
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::progress::{Display, LayerProgress, Shown, Words};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "import",
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::Files)
    .arity(Arity::AtLeast(1))
    .on_workers()
    .flag("c/change", FlagKind::Texts("list"), "Apply Dockerfile instruction to the created image")
    .flag("m/message", FlagKind::Text("string"), "Set commit message for imported image")
    .flag("platform", FlagKind::Text("string"), "Set platform if server is multi-platform capable")
    .examples(&[
        ("import -c 'CMD [\"/bin/sh\"]' rootfs.tar.gz base:1", "From a file"),
        ("import - base:2 < rootfs.tar", "From a pipe"),
        ("import https://example.com/rootfs.tar.gz base:3", "From an address"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let source = flags.argument(0);
    let reference = match flags.arguments().get(1) {
        Some(name) => Some(context.reference(name).map_err(Failure::without_prefix)?),
        None => None,
    };
    let is_address = source.starts_with("http://") || source.starts_with("https://");
    let origin = if is_address { &source } else { "-" };
    let request = ImportRequest {
        reference,
        changes: flags.texts("change"),
        message: flags.text("message").unwrap_or_else(|| format!("Imported from {origin}")),
        platform: context.platform_or_default(flags)?,
        view: context.view_policy(),
    };
    if is_address {
        return import_address(context, &source, &request).await;
    }
    let input: Box<dyn Read + Send> = if source == "-" { Box::new(io::stdin()) } else { Box::new(open(&source)?) };
    print_line(import(context.store()?, input, &request).await?)
}

async fn import_address(context: &Context<'_>, address: &str, request: &ImportRequest) -> Outcome {
    let name = address.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let shown = Shown::Known(HashMap::from([(Digest::of(address.as_bytes()), name)]));
    let heading = format!("Downloading from {address}");
    let progress = LayerProgress::new(Display::choose(context, false), Words::Pull, shown, Some(heading));
    let input = open_address(context.client()?, address, progress.clone()).await?;
    let imported = import(context.store()?, input, request).await;
    progress.finish();
    print_line(imported?)
}
