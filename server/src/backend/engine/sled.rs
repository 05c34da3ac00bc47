//! The sled engine (1.0 alpha 124), under the rules that make it safe.
//!
//! Measured and read in its source, see docs/decisions: all batches between two
//! flushes form one atomic epoch, so a checkpoint is any number of batches and
//! then `flush`; nothing else may flush (`flush_every_ms` is huge). One thread
//! writes: a batch beside a `remove` deadlocks. Deletes go through `remove`,
//! because batches leak emptied leaves. Reads are `get`; `range` leaks cache and
//! runs at recovery only. Written leaves are never evicted, so the database is
//! closed and reopened (recycled) after 128 MB written and after a scan.
//! Its settings file is created without fsync, so we sync it. After any error a
//! second flush never returns: the handle is then leaked, never dropped, and
//! the process is expected to exit. Dropping flushes, so a handle with
//! uncommitted changes is leaked too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sled::InlineArray;

use super::{Change, Engine, EngineTable, OpenEngine, ROW_KEY_BYTES, RowKey, RowVisitor};
use crate::backend::error::Error;
use crate::backend::state_directory::sync_directory;

type Db = sled::Db<LEAF_FANOUT>;

/// Makes sled engines.
#[derive(Debug)]
pub(in crate::backend) struct SledOpener {
    /// Bytes of leaves that sled may keep in memory.
    pub(in crate::backend) cache_bytes_max: usize,
}

impl OpenEngine for SledOpener {
    fn name(&self) -> &'static str {
        NAME
    }

    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        let engine = SledEngine::open(directory, self.cache_bytes_max)?;
        let cookie = directory.join("durability_cookie");
        File::open(&cookie)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("sync", cookie))?;
        for name in ["slabs", "metadata"] {
            sync_directory(&directory.join(name))?;
        }
        sync_directory(directory)?;
        Ok(Arc::new(engine))
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        Ok(Arc::new(SledEngine::open(directory, self.cache_bytes_max)?))
    }
}

/// Opens the database once the lock of its last life is released.
///
/// sled's flusher thread holds the lock on the files a moment longer than the
/// last handle lives, which a recycle or a restart inside one process meets.
/// Another process cannot hold it: the member's log is locked first.
fn open_once_released(settings: &sled::Config) -> std::io::Result<Db> {
    let deadline = Instant::now() + RELEASE_WAIT_MAX;
    loop {
        match settings.open() {
            Err(error)
                if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                // There is no event to wait for: the lock is a file lock.
                std::thread::sleep(RELEASE_POLL);
            }
            other => return other,
        }
    }
}

struct SledEngine {
    directory: PathBuf,
    cache_bytes_max: usize,
    /// Shared by every call; taken exclusively to recycle. `None` when a recycle
    /// failed half way.
    handles: RwLock<Option<Handles>>,
    /// Bytes written since the database was opened.
    written_bytes: AtomicU64,
    /// Whether a scan has filled the cache since the database was opened.
    is_scanned: AtomicBool,
    /// Whether changes wait for a commit.
    is_dirty: AtomicBool,
    is_failed: AtomicBool,
}

/// Clones of one database: a clone may be sent to a thread but not shared.
struct Handles {
    idle: Mutex<Vec<Db>>,
    original: Mutex<Db>,
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SledEngine")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Handles {
    fn open(directory: &Path, cache_bytes_max: usize) -> Result<Self, Error> {
        // sled runs its flushes on rayon's global pool: one thread leaves the
        // other cores to apply and the log. Fails when the pool exists: fine.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .thread_name(|_| "sled-io".to_owned())
            .build_global();
        let settings = sled::Config::new()
            .path(directory)
            .cache_capacity_bytes(cache_bytes_max)
            .flush_every_ms(Some(FLUSH_NEVER_MS))
            .zstd_compression_level(ZSTD_LEVEL);
        let database = open_once_released(&settings).map_err(failed("open"))?;
        Ok(Self {
            idle: Mutex::default(),
            original: Mutex::new(database),
        })
    }

    fn take(&self) -> Db {
        self.idle
            .lock()
            .pop()
            .unwrap_or_else(|| self.original.lock().clone())
    }

    fn put_back(&self, database: Db) {
        self.idle.lock().push(database);
    }
}

impl SledEngine {
    fn open(directory: &Path, cache_bytes_max: usize) -> Result<Self, Error> {
        let handles = Handles::open(directory, cache_bytes_max)?;
        Ok(Self {
            directory: directory.to_owned(),
            cache_bytes_max,
            handles: RwLock::new(Some(handles)),
            written_bytes: AtomicU64::new(0),
            is_scanned: AtomicBool::new(false),
            is_dirty: AtomicBool::new(false),
            is_failed: AtomicBool::new(false),
        })
    }

