//! The writer: everything one Raft entry changes, made visible in one step.
//!
//! There is one at a time. What it appended is readable through it at once and
//! through nobody else before `commit`; dropping it without `commit` undoes it.
//! Nothing here waits for a disk: the one lock taken is held for a push.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::digest::{Digest, Effects};
use super::error::Error;
use super::handle::{Applied, Shared};
use super::read_transaction::ReadTransaction;
use super::read_view::{Tables, View};
use super::record::RecordInfo;
use super::segment::{Arena, HotRecord};
use super::table::Table;
use crate::base::revision::Revision;

/// Changes of one Raft entry, not yet visible.
#[derive(Debug)]
pub struct BatchTransaction {
    shared: Arc<Shared>,
    /// Taken from `shared` while this lives; `None` only while dropping.
    arena: Option<Arena>,
    /// What was visible when the batch began.
    base: ReadTransaction,
    /// Appended records in revision order.
    pending: Vec<HotRecord>,
    /// The small tables with this batch's changes.
    tables: Arc<Tables>,
    /// Rows this batch changed.
    changed_rows: BTreeSet<(Table, Bytes)>,
    /// Membership to record with the commit.
    membership: Option<Bytes>,
    /// What all of that adds to the digest.
    effects: Effects,
    /// The digest begins behind this entry.
    begins_digest: bool,
}

impl BatchTransaction {
    pub(super) fn new(shared: Arc<Shared>, arena: Arena, view: Arc<View>) -> Self {
        let tables = Arc::clone(&view.tables);
        Self {
            shared,
            arena: Some(arena),
            base: ReadTransaction::new(view),
            pending: Vec::new(),
            tables,
            changed_rows: BTreeSet::new(),
            membership: None,
            effects: Effects::default(),
            begins_digest: false,
        }
    }

    /// Appends a record; revisions must grow. Returns the stored bytes, shared.
    pub fn append(&mut self, info: &RecordInfo, record: &[u8]) -> Bytes {
        self.append_with(info, record.len(), |out| out.extend_from_slice(record))
    }

    /// Appends a record that `encode` writes in place, exactly `record_len` bytes.
    pub fn append_with(
        &mut self,
        info: &RecordInfo,
        record_len: usize,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Bytes {
        debug_assert!(self.last_appended().is_none_or(|last| last < info.revision));
        debug_assert!(info.revision.main > self.base.revision());
        let mut scratch = None;
        let arena = match &mut self.arena {
            Some(arena) => arena,
            None => scratch.insert(Arena::default()),
        };
        let hot = arena.write(info, record_len, encode);
        let record = hot.record();
        self.effects.record(info.revision, info.tombstone, &record);
        self.pending.push(hot);
        record
    }

    /// Sets a row of a small table.
    pub fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.effects.row(table, key, Some(value));
        // Copied: the caller's bytes may be a slice of something much larger.
        let key = Bytes::copy_from_slice(key);
        let value = Bytes::copy_from_slice(value);
        self.changed_rows.insert((table, key.clone()));
        Arc::make_mut(&mut self.tables)
            .table_mut(table)
            .insert(key, value);
    }

    /// Removes a row of a small table; absent is fine.
    pub fn delete_row(&mut self, table: Table, key: &[u8]) {
        if self.tables.table(table).row(key).is_some() {
            self.effects.row(table, key, None);
            self.changed_rows
                .insert((table, Bytes::copy_from_slice(key)));
            Arc::make_mut(&mut self.tables).table_mut(table).remove(key);
        }
    }

    /// Records the Raft membership that this entry establishes, opaque.
    pub fn set_membership(&mut self, membership: Bytes) {
        self.effects.membership(&membership);
        self.membership = Some(membership);
    }

    /// Begins the digest anew behind this entry: its effects are not in it.
    pub fn begin_digest(&mut self) {
        self.begins_digest = true;
    }

    /// A record, this batch's own ones included.
    ///
    /// # Errors
    ///
    /// The block that holds it could not be read or is corrupt.
    pub fn record(&self, revision: Revision) -> Result<Option<Bytes>, Error> {
        match self
            .pending
            .binary_search_by_key(&revision, |record| record.revision)
        {
            Ok(at) => Ok(self.pending.get(at).map(HotRecord::record)),
            Err(_) => self.base.record(revision),
        }
    }

    /// The records named, in the order asked for, this batch's own ones included.
    ///
    /// # Errors
    ///
    /// A block could not be read or is corrupt.
    pub fn records(&self, revisions: &[Revision]) -> Result<Vec<Option<Bytes>>, Error> {
        if self.pending.is_empty() {
            return self.base.records(revisions);
        }
        let mut records = self.base.records(revisions)?;
        for (revision, record) in revisions.iter().zip(&mut records) {
            if record.is_none() {
                *record = self.record(*revision)?;
            }
        }
        Ok(records)
    }

    /// A row, this batch's changes included.
    pub fn row(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.tables.table(table).row(key)
    }

    /// All rows of a table in key order, this batch's changes included.
    pub fn rows(&self, table: Table) -> Vec<(Bytes, Bytes)> {
        self.tables.table(table).rows()
    }

    /// What was visible when the batch began.
    pub fn base(&self) -> &ReadTransaction {
        &self.base
    }

    /// Publishes everything in one step: visible, and part of the next checkpoint.
    ///
    /// `revision` is the store's main revision from now on, not below that of any
    /// appended record. Answers the digest of the state that is visible now.
    pub fn commit(mut self, applied: impl Into<Applied>, revision: i64) -> Digest {
        debug_assert!(
            self.last_appended()
                .is_none_or(|last| last.main <= revision)
        );
        let applied = applied.into();
        let digest = if self.begins_digest {
            Digest::begun(applied.index)
        } else {
            self.base.digest().after(applied, revision, &self.effects)
        };
        let changes = Changes {
            records: std::mem::take(&mut self.pending),
            tables: Arc::clone(&self.tables),
            changed_rows: std::mem::take(&mut self.changed_rows),
            membership: self.membership.take(),
            applied,
            revision,
            digest,
        };
        self.shared.publish_changes(changes);
        digest
    }

    fn last_appended(&self) -> Option<Revision> {
        self.pending.last().map(|record| record.revision)
    }
}

impl Drop for BatchTransaction {
    fn drop(&mut self) {
        if let Some(arena) = self.arena.take() {
            self.shared.return_writer(arena);
        }
    }
}

/// What a commit publishes.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) records: Vec<HotRecord>,
    pub(super) tables: Arc<Tables>,
    pub(super) changed_rows: BTreeSet<(Table, Bytes)>,
    pub(super) membership: Option<Bytes>,
    pub(super) applied: Applied,
    pub(super) revision: i64,
    pub(super) digest: Digest,
}
