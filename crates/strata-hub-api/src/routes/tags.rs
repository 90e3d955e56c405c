//! Tags: `/v2/repositories/{namespace}/{name}/tags/…` as the Hub's clients know them, and under
//! `/api/v1/repositories/…/tags/…` what it lacks: history, rollback, aliases.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::NoContent;
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strata_hub::records::{RepositoryRow, Role, TagFilter, TagImage, TagOrder, TagRow};
use strata_hub::{AuditAction, Hub, LayerStep};
use strata_model::Digest;
use strata_store::{RegistryAction, RegistryHistoryRow};
use utoipa::ToSchema;

use super::documents::{missing, refusal, repository};
use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Input, Page, Query};
use crate::output::{List, time};

/// What was not used for so long is shown as inactive, in nanoseconds.
const MONTH: i64 = 30 * 86_400_000_000_000;
/// Entries of a tag's history.
const HISTORY: u64 = 100;

type Names = Path<(String, String)>;
type TagNames = Path<(String, String, String)>;

pub(super) fn endpoints() -> Endpoints {
    const ALL: [&str; 2] =
        ["/v2/repositories/{namespace}/{name}/tags", "/v2/namespaces/{namespace}/repositories/{name}/tags"];
    let as_on_the_hub = ALL.into_iter().fold(Endpoints::about("tags"), |endpoints, all| {
        let one = format!("{all}/{{tag}}");
        endpoints
            .get(all, "Tags with their platforms and sizes", list)
            .get(&one, "A tag, with the layers of its images", show)
            .delete(&one, "Remove a tag", remove)
    });
    as_on_the_hub
        .get("/api/v1/repositories/{namespace}/{name}/tags/{tag}/history", "What it pointed to", history)
        .get("/api/v1/repositories/{namespace}/{name}/tags/{tag}/aliases", "Other tags of the same image", aliases)
        .post("/api/v1/repositories/{namespace}/{name}/tags/{tag}/rollback", "Point it to what it was", roll_back)
}

/// A tag as the Hub writes it. Accounts have names here and no numbers: these are 0.
#[derive(Serialize, ToSchema)]
struct Tag {
    id: u64,
    name: String,
    repository: i64,
    creator: u64,
    last_updater: u64,
    last_updater_username: String,
    last_updated: String,
    /// Compressed bytes of its layers; of an index, those of its first image.
    full_size: u64,
    v2: bool,
    /// `active` or `inactive`.
    status: &'static str,
    tag_status: &'static str,
    tag_last_pulled: Option<String>,
    tag_last_pushed: String,
    media_type: String,
    /// `image`, `helm`, `artifact`, ….
    content_type: String,
    #[schema(value_type = String)]
    digest: Digest,
    pull_count: u64,
    images: Vec<Image>,
}

/// One platform of a tag.
#[derive(Serialize, ToSchema)]
struct Image {
    architecture: String,
    features: &'static str,
    variant: Option<String>,
    #[schema(value_type = String)]
    digest: Digest,
    os: String,
    /// With commas between them.
    os_features: String,
    os_version: Option<String>,
    /// Compressed bytes of its layers.
    size: u64,
    /// `active` or `inactive`.
    status: &'static str,
    last_pulled: Option<String>,
    last_pushed: String,
    /// Only where a single tag is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<Layer>>,
}

/// A step of an image.
#[derive(Serialize, ToSchema)]
struct Layer {
    /// The layer, unless the step made none.
    #[schema(value_type = Option<String>)]
    digest: Option<Digest>,
    /// Its compressed bytes.
    size: u64,
    /// The instruction, as far as the image's history tells.
    instruction: String,
}

fn shown(repository: &RepositoryRow, tag: &TagRow, pulled: &HashMap<Digest, i64>, now: i64) -> Tag {
    let status = status(tag.last_pulled, tag, now);
    Tag {
        id: 0,
        name: tag.tag.clone(),
        repository: repository.id,
        creator: 0,
        last_updater: 0,
        last_updater_username: tag.pushed_by.clone(),
        last_updated: time(tag.pushed),
        full_size: tag.manifest.size,
        v2: true,
        status,
        tag_status: status,
        tag_last_pulled: tag.last_pulled.map(time),
        tag_last_pushed: time(tag.pushed),
        media_type: tag.manifest.media_type.clone(),
        content_type: tag.manifest.kind.clone(),
        digest: tag.manifest.digest,
        pull_count: tag.pulls,
        images: tag.manifest.images.iter().map(|found| image(found, tag, pulled, now)).collect(),
    }
}

fn image(image: &TagImage, tag: &TagRow, pulled: &HashMap<Digest, i64>, now: i64) -> Image {
    let last_pulled = pulled.get(&image.digest).copied();
    Image {
        architecture: image.architecture.clone(),
        features: "",
        variant: image.variant.clone(),
        digest: image.digest,
        os: image.os.clone(),
        os_features: image.os_features.join(","),
        os_version: image.os_version.clone(),
        size: image.size,
        status: status(last_pulled, tag, now),
        last_pulled: last_pulled.map(time),
        last_pushed: time(tag.pushed),
        layers: None,
    }
}

