//! The catalog on SQL: schema, migrations, queries; SQLite dialect.
