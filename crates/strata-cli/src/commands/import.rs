//! `import`: a root file system as an image of one layer.

use std::io::{self, Read};

use strata_engine::{ImportRequest, import};

use super::load::open;
use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "import",
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::AtLeast(1))
    .on_workers()
    .flag("c/change", FlagKind::Texts("list"), "Apply Dockerfile instruction to the created image")
    .flag("m/message", FlagKind::Text("string"), "Set commit message for imported image")
    .flag("platform", FlagKind::Text("string"), "Set platform if server is multi-platform capable")
    .examples(&[
        ("import -c 'CMD [\"/bin/sh\"]' rootfs.tar.gz base:1", "From a file"),
        ("import - base:2 < rootfs.tar", "From a pipe"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let source = flags.argument(0);
    if source.starts_with("http://") || source.starts_with("https://") {
        return Err(Failure::bare("import reads files and pipes, not addresses").with_hint(format!(
            "curl -fL {source} | {} import -{}",
            context.program(),
            flags.arguments().get(1).map(|name| format!(" {name}")).unwrap_or_default()
        )));
    }
    let reference = match flags.arguments().get(1) {
        Some(name) => Some(context.reference(name).map_err(Failure::without_prefix)?),
        None => None,
    };
    let input: Box<dyn Read + Send> = if source == "-" { Box::new(io::stdin()) } else { Box::new(open(&source)?) };
    let request = ImportRequest {
        reference,
        changes: flags.texts("change"),
        message: flags.text("message").unwrap_or_else(|| "Imported from -".to_owned()),
        platform: context.platform_or_default(flags)?,
        view: context.view_policy(),
    };
    print_line(import(context.store()?, input, &request).await?)
}
