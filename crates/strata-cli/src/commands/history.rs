//! `history`: how an image came to be.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::HistoryEntry;
use strata_format::ellipsis::ellipsis;
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;
use strata_format::{Value, duration, size, timestamp};

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;

const TABLE: &str = "table {{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const EXACT_TABLE: &str = "table {{.ID}}\\t{{.CreatedAt}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const HEADERS: [(&str, &str); 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
/// Columns of CREATED BY.
const CREATED_BY_WIDTH: usize = 45;
/// 2000-01-01: what is not younger was not dated.
const UNDATED: i64 = 946_684_800;
const SECOND: i64 = 1_000_000_000;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("history", "[OPTIONS] IMAGE", "Show the history of an image", |context, flags| {
        Box::pin(run(context, flags))
    })
    .completes(Completes::Images)
    .arity(Arity::Exactly(1))
    .flag("format", FlagKind::Text("string"), super::images::FORMAT_HELP)
    .flag_with_default("H/human", FlagKind::Bool, "true", "Print sizes and dates in human readable format")
    .flag("no-trunc", FlagKind::Bool, "Don't truncate output")
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .flag("q/quiet", FlagKind::Bool, "Only show image IDs")
    .examples(&[("history --no-trunc nginx", "Every step with its whole command")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let platform = context.platform(flags)?;
    let entries = strata_engine::history(context.store()?, &flags.argument(0), platform.as_ref()).await?;
    let style = Style { is_human: flags.is_set("human"), is_whole: flags.is_set("no-trunc") };
    let format = flags.text("format").unwrap_or_else(|| "table".to_owned());
    print(&render(&entries, &format, flags.is_set("quiet"), style, context.store()?.now())?)
}

/// How cells are written.
#[derive(Clone, Copy)]
struct Style {
    is_human: bool,
    is_whole: bool,
}

fn render(entries: &[HistoryEntry], format: &str, is_quiet: bool, style: Style, now: i64) -> Outcome<String> {
    let format = match (format, is_quiet, style.is_human) {
        ("table", true, _) => Format::template("{{.ID}}"),
        ("table", false, true) => Format::template(TABLE),
        ("table", false, false) => Format::template(EXACT_TABLE),
        (text, _, _) => Format::template(text),
    };
    // Finding the local time zone takes longer than all the rest; this table shows no time in it.
    let zone = if format == Format::template(TABLE) { TimeZone::UTC } else { TimeZone::system() };
    let rows: Vec<Value> = entries.iter().map(|entry| row(entry, style, &zone, now)).collect();
    Ok(Formatter::new(&format, HEADERS)?.render(&rows)?)
}

fn row(entry: &HistoryEntry, style: Style, zone: &TimeZone, now: i64) -> Value {
    let id = match &entry.image {
        Some(id) if style.is_whole => id.to_string(),
        Some(id) => id.0.short(),
        None => "<missing>".to_owned(),
    };
    let seconds = entry.created.map_or(0, |created| created.div_euclid(SECOND));
    let since = match seconds {
        ..=UNDATED => "N/A".to_owned(),
        _ => format!("{} ago", duration::human(now - seconds * SECOND)),
    };
    let at = Timestamp::from_second(seconds).unwrap_or_default();
    let created_by = entry.created_by.replace('\t', " ");
    let created_by = if style.is_whole { created_by } else { ellipsis(&created_by, CREATED_BY_WIDTH) };
    let size = match style.is_human {
        true => size::human_size_with_precision(entry.size as f64, 3),
        false => entry.size.to_string(),
    };
    Struct::row("*image.historyContext")
        .field("ID", id)
        .field("CreatedSince", since)
        .field("CreatedAt", timestamp::to_rfc3339_in(at, zone))
        .field("CreatedBy", created_by)
        .field("Size", size)
        .field("Comment", entry.comment.as_str())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/docker-cli-golden");
        std::fs::read_to_string(format!("{folder}/history-command-success.{name}.golden")).unwrap()
    }

    fn entry(created: i64, created_by: &str, comment: &str) -> HistoryEntry {
        let image = Some(format!("sha256:{}", "1234567890".repeat(7)[..64].to_owned()).parse().unwrap());
        HistoryEntry {
            image,
            created: Some(created),
            created_by: created_by.to_owned(),
            size: 0,
            comment: comment.to_owned(),
            tags: Vec::new(),
        }
    }

    const HUMAN: Style = Style { is_human: true, is_whole: false };

    #[test]
    fn docker_s_tables() {
        let now = 1_700_000_000 * SECOND;
        let simple = render(&[entry(now, "", "none")], "table", false, HUMAN, now).unwrap();
        assert_eq!(simple, golden("simple"));
        let undated = render(&[entry(0, "rose", "")], "{{.CreatedSince}}", false, HUMAN, now).unwrap();
        assert_eq!(undated, "N/A\n");
        let quiet = render(&[entry(now, "", "")], "table", true, HUMAN, now).unwrap();
        assert_eq!(quiet, "123456789012\n");
    }
}
