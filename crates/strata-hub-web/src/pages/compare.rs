//! Two images beside each other: packages, configuration, layers, bytes to pull, files.

use std::collections::BTreeMap;

use askama::Template;
use strata_hub::records::{RepositoryRow, TagFilter};
use strata_hub::{
    ConfigChange, Findings, FindingsState, ImageComparison, ImageParts, IndexState, PackageChange, PackageKind,
};
use strata_model::{Digest, ErrorKind};

use super::files::{Asked, Listing};
use super::image::{encode, found};
use super::repository::Head;
use crate::failure::{Failure, Result};
use crate::site::{Frame, Values, Visit, page};
use crate::views::{Badge, colour, repository_path};
use crate::words;

/// Tags that are proposed while typing.
const PROPOSED: u64 = 100;
/// Packages in a table.
const PACKAGES: usize = 2_000;

/// What the form has in it.
struct Form {
    from: String,
    with: String,
    to: String,
    platform: String,
    tags: Vec<String>,
}

/// One of the two.
struct Side {
    name: String,
    address: String,
    platform: String,
    size: String,
}

/// The packages of one kind that differ.
struct Packages {
    kind: &'static str,
    changes: Vec<PackageLine>,
    more: usize,
}

struct PackageLine {
    name: String,
    before: String,
    after: String,
    class: &'static str,
    state: &'static str,
}

struct ConfigLine {
    name: String,
    before: String,
    after: String,
    class: &'static str,
    state: &'static str,
}

struct LayerLine {
    colour: String,
    short_digest: String,
    digest: String,
    size: String,
    state: &'static str,
    class: &'static str,
}

/// What is known of the packages of both.
enum PackagesState {
    Ready(Vec<Packages>),
    Waiting,
    Failed(String),
}

struct Comparison {
    before: Side,
    after: Side,
    packages: PackagesState,
    config: Vec<ConfigLine>,
    layers: Vec<LayerLine>,
    shared: String,
    to_pull: String,
    pull_note: String,
    is_same: bool,
    files_address: String,
    files: Option<Listing>,
    files_problem: Option<String>,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Compare {
    frame: Frame,
    head: Head,
    form: Form,
    problem: Option<String>,
    comparison: Option<Comparison>,
}

/// `GET …/compare?from=&with=&to=&platform=&files=yes&path=&sort=&page=`. `with` is another repository that `to` is of.
pub(super) async fn compare(visit: &Visit, row: &RepositoryRow, head: Head) -> Result {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let form = form(visit, row, &head, &values).await?;
    let (mut problem, mut comparison) = (None, None);
    if !form.from.is_empty() && !form.to.is_empty() {
        match sides(visit, row, &form).await? {
            Ok(sides) => comparison = Some(comparison_of(visit, &form, &values, sides).await?),
            Err(missing) => problem = Some(missing),
        }
    }
    Ok(page(Compare { frame: visit.frame(""), head, form, problem, comparison }))
}

async fn form(visit: &Visit, row: &RepositoryRow, head: &Head, values: &Values) -> Result<Form> {
    let filter = TagFilter { of_cosign: Some(false), limit: PROPOSED, ..TagFilter::default() };
    let (_, tags) = visit.hub.tags(row, &filter).await.map_err(|error| Failure::of(visit, error))?;
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.tag).collect();
    let default = head.default.as_ref().map(|tag| tag.tag.clone()).unwrap_or_default();
    let text = |name: &str| values.first(name).trim().to_owned();
    let from = Some(text("from")).filter(|from| !from.is_empty()).unwrap_or(default);
    Ok(Form { from, with: text("with"), to: text("to"), platform: text("platform"), tags })
}

/// An image of one of the repositories.
struct Chosen {
    row: RepositoryRow,
    tag: String,
    platform: String,
    parts: ImageParts,
}

