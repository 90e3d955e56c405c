//! `images`: the local images.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::{ImageSummary, ListRequest, digest_reference, name_reference};
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;
use strata_format::{Value, duration, size, timestamp};

use super::tree_view;
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::filters;
use crate::output::{complain, print};
use crate::report::{Failure, Outcome};

pub(super) const FORMAT_HELP: &str = "Format output using a custom template:\n\
    'table':            Print output in table format with column headers (default)\n\
    'table TEMPLATE':   Print output in table format using the given Go template\n\
    'json':             Print in JSON format\n\
    'TEMPLATE':         Print output using the given Go template.\n\
    Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

const TABLE: &str =
    "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\\t{{.Size}}";
const DIGEST_TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\\t{{.Size}}";
const RAW: &str = "repository: {{ .Repository }}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
const RAW_DIGEST: &str = "repository: {{ .Repository }}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
pub(super) const HEADERS: [(&str, &str); 11] = [
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];
pub(super) const NONE: &str = "<none>";
const SECOND: i64 = 1_000_000_000;
/// Names of subcommands that are taken for image names when `images` is typed for `image`.
const SUBCOMMANDS: &[&str] =
    &["build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag"];

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", |context, flags| {
        Box::pin(run(context, flags))
    })
    .completes(Completes::Repositories)
    .arity(Arity::AtMost(1))
    .flag("a/all", FlagKind::Bool, "Show all images (default hides intermediate and dangling images)")
    .flag("digests", FlagKind::Bool, "Show digests")
    .flag("f/filter", FlagKind::Filter, "Filter output based on conditions provided")
    .flag("format", FlagKind::Text("string"), FORMAT_HELP)
    .flag("no-trunc", FlagKind::Bool, "Don't truncate output")
    .flag("q/quiet", FlagKind::Bool, "Only show image IDs")
    .flag("tree", FlagKind::Bool, "List images as a tree, with the columns of docker 29")
    .examples(&[
        ("images 'ghcr.io/me/*'", "Images whose names match a pattern"),
        ("images --filter dangling=true -q", "IDs of images without a tag"),
        ("images --format '{{.Repository}}:{{.Tag}} {{.Size}}'", "In a form of your own"),
    ])
}

