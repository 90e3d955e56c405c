//! `/v2/repositories/…`, `/v2/namespaces/…/repositories/…` as the Hub's clients know them, and what it lacks under
//! `/api/v1/repositories/…`: stars, retention, pulls by day, Dockerfiles; `/api/v1/categories`.
//!
//! Text is answered as it was written. Whoever renders it as a page makes it safe.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use http::Uri;
use serde::{Deserialize, Serialize};
use strata_hub::records::{
    CategoryRow, ImmutableTags, RepositoryFilter, RepositoryOrder, RepositoryRow, Retention, Role, TagRow,
};
use strata_hub::{DockerfileOrigin, Hub, NewRepository, RepositoryUpdate};
use strata_model::Digest;
use utoipa::ToSchema;

use super::documents::{missing, refusal, repository};
use crate::endpoints::{Accepted, Created, Endpoints};
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Input, Page, Query};
use crate::output::{List, time};

/// Days of pulls that are shown, unless asked for fewer.
const DAYS: u64 = 90;

type Names = Path<(String, String)>;

pub(super) fn endpoints() -> Endpoints {
    const NAMESPACE: &str = "/v2/namespaces/{namespace}/repositories";
    const ONE: [&str; 2] = ["/v2/repositories/{namespace}/{name}", "/v2/namespaces/{namespace}/repositories/{name}"];
    const STARS: &str = "/v2/repositories/{namespace}/{name}/stars";
    const STAR: &str = "/api/v1/repositories/{namespace}/{name}/star";
    let all = Endpoints::about("repositories")
        .get("/v2/repositories/{namespace}", "Repositories of a namespace", list_namespace)
        .get(NAMESPACE, "Repositories of a namespace", list_namespace)
        .post(NAMESPACE, "Make a repository", create)
        .get("/api/v1/repositories", "Every repository that one may see", list_all);
    let one = ONE.into_iter().fold(all, |endpoints, one| {
        endpoints.get(one, "A repository", show).patch(one, "Change a repository", update).delete(
            one,
            "Remove a repository",
            remove,
        )
    });
    one.post(STARS, "Star", star)
        .delete(STARS, "Take the star away", unstar)
        .put(STAR, "Star", star)
        .delete(STAR, "Take the star away", unstar)
        .put("/api/v1/repositories/{namespace}/{name}/official", "Make it official, or not", set_official)
        .get("/api/v1/repositories/{namespace}/{name}/pulls", "Pulls by day", pulls)
        .post(
            "/api/v1/repositories/{namespace}/{name}/retention/preview",
            "What a rule of retention would remove",
            preview,
        )
        .get(
            "/api/v1/repositories/{namespace}/{name}/dockerfile",
            "The Dockerfile of a tag, attached or reconstructed",
            dockerfile,
        )
        .get("/api/v1/categories", "Categories", categories)
        .put("/api/v1/categories", "Set the categories", set_categories)
}

/// A category.
#[derive(Serialize, ToSchema)]
pub(super) struct Category {
    name: String,
    slug: String,
}

/// A category as it is shown; one that is not known any more by its slug.
pub(super) fn category(slug: &str, categories: &[CategoryRow]) -> Category {
    let name = categories.iter().find(|category| category.slug == slug).map_or(slug, |category| &category.name);
    Category { name: name.to_owned(), slug: slug.to_owned() }
}

/// What a list says of a repository.
#[derive(Serialize, ToSchema)]
struct Repository {
    name: String,
    namespace: String,
    /// `image`, `helm`, `artifact`, ….
    repository_type: String,
    status: u32,
    status_description: &'static str,
    description: String,
    is_private: bool,
    is_automated: bool,
    star_count: u64,
    pull_count: u64,
    last_updated: String,
    last_modified: String,
    date_registered: String,
    affiliation: Option<String>,
    hub_user: String,
    media_types: BTreeSet<String>,
    /// What its tags are: `image`, `helm`, `artifact`, ….
    content_types: BTreeSet<String>,
    categories: Vec<Category>,
    immutable_tags_settings: ImmutableTagsBody,
    source: Option<String>,
    /// `official`, `verified_publisher` or `none`.
    badge: &'static str,
    /// `os/architecture[/variant]` of all its images.
    platforms: BTreeSet<String>,
    last_pushed: Option<String>,
    last_pusher: Option<String>,
}

