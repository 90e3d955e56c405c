//! `system df`: what the store takes, and with `-v` what sharing saves.

use strata_engine::{
    ContainerSize, ContainerUsage, ImageUsage, StoreUsage, VolumeUsage, container_usage, mounted_images, usage,
    volume_usage,
};
use strata_format::formatter::{Format, Formatter};
use strata_format::size::human_size;
use strata_format::template::{List, Struct, Template};
use strata_format::{Value, table};

use super::container::ps;
use super::{images, volume};
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

const TABLE: &str = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const RAW: &str =
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
const HEADERS: [(&str, &str); 5] =
    [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];
const IMAGE_TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";
const CONTAINER_TABLE: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Names}}";
const VOLUME_TABLE: &str = "table {{.Name}}\\t{{.Links}}\\t{{.Size}}";
/// Nothing is built here.
const BUILD_CACHE: &str = "CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED\n";

/// Everything that takes room.
#[derive(Default)]
struct Report {
    images: StoreUsage,
    containers: Vec<ContainerUsage>,
    volumes: Vec<VolumeUsage>,
}

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("df", "[OPTIONS]", "Show disk usage", |context, flags| Box::pin(run(context, flags)))
        .with_all_ids()
        .flag("format", FlagKind::Text("string"), images::FORMAT_HELP)
        .flag("v/verbose", FlagKind::Bool, "Show detailed information on space usage")
        .examples(&[("system df -v", "Each image, and what sharing saves")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (store, root) = (context.store()?, context.root()?);
    let report = Report {
        images: usage(store, &mounted_images(&root)?).await?,
        containers: container_usage(store, &root).await?,
        volumes: volume_usage(store, &root).await?,
    };
    let format = flags.text("format");
    print(&match (flags.is_set("verbose"), format.as_deref()) {
        (false, format) => summary(&report, format.unwrap_or("table"))?,
        (true, None | Some("table")) => details(&report, store.now())?,
        (true, Some(format)) => templated_details(&report, format, store.now())?,
    })
}

fn summary(report: &Report, format: &str) -> Outcome<String> {
    let row = |kind: &str, count: usize, active: usize, size: u64, reclaimable: u64| {
        let shown = match size {
            0 => human_size(reclaimable as f64),
            _ => format!("{} ({}%)", human_size(reclaimable as f64), reclaimable * 100 / size),
        };
        Value::from(
            Struct::row("*formatter.diskUsageContext")
                .field("Type", kind)
                .field("TotalCount", count.to_string())
                .field("Active", active.to_string())
                .field("Size", human_size(size as f64))
                .field("Reclaimable", shown),
        )
    };
    let images = &report.images;
    let images_size = images.layers_size + images.left_behind;
    let containers = report.containers.iter().map(|usage| (usage.summary.is_running(), usage.written));
    let volumes = report.volumes.iter().map(|usage| (usage.volume.links > 0, usage.size));
    let (containers, volumes) = (Total::of(containers), Total::of(volumes));
    let rows = [
        row("Images", images.images.len(), images.active, images_size, images_size - images.in_use),
        row("Containers", containers.count, containers.active, containers.size, containers.reclaimable),
        row("Local Volumes", volumes.count, volumes.active, volumes.size, volumes.reclaimable),
        row("Build Cache", 0, 0, 0, 0),
    ];
    Ok(Formatter::new(&Format::new(format, TABLE, Some(RAW)), HEADERS)?.render(&rows)?)
}

#[derive(Default)]
struct Total {
    count: usize,
    active: usize,
    size: u64,
    reclaimable: u64,
}

impl Total {
    /// Of things that are in use or not, with their sizes.
    fn of(things: impl Iterator<Item = (bool, u64)>) -> Total {
        things.fold(Total::default(), |total, (is_active, size)| Total {
            count: total.count + 1,
            active: total.active + usize::from(is_active),
            size: total.size + size,
            reclaimable: total.reclaimable + if is_active { 0 } else { size },
        })
    }
}

fn image_rows(usage: &StoreUsage, now: i64) -> Vec<Value> {
    usage.images.iter().filter_map(|image| image_row(usage, image, now)).collect()
}

/// The first name of an image with its sizes.
fn image_row(usage: &StoreUsage, image: &ImageUsage, now: i64) -> Option<Value> {
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
        .field("Containers", usage.containers.get(&image.summary.row.id).copied().unwrap_or(0).to_string())
        .field("SharedSize", human_size(image.shared as f64))
        .field("UniqueSize", human_size(image.unique as f64));
    Some(complete.into())
}

fn container_rows(report: &Report, is_whole: bool, now: i64) -> Vec<Value> {
    let row = |usage: &ContainerUsage| {
        // Docker leaves the size with the image out here.
        let size = ContainerSize { writable: usage.written, total: 0 };
        Value::from(ps::row(&usage.summary, Some(size), is_whole, now))
    };
    report.containers.iter().map(row).collect()
}

fn volume_rows(report: &Report) -> Vec<Value> {
    report.volumes.iter().map(|usage| volume::row(&usage.volume, Some(usage.size)).into()).collect()
}

fn details(report: &Report, now: i64) -> Outcome<String> {
    let table = |format: &str, headers: &'static [(&str, &str)], rows: Vec<Value>| {
        Ok::<_, Failure>(Formatter::new(&Format::template(format), headers.iter().copied())?.render(&rows)?)
    };
    let images = table(IMAGE_TABLE, &images::HEADERS, image_rows(&report.images, now))?;
    let containers = table(CONTAINER_TABLE, &ps::HEADERS, container_rows(report, false, now))?;
    let volumes = table(VOLUME_TABLE, &volume::HEADERS, volume_rows(report))?;
    Ok(format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\nLocal Volumes space usage:\n\n{volumes}\n\
         Build cache usage: 0B\n\n{}{}",
        table::align(BUILD_CACHE),
        sharing(&report.images)
    ))
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

fn templated_details(report: &Report, format: &str, now: i64) -> Outcome<String> {
    let everything = Struct::new("*formatter.diskUsageContext")
        .field("Images", List::new("*formatter.imageContext", image_rows(&report.images, now)))
        .field("Containers", List::new("*formatter.ContainerContext", container_rows(report, true, now)))
        .field("Volumes", List::new("*formatter.volumeContext", volume_rows(report)))
        .field("BuildCache", List::new("interface {}", []));
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
        let empty = Report::default();
        assert_eq!(summary(&empty, "raw").unwrap(), golden("disk-usage-raw-format"));
        let custom = summary(&empty, "table {{.Type}}\\t{{.Active}}").unwrap();
        assert_eq!(custom, golden("disk-usage-context-write-custom"));
    }

    #[test]
    fn docker_s_table() {
        let images = StoreUsage { layers_size: 152_300_000, ..StoreUsage::default() };
        let table = summary(&Report { images, ..Report::default() }, "table").unwrap();
        assert_eq!(table.lines().nth(1), Some("Images          0         0         152.3MB   152.3MB (100%)"));
        let images = StoreUsage { active: 1, in_use: 100, left_behind: 200, layers_size: 200, ..StoreUsage::default() };
        let table = summary(&Report { images, ..Report::default() }, "table").unwrap();
        assert_eq!(table.lines().nth(1), Some("Images          0         1         400B      300B (75%)"));
        let total = Total::of([(true, 10), (false, 30)].into_iter());
        assert_eq!((total.count, total.active, total.size, total.reclaimable), (2, 1, 40, 30));
    }
}
