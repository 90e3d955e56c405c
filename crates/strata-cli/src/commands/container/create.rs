//! `create`: a container that is started later.

use std::fs;
use std::io::Write as _;

use strata_engine::{CreateRequest, EngineError, create_container};
use strata_model::system_words;

use super::options;
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::report::{Failure, Outcome};

/// Docker's exit code when a container cannot be made or started at all.
pub(super) const NOT_STARTED: u8 = 125;

pub(super) fn definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "create",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a new container",
        |context, flags| Box::pin(run(context, flags)),
    );
    with_creation_flags(options::add(command))
        .completes(Completes::FirstImage)
        .arity(Arity::AtLeast(1))
        .on_workers()
        .examples(&[("create --name web -v data:/srv nginx", "With a volume")])
}

/// The flags about making a container that are no settings of it.
pub(super) fn with_creation_flags(command: CommandDefinition) -> CommandDefinition {
    command
        .with_all_ids()
        .flag("name", FlagKind::Text("string"), "Assign a name to the container")
        .flag("platform", FlagKind::Text("string"), "Set platform if server is multi-platform capable")
        .flag_with_default(
            "pull",
            FlagKind::Text("string"),
            "missing",
            "Pull image before creating (\"always\", \"missing\", \"never\")",
        )
        .flag("q/quiet", FlagKind::Bool, "Suppress the pull output")
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    print_line(create(context, flags).await?)
}

/// Makes what the flags ask for; returns the ID.
pub(super) async fn create(context: &Context<'_>, flags: &Flags<'_>) -> Outcome<String> {
    let options::Settings { config, host_config, networks } = options::parse(flags)?;
    let request = CreateRequest {
        name: flags.text("name"),
        platform: context.platform_or_default(flags)?,
        config,
        host_config,
        networks,
    };
    let id_file = flags.text("cidfile").map(|path| {
        let file = fs::File::options().write(true).create_new(true).open(&path);
        file.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::bare(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )),
            _ => {
                Failure::bare(format!("failed to create the container ID file: open {path}: {}", system_words(&cause)))
            }
        })
        .map(|file| (path, file))
    });
    let id_file = id_file.transpose()?;
    let created = create_or_pull(context, flags, request).await;
    let created = match (created, id_file) {
        (Ok(created), Some((_, mut file))) => {
            file.write_all(created.id.as_bytes())?;
            created
        }
        (Err(failure), Some((path, _))) => {
            let _ = fs::remove_file(path);
            return Err(failure);
        }
        (created, None) => created?,
    };
    for warning in &created.warnings {
        complain(&format!("WARNING: {warning}"));
    }
    Ok(created.id)
}

async fn create_or_pull(
    context: &Context<'_>,
    flags: &Flags<'_>,
    request: CreateRequest,
) -> Outcome<strata_engine::Created> {
    let (store, root) = (context.store()?, context.root()?);
    let pull = flags.text("pull").unwrap_or_default();
    if !matches!(pull.as_str(), "always" | "missing" | "never") {
        return Err(Failure::bare(format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let image = request.config.image.clone();
    if pull == "always" {
        super::super::pull::pull_for_run(context, &image, request.platform.clone(), flags.is_set("quiet")).await?;
    }
    match create_container(store, &root, request.clone()).await {
        Err(EngineError::NoSuchImage(_)) if pull == "missing" => {
            if !flags.is_set("quiet") {
                let reference = context.reference(&image)?.with_default_tag();
                complain(&format!("Unable to find image '{}' locally", reference.familiar()));
            }
            super::super::pull::pull_for_run(context, &image, request.platform.clone(), flags.is_set("quiet")).await?;
            Ok(create_container(store, &root, request).await?)
        }
        created => Ok(created?),
    }
}
