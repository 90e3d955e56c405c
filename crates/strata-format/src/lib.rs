//! Go templates, tables, sizes and durations as the docker command prints them.
//!
//! Scripts match the output of `docker images`, `docker inspect` and their like to the byte, so this crate follows Go's
//! `text/template`, `fmt`, `text/tabwriter`, `encoding/json`, `time` and `path` packages wherever their behaviour can
//! be seen in such output. Everything here is a pure function of its arguments: no files, no clock, no shared state,
//! and so nothing to lock.
//!
//! * [`template`]: the `--format` language and its value type.
//! * [`formatter`]: a whole `--format` rendering: `table`, `json`, `raw` or a template over rows.
//! * [`table`]: aligning tab separated cells.
//! * [`size`], [`duration`], [`timestamp`], [`ellipsis`]: single cells.
//! * [`glob`]: the patterns of `--filter reference=`.
//! * [`go_json`]: JSON with Go's escapes and indentation.

pub mod duration;
pub mod ellipsis;
mod error;
pub mod formatter;
pub mod glob;
pub mod go_json;
mod go_number;
mod go_quote;
pub mod size;
pub mod table;
pub mod template;
pub mod timestamp;

pub use error::Error;
pub use formatter::Formatter;
pub use template::{Template, Value};
