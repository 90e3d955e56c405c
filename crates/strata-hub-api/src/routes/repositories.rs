//! `/v2/repositories/…`, `/v2/namespaces/…/repositories/…` as the Hub's clients know them, and what it lacks under
//! `/api/v1/repositories/…`: stars, retention, pulls by day, Dockerfiles; `/api/v1/categories`.
//!
//! Text is answered as it was written. Whoever renders it as a page makes it safe.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use strata_hub::records::{
    CategoryRow, ImmutableTags, RepositoryFilter, RepositoryOrder, RepositoryRow, Retention, Role,
};
use strata_hub::{Hub, NewRepository, RepositoryUpdate};

use super::both;
use super::documents::{missing, refusal, repository};
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Input, Page, Query};
use crate::output::{self, time};

/// Days of pulls that are shown, unless asked for fewer.
const DAYS: u64 = 90;

type Names = Path<(String, String)>;

pub(super) fn router() -> Router<Hub> {
    let list = get(list_namespace);
    let one = get(show).patch(update).delete(remove);
    Router::new()
        .merge(both("/v2/repositories/{namespace}", list.clone()))
        .merge(both("/v2/namespaces/{namespace}/repositories", list.post(create)))
        .merge(both("/v2/repositories/{namespace}/{name}", one.clone()))
        .merge(both("/v2/namespaces/{namespace}/repositories/{name}", one))
        .merge(both("/v2/repositories/{namespace}/{name}/stars", post(star).delete(unstar)))
        .merge(both("/api/v1/repositories", get(list_all)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/star", put(star).delete(unstar)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/official", put(set_official)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/pulls", get(pulls)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/retention/preview", post(preview)))
        .merge(both("/api/v1/repositories/{namespace}/{name}/dockerfile", get(dockerfile)))
        .merge(both("/api/v1/categories", get(categories).put(set_categories)))
}

/// What a list says of a repository.
fn entry(row: &RepositoryRow, categories: &[CategoryRow]) -> Value {
    let named = |slug: &String| {
        let name = categories.iter().find(|category| category.slug == *slug).map_or(slug, |category| &category.name);
        json!({ "name": name, "slug": slug })
    };
    json!({
        "name": row.name,
        "namespace": row.namespace,
        "repository_type": row.kinds.first().map_or("image", String::as_str),
        "status": 1,
        "status_description": "active",
        "description": row.description,
        "is_private": row.is_private,
        "is_automated": false,
        "star_count": row.stars,
        "pull_count": row.pulls,
        "last_updated": time(row.last_updated),
        "last_modified": time(row.last_updated),
        "date_registered": time(row.registered),
        "affiliation": null,
        "hub_user": row.namespace,
        "media_types": row.media_types,
        "content_types": row.kinds,
        "categories": row.categories.iter().map(named).collect::<Vec<_>>(),
        "immutable_tags_settings": row.immutable_tags,
        "source": row.source,
        "badge": badge(row),
        "platforms": row.platforms,
        "last_pushed": row.last_pushed.map(time),
        "last_pusher": row.last_pusher,
    })
}

/// `official`, `verified_publisher`, or `none`.
pub(super) fn badge(row: &RepositoryRow) -> &'static str {
    match (row.is_official, row.is_verified) {
        (true, _) => "official",
        (_, true) => "verified_publisher",
        _ => "none",
    }
}

async fn detail(hub: &Hub, asking: &MaybeSigned, row: &RepositoryRow, role: Role) -> Result<Value> {
    let mut document = entry(row, &hub.categories().await?);
    let (manifests, has_starred) = (
        hub.storage_size(row).await?,
        match &asking.0 {
            Some(identity) => hub.has_starred(row, &identity.account).await?,
            None => false,
        },
    );
    document["user"] = json!(row.namespace);
    document["collaborator_count"] = json!(0);
    document["has_starred"] = json!(has_starred);
    document["full_description"] = json!(hub.full_description(row).await?);
    document["permissions"] = json!({ "read": true, "write": role >= Role::Write, "admin": role >= Role::Admin });
    document["storage_size"] = json!(manifests);
    if role >= Role::Admin {
        document["retention"] = json!(row.retention);
    }
    Ok(document)
}