/// `image ls`: the same, and with a path a look into one image.
pub(super) fn list_definition() -> CommandDefinition {
    let definition = definition().arity(Arity::AtMost(2)).named("ls", &["list"]);
    CommandDefinition {
        run: |context, flags| {
            Box::pin(async move {
                match flags.arguments().as_slice() {
                    [image, path] => super::image_files::list(context, image, path).await,
                    _ => run(context, flags).await,
                }
            })
        },
        ..definition
    }
    .examples(&[
        ("image ls 'ghcr.io/me/*'", "Images whose names match a pattern"),
        ("image ls nginx /etc", "A directory of an image"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let pattern = flags.arguments().pop();
    let mut filters = filters::parse(flags);
    if let Some(pattern) = &pattern {
        filters.push(("reference".to_owned(), pattern.clone()));
    }
    let columns = Columns::choose(context, flags)?;
    let store = context.store()?;
    let shows_all = flags.is_set("all");
    let dangling_asked = filters.iter().any(|(key, _)| key == "dangling");
    let mut found = strata_engine::list(store, &ListRequest { all: shows_all, filters }).await?;
    match columns {
        Columns::Old(style) => print(&render(&found, &style, store.now())?)?,
        Columns::New { is_expanded } => {
            found.retain(|summary| !summary.is_dangling || shows_all || dangling_asked);
            tree_view::print(context, &found, is_expanded).await?;
        }
    }
    let typed_images = context.invocation.full_path().ends_with(" images");
    if let Some(pattern) = pattern.filter(|pattern| typed_images && SUBCOMMANDS.contains(&pattern.as_str()))
        && found.is_empty()
    {
        let program = context.program();
        complain(&format!("\nNo images found matching {pattern:?}: did you mean \"{program} image {pattern}\"?"));
    }
    Ok(())
}

/// Which columns are shown.
enum Columns {
    /// Those of docker up to 28, or the user's.
    Old(Style),
    /// Those of docker 29.
    New {
        /// With a line for each platform.
        is_expanded: bool,
    },
}

impl Columns {
    fn choose(context: &Context<'_>, flags: &Flags<'_>) -> Outcome<Columns> {
        if flags.is_set("tree") {
            let incompatible = [
                ("quiet", "--quiet is not yet supported with --tree"),
                ("no-trunc", "--no-trunc is not yet supported with --tree"),
                ("digests", "--show-digest is not yet supported with --tree"),
            ];
            for (name, message) in incompatible {
                if flags.is_set(name) {
                    return Err(Failure::bare(message));
                }
            }
            if flags.text("format").is_some() {
                return Err(Failure::bare("--format is not yet supported with --tree"));
            }
            return Ok(Columns::New { is_expanded: true });
        }
        let style = Style {
            format: flags.text("format"),
            is_quiet: flags.is_set("quiet"),
            shows_digests: flags.is_set("digests"),
            is_whole: flags.is_set("no-trunc"),
        };
        let is_plain = style.format.is_none() && !style.is_quiet && !style.shows_digests && !style.is_whole;
        if is_plain && std::env::var("STRATA_IMAGES_VIEW").is_ok_and(|view| view == "29") {
            return Ok(Columns::New { is_expanded: false });
        }
        let configured = || context.docker_setting("imagesFormat").and_then(|value| Some(value.as_str()?.to_owned()));
        let format = match &style.format {
            None if !style.is_quiet => configured().filter(|format| !format.is_empty()),
            given => given.clone(),
        };
        Ok(Columns::Old(Style { format, ..style }))
    }
}

/// How the rows of the old columns are written.
#[derive(Clone, Default)]
struct Style {
    format: Option<String>,
    is_quiet: bool,
    shows_digests: bool,
    is_whole: bool,
}

impl Style {
    /// Whether `CreatedAt` may be asked for, which our own tables do not.
    fn shows_times(&self) -> bool {
        self.format.as_deref().is_some_and(|format| format != "table")
    }

    fn format(&self) -> Format {
        let format = match (self.format.as_deref().unwrap_or("table"), self.is_quiet, self.shows_digests) {
            ("table", true, _) => "{{.ID}}",
            ("table", false, true) => DIGEST_TABLE,
            ("table", false, false) => TABLE,
            ("raw", true, _) => "image_id: {{.ID}}",
            ("raw", false, true) => RAW_DIGEST,
            ("raw", false, false) => RAW,
            (other, _, _) => other,
        };
        let format = Format::template(format);
        if self.shows_digests && format.is_table() && !format.contains("{{.Digest}}") {
            return format.with_suffix("\\t{{.Digest}}");
        }
        format
    }
}

fn render(found: &[ImageSummary], style: &Style, now: i64) -> Outcome<String> {
    let format = style.format();
    let with_digests = style.shows_digests || format.contains("{{.Digest}}");
    // A row is made when it is written: together they would take more memory than all the rest.
    let rows = found.iter().flat_map(|summary| {
        let columns = ImageColumns::new(summary, style.is_whole, now);
        let columns = if style.shows_times() { columns.with_time() } else { columns };
        let names = names(summary, with_digests, style.shows_digests).into_iter();
        names.map(move |name| Value::from(columns.row(name)))
    });
    Ok(Formatter::new(&format, HEADERS)?.render(rows)?)
}

/// What a row calls an image.
pub(super) struct RowName {
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
}

/// The names of an image's rows: one per tag (and digest), then one per repository that is known by digest only.
pub(super) fn names(summary: &ImageSummary, with_digests: bool, digest_rows: bool) -> Vec<RowName> {
    let name = |repository: &str, tag: &str, digest: &str| RowName {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for of_repository in summary.names.chunk_by(|one, next| one.repository == next.repository) {
        let Some(reference) = of_repository.first().and_then(name_reference) else { continue };
        let of_repository = of_repository.iter().map(|name| name.tag.clone());
        tags.entry(reference.familiar_name()).or_default().extend(of_repository);
    }
    let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &summary.digests {
        let Some(reference) = digest_reference(row) else { continue };
        digests.entry(reference.familiar_name()).or_default().push(row.digest.to_string());
    }
    if tags.is_empty() && digests.is_empty() {
        return vec![name(NONE, NONE, NONE)];
    }
    let mut rows = Vec::new();
    for (repository, tags) in &tags {
        let digests = digests.remove(repository).filter(|_| with_digests).unwrap_or_default();
        for tag in tags {
            if digests.is_empty() {
                rows.push(name(repository, tag, NONE));
            }
            rows.extend(digests.iter().map(|digest| name(repository, tag, digest)));
        }
    }
    for (repository, digests) in &digests {
        if digest_rows {
            rows.extend(digests.iter().map(|digest| name(repository, NONE, digest)));
        } else {
            rows.push(name(repository, NONE, ""));
        }
    }
    rows
}

/// What all rows of an image say, made once for them; sizes that only `system df` knows are not there.
pub(super) struct ImageColumns {
    /// When it was created, seconds since 1970.
    seconds: i64,
    created_at: String,
    created_since: String,
    id: String,
    size: String,
    virtual_size: String,
}

impl ImageColumns {
    /// The columns, all but the time of `CreatedAt`.
    pub(super) fn new(summary: &ImageSummary, is_whole: bool, now: i64) -> ImageColumns {
        let id = &summary.row.id;
        let seconds = summary.row.created.div_euclid(SECOND);
        let size = summary.row.size as f64;
        ImageColumns {
            seconds,
            created_at: String::new(),
            created_since: format!("{} ago", duration::human(now - seconds * SECOND)),
            id: if is_whole { id.to_string() } else { id.0.short() },
            size: size::human_size_with_precision(size, 3),
            virtual_size: size::human_size(size),
        }
    }

    /// And that, for which the local time zone must be found: this costs more than all the rest.
    pub(super) fn with_time(self) -> ImageColumns {
        let created = Timestamp::from_second(self.seconds).unwrap_or_default();
        ImageColumns { created_at: timestamp::to_go_string(created, &TimeZone::system()), ..self }
    }

    pub(super) fn row(&self, name: RowName) -> Struct {
        Struct::row("*formatter.imageContext")
            .field("Containers", "N/A")
            .field("CreatedAt", self.created_at.as_str())
            .field("CreatedSince", self.created_since.as_str())
            .field("Digest", name.digest)
            .field("ID", self.id.as_str())
            .field("Repository", name.repository)
            .field("SharedSize", "N/A")
            .field("Size", self.size.as_str())
            .field("Tag", name.tag)
            .field("UniqueSize", "N/A")
            .field("VirtualSize", self.virtual_size.as_str())
    }
}

#[cfg(test)]
mod tests {
    use strata_model::Digest;
    use strata_store::{DigestNameRow, ImageRow, NameRow};

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// An image with these tags, and these repositories that know it by digest.
    fn summary(tags: &[(&str, &str)], repositories: &[&str]) -> ImageSummary {
        let id = strata_model::ImageId(digest("configuration"));
        let row = ImageRow {
            id,
            manifest: digest("manifest"),
            platform: "linux/amd64".into(),
            created: 0,
            size: 8_320_000,
            added: 0,
            used: 0,
            tagged: 0,
        };
        let name = |(repository, tag): &(&str, &str)| NameRow {
            repository: (*repository).into(),
            tag: (*tag).into(),
            platform: "linux/amd64".into(),
            image: id,
            updated: 0,
        };
        let digest_name =
            |repository: &&str| DigestNameRow { repository: (*repository).into(), digest: digest("index"), image: id };
        ImageSummary {
            row,
            names: tags.iter().map(name).collect(),
            digests: repositories.iter().map(digest_name).collect(),
            labels: BTreeMap::new(),
            is_dangling: tags.is_empty(),
        }
    }

    fn shown(summary: &ImageSummary, style: &Style) -> String {
        render(std::slice::from_ref(summary), style, 6 * 7 * 24 * 3600 * SECOND).unwrap()
    }

    const ALPINE: &str = "docker.io/library/alpine";
    const MINE: &str = "ghcr.io/me/alpine";

    #[test]
    fn a_row_for_each_name() {
        let names = |tags: &[(&str, &str)], repositories: &[&str], shows_digests: bool| {
            let format =
                if shows_digests { "{{.Repository}} {{.Tag}} {{.Digest}}" } else { "{{.Repository}} {{.Tag}}" };
            let style = Style { format: Some(format.to_owned()), shows_digests, ..Style::default() };
            shown(&summary(tags, repositories), &style).replace(&digest("index").to_string(), "DIGEST")
        };
        assert_eq!(names(&[], &[], false), "<none> <none>\n");
        assert_eq!(names(&[], &[], true), "<none> <none> <none>\n");
        assert_eq!(names(&[], &[ALPINE], false), "alpine <none>\n");
        assert_eq!(names(&[], &[ALPINE], true), "alpine <none> DIGEST\n");
        let tags = [(ALPINE, "3"), (ALPINE, "latest"), (MINE, "1")];
        assert_eq!(names(&tags, &[ALPINE], false), "alpine 3\nalpine latest\nghcr.io/me/alpine 1\n");
        assert_eq!(
            names(&tags, &[ALPINE], true),
            "alpine 3 DIGEST\nalpine latest DIGEST\nghcr.io/me/alpine 1 <none>\n"
        );
        assert_eq!(names(&tags[..1], &[ALPINE, MINE], true), "alpine 3 DIGEST\nghcr.io/me/alpine <none> DIGEST\n");
    }

    #[test]
    fn tables() {
        let alpine = summary(&[(ALPINE, "latest")], &[]);
        let id = alpine.row.id.0.short();
        assert_eq!(
            shown(&alpine, &Style::default()),
            format!(
                "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE\nalpine       latest    {id}   6 weeks ago   8.32MB\n"
            )
        );
        assert_eq!(shown(&alpine, &Style { is_quiet: true, ..Style::default() }), format!("{id}\n"));
        let style = Style { format: Some("table {{.ID}}".to_owned()), shows_digests: true, ..Style::default() };
        assert_eq!(shown(&alpine, &style), format!("IMAGE ID       DIGEST\n{id}   <none>\n"));
        let style = Style { format: Some("{{.ID}}".to_owned()), is_quiet: true, is_whole: true, ..Style::default() };
        assert_eq!(shown(&alpine, &style), format!("{}\n", alpine.row.id));
    }
}
