//! The catalogs: where transactions get their connections from.
//!
//! The store's catalog and the hub's are databases of their own with the same plumbing. Connections are made when they are first needed. Readers that end go back to a pool. There is one writer; tasks of this
//! process queue for it in order, other processes are waited for by trying again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strata_model::ErrorKind;
use strata_store::{Catalog, Durability, ReadTxn, Result, StoreError, WriteTxn};
use tokio::sync::OwnedMutexGuard;

use crate::dialect::sqlite::{Begun, PATIENCE, Schema, Session};
use crate::transaction::{Held, Transaction};

/// Idle readers that are kept.
const IDLE_READERS: usize = 8;

/// The store's catalog in an SQLite file, or in memory.
pub struct SqliteCatalog(Connections);

/// One database: readers as many as are needed, one writer.
pub(crate) struct Connections {
    database: Arc<Database>,
    writer: Arc<tokio::sync::Mutex<Option<Session>>>,
}

/// What all transactions of a catalog share.
pub(crate) enum Database {
    /// A file, and readers of it that have no transaction.
    File { path: PathBuf, durability: Durability, readers: Mutex<Vec<Session>> },
    /// The bytes of the last committed state; readers get copies.
    Memory { committed: Mutex<Arc<Vec<u8>>> },
}

impl SqliteCatalog {
    /// Opens the catalog in the file `path`, which is created with its directory (private to its owner) when it is not
    /// there, and migrated when it is old. Commits survive a power cut.
    ///
    /// # Errors
    /// `NewerFormat`; `File` when the file cannot be opened; `Catalog` when it is no catalog.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteCatalog> {
        SqliteCatalog::open_with(path, Durability::Synced)
    }

    /// As [`SqliteCatalog::open`]; `Unsynced` leaves it to the kernel when commits reach the disk: they survive a crash of
    /// the process, but a power cut may damage the catalog.
    ///
    /// # Errors
    /// As [`SqliteCatalog::open`].
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<SqliteCatalog> {
        Connections::open(path.as_ref(), durability, Schema::Store).map(SqliteCatalog)
    }

    /// An empty catalog in memory, for tests and for work that leaves nothing behind.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn open_in_memory() -> Result<SqliteCatalog> {
        Connections::open_in_memory(Schema::Store).map(SqliteCatalog)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn read(&self) -> Result<Box<dyn ReadTxn>> {
        Ok(Box::new(self.0.read()?))
    }

    async fn write(&self, intent: &'static str) -> Result<Box<dyn WriteTxn>> {
        Ok(Box::new(self.0.write(intent).await?))
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.0.check()
    }
}

impl Connections {
    pub(crate) fn open(path: &Path, durability: Durability, schema: Schema) -> Result<Connections> {
        let path = path.to_owned();
        make_directory(&path)?;
        let mut session = Session::open(&path, durability)?;
        session.migrate(schema)?;
        let database = Database::File { path, durability, readers: Mutex::new(vec![session]) };
        Ok(Connections { database: Arc::new(database), writer: Arc::default() })
    }

    pub(crate) fn open_in_memory(schema: Schema) -> Result<Connections> {
        let mut writer = Session::in_memory(None)?;
        writer.migrate(schema)?;
        let database = Database::Memory { committed: Mutex::new(Arc::new(writer.serialized()?)) };
        Ok(Connections { database: Arc::new(database), writer: Arc::new(tokio::sync::Mutex::new(Some(writer))) })
    }

    pub(crate) fn read(&self) -> Result<Transaction> {
        let mut session = self.database.reader()?;
        session.begin_reading()?;
        Ok(Transaction::new(Held::Reader(session), self.database.clone(), "reading"))
    }

    pub(crate) async fn write(&self, intent: &'static str) -> Result<Transaction> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        if writer.is_none() {
            // One that has synced the log before need not sync its directory again.
            *writer = Some(self.database.reader()?);
        }
        let mut writer = OwnedMutexGuard::try_map(writer, Option::as_mut).map_err(|_| StoreError::Catalog {
            doing: intent,
            cause: "no writer".into(),
            kind: ErrorKind::Internal,
        })?;
        self.begin_writing(&mut writer, intent).await?;
        Ok(Transaction::new(Held::Writer(writer), self.database.clone(), intent))
    }

    pub(crate) fn check(&self) -> Result<Vec<String>> {
        let mut session = self.database.reader()?;
        let complaints = blocking(|| session.check());
        self.database.put_back(session);
        complaints
    }

    /// Waits until no other process writes, and begins.
    async fn begin_writing(&self, session: &mut Session, intent: &'static str) -> Result<()> {
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        while let Begun::Busy = session.begin_writing(intent)? {
            if began.elapsed() > PATIENCE {
                let cause = format!("another process has been writing for {} seconds", PATIENCE.as_secs());
                return Err(StoreError::Catalog { doing: intent, cause, kind: ErrorKind::Unavailable });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Database {
    /// A connection without a transaction.
    fn reader(&self) -> Result<Session> {
        if let Database::File { readers, .. } = self
            && let Some(session) = locked(readers).pop()
        {
            return Ok(session);
        }
        self.connect()
    }

    fn connect(&self) -> Result<Session> {
        match self {
            Database::File { path, durability, .. } => Session::open(path, *durability),
            Database::Memory { committed } => {
                let image = locked(committed).clone();
                Session::in_memory(Some(&image))
            }
        }
    }

    /// Keeps a reader for the next transaction.
    pub(crate) fn put_back(&self, session: Session) {
        if let Database::File { readers, .. } = self
            && session.is_idle()
        {
            let mut readers = locked(readers);
            if readers.len() < IDLE_READERS {
                readers.push(session);
            }
        }
    }

    /// Commits the writer's transaction and lets readers that begin from now on see it.
    pub(crate) fn commit(&self, writer: &Session) -> Result<()> {
        match self {
            Database::File { .. } => blocking(|| writer.commit()),
            Database::Memory { committed } => {
                writer.commit()?;
                *locked(committed) = Arc::new(writer.serialized()?);
                Ok(())
            }
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what waits for the disk, without holding up the tasks of a multi-threaded runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Makes the directory of a catalog that is not there yet, durably.
fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) else {
        return Ok(());
    };
    let make = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    make().map_err(|cause| StoreError::file("creating", directory, cause))
}

/// Copies a database while others use it: one consistent state, by SQLite's online backup. Nobody waits for it. `to` must
/// not exist.
///
/// # Errors
/// When either file cannot be used.
pub fn copy_database(from: &Path, to: &Path) -> Result<()> {
    Session::open(from, Durability::Unsynced)?.copy_to(to)
}