/// A repository, and what whoever asks may do with it.
#[derive(Serialize, ToSchema)]
struct RepositoryDetail {
    #[serde(flatten)]
    entry: Repository,
    user: String,
    collaborator_count: u64,
    has_starred: bool,
    full_description: String,
    permissions: Permissions,
    /// Bytes that it shows.
    storage_size: u64,
    /// Only for administrators of the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<RetentionBody>,
}

/// What whoever asks may do.
#[derive(Serialize, ToSchema)]
struct Permissions {
    read: bool,
    write: bool,
    admin: bool,
}

fn entry(row: RepositoryRow, categories: &[CategoryRow]) -> Repository {
    Repository {
        badge: badge(&row),
        repository_type: row.kinds.first().map_or("image", String::as_str).to_owned(),
        hub_user: row.namespace.clone(),
        name: row.name,
        namespace: row.namespace,
        status: 1,
        status_description: "active",
        description: row.description,
        is_private: row.is_private,
        is_automated: false,
        star_count: row.stars,
        pull_count: row.pulls,
        last_updated: time(row.last_updated),
        last_modified: time(row.last_updated),
        date_registered: time(row.registered),
        affiliation: None,
        media_types: row.media_types,
        content_types: row.kinds,
        categories: row.categories.iter().map(|slug| category(slug, categories)).collect(),
        immutable_tags_settings: row.immutable_tags.into(),
        source: row.source,
        platforms: row.platforms,
        last_pushed: row.last_pushed.map(time),
        last_pusher: row.last_pusher,
    }
}

/// `official`, `verified_publisher`, or `none`.
pub(super) fn badge(row: &RepositoryRow) -> &'static str {
    match (row.is_official, row.is_verified) {
        (true, _) => "official",
        (_, true) => "verified_publisher",
        _ => "none",
    }
}

async fn detail(hub: &Hub, asking: &MaybeSigned, row: RepositoryRow, role: Role) -> Result<RepositoryDetail> {
    Ok(RepositoryDetail {
        user: row.namespace.clone(),
        collaborator_count: 0,
        has_starred: match &asking.0 {
            Some(identity) => hub.has_starred(&row, &identity.account).await?,
            None => false,
        },
        full_description: hub.full_description(&row).await?,
        permissions: Permissions { read: true, write: role >= Role::Write, admin: role >= Role::Admin },
        storage_size: hub.storage_size(&row).await?,
        retention: (role >= Role::Admin).then(|| row.retention.clone().into()),
        entry: entry(row, &hub.categories().await?),
    })
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

async fn list(hub: &Hub, asking: &MaybeSigned, place: Place, namespace: Option<String>) -> Result<List<Repository>> {
    let (client, uri, query) = place;
    let page = Page::of(&query)?;
    let (order, reverse) = order(&query);
    let starred_by = match (query.first("starred"), &asking.0) {
        (Some("true"), Some(identity)) => Some(identity.account.clone()),
        (Some("true"), None) => return Err(refusal(asking)),
        _ => None,
    };
    let filter = RepositoryFilter {
        namespaces: namespace.into_iter().collect(),
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
    let results = rows.into_iter().map(|row| entry(row, &categories)).collect();
    Ok(List::page(&client.origin, &uri, page, count, results))
}

async fn list_namespace(
    State(hub): State<Hub>,
    Path(namespace): Path<String>,
    asking: MaybeSigned,
    place: Place,
) -> Result<List<Repository>> {
    list(&hub, &asking, place, Some(namespace)).await
}

async fn list_all(State(hub): State<Hub>, asking: MaybeSigned, place: Place) -> Result<List<Repository>> {
    list(&hub, &asking, place, None).await
}

async fn show(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result<Json<RepositoryDetail>> {
    let (row, role) = repository(&hub, &asking, &names, Role::Read).await?;
    Ok(Json(detail(&hub, &asking, row, role).await?))
}

/// A repository to be.
#[derive(Deserialize, ToSchema)]
struct NewRepositoryBody {
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
    Input(new): Input<NewRepositoryBody>,
) -> Result<Created<RepositoryDetail>> {
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
    Ok(Created(detail(&hub, &asking, row, role).await?))
}

/// A category by its slug alone, or as it is shown.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum CategoryBody {
    Slug(String),
    Shown { slug: String },
}

/// Which tags, once set, stay on their digest.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImmutableTagsBody {
    /// Whether any are.
    #[serde(default)]
    enabled: bool,
    /// Regular expressions, one of which matches a whole tag; without any, every tag.
    #[serde(default)]
    rules: Vec<String>,
}

impl From<ImmutableTags> for ImmutableTagsBody {
    fn from(ImmutableTags { enabled, rules }: ImmutableTags) -> ImmutableTagsBody {
        ImmutableTagsBody { enabled, rules }
    }
}

impl From<ImmutableTagsBody> for ImmutableTags {
    fn from(ImmutableTagsBody { enabled, rules }: ImmutableTagsBody) -> ImmutableTags {
        ImmutableTags { enabled, rules }
    }
}

/// Which tags may be removed without being asked for.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RetentionBody {
    /// Whether it is in force.
    #[serde(default)]
    enabled: bool,
    /// The newest this many tags stay whatever their age.
    #[serde(default)]
    keep: u64,
    /// Tags neither pushed nor pulled for this many days go; without it, all but those kept.
    #[serde(default)]
    older_than_days: Option<u64>,
    /// Regular expressions, one of which matches a whole tag: these stay.
    #[serde(default)]
    except: Vec<String>,
}

