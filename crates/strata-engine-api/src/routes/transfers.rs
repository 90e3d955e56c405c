//! Images that move: pull and import, push, save, load. Each is a stream; what fails before its first byte has a status of
//! its own.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::StatusCode;
use serde_json::json;
use strata_engine::{
    EngineError, ImportRequest, LayerNames, LoadRequest, PullOutcome, PullRequest, PushRequest, SaveFormat,
    SaveRequest, Shown, Words, all_tags, diff_id_names, import, load as load_images, open_address, prepare_push, pull,
    push_target, save as save_images, topmost_first,
};
use strata_model::{Digest, Reference, Tag};
use strata_registry_client::RegistryClient;
use strata_store::{ChunkWriter, Store};
use strata_transfer::Silent;
use tokio::sync::mpsc;

use crate::answer::{JSON, Output, begin, error_message, error_text, stream};
use crate::call::{Call, parse_reference};
use crate::progress::{StreamProgress, standing};
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

/// Chunks of an archive that wait for the client.
const CHUNKS_AHEAD: usize = 8;

/// `images/create`: a pull, or, with `fromSrc`, an import.
pub(super) async fn create(call: Call) -> Answer {
    match (call.query.text("fromImage"), call.query.text("fromSrc")) {
        (Some(_), _) => pull_image(&call).await,
        (None, Some(source)) => {
            let source = source.to_owned();
            import_image(call, source).await
        }
        (None, None) => Err(Failure::bad_request("invalid reference format")),
    }
}

async fn pull_image(call: &Call) -> Answer {
    let reference = parse_reference(call.query.text("fromImage").unwrap_or_default())?;
    let reference = match call.query.text("tag") {
        Some(tag) => with_tag_or_digest(&reference, tag)?,
        None => reference,
    };
    let client = call.client(reference.host());
    let request = PullRequest {
        platform: call.query.platform_text()?,
        limits: call.engine.limits,
        view: call.engine.view,
        reference,
    };
    let store = call.store().clone();
    begin(JSON, error_message, move |output| async move {
        let name = match request.reference.is_name_only() {
            true => request.reference.familiar_name(),
            false => request.reference.familiar(),
        };
        let mut outcome = PullOutcome::UpToDate;
        for reference in references(&client, &request.reference).await? {
            let request = PullRequest { reference, ..request.clone() };
            let pulled = pull_one(&store, &client, &request, &output).await.map_err(told_by_registry)?;
            if pulled == PullOutcome::Downloaded {
                outcome = PullOutcome::Downloaded;
            }
        }
        let status = match outcome {
            PullOutcome::UpToDate => format!("Status: Image is up to date for {name}"),
            PullOutcome::Downloaded => format!("Status: Downloaded newer image for {name}"),
        };
        let _ = output.message(&json!({ "status": status })).await;
        Ok(())
    })
    .await
}

/// Docker's client asks for a password at status 401, which is for what this server refuses, not for what a registry does.
fn told_by_registry(failure: Failure) -> Failure {
    match failure.status {
        StatusCode::UNAUTHORIZED => Failure { status: StatusCode::INTERNAL_SERVER_ERROR, ..failure },
        _ => failure,
    }
}

/// A tag that a client sends beside a name may be a digest.
fn with_tag_or_digest(reference: &Reference, tag: &str) -> Result<Reference, Failure> {
    if let Ok(digest) = tag.parse::<Digest>() {
        return Ok(reference.with_digest(digest));
    }
    let tag: Tag = tag.parse().map_err(|_| Failure::bad_request("invalid tag format"))?;
    Ok(reference.with_tag(tag))
}

/// What a pull means: without tag and digest all tags.
async fn references(client: &RegistryClient, reference: &Reference) -> Result<Vec<Reference>, Failure> {
    if !reference.is_name_only() {
        return Ok(vec![reference.clone()]);
    }
    Ok(all_tags(client, reference).await?.into_iter().map(|tag| reference.with_tag(tag)).collect())
}

async fn pull_one(
    store: &Store,
    client: &RegistryClient,
    request: &PullRequest,
    output: &Output,
) -> Result<PullOutcome, Failure> {
    let reference = &request.reference;
    let shown = match (reference.digest(), reference.tag()) {
        (None, Some(tag)) => tag.to_string(),
        _ => reference.to_string(),
    };
    let heading = json!({ "status": format!("Pulling from {}", reference.repository()), "id": shown });
    let progress = StreamProgress::new(output.clone(), Words::Pull, LayerNames::new(Shown::Layers), Some(heading));
    // Boxed: the compiler does not see through the borrowed traits that the future may move between threads.
    let pulling: BoxFuture<'_, _> = Box::pin(pull(store, client, request, &progress));
    let pulled = pulling.await?;
    progress.finish();
    let _ = output.message(&json!({ "status": format!("Digest: {}", pulled.digest) })).await;
    Ok(pulled.outcome)
}

