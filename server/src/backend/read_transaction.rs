//! Reads of one version of everything, beside the writer.
//!
//! A clone costs one reference. It is `'static`, takes no lock that the writer
//! holds for longer than a push, and sees exactly the Raft entry after which it
//! was made, however long it lives. Holding one keeps the memory segments and
//! blocks of its time.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;

use super::error::Error;
use super::handle::Applied;
use super::read_view::View;
use super::table::Table;
use crate::base::revision::Revision;

/// A pinned version of the backend.
#[derive(Debug, Clone)]
pub struct ReadTransaction {
    view: Arc<View>,
}

impl ReadTransaction {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self { view }
    }

    /// Main revision of the store at this version.
    pub fn revision(&self) -> i64 {
        self.view.revision
    }

    /// Last Raft entry applied at this version.
    pub fn applied(&self) -> Option<Applied> {
        self.view.applied
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
        Ok(self.view.segments.record(revision))
    }

    /// The records named, in the order asked for; each block is fetched once.
    ///
    /// # Errors
    ///
    /// A block could not be read or is corrupt.
    pub fn records(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, Error> {
        revisions
            .iter()
            .map(|revision| self.record(*revision))
            .collect()
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
        let mut visit =
            |record: &super::segment::HotRecord| Ok(f(record.revision, &record.record()));
        self.view.segments.for_each_after(after, to, &mut visit)?;
        Ok(())
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
