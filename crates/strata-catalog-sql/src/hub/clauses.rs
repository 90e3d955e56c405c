//! Conditions of a query that are there or not, with their parameters in order.

use rusqlite::types::Value;

/// `WHERE …`, made step by step. Texts of conditions are constants; what comes from outside is always a parameter.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    parameters: Vec<Value>,
}

impl Conditions {
    /// Adds a condition.
    pub(super) fn and(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    /// Adds a condition; each `?` in it stands for the next parameter.
    pub(super) fn and_with<V: Into<Value>>(&mut self, condition: &str, parameters: impl IntoIterator<Item = V>) {
        self.and(condition);
        self.parameters.extend(parameters.into_iter().map(Into::into));
    }

    /// A parameter after all conditions.
    pub(super) fn parameter(&mut self, value: impl Into<Value>) {
        self.parameters.push(value.into());
    }

    /// The clause, and the parameters.
    pub(super) fn finish(self) -> (String, Vec<Value>) {
        (self.sql, self.parameters)
    }
}

/// `?, ?, …`.
pub(super) fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// A pattern of `LIKE … ESCAPE '\'` for texts that contain this one.
pub(super) fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}