fn order(query: &Query) -> (RepositoryOrder, bool) {
    let written = query.first("ordering").unwrap_or("-last_updated");
    let (name, descends) = match written.strip_prefix('-') {
        Some(name) => (name, true),
        None => (written, written != "name"),
    };
    match name {
        "name" => (RepositoryOrder::Name, descends),
        "pull_count" => (RepositoryOrder::Pulls, !descends),
        "star_count" => (RepositoryOrder::Stars, !descends),
        "trend" => (RepositoryOrder::Trend, !descends),
        _ => (RepositoryOrder::Updated, !descends),
    }
}

/// Where a list was asked for.
type Place = (Client, Uri, Query);

async fn list(hub: &Hub, asking: &MaybeSigned, place: Place, namespace: Option<String>) -> Result {
    let (client, uri, query) = place;
    let page = Page::of(&query)?;
    let (order, reverse) = order(&query);
    let starred_by = match (query.first("starred"), &asking.0) {
        (Some("true"), Some(identity)) => Some(identity.account.clone()),
        (Some("true"), None) => return Err(refusal(asking)),
        _ => None,
    };
    let filter = RepositoryFilter {
        namespace,
        name: query.first("name").map(str::to_owned),
        official: query.first("official") == Some("true"),
        starred_by,
        readable: hub.reach_of(asking.0.as_ref()).await?.readable(),
        order,
        reverse,
        skip: page.skip(),
        limit: page.size,
    };
    let (count, rows) = hub.repositories(&filter).await?;
    let categories = hub.categories().await?;
    let results = rows.iter().map(|row| entry(row, &categories)).collect();
    Ok(Json(output::list(&client.origin, &uri, page, count, results)).into_response())
}

async fn list_namespace(
    State(hub): State<Hub>,
    Path(namespace): Path<String>,
    asking: MaybeSigned,
    place: Place,
) -> Result {
    list(&hub, &asking, place, Some(namespace)).await
}

async fn list_all(State(hub): State<Hub>, asking: MaybeSigned, place: Place) -> Result {
    list(&hub, &asking, place, None).await
}

