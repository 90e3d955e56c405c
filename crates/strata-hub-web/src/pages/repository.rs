//! A repository: what its owner wrote, its tags, one tag, its Dockerfile; what is in its images is in [`super::layers`] and
//! its siblings. Names have slashes, so a path is read from its end.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Path;
use strata_hub::records::{RepositoryRow, Role, TagFilter, TagOrder, TagRow};
use strata_hub::{Dockerfile, DockerfileOrigin, HubError, cosign_tag, printable};
use strata_model::{Digest, ErrorKind};
use strata_store::RegistryAction;

use super::image::{Shown, settings_of};
use super::{compare, files, layers, settings, trust};
use crate::failure::{Failure, Result};
use crate::markdown;
use crate::site::{Frame, Values, Visit, page, see_other};
use crate::views::{Badge, Card, Choice, CosignTag, Moment, Step, TagGroup, TagView, repository_path};
use crate::words;

/// Tags on a page.
const PAGE: u64 = 50;
/// Entries of a tag's history.
const HISTORY: usize = 50;

const ORDERS: [(&str, &str, TagOrder); 3] = [
    ("", "Newest", TagOrder::Newest),
    ("name", "A–Z", TagOrder::Name),
    ("name-descending", "Z–A", TagOrder::NameDescending),
];

/// What of a repository a path means. Where a tag may be missing, the default one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Overview,
    Tags,
    Tag(String),
    Dockerfile,
    Layers(Option<String>),
    /// The files of one layer of a tag.
    Layer(String, usize),
    Files(String),
    /// The content of one file.
    Content(String),
    Compare,
    Trust(Option<String>),
    /// A page of its settings, by its path below them.
    Settings(String),
}

/// What a path may mean, the likeliest first: a repository may be called like a part.
fn meanings(path: &str) -> Vec<(String, Part)> {
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let parted = match segments[..] {
        [ref name @ .., "tags", tag, "layers", layer] => {
            layer.parse().ok().map(|layer| (name, Part::Layer(tag.to_owned(), layer)))
        }
        [ref name @ .., "tags", tag, "layers"] => Some((name, Part::Layers(Some(tag.to_owned())))),
        [ref name @ .., "tags", tag, "files"] => Some((name, Part::Files(tag.to_owned()))),
        [ref name @ .., "tags", tag, "files", "content"] => Some((name, Part::Content(tag.to_owned()))),
        [ref name @ .., "tags", tag, "trust"] => Some((name, Part::Trust(Some(tag.to_owned())))),
        [ref name @ .., "tags", tag] => Some((name, Part::Tag(tag.to_owned()))),
        [ref name @ .., "tags"] => Some((name, Part::Tags)),
        [ref name @ .., "dockerfile"] => Some((name, Part::Dockerfile)),
        [ref name @ .., "layers"] => Some((name, Part::Layers(None))),
        [ref name @ .., "compare"] => Some((name, Part::Compare)),
        [ref name @ .., "settings", "webhooks", id] => Some((name, Part::Settings(format!("webhooks/{id}")))),
        [ref name @ .., "settings", part] => Some((name, Part::Settings(part.to_owned()))),
        [ref name @ .., "settings"] => Some((name, Part::Settings(String::new()))),
        [ref name @ .., "trust"] => Some((name, Part::Trust(None))),
        _ => None,
    };
    let parted = parted.filter(|(name, _)| !name.is_empty()).map(|(name, part)| (name.join("/"), part));
    parted.into_iter().chain([(segments.join("/"), Part::Overview)]).collect()
}

/// `GET /_/{path}`: official images.
pub(crate) async fn official(visit: Visit, Path(path): Path<String>) -> Result {
    show(&visit, &format!("library/{path}")).await
}

/// `GET /r/{path}`.
pub(crate) async fn repository(visit: Visit, Path(path): Path<String>) -> Result {
    show(&visit, &path).await
}

