//! The image list with docker 29's columns: one row per name, and with `--tree` one below it for each platform.

use strata_engine::{ImageSummary, load_documents, name_reference};
use strata_format::size::human_size_with_precision;
use strata_format::table::display_width;

use crate::context::Context;
use crate::output;
use crate::report::Outcome;

const UNTAGGED: &str = "<untagged>";
const GAP: &str = "   ";
const ID_WIDTH: usize = 12;
const DISK_WIDTH: usize = 10;
const CONTENT_WIDTH: usize = 12;
const EXTRA_WIDTH: usize = 5;

/// An image, or the images of several platforms under the same names.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    names: Vec<String>,
    line: Line,
    platforms: Vec<(String, Line)>,
}

/// What stands after the name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    id: String,
    /// With unpacked layers, in bytes.
    disk: u64,
    /// As on registries, in bytes.
    content: u64,
    is_in_use: bool,
}

/// Prints the images.
pub(super) async fn print(context: &Context<'_>, found: &[ImageSummary], is_expanded: bool) -> Outcome {
    let mut entries = Vec::new();
    for summary in found {
        add(&mut entries, context, summary).await?;
    }
    if !is_expanded {
        entries = one_per_name(entries);
    }
    entries.sort_by_key(|entry| (entry.names.is_empty(), entry.names.clone()));
    output::print(&render(&entries, is_expanded))
}

async fn add(entries: &mut Vec<Entry>, context: &Context<'_>, summary: &ImageSummary) -> Outcome {
    let txn = context.store()?.read().await?;
    let documents = load_documents(&*txn, &summary.row).await?;
    let layers: u64 = documents.image().layers.iter().map(|layer| layer.size).sum();
    let content = layers + documents.config.size() + documents.manifest.size();
    let line = Line { id: summary.row.id.0.short(), disk: content + summary.row.size, content, is_in_use: false };
    let mut names: Vec<String> =
        summary.names.iter().filter_map(name_reference).map(|reference| reference.familiar()).collect();
    names.sort();
    let platform = (summary.row.platform.clone(), line.clone());
    let same = entries.iter_mut().find(|entry| !names.is_empty() && entry.names == names);
    match same {
        Some(entry) => {
            entry.line.disk += line.disk;
            entry.line.content += line.content;
            entry.line.id = index_id(summary).unwrap_or_else(|| entry.line.id.clone());
            entry.platforms.push(platform);
        }
        None => entries.push(Entry { names, line, platforms: vec![platform] }),
    }
    Ok(())
}

/// The digest under which the platforms of an image are known together.
fn index_id(summary: &ImageSummary) -> Option<String> {
    summary.digests.iter().map(|row| row.digest).find(|digest| *digest != summary.row.manifest).map(|d| d.short())
}

fn one_per_name(entries: Vec<Entry>) -> Vec<Entry> {
    let mut split = Vec::new();
    for entry in entries {
        if entry.names.is_empty() {
            split.push(entry);
            continue;
        }
        for name in &entry.names {
            split.push(Entry { names: vec![name.clone()], ..entry.clone() });
        }
    }
    split
}

fn render(entries: &[Entry], is_expanded: bool) -> String {
    let width = name_width(entries, is_expanded);
    let mut text = format!(
        "{:width$}{GAP}{:ID_WIDTH$}{GAP}{:DISK_WIDTH$}{GAP}{:CONTENT_WIDTH$}{GAP}EXTRA\n",
        "IMAGE", "ID", "DISK USAGE", "CONTENT SIZE"
    );
    for entry in entries {
        let (last, others) = match entry.names.split_last() {
            Some((last, others)) => (last.as_str(), others),
            None => (UNTAGGED, &[][..]),
        };
        for name in others {
            text.push_str(&padded(name, width));
            text.push('\n');
        }
        push_line(&mut text, last, width, &entry.line);
        if is_expanded {
            for (position, (platform, line)) in entry.platforms.iter().enumerate() {
                let branch = if position + 1 == entry.platforms.len() { "└─ " } else { "├─ " };
                push_line(&mut text, &format!("{branch}{platform}"), width, line);
            }
            text.push('\n');
        }
    }
    text
}