impl From<Retention> for RetentionBody {
    fn from(Retention { enabled, keep, older_than_days, except }: Retention) -> RetentionBody {
        RetentionBody { enabled, keep, older_than_days, except }
    }
}

impl From<RetentionBody> for Retention {
    fn from(RetentionBody { enabled, keep, older_than_days, except }: RetentionBody) -> Retention {
        Retention { enabled, keep, older_than_days, except }
    }
}

/// What is to change of a repository.
#[derive(Deserialize, ToSchema)]
struct RepositoryChange {
    description: Option<String>,
    full_description: Option<String>,
    is_private: Option<bool>,
    categories: Option<Vec<CategoryBody>>,
    source: Option<String>,
    immutable_tags_settings: Option<ImmutableTagsBody>,
    retention: Option<RetentionBody>,
}

async fn update(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(update): Input<RepositoryChange>,
) -> Result<Json<RepositoryDetail>> {
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
        immutable_tags: update.immutable_tags_settings.map(ImmutableTags::from),
        retention: update.retention.map(Retention::from),
    };
    let identity = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    let row = hub.update_repository_as(identity, &row.full_name(), update).await?;
    Ok(Json(detail(&hub, &asking, row, role).await?))
}

async fn remove(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result<Accepted> {
    let (row, _) = repository(&hub, &asking, &names, Role::Admin).await?;
    let identity = asking.0.as_ref().ok_or_else(|| refusal(&asking))?;
    hub.delete_repository_as(identity, &row.full_name(), &row.full_name()).await?;
    Ok(Accepted)
}

/// A repository's stars, and one's own.
#[derive(Serialize, ToSchema)]
struct Star {
    star_count: u64,
    has_starred: bool,
}

async fn set_star(hub: &Hub, names: &(String, String), asking: &MaybeSigned, starred: bool) -> Result<Json<Star>> {
    let (row, _) = repository(hub, asking, names, Role::Read).await?;
    let identity = asking.0.as_ref().filter(|identity| identity.is_user()).ok_or_else(|| refusal(asking))?;
    let stars = hub.set_star(&row.full_name(), &identity.account, starred).await?;
    Ok(Json(Star { star_count: stars, has_starred: starred }))
}

async fn star(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result<Json<Star>> {
    set_star(&hub, &names, &asking, true).await
}

async fn unstar(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned) -> Result<Json<Star>> {
    set_star(&hub, &names, &asking, false).await
}

fn administers(asking: &MaybeSigned) -> Result<()> {
    let identity = asking.0.as_ref().ok_or_else(|| refusal(asking))?;
    Ok(identity.administers()?)
}

/// Whether it is curated.
#[derive(Deserialize, ToSchema)]
struct OfficialBody {
    is_official: bool,
}

async fn set_official(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(wanted): Input<OfficialBody>,
) -> Result<Json<RepositoryDetail>> {
    administers(&asking)?;
    let (row, role) = repository(&hub, &asking, &names, Role::Read).await?;
    hub.set_official(&row.full_name(), wanted.is_official).await?;
    let row = hub.repository(&row.full_name()).await?;
    Ok(Json(detail(&hub, &asking, row, role).await?))
}

/// How often a repository was pulled.
#[derive(Serialize, ToSchema)]
struct Pulls {
    total: u64,
    days: Vec<DayOfPulls>,
}

/// Pulls of one day.
#[derive(Serialize, ToSchema)]
struct DayOfPulls {
    /// `2026-01-31`, in UTC.
    day: String,
    pulls: u64,
}

async fn pulls(State(hub): State<Hub>, Path(names): Names, asking: MaybeSigned, query: Query) -> Result<Json<Pulls>> {
    const SECONDS: i64 = 86_400;
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let days = query.number("days")?.unwrap_or(DAYS).clamp(1, 3660);
    let found = hub.pulls_by_day(row.id, days as u32).await?;
    let day = |(day, pulls): (i64, u64)| DayOfPulls {
        day: jiff::Timestamp::from_second(day * SECONDS).unwrap_or_default().strftime("%Y-%m-%d").to_string(),
        pulls,
    };
    Ok(Json(Pulls { total: row.pulls, days: found.into_iter().map(day).collect() }))
}

/// Tags that a rule would remove.
#[derive(Serialize, ToSchema)]
struct RetentionPreview {
    count: usize,
    tags: Vec<ExpiredTag>,
}

/// A tag that a rule would remove.
#[derive(Serialize, ToSchema)]
struct ExpiredTag {
    name: String,
    #[schema(value_type = String)]
    digest: Digest,
    full_size: u64,
    tag_last_pushed: String,
    tag_last_pulled: Option<String>,
}

async fn preview(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    Input(rules): Input<RetentionBody>,
) -> Result<Json<RetentionPreview>> {
    let (row, _) = repository(&hub, &asking, &names, Role::Admin).await?;
    let tags = hub.preview_retention(&row, &rules.into()).await?;
    let shown = |tag: TagRow| ExpiredTag {
        name: tag.tag,
        digest: tag.manifest.digest,
        full_size: tag.manifest.size,
        tag_last_pushed: time(tag.pushed),
        tag_last_pulled: tag.last_pulled.map(time),
    };
    Ok(Json(RetentionPreview { count: tags.len(), tags: tags.into_iter().map(shown).collect() }))
}

/// A Dockerfile.
#[derive(Serialize, ToSchema)]
struct DockerfileBody {
    text: String,
    /// `attached`, `annotated` or `reconstructed`.
    origin: &'static str,
    is_reconstructed: bool,
    /// The image that it is of.
    #[schema(value_type = String)]
    digest: Digest,
    /// When the image was built, as it says itself.
    created: Option<String>,
}

async fn dockerfile(
    State(hub): State<Hub>,
    Path(names): Names,
    asking: MaybeSigned,
    query: Query,
) -> Result<Json<DockerfileBody>> {
    let (row, _) = repository(&hub, &asking, &names, Role::Read).await?;
    let target = query.first("target").unwrap_or("latest");
    let found = hub.dockerfile(&row, target, query.first("platform")).await.map_err(missing)?;
    Ok(Json(DockerfileBody {
        text: found.text,
        origin: found.origin.as_str(),
        is_reconstructed: found.origin == DockerfileOrigin::Reconstructed,
        digest: found.image,
        created: found.created,
    }))
}

/// A category, and what stands for it in addresses.
#[derive(Serialize, Deserialize, ToSchema)]
struct CategoryEntry {
    slug: String,
    name: String,
}

impl From<CategoryRow> for CategoryEntry {
    fn from(CategoryRow { slug, name }: CategoryRow) -> CategoryEntry {
        CategoryEntry { slug, name }
    }
}

async fn categories(State(hub): State<Hub>) -> Result<Json<Vec<CategoryEntry>>> {
    Ok(Json(hub.categories().await?.into_iter().map(CategoryEntry::from).collect()))
}

async fn set_categories(
    State(hub): State<Hub>,
    asking: MaybeSigned,
    Input(categories): Input<Vec<CategoryEntry>>,
) -> Result<Json<Vec<CategoryEntry>>> {
    administers(&asking)?;
    let rows = categories.into_iter().map(|CategoryEntry { slug, name }| CategoryRow { slug, name });
    let rows: Vec<CategoryRow> = rows.collect();
    hub.set_categories(&rows).await?;
    Ok(Json(rows.into_iter().map(CategoryEntry::from).collect()))
}
