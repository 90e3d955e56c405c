//! The `--format` language: Go's `text/template` with docker's functions.
//!
//! A [`Template`] is parsed once and executed on any number of [`Value`]s, also from several threads: it never
//! changes. Both steps are bounded in depth, so no template can exhaust the stack; its run time is up to the user
//! who wrote it.

mod arguments;
mod call;
mod evaluate;
mod functions;
mod lexer;
mod operands;
mod parser;
mod place;
mod printf;
mod syntax;
mod value;

use std::collections::HashMap;

pub use value::{Function, List, Map, Struct, Value};

use crate::Error;

/// What becomes of a key that a map does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// It prints as `<no value>`.
    #[default]
    NoValue,
    /// Execution fails with `map has no entry for key "Foo"`.
    Error,
}

/// What the template functions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum FunctionSet {
    /// The real work.
    #[default]
    Data,
    /// The functions json, split, join, title, lower, upper and truncate return the header text unchanged.
    Header,
}

/// A parsed template with all templates defined inside it.
#[derive(Debug)]
pub struct Template {
    source: String,
    /// By name; the outermost template has the empty name.
    bodies: HashMap<String, Vec<syntax::Node>>,
}

impl Template {
    /// Parses the text of a template.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] with Go's text: `template: :1: unclosed action`.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let bodies = parser::parse(source).map_err(Error::TemplateSyntax)?;
        Ok(Self { source: source.to_owned(), bodies })
    }

    /// Executes the template on `data` and returns what it printed. Missing map keys print as `<no value>`.
    ///
    /// # Errors
    /// [`Error::TemplateExecution`] with Go's text:
    /// `template: :1:2: executing "" at <.Foo>: can't evaluate field Foo in type *formatter.imageContext`.
    pub fn execute(&self, data: &Value) -> Result<String, Error> {
        self.execute_with(data, MissingKey::NoValue)
    }

    /// Executes the template on `data` with a choice for missing map keys.
    ///
    /// # Errors
    /// As [`Template::execute`].
    pub fn execute_with(&self, data: &Value, missing_key: MissingKey) -> Result<String, Error> {
        let (out, result) = evaluate::execute(self, data, missing_key, FunctionSet::Data);
        result.map(|()| out)
    }

    /// Executes the template as `docker inspect --format` does: on `typed`, whose fields have Go names, and if that
    /// fails on the JSON document behind it, where missing keys are errors. So both `{{.ID}}` and `{{.Id}}` work.
    ///
    /// # Errors
    /// As [`Template::execute`], of the second attempt.
    pub fn execute_or_raw(&self, typed: &Value, raw: &serde_json::Value) -> Result<String, Error> {
        self.execute(typed).or_else(|_| self.execute_with(&Value::from(raw.clone()), MissingKey::Error))
    }

    /// Executes the template on the header texts of a table. Like docker, an error only ends the header early.
    pub(crate) fn execute_header(&self, headers: &Value) -> String {
        evaluate::execute(self, headers, MissingKey::NoValue, FunctionSet::Header).0
    }
}
