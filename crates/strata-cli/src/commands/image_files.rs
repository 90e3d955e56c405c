//! `image ls IMAGE PATH`, `image cat`, `image diff`: looking into images without mounting them.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::{ChangeKind, FileEntry, FileKind, cat_file, diff_images, list_files};

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;

pub(super) fn cat_definition() -> CommandDefinition {
    CommandDefinition::new("cat", "[OPTIONS] IMAGE PATH", "Print a file of an image", |context, flags| {
        Box::pin(cat(context, flags))
    })
    .completes(Completes::FirstImage)
    .arity(Arity::Exactly(2))
    .flag("platform", FlagKind::Text("string"), "The image for this platform")
    .examples(&[("image cat nginx /etc/nginx/nginx.conf", "A file, without a container")])
}

pub(super) fn diff_definition() -> CommandDefinition {
    CommandDefinition::new(
        "diff",
        "[OPTIONS] IMAGE OTHER",
        "List what differs between the files of two images",
        |context, flags| Box::pin(diff(context, flags)),
    )
    .completes(Completes::Images)
    .arity(Arity::Exactly(2))
    .flag("platform", FlagKind::Text("string"), "The images for this platform")
    .examples(&[("image diff app:1.0 app:1.1", "A: added, C: changed, D: deleted")])
}

/// Lists a directory of an image.
pub(super) async fn list(context: &Context<'_>, image: &str, path: &str) -> Outcome {
    let entries = list_files(context.store()?, image, path.as_bytes(), None).await?;
    let owner_width = entries.iter().map(|entry| owner(entry).len()).max().unwrap_or(0);
    let size_width = entries.iter().map(|entry| entry.size.to_string().len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in &entries {
        text.push_str(&format!(
            "{} {:owner_width$} {:>size_width$} {} {}{}\n",
            mode(entry),
            owner(entry),
            entry.size,
            time(entry),
            shown_path(&entry.path),
            target(entry)
        ));
    }
    print(&text)
}

async fn cat(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let platform = context.platform(flags)?;
    let (image, path) = (flags.argument(0), flags.argument(1));
    cat_file(context.store()?, &image, path.as_bytes(), platform.as_ref(), &mut io::stdout()).await?;
    io::Write::flush(&mut io::stdout())?;
    Ok(())
}

async fn diff(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let platform = context.platform(flags)?;
    let (before, after) = (flags.argument(0), flags.argument(1));
    let changes = diff_images(context.store()?, &before, &after, platform.as_ref()).await?;
    let lines = changes.iter().map(|change| {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'C',
            ChangeKind::Deleted => 'D',
        };
        format!("{letter} /{}\n", shown_path(&change.path))
    });
    print(&lines.collect::<String>())
}

/// Paths may be anything; what a terminal could take for a command is escaped.
fn shown_path(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn owner(entry: &FileEntry) -> String {
    format!("{}:{}", entry.metadata.uid, entry.metadata.gid)
}

fn time(entry: &FileEntry) -> String {
    let time = Timestamp::from_second(entry.metadata.mtime.seconds).unwrap_or_default();
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn target(entry: &FileEntry) -> String {
    match entry.kind {
        FileKind::Symlink => format!(" -> {}", shown_path(&entry.target)),
        _ => String::new(),
    }
}

/// As `ls -l` shows it: `drwxr-xr-x`.
fn mode(entry: &FileEntry) -> String {
    let kind = match entry.kind {
        FileKind::Regular | FileKind::HardLink => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
    };
    let bits = entry.metadata.mode;
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let three = bits >> shift;
        text.push(if three & 4 != 0 { 'r' } else { '-' });
        text.push(if three & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & special != 0, three & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}