async fn import_image(mut call: Call, source: String) -> Answer {
    let reference = match (call.query.text("repo"), call.query.text("tag")) {
        (None, _) => None,
        (Some(repository), None) => Some(parse_reference(repository)?.with_default_tag()),
        (Some(repository), Some(tag)) => Some(with_tag_or_digest(&parse_reference(repository)?, tag)?),
    };
    let message = call.query.text("message").map_or_else(|| format!("Imported from {source}"), str::to_owned);
    let request = ImportRequest {
        reference,
        changes: call.query.all("changes"),
        message,
        platform: call.query.platform_text()?,
        view: call.engine.view,
    };
    let (store, client, body) = (call.store().clone(), call.engine.client.clone(), call.reader());
    begin(JSON, error_message, move |output| async move {
        let id = match source.as_str() {
            "-" => import(&store, body, &request).await?,
            address => {
                let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
                let name = address.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
                let name = name.rsplit('/').next().unwrap_or_default().to_owned();
                let shown = Shown::Known(HashMap::from([(Digest::of(address.as_bytes()), name)]));
                let heading = json!({ "status": format!("Downloading from {address}") });
                let progress = StreamProgress::new(output.clone(), Words::Pull, LayerNames::new(shown), Some(heading));
                let input = open_address(&client, &address, Arc::new(progress)).await?;
                import(&store, input, &request).await?
            }
        };
        let _ = output.message(&json!({ "status": id })).await;
        Ok(())
    })
    .await
}

pub(super) async fn push(call: Call, name: &str) -> Answer {
    let reference = parse_reference(name)?;
    let (all_tags, reference) = match (call.query.text("tag"), reference.is_name_only()) {
        (Some(tag), _) => (false, with_tag_or_digest(&reference, tag)?),
        (None, is_name_only) => (is_name_only, reference),
    };
    if reference.digest().is_some() {
        return Err(Failure::bad_request("cannot push a digest reference"));
    }
    let platform = if call.version < ApiVersion(46) { None } else { call.query.platform()? };
    let client = call.client(reference.host());
    let request = PushRequest { reference, all_tags, platform, limits: call.engine.limits };
    let store = call.store().clone();
    begin(JSON, error_message, move |output| async move {
        let heading = format!("The push refers to repository [{}]", request.reference.name());
        let _ = output.message(&json!({ "status": heading })).await;
        let lease = store.lease("push").await?;
        for target in prepare_push(&store, &lease, &request).await? {
            for (_, diff_id) in topmost_first(&target.layers) {
                let _ = output.message(&standing(&diff_id.0.short(), "Preparing")).await;
            }
            let names = LayerNames::new(Shown::Known(diff_id_names(&target.layers)));
            let progress = StreamProgress::new(output.clone(), Words::Push, names, None);
            let pushed = push_target(&store, &client, &request, &target, &progress).await?;
            let (tag, digest, size) = (pushed.tag.to_string(), pushed.digest, pushed.size);
            let _ = output.message(&json!({ "status": format!("{tag}: digest: {digest} size: {size}") })).await;
            let aux = json!({ "progressDetail": {}, "aux": { "Tag": tag, "Digest": digest, "Size": size } });
            let _ = output.message(&aux).await;
        }
        store.release(lease).await?;
        Ok(())
    })
    .await
}

pub(super) async fn save(call: &Call, images: Vec<String>) -> Answer {
    let platform = if call.version < ApiVersion(48) { None } else { call.query.platform()? };
    let request = SaveRequest { images, platform, format: SaveFormat::Docker };
    let store = call.store().clone();
    begin("application/x-tar", error_text, move |output| async move {
        written(&output, |out| save_images(&store, &request, out, Arc::new(Silent))).await
    })
    .await
}

/// Passes on what `write` writes on a blocking thread.
pub(super) async fn written<T, F>(
    output: &Output,
    write: impl FnOnce(ChunkWriter<io::Error>) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    let writing = write(ChunkWriter::new(sender));
    let passing = async move {
        while let Some(Ok(chunk)) = chunks.recv().await {
            if output.bytes(chunk).await.is_err() {
                return;
            }
        }
    };
    let (written, ()) = tokio::join!(writing, passing);
    written?;
    Ok(())
}

/// `images/load`: always a stream; what fails is told within it.
pub(super) async fn load(mut call: Call) -> Answer {
    let platform = if call.version < ApiVersion(48) { None } else { call.query.platform()? };
    let request = LoadRequest { platform, view: call.engine.view };
    let is_quiet = call.query.is_set_or_absent("quiet");
    let (store, body) = (call.store().clone(), call.reader());
    Ok(stream(JSON, move |output| async move {
        let loaded = match is_quiet {
            true => load_images(&store, body, &request, Arc::new(Silent)).await,
            false => {
                let names = LayerNames::new(Shown::All);
                let progress = StreamProgress::new(output.clone(), Words::Load, names, None);
                load_images(&store, body, &request, Arc::new(progress)).await
            }
        };
        match loaded {
            Ok(loaded) => {
                for line in loaded.told().lines() {
                    let _ = output.message(&json!({ "stream": format!("{line}\n") })).await;
                }
            }
            Err(error) => {
                let _ = output.bytes(error_message(&error.into())).await;
            }
        }
        Ok(())
    }))
}
