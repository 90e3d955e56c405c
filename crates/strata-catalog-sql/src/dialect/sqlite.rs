//! SQLite: connections, transactions, migrations, and what its errors mean.
//!
//! The file is in WAL mode: readers see the snapshot at which they began and never wait, writers exclude each other with
//! `BEGIN IMMEDIATE`, across processes too. The format is `PRAGMA user_version`, the number of migrations that were run.

mod full_text;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, ffi};
use strata_model::ErrorKind;
use strata_store::{Durability, Result, StoreError};

/// What a database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The store's catalog.
    Store,
    /// Accounts, repositories' metadata and all else that only a hub has.
    Hub,
}

impl Schema {
    /// Migration `n` leads from format `n` to `n + 1`. Released ones never change.
    const fn migrations(self) -> &'static [&'static str] {
        match self {
            Schema::Store => &[
                include_str!("sqlite/schema.sql"),
                include_str!("sqlite/format_2.sql"),
                include_str!("sqlite/format_3.sql"),
            ],
            Schema::Hub => &[
                concat!(
                    include_str!("sqlite/hub/accounts.sql"),
                    include_str!("sqlite/hub/repositories.sql"),
                    include_str!("sqlite/hub/search.sql"),
                    include_str!("sqlite/hub/operations.sql"),
                ),
                include_str!("sqlite/hub/images.sql"),
                concat!(
                    include_str!("sqlite/hub/ranking.sql"),
                    include_str!("sqlite/hub/retired_webhooks.sql"),
                    include_str!("sqlite/hub/second_factors.sql"),
                ),
                concat!(
                    include_str!("sqlite/hub/sessions.sql"),
                    include_str!("sqlite/hub/publishers.sql"),
                    include_str!("sqlite/hub/star_counts.sql"),
                ),
                include_str!("sqlite/hub/collections.sql"),
            ],
        }
    }

    /// The format that this program reads and writes.
    pub(crate) const fn format(self) -> i64 {
        self.migrations().len() as i64
    }
}

/// Bytes of a file that are read through a mapping: address space, not memory. What lies beyond costs a system call a page,
/// which search over a hundred thousand repositories (160 MB) feels.
const MAPPED: i64 = 1 << 30;

/// Longest wait for another process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection; `doing` is what its present transaction is for.
pub(crate) struct Session {
    connection: Connection,
    doing: &'static str,
}

/// How a write transaction began.
pub(crate) enum Begun {
    /// It holds the write lock.
    Writing,
    /// Another connection holds the write lock.
    Busy,
}

