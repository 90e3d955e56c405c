//! `--filter key=value`.

use crate::command_line::Flags;

/// The filters of a command, split; keys in lower case. That each has a `=` was checked when they were parsed.
pub(crate) fn parse(flags: &Flags<'_>) -> Vec<(String, String)> {
    flags.texts("filter").iter().filter_map(|text| split(text)).collect()
}

/// Splits one filter.
pub(crate) fn split(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    Some((key.trim().to_lowercase(), value.trim().to_owned()))
}