fn status(last_pulled: Option<i64>, tag: &TagRow, now: i64) -> &'static str {
    match now - last_pulled.unwrap_or(0).max(tag.pushed) < MONTH {
        true => "active",
        false => "inactive",
    }
}

async fn last_pulls(hub: &Hub, repository: &RepositoryRow, tags: &[TagRow]) -> Result<HashMap<Digest, i64>> {
    let digests: Vec<Digest> =
        tags.iter().flat_map(|tag| tag.manifest.images.iter().map(|image| image.digest)).collect();
    Ok(hub.last_pulled(repository, &digests).await?.into_iter().collect())
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

async fn list(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    (client, uri, query): (Client, Uri, Query),
) -> Result<List<Tag>> {
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let page = Page::of(&query)?;
    let order = match query.first("ordering") {
        Some("name") => TagOrder::Name,
        Some("-name") => TagOrder::NameDescending,
        _ => TagOrder::Newest,
    };
    let name = query.first("name").map(str::to_owned);
    let filter = TagFilter { name, order, skip: page.skip(), limit: page.size, ..TagFilter::default() };
    let (count, tags) = hub.tags(&row, &filter).await?;
    let pulled = last_pulls(&hub, &row, &tags).await?;
    let results = tags.iter().map(|tag| shown(&row, tag, &pulled, now())).collect();
    Ok(List::page(&client.origin, &uri, page, count, results))
}

async fn show(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
) -> Result<Json<Tag>> {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let pulled = last_pulls(&hub, &row, std::slice::from_ref(&tag)).await?;
    let mut tag = shown(&row, &tag, &pulled, now());
    for image in &mut tag.images {
        // An index may name images that are not here.
        let steps = hub.layer_steps(&row, &image.digest).await.unwrap_or_default();
        let layer = |step: LayerStep| Layer { digest: step.digest, size: step.size, instruction: step.instruction };
        image.layers = Some(steps.into_iter().map(layer).collect());
    }
    Ok(Json(tag))
}

async fn remove(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
) -> Result<NoContent> {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Admin).await?;
    let actor = asking.0.as_ref().map_or("", |identity| &identity.name);
    hub.delete_tag(&row, &tag, actor).await.map_err(missing)?;
    Ok(NoContent)
}

/// What a tag pointed to, newest first.
#[derive(Serialize, ToSchema)]
struct TagHistory {
    name: String,
    history: Vec<TagChange>,
}

/// A change of a tag.
#[derive(Serialize, ToSchema)]
struct TagChange {
    /// `set` or `removed`.
    action: &'static str,
    #[schema(value_type = Option<String>)]
    digest: Option<Digest>,
    #[schema(value_type = Option<String>)]
    previous: Option<Digest>,
    actor: String,
    time: String,
}

async fn history(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
    query: Query,
) -> Result<Json<TagHistory>> {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let limit = query.number("limit")?.unwrap_or(HISTORY).clamp(1, 1000);
    let entries = hub.tag_history(&row, &tag, limit as usize).await?;
    let change = |entry: RegistryHistoryRow| TagChange {
        action: match entry.action {
            RegistryAction::Untag => "removed",
            _ => "set",
        },
        digest: entry.digest,
        previous: entry.previous,
        actor: entry.actor,
        time: time(entry.time),
    };
    Ok(Json(TagHistory { name: tag, history: entries.into_iter().map(change).collect() }))
}

/// Other tags of the same image.
#[derive(Serialize, ToSchema)]
struct Aliases {
    name: String,
    #[schema(value_type = String)]
    digest: Digest,
    aliases: Vec<String>,
}

async fn aliases(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
) -> Result<Json<Aliases>> {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let aliases = hub.aliases(&row, &[tag.manifest.digest]).await?;
    let aliases = aliases.into_iter().map(|row| row.tag).filter(|alias| *alias != tag.tag).collect();
    Ok(Json(Aliases { name: tag.tag, digest: tag.manifest.digest, aliases }))
}

/// Where a tag is to point.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RollBack {
    /// Where the tag shall point.
    #[schema(value_type = String)]
    digest: Digest,
    /// Where it must point now.
    #[schema(value_type = Option<String>)]
    from: Option<Digest>,
}

async fn roll_back(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
    Input(wanted): Input<RollBack>,
) -> Result<Json<Tag>> {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Write).await?;
    let who = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    hub.roll_back_tag(&row, &tag, &wanted.digest, wanted.from, &who.name).await.map_err(missing)?;
    let data = json!({ "tag": tag, "digest": wanted.digest });
    hub.log_repository(who, AuditAction::TAG_ROLLBACK, &row.full_name(), data).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let pulled = last_pulls(&hub, &row, std::slice::from_ref(&tag)).await?;
    Ok(Json(shown(&row, &tag, &pulled, now())))
}