impl Session {
    /// Connects to a file, which is created if need be. Does not look at its format.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Session> {
        const OPENING: &str = "opening";
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.pragma_update(None, "mmap_size", MAPPED)?;
            Session::set_up(connection, durability)
        };
        open().map_err(|error| match file_error(path, &error) {
            Some(cause) => StoreError::file(OPENING, path, cause),
            None => failure(OPENING, &error),
        })
    }

    /// A database in memory, empty or a copy of `image`.
    pub(crate) fn in_memory(image: Option<&[u8]>) -> Result<Session> {
        let open = || {
            let mut connection = Connection::open_in_memory()?;
            if let Some(image) = image {
                connection.deserialize_read_exact("main", image, image.len(), false)?;
            }
            Session::set_up(connection, Durability::Unsynced)
        };
        open().map_err(|error| failure("opening in memory", &error))
    }

    fn set_up(connection: Connection, durability: Durability) -> rusqlite::Result<Session> {
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(160);
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        let synchronous = match durability {
            Durability::Synced => "full",
            Durability::Unsynced => "off",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        Ok(Session { connection, doing: "opening" })
    }

    /// Brings the database to the present format. Costs one small read when it has it.
    ///
    /// Several processes that meet at a new file may find it busy at once, which SQLite's own waiting does not cover while
    /// the journal changes: whoever did not get through looks again.
    pub(crate) fn migrate(&mut self, schema: Schema) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(10);
        let start = std::time::Instant::now();
        loop {
            match self.try_to_migrate(schema) {
                Err(error) if error.kind() == ErrorKind::Unavailable && start.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn try_to_migrate(&mut self, schema: Schema) -> Result<()> {
        self.doing = "reading the format";
        if self.format(schema)? == schema.format() {
            return Ok(());
        }
        self.doing = "migrating";
        // WAL is a lasting property of the file. It cannot be set inside a transaction. In memory it stays `memory`.
        self.checked(self.connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())))?;
        self.checked(self.connection.execute_batch("BEGIN IMMEDIATE"))?;
        let migrated = self.run_migrations(schema);
        if migrated.is_err() {
            self.roll_back();
        }
        migrated
    }

    fn run_migrations(&self, schema: Schema) -> Result<()> {
        // Read again under the lock: another process may have been faster.
        let format = self.format(schema)?;
        for migration in &schema.migrations()[usize::try_from(format).unwrap_or(0)..] {
            self.checked(self.connection.execute_batch(migration))?;
        }
        self.checked(self.connection.pragma_update(None, "user_version", schema.format()))?;
        self.checked(self.connection.execute_batch("COMMIT"))
    }

    fn format(&self, schema: Schema) -> Result<i64> {
        let found = self.checked(self.connection.pragma_query_value(None, "user_version", |row| row.get(0)))?;
        if found > schema.format() {
            return Err(StoreError::NewerFormat { found, known: schema.format() });
        }
        Ok(found)
    }

    /// Begins a snapshot. The first read fixes it.
    pub(crate) fn begin_reading(&mut self) -> Result<()> {
        self.doing = "reading";
        self.batch("BEGIN")?;
        self.exists("SELECT 1 FROM sqlite_schema LIMIT 1", []).map(drop)
    }

    /// Begins a write transaction, or says at once that another one is under way.
    pub(crate) fn begin_writing(&mut self, intent: &'static str) -> Result<Begun> {
        self.doing = intent;
        self.checked(self.connection.busy_timeout(Duration::ZERO))?;
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        self.checked(self.connection.busy_timeout(PATIENCE))?;
        match begun {
            Ok(_) => Ok(Begun::Writing),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(Begun::Busy),
            Err(error) => Err(failure(intent, &error)),
        }
    }

    /// Makes the transaction durable.
    pub(crate) fn commit(&self) -> Result<()> {
        self.batch("COMMIT")
    }

    /// Ends the transaction, if there still is one, without a trace.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }

    /// Whether a transaction is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Copies the database into a new file: the state of one moment.
    pub(crate) fn copy_to(&mut self, path: &Path) -> Result<()> {
        self.doing = "copying the database";
        let copied = || {
            let mut copy = Connection::open(path)?;
            let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy)?;
            // All pages under one read lock, which writers do not wait for in WAL mode.
            while backup.step(-1)? != rusqlite::backup::StepResult::Done {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        };
        self.checked(copied())
    }

    /// All bytes of a database in memory.
    pub(crate) fn serialized(&self) -> Result<Vec<u8>> {
        self.checked(self.connection.serialize("main").map(|data| data.to_vec()))
    }

    /// The database's complaints about itself.
    pub(crate) fn check(&mut self) -> Result<Vec<String>> {
        self.doing = "checking";
        let integrity = self.rows("PRAGMA integrity_check", [], |row| row.get::<String>(0));
        let references = self.rows("PRAGMA foreign_key_check", [], |row| {
            let (table, target) = (row.get::<String>(0)?, row.get::<String>(2)?);
            Ok(format!("a row of {table} refers to a row of {target} that is missing"))
        });
        let mut complaints = Vec::new();
        for found in [integrity, references] {
            match found {
                Ok(found) => complaints.extend(found.into_iter().filter(|complaint| complaint != "ok")),
                Err(error) if error.kind() == ErrorKind::Corrupt => complaints.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(complaints)
    }

    /// All rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.visit(sql, params, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Shows the rows of a query to `look` one by one, until it has seen enough.
    pub(crate) fn visit(
        &self,
        sql: &str,
        params: impl Params,
        mut look: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut statement = self.checked(self.connection.prepare_cached(sql))?;
        let mut rows = self.checked(statement.query(params))?;
        while let Some(row) = self.checked(rows.next())? {
            if look(&Row { row, doing: self.doing })?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The row of a query that has at most one.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.checked(self.connection.prepare_cached(sql))?;
        let found = statement.query_row(params, |row| Ok(read(&Row { row, doing: self.doing })));
        self.checked(found.optional())?.transpose()
    }

    /// Whether a query has a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool> {
        let mut statement = self.checked(self.connection.prepare_cached(sql))?;
        self.checked(statement.exists(params))
    }

    /// Changes rows, inside a transaction only; returns how many.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        if self.is_idle() {
            // After a full disk SQLite may have rolled back by itself; what follows must not be committed one by one.
            let cause = "the database rolled the transaction back after an earlier failure".to_owned();
            return Err(StoreError::Catalog { doing: self.doing, cause, kind: ErrorKind::Storage });
        }
        let mut statement = self.checked(self.connection.prepare_cached(sql))?;
        self.checked(statement.execute(params))
    }

    fn batch(&self, sql: &str) -> Result<()> {
        let mut statement = self.checked(self.connection.prepare_cached(sql))?;
        self.checked(statement.execute([])).map(drop)
    }

    fn checked<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| failure(self.doing, &error))
    }
}

/// One row of a query.
pub(crate) struct Row<'a> {
    row: &'a rusqlite::Row<'a>,
    doing: &'static str,
}

impl Row<'_> {
    /// A column as it is.
    pub(crate) fn get<T: FromSql>(&self, column: usize) -> Result<T> {
        self.row.get(column).map_err(|error| failure(self.doing, &error))
    }

    /// A column that is never negative.
    pub(crate) fn size(&self, column: usize) -> Result<u64> {
        let value: i64 = self.get(column)?;
        u64::try_from(value).map_err(|_| self.malformed(column, &value.to_string()))
    }

    /// A column whose text stands for something else.
    pub(crate) fn parsed<T>(&self, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.row.get_ref(column).map_err(|error| failure(self.doing, &error))?;
        let text = text.as_str().map_err(|_| self.malformed(column, "no text"))?;
        parse(text).ok_or_else(|| self.malformed(column, text))
    }

    fn malformed(&self, column: usize, found: &str) -> StoreError {
        let column = self.row.as_ref().column_name(column).unwrap_or("a column").to_owned();
        StoreError::Catalog {
            doing: self.doing,
            cause: format!("malformed {column}: {found:?}"),
            kind: ErrorKind::Corrupt,
        }
    }
}

fn failure(doing: &'static str, error: &rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::PermissionDenied,
        ) => ErrorKind::Storage,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Unavailable,
        Some(ErrorCode::ConstraintViolation) => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    StoreError::Catalog { doing, cause: cause(error), kind }
}

/// SQLite's words, with the system's own where there are any.
fn cause(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(failure) => match error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            _ => ffi::code_to_str(failure.extended_code).to_owned(),
        },
        None => error.to_string(),
    }
}

/// What the system says about a file that SQLite only calls unable to open.
fn file_error(path: &Path, error: &rusqlite::Error) -> Option<std::io::Error> {
    match error.sqlite_error_code()? {
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).err()
        }
        _ => None,
    }
}
