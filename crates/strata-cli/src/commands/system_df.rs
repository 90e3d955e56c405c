//! `system df`: what the store takes, and with `-v` what sharing saves.

use strata_engine::{ImageUsage, StoreUsage, mounted_images, usage};
use strata_format::formatter::{Format, Formatter};
use strata_format::size::human_size;
use strata_format::template::{List, Struct, Template};
use strata_format::{Value, table};

use super::images;
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;

const TABLE: &str = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const RAW: &str =
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
const HEADERS: [(&str, &str); 5] =
    [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];
const IMAGE_TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";
/// The sections of docker's report that are always empty here.
const EMPTY_SECTIONS: [(&str, &str); 3] = [
    ("Containers space usage:", "CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES\n"),
    ("Local Volumes space usage:", "VOLUME NAME\tLINKS\tSIZE\n"),
    ("Build cache usage: 0B", "CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED\n"),
];

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("df", "[OPTIONS]", "Show disk usage", |context, flags| Box::pin(run(context, flags)))
        .with_all_ids()
        .flag("format", FlagKind::Text("string"), images::FORMAT_HELP)
        .flag("v/verbose", FlagKind::Bool, "Show detailed information on space usage")
        .examples(&[("system df -v", "Each image, and what sharing saves")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let store = context.store()?;
    let usage = usage(store, &mounted_images(&context.root()?)?).await?;
    let format = flags.text("format");
    print(&match (flags.is_set("verbose"), format.as_deref()) {
        (false, format) => summary(&usage, format.unwrap_or("table"))?,
        (true, None | Some("table")) => details(&usage, store.now())?,
        (true, Some(format)) => templated_details(&usage, format, store.now())?,
    })
}

fn summary(usage: &StoreUsage, format: &str) -> Outcome<String> {
    let size = usage.layers_size + usage.left_behind;
    let reclaimable = size - usage.in_use;
    let shown = match size {
        0 => human_size(0.0),
        _ => format!("{} ({}%)", human_size(reclaimable as f64), reclaimable * 100 / size),
    };
    let row = |kind: &str, count: usize, active: usize, size: u64, reclaimable: String| {
        Value::from(
            Struct::row("*formatter.diskUsageContext")
                .field("Type", kind)
                .field("TotalCount", count.to_string())
                .field("Active", active.to_string())
                .field("Size", human_size(size as f64))
                .field("Reclaimable", reclaimable),
        )
    };
    let none = || human_size(0.0);
    let rows = [
        row("Images", usage.images.len(), usage.active, size, shown),
        row("Containers", 0, 0, 0, none()),
        row("Local Volumes", 0, 0, 0, none()),
        row("Build Cache", 0, 0, 0, none()),
    ];
    Ok(Formatter::new(&Format::new(format, TABLE, Some(RAW)), HEADERS)?.render(&rows)?)
}

fn image_rows(usage: &StoreUsage, now: i64) -> Vec<Value> {
    usage.images.iter().filter_map(|image| image_row(image, now)).collect()
}

/// The first name of an image with its sizes.
fn image_row(image: &ImageUsage, now: i64) -> Option<Value> {
    let name = images::names(&image.summary, false, false).into_iter().next()?;
    let row = images::ImageColumns::new(&image.summary, false, now).with_time().row(name);
    let kept = ["CreatedAt", "CreatedSince", "Digest", "ID", "Repository", "Size", "Tag", "VirtualSize"];
    let mut complete = Struct::row("*formatter.imageContext");
    for field in kept {
        if let Some(value) = row.get(field) {
            complete = complete.field(field, value.clone());
        }
    }
    let complete = complete
        .field("Containers", "0")
        .field("SharedSize", human_size(image.shared as f64))
        .field("UniqueSize", human_size(image.unique as f64));
    Some(complete.into())
}

fn details(usage: &StoreUsage, now: i64) -> Outcome<String> {
    let images = Formatter::new(&Format::template(IMAGE_TABLE), images::HEADERS)?.render(image_rows(usage, now))?;
    let mut text = format!("Images space usage:\n\n{images}");
    for (title, header) in EMPTY_SECTIONS {
        text.push_str(&format!("\n{title}\n\n{}", table::align(header)));
    }
    text.push_str(&sharing(usage));
    Ok(text)
}

/// What docker does not tell: where the difference between the images' sizes and the disk goes.
fn sharing(usage: &StoreUsage) -> String {
    let rows = [
        ("Sum of all images", usage.plain_sum),
        ("Saved by sharing layers", usage.layer_sharing),
        ("Saved by sharing files between layers", usage.content_sharing),
        ("On disk", usage.on_disk()),
        ("  compressed layers, manifests", usage.blobs_on_disk),
        ("  contents of files", usage.packs_on_disk),
        ("  layer indexes", usage.indexes_on_disk),
        ("  prepared views", usage.views_on_disk),
    ];
    let mut text = String::from("WHAT\tSIZE\n");
    let left_behind = Some(("Left by failed transfers", usage.left_behind)).filter(|(_, size)| *size > 0);
    for (what, size) in rows.into_iter().chain(left_behind) {
        text.push_str(&format!("{what}\t{}\n", human_size(size as f64)));
    }
    format!("\nSharing:\n\n{}", table::align(&text))
}

fn templated_details(usage: &StoreUsage, format: &str, now: i64) -> Outcome<String> {
    let empty = || List::new("interface {}", []);
    let everything = Struct::new("*formatter.diskUsageContext")
        .field("Images", List::new("*formatter.imageContext", image_rows(usage, now)))
        .field("Containers", empty())
        .field("Volumes", empty())
        .field("BuildCache", empty());
    let format = if format == "json" { "{{json .}}" } else { format };
    let text = Template::parse(&format.replace("\\t", "\t").replace("\\n", "\n"))?.execute(&everything.into())?;
    Ok(format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/docker-cli-golden");
        std::fs::read_to_string(format!("{folder}/{name}.golden")).unwrap()
    }

    #[test]
    fn an_empty_store() {
        let empty = StoreUsage::default();
        assert_eq!(summary(&empty, "raw").unwrap(), golden("disk-usage-raw-format"));
        let custom = summary(&empty, "table {{.Type}}\\t{{.Active}}").unwrap();
        assert_eq!(custom, golden("disk-usage-context-write-custom"));
    }

    #[test]
    fn docker_s_table() {
        let usage = StoreUsage { layers_size: 152_300_000, ..StoreUsage::default() };
        let table = summary(&usage, "table").unwrap();
        assert_eq!(table.lines().nth(1), Some("Images          0         0         152.3MB   152.3MB (100%)"));
        let usage = StoreUsage { active: 1, in_use: 100, left_behind: 200, layers_size: 200, ..StoreUsage::default() };
        let table = summary(&usage, "table").unwrap();
        assert_eq!(table.lines().nth(1), Some("Images          0         1         400B      300B (75%)"));
    }
}