/// Both images, or which of them is not there.
async fn sides(visit: &Visit, row: &RepositoryRow, form: &Form) -> Result<Result<(Chosen, Chosen), String>> {
    let other = match form.with.as_str() {
        "" => Some(row.clone()),
        name if name.contains('/') => visit.repository(name).await?,
        name => visit.repository(&format!("library/{name}")).await?,
    };
    let Some(other) = other else {
        return Ok(Err(format!("There is no repository {} here that you may see.", form.with)));
    };
    let before = match chosen(visit, row, &form.from, &form.platform).await? {
        Ok(chosen) => chosen,
        Err(missing) => return Ok(Err(missing)),
    };
    // Without a choice the second one is of the first one's platform.
    let after = chosen(visit, &other, &form.to, &before.platform).await?;
    Ok(after.map(|after| (before, after)))
}

async fn chosen(visit: &Visit, row: &RepositoryRow, tag: &str, platform: &str) -> Result<Result<Chosen, String>> {
    let tag = match visit.hub.tag(row, tag).await {
        Ok(tag) => tag,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Err(format!("There is no tag {tag} in {}.", row.familiar_name())));
        }
        Err(error) => return Err(Failure::of(visit, error)),
    };
    let image = found(&visit.hub, row, &tag, platform).await.map_err(|error| Failure::of(visit, error))?;
    Ok(match image {
        Some((parts, platform)) => Ok(Chosen { row: row.clone(), tag: tag.tag, platform, parts }),
        None => Err(format!("{}:{} is no image that is kept here.", row.familiar_name(), tag.tag)),
    })
}

async fn comparison_of(visit: &Visit, form: &Form, values: &Values, sides: (Chosen, Chosen)) -> Result<Comparison> {
    let (before, after) = &sides;
    let compared = ImageComparison::of(&before.parts, &after.parts);
    let sum = |layers: &[(Digest, u64)]| layers.iter().map(|(_, size)| size).sum::<u64>();
    let query = |files: &str| {
        let mut query = format!("from={}&to={}", encode(form.from.as_bytes()), encode(form.to.as_bytes()));
        for (name, value) in [("with", form.with.as_str()), ("platform", &form.platform), ("files", files)] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encode(value.as_bytes())));
            }
        }
        query
    };
    let (mut files, mut files_problem) = (None, None);
    if values.first("files") == "yes" {
        match changed_files(visit, format!("{}#files", query("yes")), before, after).await? {
            Ok(listing) => files = Some(listing),
            Err(reason) => files_problem = Some(reason),
        }
    }
    Ok(Comparison {
        packages: packages(visit, before, after).await?,
        config: compared.config.iter().map(config_line).collect(),
        layers: layer_lines(&compared, &colours(before, after)),
        shared: words::exactly(compared.shared.len() as u64, "layer"),
        to_pull: words::size(sum(&compared.only_after)),
        pull_note: format!(
            "{} of {}",
            words::size(sum(&compared.shared)),
            words::size(sum(&compared.shared) + sum(&compared.only_after))
        ),
        is_same: before.parts.digest == after.parts.digest,
        files_address: format!("?{}#files", query("yes")),
        files,
        files_problem,
        before: side(before),
        after: side(after),
    })
}

fn side(chosen: &Chosen) -> Side {
    let path = repository_path(&chosen.row);
    Side {
        name: format!("{}:{}", chosen.row.familiar_name(), chosen.tag),
        address: format!("{path}/tags/{}/layers?platform={}", chosen.tag, encode(chosen.platform.as_bytes())),
        platform: chosen.platform.clone(),
        size: words::size(chosen.parts.manifest.layers.iter().map(|layer| layer.size).sum()),
    }
}