async fn show(visit: &Visit, path: &str) -> Result {
    for (name, part) in meanings(path) {
        if let Some(row) = visit.repository(&name).await? {
            if let Part::Settings(part) = part {
                return settings::settings(visit, &name, &part).await;
            }
            let head = Head::of(visit, &row, &part).await?;
            return match part {
                Part::Overview => overview(visit, &row, head).await,
                Part::Tags => tags(visit, &row, head).await,
                Part::Tag(tag) => one_tag(visit, &row, head, &tag).await,
                Part::Dockerfile => dockerfile(visit, &row, head).await,
                Part::Layers(tag) => layers::layers(visit, &row, head, tag).await,
                Part::Layer(tag, number) => files::layer(visit, &row, head, &tag, number).await,
                Part::Files(tag) => files::files(visit, &row, head, &tag).await,
                Part::Content(tag) => files::content(visit, &row, &head, &tag).await,
                Part::Compare => compare::compare(visit, &row, head).await,
                Part::Trust(tag) => trust::trust(visit, &row, head, tag).await,
                Part::Settings(_) => Err(Failure::not_found(visit, "page")),
            };
        }
    }
    Err(Failure::not_found(visit, "repository"))
}

/// `POST /_/{path}` and `POST /r/{path}`: `…/star` and `…/tags/{tag}/move`.
pub(crate) async fn change_official(visit: Visit, Path(path): Path<String>, form: String) -> Result {
    change(&visit, &format!("library/{path}"), Values::of(&form)).await
}

/// See [`change_official`].
pub(crate) async fn change_repository(visit: Visit, Path(path): Path<String>, form: String) -> Result {
    change(&visit, &path, Values::of(&form)).await
}

async fn change(visit: &Visit, path: &str, form: Values) -> Result {
    if let Some(name) = path.strip_suffix("/star") {
        return star(visit, name, form.first("star") == "yes").await;
    }
    if let Some((name, tag)) = path.strip_suffix("/move").and_then(|path| path.rsplit_once("/tags/")) {
        return move_tag(visit, name, tag, &form).await;
    }
    if let Some((name, action)) = path.rsplit_once("/settings/") {
        return settings::change(visit, name, action, form).await;
    }
    Err(Failure::not_found(visit, "page"))
}

async fn star(visit: &Visit, name: &str, is_wanted: bool) -> Result {
    let row = readable(visit, name).await?;
    let account = &visit.signed_in(&repository_path(&row))?.account;
    visit.hub.set_star(name, account, is_wanted).await.map_err(|error| Failure::of(visit, error))?;
    Ok(see_other(&repository_path(&row), None))
}

async fn move_tag(visit: &Visit, name: &str, tag: &str, form: &Values) -> Result {
    let row = readable(visit, name).await?;
    let page = format!("{}/tags/{tag}", repository_path(&row));
    let account = &visit.signed_in(&page)?.account;
    let digest = |name| form.first(name).parse::<Digest>().map_err(|_| Failure::not_found(visit, "digest"));
    let (to, from) = (digest("to")?, digest("from")?);
    let failed = |error| Failure::of(visit, error);
    if !may_write(visit, &row).await? {
        return Err(failed(HubError::Denied(format!("you may not change {}", row.full_name()))));
    }
    visit.hub.roll_back_tag(&row, tag, &to, Some(from), account).await.map_err(failed)?;
    Ok(see_other(&page, None))
}

async fn readable(visit: &Visit, name: &str) -> Result<RepositoryRow> {
    visit.repository(name).await?.ok_or_else(|| Failure::not_found(visit, "repository"))
}

async fn may_write(visit: &Visit, row: &RepositoryRow) -> Result<bool> {
    Ok(role_of(visit, row).await? >= Some(Role::Write))
}

async fn role_of(visit: &Visit, row: &RepositoryRow) -> Result<Option<Role>> {
    let role = visit.hub.role_of(visit.identity.as_ref(), &row.full_name()).await;
    role.map_err(|error| Failure::of(visit, error))
}

