//! The history that compaction keeps, record by record.
//!
//! What is on disk can be more: removal of compacted records goes on in the
//! background and ends with whole blocks. Who copies the history elsewhere must
//! not bring back what is dead there, so the index is asked about every record at
//! or below the compact revision. That costs a look-up and no memory.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::backend::Table;
use crate::base::revision::Revision;

use super::compaction::{SCHEDULED_ROW, stored_compact_revision};
use super::{Error, ReadTransaction, record};

impl ReadTransaction {
    /// Main revision of the backend below this view, which [`Self::for_each_kept`]
    /// goes up to; at least this view's own.
    pub fn stored_revision(&self) -> i64 {
        self.records.revision().max(self.revision())
    }

    /// Compact revision of the backend below this view; `None` if it was never
    /// compacted.
    ///
    /// # Errors
    /// The row that holds it is damaged.
    pub fn stored_compact_revision(&self) -> Result<Option<i64>, Error> {
        let row = self.records.row(Table::Meta, SCHEDULED_ROW);
        let revision = row.is_some();
        let stored = stored_compact_revision(row)?;
        Ok(revision.then_some(stored))
    }

    /// Calls `visit` with every record that compaction keeps, in revision order,
    /// until it breaks: all above the compact revision, and below it what was
    /// alive there. A tombstone at the compact revision itself is kept, for
    /// watchers that start there. The same view always shows the same records.
    ///
    /// # Errors
    /// The backend failed.
    pub fn for_each_kept(
        &self,
        visit: &mut dyn FnMut(Revision, &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // Not the view's own: that of the rows beside the records.
        let compact_revision = self.stored_compact_revision()?.unwrap_or(-1);
        let to = self.records.revision();
        self.records.scan(0..=to, &mut |revision, encoded| {
            if self.is_kept(revision, encoded, compact_revision) {
                visit(revision, encoded)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(())
    }

    fn is_kept(&self, revision: Revision, encoded: &Bytes, compact_revision: i64) -> bool {
        if revision.main > compact_revision {
            return true;
        }
        if record::is_tombstone(encoded) {
            return revision.main == compact_revision;
        }
        let key = record::key_of(encoded);
        let alive = self.index().read().alive_at(key, compact_revision);
        alive.is_some_and(|change| change.revision() == revision)
    }
}
