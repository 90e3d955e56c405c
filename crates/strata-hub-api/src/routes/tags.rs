//! Tags: `/v2/repositories/{namespace}/{name}/tags/…` as the Hub's clients know them, and under
//! `/api/v1/repositories/…/tags/…` what it lacks: history, rollback, aliases.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::records::{RepositoryRow, Role, TagFilter, TagImage, TagOrder, TagRow};
use strata_hub::{AuditAction, Hub};
use strata_model::Digest;
use strata_store::RegistryAction;

use super::both;
use super::documents::{missing, refusal, repository};
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Input, Page, Query};
use crate::output::{self, time};

/// What was not used for so long is shown as inactive, in nanoseconds.
const MONTH: i64 = 30 * 86_400_000_000_000;
/// Entries of a tag's history.
const HISTORY: u64 = 100;

type Names = Path<(String, String)>;
type TagNames = Path<(String, String, String)>;

pub(super) fn router() -> Router<Hub> {
    let mut router = Router::new();
    for base in ["/v2/repositories/{namespace}/{name}/tags", "/v2/namespaces/{namespace}/repositories/{name}/tags"] {
        router = router.merge(both(base, get(list)));
        router = router.merge(both(&format!("{base}/{{tag}}"), get(show).delete(remove)));
    }
    let base = "/api/v1/repositories/{namespace}/{name}/tags/{tag}";
    router
        .merge(both(&format!("{base}/history"), get(history)))
        .merge(both(&format!("{base}/aliases"), get(aliases)))
        .merge(both(&format!("{base}/rollback"), post(roll_back)))
}

/// A tag as the Hub writes it. Accounts have names here and no numbers: these are 0.
fn document(repository: &RepositoryRow, tag: &TagRow, pulled: &HashMap<Digest, i64>, now: i64) -> Value {
    let used = tag.last_pulled.unwrap_or(0).max(tag.pushed);
    let status = if now - used < MONTH { "active" } else { "inactive" };
    json!({
        "id": 0,
        "name": tag.tag,
        "repository": repository.id,
        "creator": 0,
        "last_updater": 0,
        "last_updater_username": tag.pushed_by,
        "last_updated": time(tag.pushed),
        "full_size": tag.manifest.size,
        "v2": true,
        "status": status,
        "tag_status": status,
        "tag_last_pulled": tag.last_pulled.map(time),
        "tag_last_pushed": time(tag.pushed),
        "media_type": tag.manifest.media_type,
        "content_type": tag.manifest.kind,
        "digest": tag.manifest.digest,
        "pull_count": tag.pulls,
        "images": tag.manifest.images.iter().map(|found| image(found, tag, pulled, now)).collect::<Vec<_>>(),
    })
}

fn image(image: &TagImage, tag: &TagRow, pulled: &HashMap<Digest, i64>, now: i64) -> Value {
    let last_pulled = pulled.get(&image.digest).copied();
    let is_used = now - last_pulled.unwrap_or(0).max(tag.pushed) < MONTH;
    json!({
        "architecture": image.architecture,
        "features": "",
        "variant": image.variant,
        "digest": image.digest,
        "os": image.os,
        "os_features": image.os_features.join(","),
        "os_version": image.os_version,
        "size": image.size,
        "status": if is_used { "active" } else { "inactive" },
        "last_pulled": last_pulled.map(time),
        "last_pushed": time(tag.pushed),
    })
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
) -> Result {
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let page = Page::of(&query)?;
    let order = match query.first("ordering") {
        Some("name") => TagOrder::Name,
        Some("-name") => TagOrder::NameDescending,
        _ => TagOrder::Newest,
    };
    let name = query.first("name").map(str::to_owned);
    let filter = TagFilter { name, digests: Vec::new(), order, skip: page.skip(), limit: page.size };
    let (count, tags) = hub.tags(&row, &filter).await?;
    let pulled = last_pulls(&hub, &row, &tags).await?;
    let results = tags.iter().map(|tag| document(&row, tag, &pulled, now())).collect();
    Ok(Json(output::list(&client.origin, &uri, page, count, results)).into_response())
}

async fn show(State(hub): State<Hub>, Path((namespace, name, tag)): TagNames, asking: MaybeSigned) -> Result {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let pulled = last_pulls(&hub, &row, std::slice::from_ref(&tag)).await?;
    let mut shown = document(&row, &tag, &pulled, now());
    for (index, image) in tag.manifest.images.iter().enumerate() {
        // An index may name images that are not here.
        let steps = hub.layer_steps(&row, &image.digest).await.unwrap_or_default();
        let step = |step: &strata_hub::LayerStep| json!({ "digest": step.digest, "size": step.size, "instruction": step.instruction });
        shown["images"][index]["layers"] = steps.iter().map(step).collect();
    }
    Ok(Json(shown).into_response())
}

async fn remove(State(hub): State<Hub>, Path((namespace, name, tag)): TagNames, asking: MaybeSigned) -> Result {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Admin).await?;
    let actor = asking.0.as_ref().map_or("", |identity| &identity.name);
    hub.delete_tag(&row, &tag, actor).await.map_err(missing)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn history(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
    query: Query,
) -> Result {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let limit = query.number("limit")?.unwrap_or(HISTORY).clamp(1, 1000);
    let entries = hub.tag_history(&row, &tag, limit as usize).await?;
    let word = |action| match action {
        RegistryAction::Untag => "removed",
        _ => "set",
    };
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "action": word(entry.action), "digest": entry.digest, "previous": entry.previous,
                "actor": entry.actor, "time": time(entry.time),
            })
        })
        .collect();
    Ok(Json(json!({ "name": tag, "history": entries })).into_response())
}

async fn aliases(State(hub): State<Hub>, Path((namespace, name, tag)): TagNames, asking: MaybeSigned) -> Result {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Read).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let aliases = hub.aliases(&row, &[tag.manifest.digest]).await?;
    let aliases: Vec<String> = aliases.into_iter().map(|row| row.tag).filter(|alias| *alias != tag.tag).collect();
    Ok(Json(json!({ "name": tag.tag, "digest": tag.manifest.digest, "aliases": aliases })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBack {
    /// Where the tag shall point.
    digest: Digest,
    /// Where it must point now.
    from: Option<Digest>,
}

async fn roll_back(
    State(hub): State<Hub>,
    Path((namespace, name, tag)): TagNames,
    asking: MaybeSigned,
    Input(wanted): Input<RollBack>,
) -> Result {
    let (row, _) = repository(&hub, &asking, &(namespace, name), Role::Write).await?;
    let who = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    hub.roll_back_tag(&row, &tag, &wanted.digest, wanted.from, &who.name).await.map_err(missing)?;
    let data = json!({ "tag": tag, "digest": wanted.digest });
    hub.log_repository(who, AuditAction::TAG_ROLLBACK, &row.full_name(), data).await?;
    let tag = hub.tag(&row, &tag).await.map_err(missing)?;
    let pulled = last_pulls(&hub, &row, std::slice::from_ref(&tag)).await?;
    Ok(Json(document(&row, &tag, &pulled, now())).into_response())
}