/// What stands above all parts of a repository.
pub(super) struct Head {
    pub(super) card: Card,
    pub(super) namespace: String,
    /// The tag that is meant without one.
    pub(super) default: Option<TagRow>,
    pub(super) default_size: Option<String>,
    /// What is typed to pull it, with `docker` and with `strata`.
    pub(super) pull_lines: [(&'static str, String); 2],
    pub(super) has_starred: bool,
    pub(super) tabs: Vec<Step>,
}

impl Head {
    /// Above the settings.
    pub(super) async fn of_settings(visit: &Visit, row: &RepositoryRow) -> Result<Head> {
        Head::of(visit, row, &Part::Settings(String::new())).await
    }

    async fn of(visit: &Visit, row: &RepositoryRow, part: &Part) -> Result<Head> {
        let failed = |error| Failure::of(visit, error);
        let default = default_tag(visit, row).await?;
        let has_starred = match visit.viewer() {
            Some(account) => visit.hub.has_starred(row, account).await.map_err(failed)?,
            None => false,
        };
        let tag =
            default.as_ref().filter(|tag| tag.tag != "latest").map(|tag| format!(":{}", tag.tag)).unwrap_or_default();
        let card = Card::of(row, visit.now);
        let tab = |label: &str, address: String, is_current| Step { label: label.to_owned(), address, is_current };
        let mut tabs = vec![
            tab("Overview", card.path.clone(), *part == Part::Overview),
            tab("Tags", format!("{}/tags", card.path), matches!(part, Part::Tags | Part::Tag(_) | Part::Compare)),
            tab("Dockerfile", format!("{}/dockerfile", card.path), *part == Part::Dockerfile),
            tab(
                "Layers",
                format!("{}/layers", card.path),
                matches!(part, Part::Layers(_) | Part::Layer(..) | Part::Files(_)),
            ),
            tab("Trust", format!("{}/trust", card.path), matches!(part, Part::Trust(_))),
        ];
        if role_of(visit, row).await? >= Some(Role::Admin) {
            tabs.push(tab("Settings", format!("{}/settings", card.path), matches!(part, Part::Settings(_))));
        }
        Ok(Head {
            namespace: row.namespace.clone(),
            default_size: default.as_ref().map(|tag| words::size(tag.manifest.size)),
            pull_lines: [("pull", "docker"), ("strata-pull", "strata")]
                .map(|(id, program)| (id, format!("{program} pull {}/{}{tag}", visit.host, row.familiar_name()))),
            has_starred,
            tabs,
            card,
            default,
        })
    }
}

/// The tag that is meant without one, or else the last that was pushed and is no signature.
async fn default_tag(visit: &Visit, row: &RepositoryRow) -> Result<Option<TagRow>> {
    let failed = |error| Failure::of(visit, error);
    match visit.hub.tag(row, "latest").await {
        Ok(tag) => return Ok(Some(tag)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let newest = TagFilter { of_cosign: Some(false), limit: 1, ..TagFilter::default() };
    let (_, tags) = visit.hub.tags(row, &newest).await.map_err(failed)?;
    Ok(tags.into_iter().next())
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    head: Head,
    readme: String,
    may_edit: bool,
    /// The default tag with its page, platforms, and when it was pushed.
    tag: Option<TagView>,
    categories: Vec<Step>,
    /// What owner and image say of where it is from.
    said: Vec<Said>,
}

/// What labels say of an image (OCI image specification, "Pre-Defined Annotation Keys").
const SAID: [(&str, &str); 5] = [
    ("Source", "org.opencontainers.image.source"),
    ("Documentation", "org.opencontainers.image.documentation"),
    ("Home page", "org.opencontainers.image.url"),
    ("Licence", "org.opencontainers.image.licenses"),
    ("Version", "org.opencontainers.image.version"),
];

/// What is said, as text, and whether that is an address to go to.
struct Said {
    name: &'static str,
    text: String,
    is_address: bool,
}

async fn overview(visit: &Visit, row: &RepositoryRow, head: Head) -> Result {
    let failed = |error| Failure::of(visit, error);
    let text = visit.hub.full_description(row).await.map_err(failed)?;
    let known = visit.hub.categories().await.map_err(failed)?;
    let known = known.into_iter().filter(|category| row.categories.contains(&category.slug));
    let categories = known.map(|category| {
        let address = format!("/search?category={}", category.slug);
        Step::to(category.name, address)
    });
    Ok(page(Overview {
        frame: visit.frame(""),
        readme: markdown::render(&text),
        may_edit: role_of(visit, row).await? >= Some(Role::Admin),
        tag: head.default.as_ref().map(|tag| TagView::of(tag, Vec::new(), &head.card.path, visit.now)),
        categories: categories.collect(),
        said: said(row, Shown::of(visit, row, &head, None).await?.as_ref()),
        head,
    }))
}

/// The owner's word for the source is stronger than the image's.
fn said(row: &RepositoryRow, shown: Option<&Shown>) -> Vec<Said> {
    let labels = shown.and_then(|shown| shown.parts.config.config.labels.as_ref());
    let annotations = shown.map(|shown| &shown.parts.manifest.annotations);
    let by_image = |key: &str| {
        let found = annotations.and_then(|found| found.get(key)).or_else(|| labels.and_then(|found| found.get(key)));
        found.map(|text| printable(text.as_bytes())).filter(|text| !text.is_empty())
    };
    let by_owner = |name: &str| row.source.clone().filter(|_| name == "Source");
    let said = |(name, key): &(&'static str, &str)| {
        let text = by_owner(name).or_else(|| by_image(key))?;
        Some(Said { name, is_address: is_address(&text), text })
    };
    SAID.iter().filter_map(said).collect()
}

/// Whether a text that an image has is an address to go to.
fn is_address(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://")) && !text.contains(char::is_whitespace)
}

#[derive(Template)]
#[template(path = "tags.html")]
struct Tags {
    frame: Frame,
    head: Head,
    name: String,
    orders: Vec<Choice>,
    groups: Vec<TagGroup>,
    total: String,
    /// What cosign keeps under tags of its own, and how many there are.
    attached: Vec<CosignTag>,
    attached_total: String,
    previous: Option<String>,
    next: Option<String>,
}

async fn tags(visit: &Visit, row: &RepositoryRow, head: Head) -> Result {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let (number, name) = (values.number("page").max(1), values.first("name").to_owned());
    let chosen = ORDERS.iter().find(|(value, ..)| *value == values.first("order")).unwrap_or(&ORDERS[0]);
    let filter = TagFilter {
        name: Some(name.clone()).filter(|name| !name.is_empty()),
        of_cosign: Some(false),
        order: chosen.2,
        skip: (number - 1).saturating_mul(PAGE),
        limit: PAGE,
        ..TagFilter::default()
    };
    let failed = |error| Failure::of(visit, error);
    let (total, rows) = visit.hub.tags(row, &filter).await.map_err(failed)?;
    let groups = TagGroup::of(tag_views(visit, row, &rows, &head.card.path).await?);
    let of_cosign = TagFilter { of_cosign: Some(true), skip: 0, ..filter };
    let (attached_total, attached) = visit.hub.tags(row, &of_cosign).await.map_err(failed)?;
    let attached = attached.iter().filter_map(|tag| CosignTag::of(tag, &groups, &head.card.path, visit.now)).collect();
    let address = |number: u64| format!("{}/tags?{}", head.card.path, values.with("page", &number.to_string()));
    let (previous, next) =
        ((number > 1).then(|| address(number - 1)), (number.saturating_mul(PAGE) < total).then(|| address(number + 1)));
    let orders = ORDERS.iter().map(|(value, label, _)| Choice {
        value: (*value).to_owned(),
        label: (*label).to_owned(),
        is_chosen: *value == chosen.0,
    });
    let orders = orders.collect();
    let (total, attached_total) = (words::exactly(total, "tag"), words::exactly(attached_total, "tag"));
    let frame = visit.frame("");
    Ok(page(Tags { frame, head, name, orders, groups, total, attached, attached_total, previous, next }))
}

async fn tag_views(visit: &Visit, row: &RepositoryRow, tags: &[TagRow], path: &str) -> Result<Vec<TagView>> {
    let digests: Vec<Digest> = tags.iter().map(|tag| tag.manifest.digest).collect();
    let on_these = visit.hub.aliases(row, &digests).await.map_err(|error| Failure::of(visit, error))?;
    let view = |tag: &TagRow| {
        let others =
            on_these.iter().filter(|other| other.manifest.digest == tag.manifest.digest && other.tag != tag.tag);
        TagView::of(tag, others.map(|other| other.tag.clone()).collect(), path, visit.now)
    };
    Ok(tags.iter().map(view).collect())
}

/// Something that a tag pointed to.
struct HistoryEntry {
    time: Moment,
    action: &'static str,
    actor: String,
    digest: String,
    short_digest: String,
    /// Whether the tag points elsewhere now.
    is_other: bool,
}

#[derive(Template)]
#[template(path = "tag.html")]
struct TagPage {
    frame: Frame,
    head: Head,
    tag: TagView,
    exact_lines: [(&'static str, String); 2],
    /// What cosign keeps under it, and of what digest, when it is no version of the image.
    of_cosign: Option<(&'static str, String)>,
    image: Option<TagImage>,
    history: Vec<HistoryEntry>,
    may_move: bool,
}

/// The image of a tag, of the first platform or the one that is asked for.
struct TagImage {
    platform: String,
    platforms: Vec<Step>,
    layers: String,
    attached: String,
    settings: Vec<(String, String)>,
}

impl TagImage {
    async fn of(visit: &Visit, row: &RepositoryRow, shown: &Shown) -> Result<TagImage> {
        let attached = visit.hub.attachments(row, &shown.parts.digest, &shown.tag.manifest.digest).await;
        let attached = attached.map_err(|error| Failure::of(visit, error))?;
        let kinds: BTreeSet<&str> = attached.iter().map(|attachment| attachment.kind.as_str()).collect();
        Ok(TagImage {
            platform: shown.platform.clone(),
            platforms: shown.platforms(""),
            layers: words::exactly(shown.parts.manifest.layers.len() as u64, "layer"),
            attached: kinds.into_iter().collect::<Vec<_>>().join(", "),
            settings: settings_of(&shown.parts.config),
        })
    }
}

async fn one_tag(visit: &Visit, row: &RepositoryRow, head: Head, name: &str) -> Result {
    let failed = |error| Failure::of(visit, error);
    let found = match visit.hub.tag(row, name).await {
        Ok(found) => [found],
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::not_found(visit, "tag")),
        Err(error) => return Err(failed(error)),
    };
    let Some(tag) = tag_views(visit, row, &found, &head.card.path).await?.pop() else {
        return Err(Failure::not_found(visit, "tag"));
    };
    let history = visit.hub.tag_history(row, name, HISTORY).await.map_err(failed)?;
    let history = history.into_iter().map(|entry| {
        let digest = entry.digest.map(|digest| digest.to_string()).unwrap_or_default();
        HistoryEntry {
            time: Moment::of(entry.time, visit.now),
            action: done(entry.action),
            actor: entry.actor,
            short_digest: words::short(&digest).to_owned(),
            is_other: !digest.is_empty() && digest != tag.digest,
            digest,
        }
    });
    let history = history.collect();
    let exact_lines = [("exact", "docker"), ("strata-exact", "strata")]
        .map(|(id, program)| (id, format!("{program} pull {}/{}@{}", visit.host, row.familiar_name(), tag.digest)));
    let of_cosign = cosign_tag(name).map(|(kind, subject)| (kind, subject.to_string()));
    let image = match Shown::of(visit, row, &head, Some(name)).await? {
        Some(shown) => Some(TagImage::of(visit, row, &shown).await?),
        None => None,
    };
    let may_move = may_write(visit, row).await?;
    let frame = visit.frame("");
    Ok(page(TagPage { frame, head, tag, exact_lines, of_cosign, image, history, may_move }))
}

fn done(action: RegistryAction) -> &'static str {
    match action {
        RegistryAction::Push | RegistryAction::Tag => "set",
        RegistryAction::Delete | RegistryAction::Untag | RegistryAction::Collect => "removed",
    }
}

/// A Dockerfile as it is shown.
struct File {
    text: String,
    origin: &'static str,
    is_reconstructed: bool,
    tag: String,
    digest: String,
    short_digest: String,
    created: Option<String>,
}

#[derive(Template)]
#[template(path = "dockerfile.html")]
struct DockerfilePage {
    frame: Frame,
    head: Head,
    file: Option<File>,
}

async fn dockerfile(visit: &Visit, row: &RepositoryRow, head: Head) -> Result {
    let file = match &head.default {
        Some(tag) => match visit.hub.dockerfile(row, &tag.tag, None).await {
            Ok(found) => Some(file(found, tag.tag.clone())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => None,
            Err(error) => return Err(Failure::of(visit, error)),
        },
        None => None,
    };
    Ok(page(DockerfilePage { frame: visit.frame(""), head, file }))
}

fn file(found: Dockerfile, tag: String) -> File {
    let origin = match found.origin {
        DockerfileOrigin::Attached(_) => "Attached by the publisher to",
        DockerfileOrigin::Annotated => "Written by the publisher into the manifest of",
        DockerfileOrigin::Recorded => "Recorded by the build of",
        DockerfileOrigin::Reconstructed => "Reconstructed from the history of",
    };
    let digest = found.image.to_string();
    File {
        text: found.text,
        origin,
        is_reconstructed: found.origin == DockerfileOrigin::Reconstructed,
        tag,
        short_digest: words::short(&digest).to_owned(),
        digest,
        created: found.created.as_deref().map(words::stated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let cases = [
            ("acme/app", vec![("acme/app", Part::Overview)]),
            ("acme/app/", vec![("acme/app", Part::Overview)]),
            ("acme/app/tags", vec![("acme/app", Part::Tags), ("acme/app/tags", Part::Overview)]),
            ("acme/a/b/tags/1.0", vec![("acme/a/b", Part::Tag("1.0".into())), ("acme/a/b/tags/1.0", Part::Overview)]),
            ("acme/app/dockerfile", vec![("acme/app", Part::Dockerfile), ("acme/app/dockerfile", Part::Overview)]),
            ("tags", vec![("tags", Part::Overview)]),
            ("acme/app/compare", vec![("acme/app", Part::Compare), ("acme/app/compare", Part::Overview)]),
            (
                "acme/app/tags/1/layers/2",
                vec![("acme/app", Part::Layer("1".into(), 2)), ("acme/app/tags/1/layers/2", Part::Overview)],
            ),
            ("acme/app/tags/1/layers/x", vec![("acme/app/tags/1/layers/x", Part::Overview)]),
            (
                "acme/app/tags/trust",
                vec![("acme/app", Part::Tag("trust".into())), ("acme/app/tags/trust", Part::Overview)],
            ),
        ];
        for (path, expected) in cases {
            let expected: Vec<_> = expected.into_iter().map(|(name, part)| (name.to_owned(), part)).collect();
            assert_eq!(meanings(path), expected, "{path}");
        }
    }
}
