//! The redb engine: one file per state directory.
//!
//! A checkpoint is one write transaction with `Durability::Immediate` and
//! `quick_repair` (without it, opening after a crash walks the whole file). The
//! file is created inside a state directory that nothing names yet (see
//! `state_directory`), which covers that redb's own creation is not atomic.
//! Reads open a short read transaction each. `compact` needs the database for
//! itself, so a reclaim stalls cold reads; it runs on request only.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use super::{Change, Engine, EngineTable, OpenEngine, RowKey, RowVisitor};
use crate::backend::error::Error;
use crate::backend::state_directory::sync_directory;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Makes redb engines.
#[derive(Debug)]
pub(in crate::backend) struct RedbOpener {
    /// Bytes of pages that redb may keep in memory.
    pub(in crate::backend) cache_bytes_max: usize,
}

impl OpenEngine for RedbOpener {
    fn name(&self) -> &'static str {
        NAME
    }

    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let database = Database::builder()
            .set_cache_size(self.cache_bytes_max)
            .create(directory.join(FILE_NAME))
            .map_err(failed("create"))?;
        let engine = RedbEngine::with_tables(database)?;
        sync_directory(directory)?;
        Ok(Arc::new(engine))
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        let database = Database::builder()
            .set_cache_size(self.cache_bytes_max)
            .open(directory.join(FILE_NAME))
            .map_err(failed("open"))?;
        Ok(Arc::new(RedbEngine::new(database)))
    }
}

/// A redb engine on storage that a test provides.
#[cfg(test)]
pub(in crate::backend) fn redb_on(
    storage: impl redb::StorageBackend,
    is_new: bool,
) -> Result<Arc<dyn Engine>, Error> {
    let database = Database::builder()
        .set_cache_size(1 << 20)
        .create_with_backend(storage)
        .map_err(failed("open"))?;
    let engine = if is_new {
        RedbEngine::with_tables(database)?
    } else {
        RedbEngine::new(database)
    };
    Ok(Arc::new(engine))
}

#[derive(Debug)]
struct RedbEngine {
    /// Shared by reads and the writer; taken exclusively by `reclaim`.
    database: RwLock<Database>,
    transaction: Mutex<Transaction>,
    is_failed: AtomicBool,
}

/// The changes since the last commit.
#[derive(Default)]
struct Transaction(Option<WriteTransaction>);

impl std::fmt::Debug for Transaction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Transaction(open: {})", self.0.is_some())
    }
}

impl RedbEngine {
    fn new(database: Database) -> Self {
        Self {
            database: RwLock::new(database),
            transaction: Mutex::default(),
            is_failed: AtomicBool::new(false),
        }
    }

    /// A new engine: all tables exist afterwards, so that reads need no exception.
    fn with_tables(database: Database) -> Result<Self, Error> {
        let engine = Self::new(database);
        let transaction = engine.begin()?;
        for definition in [BLOCKS, KEY_ROWS, PAGES, META] {
            transaction
                .open_table(definition)
                .map_err(failed("create a table"))?;
        }
        transaction.commit().map_err(failed("commit"))?;
        Ok(engine)
    }

    fn begin(&self) -> Result<WriteTransaction, Error> {
        if self.is_failed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let mut transaction = self
            .database
            .read()
            .begin_write()
            .map_err(failed("begin"))?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(failed("begin"))?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// Runs `f` on the open transaction; an error ends the engine's writing.
    fn with_transaction(
        &self,
        f: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut slot = self.transaction.lock();
        let transaction = match &mut slot.0 {
            Some(transaction) => transaction,
            none => none.insert(self.begin()?),
        };
        let result = f(transaction);
        if result.is_err() {
            self.is_failed.store(true, Ordering::Release);
            slot.0 = None;
        }
        result
    }

    fn read_row(&self, rows: Rows, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let transaction = self.database.read().begin_read().map_err(failed("read"))?;
        let table = transaction.open_table(rows).map_err(failed("read"))?;
        let value = table.get(key).map_err(failed("read"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }
}

impl Engine for RedbEngine {
    fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.with_transaction(|transaction| {
            let mut blocks = transaction.open_table(BLOCKS).map_err(failed("write"))?;
            let mut key_rows = transaction.open_table(KEY_ROWS).map_err(failed("write"))?;
            let mut pages = transaction.open_table(PAGES).map_err(failed("write"))?;
            for change in changes {
                let (table, key, value) = match &change {
                    Change::Put(table, key, value) => (table, key, Some(value)),
                    Change::Delete(table, key) => (table, key, None),
                };
                let rows = match table {
                    EngineTable::Block => &mut blocks,
                    EngineTable::KeyRow => &mut key_rows,
                    EngineTable::Page => &mut pages,
                };
                let key = key.to_bytes();
                match value {
                    Some(value) => rows.insert(key.as_slice(), value.as_ref()),
                    None => rows.remove(key.as_slice()),
                }
                .map_err(failed("write"))?;
            }
            Ok(())
        })
    }

    fn commit(&self, meta: &[u8]) -> Result<(), Error> {
        self.with_transaction(|transaction| {
            let mut rows = transaction.open_table(META).map_err(failed("write meta"))?;
            rows.insert(META_KEY, meta).map_err(failed("write meta"))?;
            Ok(())
        })?;
        let Some(transaction) = self.transaction.lock().0.take() else {
            return Ok(());
        };
        let result = transaction.commit().map_err(failed("commit"));
        if result.is_err() {
            self.is_failed.store(true, Ordering::Release);
        }
        result
    }

    fn meta(&self) -> Result<Option<Bytes>, Error> {
        self.read_row(META, META_KEY)
    }

    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error> {
        self.read_row(rows_of(table), &key.to_bytes())
    }

    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error> {
        let transaction = self.database.read().begin_read().map_err(failed("scan"))?;
        let rows = transaction
            .open_table(rows_of(table))
            .map_err(failed("scan"))?;
        for row in rows.iter().map_err(failed("scan"))? {
            let (key, value) = row.map_err(failed("scan"))?;
            let key = RowKey::from_bytes(key.value()).ok_or_else(|| Error::Corrupt {
                path: FILE_NAME.into(),
                table: table.name(),
                key: format!("{:02x?}", key.value()),
                reason: "not a row key".to_owned(),
            })?;
            f(key, value.value())?;
        }
        Ok(())
    }

    fn maintain(&self) -> Result<(), Error> {
        Ok(())
    }

    fn reclaim(&self) -> Result<(), Error> {
        self.database.write().compact().map_err(failed("compact"))?;
        Ok(())
    }
}

fn rows_of(table: EngineTable) -> Rows {
    match table {
        EngineTable::Block => BLOCKS,
        EngineTable::KeyRow => KEY_ROWS,
        EngineTable::Page => PAGES,
    }
}

/// Wraps a redb error; for `map_err`. redb names no cause of its errors, so the
/// system's answer is taken out of them.
fn failed<E: Into<redb::Error>>(operation: &'static str) -> impl FnOnce(E) -> Error {
    move |error| match error.into() {
        redb::Error::Io(error) => Error::engine(NAME, operation)(error),
        error => Error::engine(NAME, operation)(error),
    }
}

const NAME: &str = "redb";
const FILE_NAME: &str = "state.redb";
const BLOCKS: Rows = TableDefinition::new("block");
const KEY_ROWS: Rows = TableDefinition::new("key_row");
const PAGES: Rows = TableDefinition::new("page");
const META: Rows = TableDefinition::new("meta");
const META_KEY: &[u8] = b"meta";
