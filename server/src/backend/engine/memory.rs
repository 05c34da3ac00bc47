//! The engine in memory: for tests, and the plainest reading of the contract.
//!
//! Committed rows outlive the engine object inside its opener, so that a test
//! can drop a backend and open it again; uncommitted ones do not.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{Change, Engine, EngineTable, OpenEngine, RowKey, RowVisitor};
use crate::backend::error::Error;

/// Rows that survive the engine object.
#[derive(Debug, Default)]
struct Committed {
    rows: BTreeMap<(EngineTable, RowKey), Bytes>,
    meta: Option<Bytes>,
}

/// Makes memory engines and keeps what they committed, by directory.
#[derive(Debug, Default)]
pub(in crate::backend) struct MemoryOpener {
    /// Whether to behave as an engine on disk; what was committed then lives as
    /// long as this opener.
    is_durable: bool,
    disks: Mutex<HashMap<PathBuf, Arc<RwLock<Committed>>>>,
}

impl MemoryOpener {
    /// An opener whose engines behave as if they were on disk.
    #[cfg(test)]
    pub(in crate::backend) fn durable() -> Self {
        Self {
            is_durable: true,
            ..Self::default()
        }
    }
    /// Flips a bit in the first row of a table, of every engine made so far.
    #[cfg(test)]
    pub(in crate::backend) fn damage(&self, table: EngineTable, at: usize) {
        for disk in self.disks.lock().values() {
            let mut disk = disk.write();
            let row = disk.rows.iter_mut().find(|((of, _), _)| *of == table);
            let (_, value) = row.expect("the test wrote such a row");
            let mut bytes = value.to_vec();
            bytes[at] ^= 1;
            *value = bytes.into();
        }
    }
}

impl OpenEngine for MemoryOpener {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_volatile(&self) -> bool {
        !self.is_durable
    }

    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        self.disks.lock().remove(directory);
        self.open(directory)
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        let disk = Arc::clone(self.disks.lock().entry(directory.to_owned()).or_default());
        Ok(Arc::new(MemoryEngine {
            disk,
            pending: Mutex::default(),
        }))
    }
}

#[derive(Debug)]
struct MemoryEngine {
    disk: Arc<RwLock<Committed>>,
    pending: Mutex<Vec<Change>>,
}

impl Engine for MemoryEngine {
    fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.pending.lock().extend(changes);
        Ok(())
    }

    fn commit(&self, meta: &[u8]) -> Result<(), Error> {
        let mut disk = self.disk.write();
        for change in self.pending.lock().drain(..) {
            match change {
                Change::Put(table, key, value) => disk.rows.insert((table, key), value),
                Change::Delete(table, key) => disk.rows.remove(&(table, key)),
            };
        }
        disk.meta = Some(Bytes::copy_from_slice(meta));
        Ok(())
    }

    fn meta(&self) -> Result<Option<Bytes>, Error> {
        Ok(self.disk.read().meta.clone())
    }

    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error> {
        Ok(self.disk.read().rows.get(&(table, key)).cloned())
    }

    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error> {
        let first = (table, RowKey { id: 0, part: 0 });
        let last = (
            table,
            RowKey {
                id: u64::MAX,
                part: u32::MAX,
            },
        );
        let disk = self.disk.read();
        disk.rows
            .range(first..=last)
            .try_for_each(|((_, key), value)| f(*key, value))
    }

    fn maintain(&self) -> Result<(), Error> {
        Ok(())
    }

    fn reclaim(&self) -> Result<(), Error> {
        Ok(())
    }
}
