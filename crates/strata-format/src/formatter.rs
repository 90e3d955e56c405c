//! Rendering rows as `--format` says: docker's `formatter.Context`.

use std::borrow::Borrow;

use crate::{
    Error, table,
    template::{Map, Struct, Template, Value},
};

/// What a value of `--format` asks for, with the keywords of a command replaced by its own templates.
///
/// A format that starts with `table` is a table of the template after it, `json` prints one object a line, anything
/// else is a template. In all of them the two characters `\t` and `\n` stand for a tab and a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(String);

impl Format {
    /// Resolves the text of `--format`. `table` alone becomes `default_table` (a format starting with `table `), and
    /// `raw` becomes `raw`, if the command has such a template.
    pub fn new(text: &str, default_table: &str, raw: Option<&str>) -> Self {
        Self(match (text, raw) {
            ("table", _) => default_table.to_owned(),
            ("raw", Some(raw)) => raw.to_owned(),
            _ => text.to_owned(),
        })
    }

    /// A format that is used as it is.
    pub fn template(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the rows are aligned under a header.
    pub fn is_table(&self) -> bool {
        self.0.starts_with("table")
    }

    /// Whether the text contains `part`: `images` shows a row per digest when it finds `{{.Digest}}`.
    pub fn contains(&self, part: &str) -> bool {
        self.0.contains(part)
    }

    /// Adds to the end of the format, as `--digests` adds a column to a table template.
    #[must_use]
    pub fn with_suffix(mut self, suffix: &str) -> Self {
        self.0.push_str(suffix);
        self
    }

    /// The template behind the keywords.
    fn body(&self) -> String {
        let body = match self.0.as_str() {
            "json" => "{{json .}}",
            text => text.strip_prefix("table").unwrap_or(text),
        };
        body.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n")
    }
}

/// A parsed format with the header texts of a command.
#[derive(Debug)]
pub struct Formatter {
    template: Template,
    headers: Value,
    is_table: bool,
}

impl Formatter {
    /// Parses a format. `headers` gives the header text of each field: `("ID", "IMAGE ID")`.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`].
    pub fn new<'a>(format: &Format, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let texts = headers.into_iter().map(|(field, text)| (field, Value::from(text)));
        let headers = Value::Map(Map::new("string", texts.chain([("Label", label_method())])));
        Ok(Self { template: Template::parse(&format.body())?, headers, is_table: format.is_table() })
    }

    /// Renders the whole output, with a line break after each row. Rows are usually made with [`Struct::row`].
    ///
    /// # Errors
    /// [`Error::TemplateExecution`] for the first row that fails; nothing is printed then.
    pub fn render(&self, rows: impl IntoIterator<Item = impl Borrow<Value>>) -> Result<String, Error> {
        let mut out = String::new();
        if self.is_table {
            out.push_str(&self.template.execute_header(&self.headers));
            out.push('\n');
        }
        for row in rows {
            out.push_str(&self.template.execute(row.borrow())?);
            out.push('\n');
        }
        Ok(if self.is_table { table::align(&out) } else { out })
    }
}

/// The header of `{{.Label "a.b_c"}}` is the last part of the key with spaces for `-` and `_`.
fn label_method() -> Value {
    let headers = Struct::new("formatter.SubHeaderContext").method("Label", 1, |arguments| match arguments {
        [Value::String(name)] => {
            let last = name.rsplit('.').next().unwrap_or_default();
            Ok(last.replace(['-', '_'], " ").into())
        }
        _ => Err("the name of a label is a string".to_owned()),
    });
    headers.get("Label").cloned().unwrap_or(Value::Missing)
}