    /// Runs `f` with a database handle of its own.
    fn with_database<T>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&Db) -> std::io::Result<T>,
    ) -> Result<T, Error> {
        let guard = self.handles.read();
        let is_failed = self.is_failed.load(Ordering::Acquire);
        let Some(handles) = guard.as_ref().filter(|_| !is_failed) else {
            return Err(Error::Closed);
        };
        let database = handles.take();
        let result = f(&database);
        handles.put_back(database);
        result.map_err(failed(operation))
    }

    /// As `with_database`, for writing: an error is the end of this engine.
    fn with_writer<T>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&Db) -> std::io::Result<T>,
    ) -> Result<T, Error> {
        let result = self.with_database(operation, f);
        if result.is_err() {
            self.is_failed.store(true, Ordering::Release);
        }
        result
    }

    /// Closes and reopens the database: the only way to get its memory back.
    fn recycle(&self) -> Result<(), Error> {
        let mut handles = self.handles.write();
        // Dropped first: an open database holds the lock of the directory.
        drop(handles.take());
        let opened = Handles::open(&self.directory, self.cache_bytes_max);
        *handles = Some(opened.inspect_err(|_| self.is_failed.store(true, Ordering::Release))?);
        self.written_bytes.store(0, Ordering::Relaxed);
        self.is_scanned.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let handles = self.handles.get_mut().take();
        if *self.is_dirty.get_mut() || *self.is_failed.get_mut() {
            // Dropping flushes: it would commit half a checkpoint, or hang.
            std::mem::forget(handles);
        }
    }
}

impl Engine for SledEngine {
    fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.is_dirty.store(true, Ordering::Release);
        self.with_writer("write", |database| {
            let mut batch = sled::Batch::default();
            let mut deleted = Vec::new();
            let mut bytes = 0;
            for change in changes {
                match change {
                    Change::Put(table, key, value) => {
                        bytes += value.len() as u64;
                        batch.insert(row_key(table, key), InlineArray::from(value.as_ref()));
                    }
                    Change::Delete(table, key) => deleted.push(row_key(table, key)),
                }
            }
            database.apply_batch(batch)?;
            for key in deleted {
                database.remove(key)?;
            }
            self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        })
    }

    fn commit(&self, meta: &[u8]) -> Result<(), Error> {
        self.is_dirty.store(true, Ordering::Release);
        self.with_writer("commit", |database| {
            let mut batch = sled::Batch::default();
            batch.insert(META_KEY, meta);
            database.apply_batch(batch)?;
            database.flush().map(drop)
        })?;
        self.is_dirty.store(false, Ordering::Release);
        Ok(())
    }

    fn meta(&self) -> Result<Option<Bytes>, Error> {
        self.with_database("read meta", |database| database.get(META_KEY))
            .map(to_bytes)
    }

    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error> {
        self.with_database("read", |database| database.get(row_key(table, key)))
            .map(to_bytes)
    }

    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.is_scanned.store(true, Ordering::Relaxed);
        let rows = self.with_database("scan", |database| {
            Ok(database.range([table as u8]..[table as u8 + 1]))
        })?;
        for row in rows {
            let (key, value) = row.map_err(failed("scan"))?;
            let row_key = key.get(1..).and_then(RowKey::from_bytes);
            let row_key = row_key.ok_or_else(|| Error::Corrupt {
                path: self.directory.clone(),
                table: table.name(),
                key: format!("{key:02x?}"),
                reason: "not a row key".to_owned(),
            })?;
            f(row_key, &value)?;
        }
        Ok(())
    }

    fn maintain(&self) -> Result<(), Error> {
        let is_large = self.written_bytes.load(Ordering::Relaxed) > RECYCLE_BYTES;
        if is_large || self.is_scanned.load(Ordering::Relaxed) {
            return self.recycle();
        }
        Ok(())
    }

    fn reclaim(&self) -> Result<(), Error> {
        // sled reuses freed slots by itself while it flushes: a second flush
        // lets it move what the first one freed.
        self.with_writer("flush", |database| database.flush().map(drop))?;
        self.recycle()
    }
}

/// All tables share sled's default tree, because a batch cannot span trees.
fn row_key(table: EngineTable, key: RowKey) -> [u8; 1 + ROW_KEY_BYTES] {
    let mut bytes = [table as u8; 1 + ROW_KEY_BYTES];
    bytes[1..].copy_from_slice(&key.to_bytes());
    bytes
}

fn to_bytes(value: Option<InlineArray>) -> Option<Bytes> {
    value.map(|value| Bytes::copy_from_slice(&value))
}

/// Wraps a sled error; for `map_err`.
fn failed(operation: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    Error::engine(NAME, operation)
}

const NAME: &str = "sled";
/// Rows per leaf: a cold read fetches a leaf of at most 4 blocks.
const LEAF_FANOUT: usize = 4;
/// About eleven days; explicit flushes come first and end the epochs.
const FLUSH_NEVER_MS: usize = 1_000_000_000;
/// The cheapest level; compression cannot be switched off.
const ZSTD_LEVEL: i32 = -1000;
/// Everything written stays in memory until the database is reopened.
const RECYCLE_BYTES: u64 = 128 << 20;
/// How long an open waits for the lock of the database's last life.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it looks.
const RELEASE_POLL: Duration = Duration::from_millis(2);
/// Sorts before all tables.
const META_KEY: &[u8] = &[0];
