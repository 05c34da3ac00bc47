//! Engines: who keeps blocks, key rows and pages on disk.
//!
//! An engine is asked for very little: to take changes, to make all of them
//! since the last commit durable in one atomic step together with one meta row,
//! to answer exact reads, and to list a table at recovery. Everything else
//! (versions, snapshots, garbage) is done once, above, for every engine.
//! `contract.rs` is the suite that every engine passes.

#[cfg(test)]
mod contract;
mod memory;
mod redb;
mod sled;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::error::Error;

pub(super) use self::memory::MemoryOpener;
pub(super) use self::redb::RedbOpener;
#[cfg(test)]
pub(super) use self::redb::redb_on;
pub(super) use self::sled::SledOpener;

/// Which engine keeps the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// sled 1.0 alpha: the default.
    #[default]
    Sled,
    /// redb 4: one file, checksummed pages.
    Redb,
    /// Nothing survives the process: for tests.
    Memory,
}

impl EngineKind {
    /// The kind that `--backend-engine` and directories call `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sled" => Some(Self::Sled),
            "redb" => Some(Self::Redb),
            "memory" => Some(Self::Memory),
            _ => None,
        }
    }

    /// The name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Memory => "memory",
        }
    }

    /// How engines of this kind are created and opened.
    pub(super) fn opener(self, cache_bytes_max: usize) -> Arc<dyn OpenEngine> {
        match self {
            Self::Sled => Arc::new(SledOpener { cache_bytes_max }),
            Self::Redb => Arc::new(RedbOpener { cache_bytes_max }),
            Self::Memory => Arc::new(MemoryOpener::default()),
        }
    }
}

/// What a row of an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum EngineTable {
    /// Parts of blocks.
    Block = 1,
    /// Parts of key rows.
    KeyRow = 2,
    /// Parts of pages of small tables.
    Page = 3,
}

impl EngineTable {
    /// The name used in errors and in engines that name tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::KeyRow => "key_row",
            Self::Page => "page",
        }
    }
}

/// Key of an engine row: a blob's id and the number of the part, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowKey {
    pub(super) id: u64,
    pub(super) part: u32,
}

impl RowKey {
    /// The byte form, ordered as the key.
    pub(super) fn to_bytes(self) -> [u8; ROW_KEY_BYTES] {
        let mut bytes = [0; ROW_KEY_BYTES];
        bytes[..8].copy_from_slice(&self.id.to_be_bytes());
        bytes[8..].copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    /// Reads the byte form; `None` when it is not one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, part) = bytes.split_first_chunk()?;
        Some(Self {
            id: u64::from_be_bytes(*id),
            part: u32::from_be_bytes(part.try_into().ok()?),
        })
    }
}

/// One change of an engine row.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Sets a row.
    Put(EngineTable, RowKey, Bytes),
    /// Removes a row that exists.
    Delete(EngineTable, RowKey),
}

/// Takes the rows of a scan.
pub(super) type RowVisitor<'a> = dyn FnMut(RowKey, &[u8]) -> Result<(), Error> + 'a;

/// An open engine.
///
/// `write`, `commit`, `maintain` and `reclaim` are called by one thread at a
/// time; `read` by any number beside it. Whether a read sees changes that are
/// not committed is left open: nobody asks. After any error of a writing call
/// the engine takes no further write, and dropping it must not make uncommitted
/// changes durable.
pub(super) trait Engine: Debug + Send + Sync {
    /// Adds to the changes of the next commit.
    fn write(&self, changes: Vec<Change>) -> Result<(), Error>;

    /// Makes all changes since the last commit and `meta` durable, atomically.
    fn commit(&self, meta: &[u8]) -> Result<(), Error>;

    /// The meta row of the last commit.
    fn meta(&self) -> Result<Option<Bytes>, Error>;

    /// One committed row.
    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error>;

    /// All committed rows of a table, in key order.
    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error>;

    /// Upkeep between two commits; short.
    fn maintain(&self) -> Result<(), Error>;

    /// Gives free space back to the system; may stall reads.
    fn reclaim(&self) -> Result<(), Error>;
}

/// How engines of one kind come to be.
pub(super) trait OpenEngine: Debug + Send + Sync {
    /// The name of the kind, as recorded in the directory.
    fn name(&self) -> &'static str;

    /// Whether nothing survives the process, so that nothing is recorded on disk.
    fn is_volatile(&self) -> bool {
        false
    }

    /// Makes an empty engine in `directory`, which does not exist yet.
    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error>;

    /// Opens the engine that `create` made.
    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error>;
}

/// Length of a row key.
pub(super) const ROW_KEY_BYTES: usize = 12;