/// Docker measures the names in columns, but the platforms with their branches in bytes.
fn name_width(entries: &[Entry], is_expanded: bool) -> usize {
    let mut width = "IMAGE".len();
    for entry in entries {
        let widest = entry.names.iter().map(|name| display_width(name)).max().unwrap_or(UNTAGGED.len());
        width = width.max(widest);
        if is_expanded {
            let platforms = entry.platforms.iter().map(|(platform, _)| "└─ ".len() + platform.len());
            width = width.max(platforms.max().unwrap_or(0));
        }
    }
    width
}

fn push_line(text: &mut String, name: &str, width: usize, line: &Line) {
    let size = |bytes: u64| human_size_with_precision(bytes as f64, 3);
    let extra = if line.is_in_use { "U" } else { "" };
    text.push_str(&format!(
        "{}{GAP}{:ID_WIDTH$}{GAP}{:>DISK_WIDTH$}{GAP}{:>CONTENT_WIDTH$}{GAP}{extra:EXTRA_WIDTH$}\n",
        padded(name, width),
        line.id,
        size(line.disk),
        size(line.content)
    ));
}

fn padded(name: &str, width: usize) -> String {
    format!("{name}{}", " ".repeat(width.saturating_sub(display_width(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden files have sizes with a space, which docker's own program never prints.
    fn golden(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/docker-cli-golden");
        let text = std::fs::read_to_string(format!("{folder}/{name}.golden")).unwrap();
        let digits = |character: char| character.is_ascii_digit() || character == '.';
        let mut normal = String::new();
        for line in text.lines() {
            let mut line = line.to_owned();
            while let Some(at) = line.find(" MB") {
                let start = line[..at].rfind(|character: char| !digits(character)).unwrap() + 1;
                let number: f64 = line[start..at].parse().unwrap();
                let exact = format!("{:>width$}", format!("{number}MB"), width = at - start + 3);
                line.replace_range(start..at + 3, &exact);
            }
            normal.push_str(&line);
            normal.push('\n');
        }
        normal
    }

    fn line(id: char, disk: f64, content: f64, is_in_use: bool) -> Line {
        let bytes = |megabytes: f64| (megabytes * 1e6).round() as u64;
        Line { id: id.to_string().repeat(12), disk: bytes(disk), content: bytes(content), is_in_use }
    }

    fn entry(names: &[&str], line: Line, platforms: Vec<(&str, Line)>) -> Entry {
        Entry {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            line,
            platforms: platforms.into_iter().map(|(platform, line)| (platform.to_owned(), line)).collect(),
        }
    }

    #[test]
    fn platforms_of_one_image() {
        let platforms =
            vec![("linux/amd64", line('b', 12.1, 10.0, false)), ("linux/arm64", line('c', 13.4, 10.2, true))];
        let entries = [entry(&["multiplatform:latest"], line('a', 25.5, 20.2, true), platforms)];
        assert_eq!(render(&entries, true), golden("tree-command-success.expanded-view-with-platforms"));
        let platforms = vec![("linux/amd64", line('e', 9.2, 7.6, false)), ("linux/arm64", line('f', 9.3, 7.6, false))];
        let entries = [entry(&[], line('d', 18.5, 15.2, false), platforms)];
        assert_eq!(render(&entries, true), golden("tree-command-success.untagged-with-platforms"));
    }

    #[test]
    fn one_row_per_name() {
        let entries = [
            entry(&["a:1"], line('1', 5.5, 2.5, false), vec![]),
            entry(&[], line('2', 3.2, 1.6, false), vec![]),
            entry(&["short:v1"], line('3', 7.1, 3.5, true), vec![]),
        ];
        assert_eq!(render(&entries, false), golden("tree-command-success.width-calculation-untagged"));
        assert_eq!(render(&[], false), golden("list-command-success.simple"));
    }
}
