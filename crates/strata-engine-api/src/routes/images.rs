//! Images: lists, what is known of one, names, removal; what registries know.

use axum::body::Body;
use http::StatusCode;
use serde_json::{Map, Value, json};
use strata_engine::{
    ImageSummary, ListRequest, ManifestInspection, PruneRequest, RemoveOptions, RemoveStep, Removed, SearchRequest,
    digest_reference, image_text, load_documents, manifest_inspect, mounted_images, name_reference, remove_one,
    running_containers, search_host,
};
use strata_model::{Descriptor, Digest, Manifest, Platform};

use crate::answer::{JSON, empty, ok, with};
use crate::call::{Call, parse_platform, parse_reference};
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

pub(super) async fn list(call: &Call) -> Answer {
    let mut filters = call.query.filters()?;
    if let Some(reference) = call.query.text("filter").filter(|_| call.version < ApiVersion(41)) {
        filters.push(("reference".into(), reference.to_owned()));
    }
    let request = ListRequest { all: call.query.is_set("all"), filters };
    let found = strata_engine::list(call.store(), &request).await?;
    let sharing = match call.query.is_set("shared-size") {
        true => Some(strata_engine::usage(call.store(), &[]).await?),
        false => None,
    };
    let txn = call.store().read().await?;
    let mut rows = Vec::with_capacity(found.len());
    for summary in &found {
        let shared = sharing.as_ref().and_then(|usage| {
            let image = usage.images.iter().find(|image| image.summary.row.id == summary.row.id)?;
            i64::try_from(image.shared).ok()
        });
        let containers = match call.version >= ApiVersion(51) {
            true => txn.containers_of_image(&summary.row.id).await?.len() as i64,
            false => -1,
        };
        let config = load_documents(&*txn, &summary.row).await?.config;
        let labels = config.value().config.labels.clone();
        rows.push(row(call.version, summary, json!(labels), config.value().parent.as_str(), shared, containers));
    }
    ok(&Value::Array(rows))
}

/// An image as lists show it.
pub(super) fn row(
    version: ApiVersion,
    summary: &ImageSummary,
    labels: Value,
    parent: &str,
    shared: Option<i64>,
    containers: i64,
) -> Value {
    let mut tags: Vec<String> = summary.names.iter().filter_map(name_reference).map(|name| name.familiar()).collect();
    let mut digests: Vec<String> =
        summary.digests.iter().filter_map(digest_reference).map(|name| name.familiar()).collect();
    if version < ApiVersion(43) && tags.is_empty() && digests.is_empty() {
        tags.push("<none>:<none>".into());
        digests.push("<none>@<none>".into());
    }
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    add("Containers", json!(containers));
    add("Created", json!(summary.row.created.div_euclid(SECOND)));
    add("Id", json!(summary.row.id));
    add("Labels", labels);
    add("ParentId", json!(parent));
    add("RepoDigests", json!(digests));
    add("RepoTags", json!(tags));
    add("SharedSize", json!(shared.unwrap_or(-1)));
    add("Size", json!(summary.row.size));
    if version < ApiVersion(44) {
        add("VirtualSize", json!(summary.row.size));
    }
    Value::Object(fields)
}

pub(super) async fn inspect(call: &Call, name: &str) -> Answer {
    let platform = platform_since(call, 49)?;
    if platform.is_some() && call.query.is_set("manifests") {
        return Err(Failure::bad_request("conflicting options: manifests and platform options cannot both be set"));
    }
    let inspected = strata_engine::inspect(call.store(), name, platform.as_ref()).await?;
    let (mut document, (container, settings)) = (inspected.json, inspected.container);
    if let Some(fields) = document.as_object_mut() {
        if call.version < ApiVersion(44) {
            let size = fields.get("Size").cloned().unwrap_or_default();
            fields.insert("VirtualSize".into(), size);
        }
        if call.version < ApiVersion(45) {
            if let Some(container) = container {
                fields.insert("Container".into(), container.into());
            }
            // Clients of that time want to find it also where nothing is known.
            let settings = settings.unwrap_or_else(|| json!(strata_engine::document::Config::default()));
            fields.insert("ContainerConfig".into(), settings);
        }
    }
    Ok(with(StatusCode::OK, JSON, Body::from(format!("{}\n", image_text(&document)))))
}

/// A platform in JSON, which clients send since a version.
fn platform_since(call: &Call, since: u16) -> Result<Option<Platform>, Failure> {
    if call.version < ApiVersion(since) { Ok(None) } else { call.query.platform() }
}

