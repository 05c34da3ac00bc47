//! One immutable version of everything: what a read transaction holds.
//!
//! A commit and a checkpoint each publish a new view; a reader keeps the one it
//! took. A view pins what it refers to: memory segments through references, cold
//! blocks through its directory, whose engine rows are not removed while a view
//! that knows them lives.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::digest::Digest;
use super::directory::Directory;
use super::engine::EngineTable;
use super::error::Error;
use super::handle::{Applied, Recovered};
use super::record::RecordInfo;
use super::row_table::RowTable;
use super::segment_list::SegmentList;
use super::table::Table;
use crate::base::revision::Revision;

/// The rows of all small tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    tables: [RowTable; Table::ALL.len()],
}

impl Tables {
    /// The rows of one table.
    pub(super) fn table(&self, table: Table) -> &RowTable {
        &self.tables[table.slot()]
    }

    /// The rows of one table, to change them.
    pub(super) fn table_mut(&mut self, table: Table) -> &mut RowTable {
        &mut self.tables[table.slot()]
    }

    /// These tables with `marks` as the dead marks, which no batch knows.
    pub(super) fn with_marks(&self, marks: RowTable) -> Self {
        let mut tables = self.clone();
        *tables.table_mut(Table::Dead) = marks;
        tables
    }
}

/// Everything as of one applied Raft entry.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Main revision of the store.
    pub(super) revision: i64,
    /// Last applied Raft entry.
    pub(super) applied: Option<Applied>,
    /// Digest of everything applied.
    pub(super) digest: Digest,
    /// Raft membership as of `applied`, opaque.
    pub(super) membership: Option<Bytes>,
    /// Records in memory; may hold newer ones than `revision`.
    pub(super) segments: SegmentList,
    /// Records in the engine.
    pub(super) directory: Arc<Directory>,
    /// Records up to here are in the directory, or were dropped as dead; the
    /// segments may still hold some of them too.
    pub(super) checkpointed: Revision,
    /// Small tables.
    pub(super) tables: Arc<Tables>,
}

impl View {
    /// The last revision a record of this view can have.
    pub(super) fn last_revision(&self) -> Revision {
        Revision::new(self.revision, i64::MAX)
    }

    /// The view's place in the log.
    pub(super) fn position(&self) -> Recovered {
        Recovered {
            applied: self.applied,
            membership: self.membership.clone(),
            revision: self.revision,
            digest: self.digest,
        }
    }
}

impl View {
    /// Calls `f` with the info of every record, dead ones included, in revision
    /// order.
    ///
    /// # Errors
    ///
    /// A key row could not be read or is corrupt.
    pub(super) fn for_each_record_info(&self, f: &mut dyn FnMut(RecordInfo)) -> Result<(), Error> {
        if let Some(cold) = &self.directory.cold {
            for entry in self.directory.blocks() {
                cold.key_row(entry)?
                    .for_each(&mut |info, _| f(info))
                    .map_err(|reason| cold.corrupt(EngineTable::KeyRow, entry.id, reason))?;
            }
        }
        self.segments
            .for_each_after(self.checkpointed, self.last_revision(), &mut |hot| {
                // Our own bytes, encoded in this process: decoding them cannot fail.
                if let Ok(info) = RecordInfo::decode(hot.revision, &mut hot.info()) {
                    f(info);
                }
                Ok(ControlFlow::Continue(()))
            })
    }
}
