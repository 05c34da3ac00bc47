//! Reading what an engine holds: blobs from parts, blocks through the cache.
//!
//! Blocks, key rows and pages are blobs of any size; an engine sees them in parts
//! of at most 31 KB under one id. A cold store belongs to one state directory and
//! is shared by every view that knows its blocks; when a newer state replaced it
//! and the last such view is gone, it removes its directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};

use super::block::{BLOCK_BYTES_MAX, Block, BlockEntry, KeyRow};
use super::block_cache::BlockCache;
use super::engine::{Change, Engine, EngineTable, RowKey};
use super::error::Error;

/// One open state directory.
#[derive(Debug)]
pub(super) struct ColdStore {
    /// `None` only while dropping.
    engine: Option<Arc<dyn Engine>>,
    /// Shared with the store that these blocks were moved from.
    cache: Arc<BlockCache>,
    path: PathBuf,
    /// Number of the state directory.
    pub(super) generation: u64,
    is_obsolete: AtomicBool,
}

impl ColdStore {
    /// Takes over an open engine.
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        path: PathBuf,
        generation: u64,
        cache_bytes_max: usize,
    ) -> Self {
        let cache = Arc::new(BlockCache::new(cache_bytes_max));
        Self {
            engine: Some(engine),
            cache,
            path,
            generation,
            is_obsolete: AtomicBool::new(false),
        }
    }

    /// The same store with the cache of another one that has the same blocks.
    pub(super) fn with_cache_of(mut self, other: &Self) -> Self {
        self.cache = Arc::clone(&other.cache);
        self
    }

    /// The engine itself.
    ///
    /// # Errors
    ///
    /// Never while the store is in use.
    pub(super) fn engine(&self) -> Result<&dyn Engine, Error> {
        self.engine.as_deref().ok_or(Error::Closed)
    }

    /// Where the engine lives.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Says whether the directory goes when this store does.
    pub(super) fn set_obsolete(&self, is_obsolete: bool) {
        self.is_obsolete.store(is_obsolete, Ordering::Release);
    }

    /// The block, from the cache or the engine.
    ///
    /// # Errors
    ///
    /// It could not be read or is corrupt.
    pub(super) fn block(&self, entry: &BlockEntry) -> Result<Block, Error> {
        if let Some(block) = self.cache.block(entry.id) {
            return Ok(block);
        }
        let block = self.block_uncached(entry)?;
        self.cache.insert(entry.id, block.clone());
        Ok(block)
    }

    /// The block, if it is in the cache.
    pub(super) fn cached_block(&self, entry: &BlockEntry) -> Option<Block> {
        self.cache.block(entry.id)
    }

    /// The block from the engine, leaving the cache alone.
    ///
    /// # Errors
    ///
    /// It could not be read or is corrupt.
    pub(super) fn block_uncached(&self, entry: &BlockEntry) -> Result<Block, Error> {
        let bytes = self.blob(EngineTable::Block, entry.id, entry.block_bytes)?;
        Block::parse(bytes, entry)
            .map_err(|reason| self.corrupt(EngineTable::Block, entry.id, reason))
    }

    /// The key row of a block.
    ///
    /// # Errors
    ///
    /// It could not be read or is corrupt.
    pub(super) fn key_row(&self, entry: &BlockEntry) -> Result<KeyRow, Error> {
        let bytes = self.blob(EngineTable::KeyRow, entry.id, entry.key_row_bytes)?;
        KeyRow::parse(entry.id, bytes)
            .map_err(|reason| self.corrupt(EngineTable::KeyRow, entry.id, reason))
    }

    /// Forgets a block that was removed.
    pub(super) fn forget(&self, id: u64) {
        self.cache.remove(id);
    }

    /// Calls `f` with every blob of a table, in order of ids.
    ///
    /// # Errors
    ///
    /// The table could not be read, or `f` failed.
    pub(super) fn for_each_blob(
        &self,
        table: EngineTable,
        f: &mut dyn FnMut(u64, Bytes) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut current: Option<(u64, BytesMut)> = None;
        self.engine()?.scan(table, &mut |key, part| {
            match &mut current {
                Some((id, blob)) if *id == key.id => blob.extend_from_slice(part),
                _ => {
                    let complete = current.replace((key.id, BytesMut::from(part)));
                    if let Some((id, blob)) = complete {
                        f(id, blob.freeze())?;
                    }
                }
            }
            Ok(())
        })?;
        current.map_or(Ok(()), |(id, blob)| f(id, blob.freeze()))
    }

    /// The error for a blob that is not what was written.
    pub(super) fn corrupt(&self, table: EngineTable, id: u64, reason: &str) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            table: table.name(),
            key: id.to_string(),
            reason: reason.to_owned(),
        }
    }

    fn blob(&self, table: EngineTable, id: u64, bytes: u32) -> Result<Bytes, Error> {
        let engine = self.engine()?;
        let part = |part| {
            engine
                .read(table, RowKey { id, part })?
                .ok_or_else(|| self.corrupt(table, id, "a part is missing"))
        };
        let parts_count = parts_count(bytes as usize);
        if parts_count == 1 {
            return part(0);
        }
        let mut blob = BytesMut::with_capacity(bytes as usize);
        for number in 0..parts_count {
            blob.extend_from_slice(&part(number)?);
        }
        Ok(blob.freeze())
    }
}

impl Drop for ColdStore {
    fn drop(&mut self) {
        // Closed before its files go.
        self.engine = None;
        if *self.is_obsolete.get_mut()
            && let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // Harmless: the next start removes what CURRENT does not name.
            tracing::warn!(path = %self.path.display(), %error, "cannot remove old state");
        }
    }
}

/// The changes that store a blob.
pub(super) fn put_blob(table: EngineTable, id: u64, blob: &Bytes, out: &mut Vec<Change>) {
    for part in 0..parts_count(blob.len()) {
        let start = part as usize * PART_BYTES_MAX;
        let end = (start + PART_BYTES_MAX).min(blob.len());
        out.push(Change::Put(
            table,
            RowKey { id, part },
            blob.slice(start..end),
        ));
    }
}

/// The changes that remove a blob of this length.
pub(super) fn delete_blob(table: EngineTable, id: u64, bytes: u32, out: &mut Vec<Change>) {
    for part in 0..parts_count(bytes as usize) {
        out.push(Change::Delete(table, RowKey { id, part }));
    }
}

fn parts_count(bytes: usize) -> u32 {
    bytes.div_ceil(PART_BYTES_MAX).max(1) as u32
}

/// Largest value handed to an engine.
const PART_BYTES_MAX: usize = BLOCK_BYTES_MAX;