async fn show(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result {
    let (row, role) = repository(&hub, &asking, &names, Role::Read).await?;
    Ok(Json(detail(&hub, &asking, &row, role).await?).into_response())
}

#[derive(Deserialize)]
struct NewBody {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    full_description: Option<String>,
    #[serde(default)]
    is_private: Option<bool>,
}

async fn create(
    State(hub): State<Hub>,
    Path(namespace): Path<String>,
    asking: MaybeSigned,
    Input(new): Input<NewBody>,
) -> Result {
    let full_name = format!("{namespace}/{}", new.name);
    let identity = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    let role = match hub.role_of(Some(identity), &full_name).await? {
        Some(role) if role >= Role::Write => role,
        _ => return Err(refusal(&asking)),
    };
    let new = NewRepository {
        namespace,
        name: new.name,
        description: new.description.unwrap_or_default(),
        full_description: new.full_description.unwrap_or_default(),
        is_private: new.is_private,
    };
    let row = hub.create_repository_as(identity, new).await?;
    Ok((StatusCode::CREATED, Json(detail(&hub, &asking, &row, role).await?)).into_response())
}

/// A category by its slug alone, or as it is shown.
#[derive(Deserialize)]
#[serde(untagged)]
enum CategoryBody {
    Slug(String),
    Shown { slug: String },
}

#[derive(Deserialize)]
struct UpdateBody {
    description: Option<String>,
    full_description: Option<String>,
    is_private: Option<bool>,
    categories: Option<Vec<CategoryBody>>,
    source: Option<String>,
    immutable_tags_settings: Option<ImmutableTags>,
    retention: Option<Retention>,
}

async fn update(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(update): Input<UpdateBody>,
) -> Result {
    let (row, role) = repository(&hub, &asking, &names, Role::Admin).await?;
    let slug = |category| match category {
        CategoryBody::Slug(slug) | CategoryBody::Shown { slug } => slug,
    };
    let update = RepositoryUpdate {
        description: update.description,
        full_description: update.full_description,
        is_private: update.is_private,
        categories: update.categories.map(|categories| categories.into_iter().map(slug).collect()),
        source: update.source,
        immutable_tags: update.immutable_tags_settings,
        retention: update.retention,
    };
    let identity = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    let row = hub.update_repository_as(identity, &row.full_name(), update).await?;
    Ok(Json(detail(&hub, &asking, &row, role).await?).into_response())
}

async fn remove(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result {
    let (row, _) = repository(&hub, &asking, &names, Role::Admin).await?;
    let identity = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    hub.delete_repository_as(identity, &row.full_name(), &row.full_name()).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn set_star(hub: &Hub, names: &(String, String), asking: &MaybeSigned, starred: bool) -> Result {
    let (row, _) = repository(hub, asking, names, Role::Read).await?;
    let identity = asking.0.as_ref().filter(|identity| identity.is_user()).ok_or_else(|| refusal(asking))?;
    let stars = hub.set_star(&row.full_name(), &identity.account, starred).await?;
    Ok(Json(json!({ "star_count": stars, "has_starred": starred })).into_response())
}

async fn star(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result {
    set_star(&hub, &names, &asking, true).await
}

async fn unstar(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result {
    set_star(&hub, &names, &asking, false).await
}

fn administers(asking: &MaybeSigned) -> Result<()> {
    let identity = asking.0.as_ref().ok_or_else(|| refusal(asking))?;
    Ok(identity.administers()?)
}

#[derive(Deserialize)]
struct OfficialBody {
    is_official: bool,
}

async fn set_official(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(wanted): Input<OfficialBody>,
) -> Result {
    administers(&asking)?;
    let (row, role) = repository(&hub, &asking, &names, Role::Read).await?;
    hub.set_official(&row.full_name(), wanted.is_official).await?;
    let row = hub.repository(&row.full_name()).await?;
    Ok(Json(detail(&hub, &asking, &row, role).await?).into_response())
}

async fn pulls(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned, query: Query) -> Result {
    const SECONDS: i64 = 86_400;
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let days = query.number("days")?.unwrap_or(DAYS).clamp(1, 3660);
    let found = hub.pulls_by_day(row.id, days as u32).await?;
    let day = |(day, pulls): &(i64, u64)| {
        let date = jiff::Timestamp::from_second(day * SECONDS).unwrap_or_default().strftime("%Y-%m-%d").to_string();
        json!({ "day": date, "pulls": pulls })
    };
    Ok(Json(json!({ "total": row.pulls, "days": found.iter().map(day).collect::<Vec<_>>() })).into_response())
}

async fn preview(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(rules): Input<Retention>,
) -> Result {
    let (row, _) = repository(&hub, &asking, &names, Role::Admin).await?;
    let tags = hub.preview_retention(&row, &rules).await?;
    let shown = |tag: &strata_hub::records::TagRow| {
        json!({
            "name": tag.tag, "digest": tag.manifest.digest, "full_size": tag.manifest.size,
            "tag_last_pushed": time(tag.pushed), "tag_last_pulled": tag.last_pulled.map(time),
        })
    };
    Ok(Json(json!({ "count": tags.len(), "tags": tags.iter().map(shown).collect::<Vec<_>>() })).into_response())
}

async fn dockerfile(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned, query: Query) -> Result {
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let target = query.first("target").unwrap_or("latest");
    let found = hub.dockerfile(&row, target, query.first("platform")).await.map_err(missing)?;
    Ok(Json(json!({
        "text": found.text,
        "origin": found.origin.as_str(),
        "is_reconstructed": found.origin == strata_hub::DockerfileOrigin::Reconstructed,
        "digest": found.image,
        "created": found.created,
    }))
    .into_response())
}

async fn categories(State(hub): State<Hub>) -> Result<Response> {
    Ok(Json(hub.categories().await?).into_response())
}

async fn set_categories(
    State(hub): State<Hub>,
    asking: MaybeSigned,
    Input(categories): Input<Vec<CategoryRow>>,
) -> Result {
    administers(&asking)?;
    hub.set_categories(&categories).await?;
    Ok(Json(categories).into_response())
}