/// The directory of changed files that the address asks for, or why there is none.
async fn changed_files(
    visit: &Visit,
    kept: String,
    before: &Chosen,
    after: &Chosen,
) -> Result<Result<Listing, String>> {
    let failed = |error| Failure::of(visit, error);
    let mut layers = Vec::new();
    for chosen in [before, after] {
        match visit.hub.index_state(&chosen.row, &chosen.parts).await.map_err(failed)? {
            IndexState::Ready(found) => layers.push(found),
            IndexState::Waiting => {
                return Ok(Err("The index of these images is being made; look again in a moment.".to_owned()));
            }
            IndexState::Failed(reason) => return Ok(Err(format!("The files cannot be compared: {reason}."))),
        }
    }
    let asked = Asked::of(visit, kept);
    match visit.hub.compared_directory(&layers[0], &layers[1], &asked.look()).await {
        Ok(directory) => Ok(Ok(asked.listing(&directory, false))),
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(Err(format!("The files cannot be compared: {error}."))),
        Err(error) => Err(failed(error)),
    }
}

async fn packages(visit: &Visit, before: &Chosen, after: &Chosen) -> Result<PackagesState> {
    let mut found: Vec<Findings> = Vec::new();
    for chosen in [before, after] {
        match visit.hub.findings(&chosen.row, &chosen.parts).await.map_err(|error| Failure::of(visit, error))? {
            FindingsState::Ready(findings) => found.push(*findings),
            FindingsState::Waiting => return Ok(PackagesState::Waiting),
            FindingsState::Failed(reason) => return Ok(PackagesState::Failed(reason)),
        }
    }
    let changes = PackageChange::between(&found[0].packages, &found[1].packages);
    let of_kind = |kind: PackageKind| {
        let changes: Vec<&PackageChange> = changes.iter().filter(|change| change.kind == kind).collect();
        Packages {
            kind: kind.as_str(),
            more: changes.len().saturating_sub(PACKAGES),
            changes: changes.into_iter().take(PACKAGES).map(package_line).collect(),
        }
    };
    let kinds = PackageKind::ALL.into_iter().map(of_kind).filter(|packages| !packages.changes.is_empty());
    Ok(PackagesState::Ready(kinds.collect()))
}

fn package_line(change: &PackageChange) -> PackageLine {
    let (state, class) = change_of(change.before.is_empty(), change.after.is_empty());
    PackageLine {
        name: change.name.clone(),
        before: change.before.join(", "),
        after: change.after.join(", "),
        class,
        state,
    }
}

fn config_line(change: &ConfigChange) -> ConfigLine {
    let (state, class) = change_of(change.before.is_none(), change.after.is_none());
    ConfigLine {
        name: change.name.clone(),
        before: change.before.as_deref().map(|value| words::setting(&change.name, value)).unwrap_or_default(),
        after: change.after.as_deref().map(|value| words::setting(&change.name, value)).unwrap_or_default(),
        class,
        state,
    }
}

fn change_of(was_absent: bool, is_absent: bool) -> (&'static str, &'static str) {
    match (was_absent, is_absent) {
        (true, _) => ("added", "added"),
        (_, true) => ("removed", "removed"),
        _ => ("changed", "changed"),
    }
}

/// What colours each layer: what it unpacks to, as on the page of its image.
fn colours(before: &Chosen, after: &Chosen) -> BTreeMap<Digest, Digest> {
    let of = |chosen: &Chosen| {
        let unpacked = chosen.parts.config.rootfs.diff_ids.clone();
        let layers: Vec<Digest> = chosen.parts.manifest.layers.iter().map(|layer| layer.digest).collect();
        layers.into_iter().zip(unpacked).map(|(layer, diff_id)| (layer, diff_id.0))
    };
    of(before).chain(of(after)).collect()
}

fn layer_lines(compared: &ImageComparison, colours: &BTreeMap<Digest, Digest>) -> Vec<LayerLine> {
    let sets = [
        (&compared.shared, "in both", ""),
        (&compared.only_before, "only before", "removed"),
        (&compared.only_after, "only after", "added"),
    ];
    let lines = sets.into_iter().flat_map(|(layers, state, class)| {
        layers.iter().map(move |(digest, size)| {
            let text = digest.to_string();
            LayerLine {
                colour: colour(colours.get(digest).unwrap_or(digest)),
                short_digest: words::short(&text).to_owned(),
                digest: text,
                size: words::size(*size),
                state,
                class,
            }
        })
    });
    lines.collect()
}