pub(super) async fn history(call: &Call, name: &str) -> Answer {
    let entries = strata_engine::history(call.store(), name, platform_since(call, 48)?.as_ref()).await?;
    let rows = entries.iter().map(|entry| {
        let tags = if entry.tags.is_empty() { Value::Null } else { json!(entry.tags) };
        json!({
            "Comment": entry.comment,
            "Created": entry.created.map_or(0, |time| time.div_euclid(SECOND)),
            "CreatedBy": entry.created_by,
            "Id": entry.image.map_or("<missing>".to_owned(), |id| id.to_string()),
            "Size": entry.size,
            "Tags": tags,
        })
    });
    ok(&rows.collect())
}

pub(super) async fn tag(call: &Call, name: &str) -> Answer {
    let repository = call.query.text("repo").unwrap_or_default();
    let target = match call.query.text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    strata_engine::tag(call.store(), name, &target).await?;
    empty(StatusCode::CREATED)
}

pub(super) async fn remove(call: &Call, name: &str) -> Answer {
    let platforms: Vec<Platform> =
        call.query.all("platforms").iter().map(|text| parse_platform(text)).collect::<Result<_, _>>()?;
    let mounted = mounted_images(call.root())?;
    let running = running_containers(call.store(), call.root()).await?;
    let force = call.query.is_set("force");
    let mut steps = Vec::new();
    let wanted = if platforms.is_empty() { vec![None] } else { platforms.iter().map(Some).collect() };
    for platform in wanted {
        let options = RemoveOptions { force, platform, mounted: &mounted, running: &running };
        steps.extend(remove_one(call.store(), name, &options).await?.steps);
    }
    ok(&step_rows(&steps))
}

fn step_rows(steps: &[RemoveStep]) -> Value {
    let row = |step: &RemoveStep| match step {
        RemoveStep::Untagged(name) => json!({ "Untagged": name }),
        RemoveStep::Deleted(digest) => json!({ "Deleted": digest }),
    };
    steps.iter().map(row).collect()
}

pub(super) async fn prune(call: &Call) -> Answer {
    let mounted = mounted_images(call.root())?;
    let request = PruneRequest { filters: call.query.filters()?, mounted, ..PruneRequest::default() };
    let Removed { steps, freed, .. } = strata_engine::prune(call.store(), &request).await?;
    let deleted = if steps.is_empty() { Value::Null } else { step_rows(&steps) };
    ok(&json!({ "ImagesDeleted": deleted, "SpaceReclaimed": freed }))
}

pub(super) async fn search(call: &Call) -> Answer {
    let term = call.query.text("term").unwrap_or_default().to_owned();
    let client = call.client(&search_host(&term)?);
    let limit = call.query.number("limit")?.unwrap_or(0);
    let request = SearchRequest { term, limit, filters: call.query.filters()? };
    let found = strata_engine::search(&client, &request).await?;
    let rows = found.iter().map(|image| {
        json!({
            "star_count": image.star_count,
            "is_official": image.is_official,
            "name": image.name,
            "is_automated": image.is_automated,
            "description": image.description,
        })
    });
    ok(&rows.collect())
}

pub(super) async fn distribution(call: &Call, name: &str) -> Answer {
    let reference = parse_reference(name)?;
    let client = call.client(reference.host());
    let (descriptor, platforms) = match manifest_inspect(&client, &reference, false).await? {
        ManifestInspection::List { raw, .. } => {
            let list = Manifest::parse(&raw, None).map_err(|cause| Failure::bad_request(cause.to_string()))?;
            let entries: &[Descriptor] = match &list {
                Manifest::Index(index) => &index.manifests,
                Manifest::Image(_) => &[],
            };
            let platforms: Vec<Platform> = entries.iter().filter_map(|entry| entry.platform.clone()).collect();
            (Descriptor::new(list.media_type(), Digest::of(&raw), raw.len() as u64), platforms)
        }
        // The platform of a single image is in its configuration.
        ManifestInspection::Single(_) => match manifest_inspect(&client, &reference, true).await? {
            ManifestInspection::Single(image) => {
                let plain = Descriptor { platform: None, ..image.descriptor.clone() };
                (plain, image.descriptor.platform.into_iter().collect())
            }
            ManifestInspection::List { .. } => {
                return Err(Failure::bad_request(format!("{reference} changed meanwhile")));
            }
        },
    };
    ok(&json!({
        "Descriptor": { "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size },
        "Platforms": platforms,
    }))
}
