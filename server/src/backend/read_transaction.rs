//! Reads of one version of everything, beside the writer.
//!
//! A clone costs one reference. It is `'static`, takes no lock that the writer
//! holds for longer than a push, and sees exactly the Raft entry after which it
//! was made, however long it lives. Holding one keeps the memory segments and
//! blocks of its time.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;

use super::block::{Block, BlockEntry};
use super::cold::ColdStore;
use super::digest::Digest;
use super::error::Error;
use super::handle::Applied;
use super::read_view::View;
use super::segment::HotRecord;
use super::table::Table;
use crate::base::revision::Revision;

/// A pinned version of the backend.
#[derive(Debug, Clone)]
pub struct ReadTransaction {
    view: Arc<View>,
    /// Fail rather than wait for the disk.
    in_memory: bool,
}

impl ReadTransaction {
    pub(super) fn new(view: Arc<View>) -> Self {
        let in_memory = false;
        Self { view, in_memory }
    }

    /// The same version, but reads of records fail with [`Error::NotInMemory`]
    /// where they would have to wait for the disk.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    fn block(&self, cold: &ColdStore, entry: &BlockEntry) -> Result<Block, Error> {
        if self.in_memory {
            return cold.cached_block(entry).ok_or(Error::NotInMemory);
        }
        cold.block(entry)
    }

    /// Main revision of the store at this version.
    pub fn revision(&self) -> i64 {
        self.view.revision
    }

    /// Last Raft entry applied at this version.
    pub fn applied(&self) -> Option<Applied> {
        self.view.applied
    }

    /// Digest of everything applied at this version.
    pub fn digest(&self) -> Digest {
        self.view.digest
    }

    /// Raft membership at this version, opaque.
    pub fn membership(&self) -> Option<Bytes> {
        self.view.membership.clone()
    }

    /// The encoded record named `revision`, `None` when there is none (any more).
    ///
    /// # Errors
    ///
    /// The block that holds it could not be read or is corrupt.
    pub fn record(&self, revision: Revision) -> Result<Option<Bytes>, Error> {
        if revision.main > self.view.revision {
            return Ok(None);
        }
        if let Some(record) = self.view.segments.record(revision) {
            return Ok(Some(record));
        }
        match self.cold_block_of(revision) {
            Some((cold, entry)) => Ok(self.block(cold, entry)?.record(revision)),
            None => Ok(None),
        }
    }

    /// The records named, in the order asked for; each block is fetched once.
    ///
    /// # Errors
    ///
    /// A block could not be read or is corrupt.
    pub fn records(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, Error> {
        let mut records = vec![None; revisions.len()];
        let mut missing = Vec::new();
        for (revision, slot) in revisions.iter().zip(&mut records) {
            if revision.main > self.view.revision {
                continue;
            }
            *slot = self.view.segments.record(*revision);
            if slot.is_none() {
                missing.push((*revision, slot));
            }
        }
        missing.sort_by_key(|(revision, _)| *revision);
        let mut last: Option<(u64, Block)> = None;
        for (revision, slot) in missing {
            let Some((cold, entry)) = self.cold_block_of(revision) else {
                continue;
            };
            let block = match last.take() {
                Some((id, block)) if id == entry.id => block,
                _ => self.block(cold, entry)?,
            };
            *slot = block.record(revision);
            last = Some((entry.id, block));
        }
        Ok(records)
    }

    /// Calls `f` for the records of these main revisions, in order, until it breaks.
    ///
    /// Records that compaction discarded may or may not still be among them.
    ///
    /// # Errors
    ///
    /// A block could not be read or is corrupt.
    pub fn scan(
        &self,
        mains: RangeInclusive<i64>,
        f: &mut dyn FnMut(Revision, &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let after = Revision::new(mains.start().saturating_sub(1), i64::MAX);
        let to = Revision::new(*mains.end(), i64::MAX).min(self.view.last_revision());
        if self.scan_cold(after, to, f)?.is_break() {
            return Ok(());
        }
        let mut visit = |hot: &HotRecord| Ok(f(hot.revision, &hot.record()));
        self.view.segments.for_each_after(after, to, &mut visit)
    }

    /// The part of a scan below the oldest record in memory.
    fn scan_cold(
        &self,
        after: Revision,
        to: Revision,
        f: &mut dyn FnMut(Revision, &Bytes) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let Some(cold) = &self.view.directory.cold else {
            return Ok(ControlFlow::Continue(()));
        };
        let hot = self.view.segments.first_revision();
        let is_past = |revision| revision > to || hot.is_some_and(|hot| revision >= hot);
        for entry in self.view.directory.blocks_from(after) {
            if is_past(entry.first) {
                break;
            }
            for (revision, record) in cold.block(entry)?.records() {
                if is_past(revision) {
                    return Ok(ControlFlow::Continue(()));
                }
                if revision > after && f(revision, &record).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The block that would hold `revision`, with the store to read it from.
    fn cold_block_of(&self, revision: Revision) -> Option<(&ColdStore, &BlockEntry)> {
        let directory = &self.view.directory;
        Some((directory.cold.as_deref()?, directory.block_of(revision)?))
    }

    /// The value of one row of a small table.
    pub fn row(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.view.tables.table(table).row(key)
    }

    /// All rows of a small table, in key order.
    pub fn rows(&self, table: Table) -> Vec<(Bytes, Bytes)> {
        self.view.tables.table(table).rows()
    }

    /// Number of rows of a small table.
    pub fn rows_count(&self, table: Table) -> usize {
        self.view.tables.table(table).rows_count()
    }
}
