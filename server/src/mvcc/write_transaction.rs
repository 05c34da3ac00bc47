//! The writer of one Raft entry.
//!
//! An entry holds several requests. Each runs between `begin` and `end`; if it
//! changed anything it takes the next main revision, and its changes are
//! numbered from 0. Reads through the writer see its own changes. Nothing is
//! visible to others before `commit`, which publishes everything of the entry
//! together with the entry's log position: after a crash either all of the entry
//! is there or none, and the log says from where to replay.
//!
//! Changes go into the index at once, where readers skip them because of their
//! revision. Dropping the writer without `commit` takes them back.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::backend::{Applied, BatchTransaction, Digest, RecordInfo, Table};
use crate::base::{key_range::KeyRange, revision::Revision};

use super::compaction;
use super::generation::Change;
use super::range::{self, RangeQuery, RangeResult, RecordSource};
use super::read_transaction::all_found;
use super::record::{self, Fields, Record};
use super::store::Shared;
use super::tree_index::{TreeIndex, for_each_alive};
use super::{Commit, Error, Event, EventKind, KeyInfo};

/// Whether a write should return what it replaces. Reading it may cost a look
/// into cold storage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Previous {
    /// Return the encoded pairs that are replaced.
    Return,
    /// Do not read them.
    Skip,
}

/// What a deletion removed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Deleted {
    /// Keys removed.
    pub count: i64,
    /// Their encoded pairs in key order, if asked for.
    pub previous: Vec<Bytes>,
}

/// The one writer, for one Raft entry.
#[derive(Debug)]
pub struct WriteTransaction {
    shared: Arc<Shared>,
    /// Before `batch`: taken back before the next writer can open.
    undo: Undo,
    batch: BatchTransaction,
    /// Newest revision, of the requests of this entry that have ended.
    revision: i64,
    compact_revision: i64,
    /// Changes of the request under way.
    events: Vec<Event>,
}

impl WriteTransaction {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let batch = shared.backend.batch();
        let published = shared.published.load_full();
        let (revision, compact_revision) = (published.revision, published.compact_revision);
        let undo = Undo {
            index: Arc::clone(&published.index),
            written: Vec::new(),
        };
        Self {
            shared,
            undo,
            batch,
            revision,
            compact_revision,
            events: Vec::new(),
        }
    }

    /// Begins a request.
    pub fn begin(&mut self) {
        debug_assert!(self.events.is_empty(), "the request before has ended");
    }

    /// Ends a request and answers what it changed.
    pub fn end(&mut self) -> Commit {
        self.end_into(|revision, events| Commit {
            revision,
            events: std::mem::take(events),
        })
    }

    /// Ends a request: `take` is given its revision and may keep of its changes
    /// what it wants.
    pub fn end_into<T>(&mut self, take: impl FnOnce(i64, &mut Vec<Event>) -> T) -> T {
        self.revision = self.current();
        let taken = take(self.revision, &mut self.events);
        self.events.clear();
        taken
    }

    /// Writes a key; lease 0 is none. Answers the pair replaced, if wanted.
    ///
    /// # Errors
    /// The backend failed; the writer must then be dropped.
    pub fn put(
        &mut self,
        key: Bytes,
        value: &[u8],
        lease: i64,
        previous: Previous,
    ) -> Result<Option<Bytes>, Error> {
        let revision = self.next_change();
        let (change, replaced) = self.undo.index.write().put(&key, revision, lease != 0);
        self.undo.written.push(key.clone());
        let replaced = self.replaced(replaced, previous)?;
        let fields = Fields {
            key: &key,
            create_revision: change.create_revision(),
            mod_revision: revision.main,
            version: change.version(),
            value,
            lease,
        };
        let info = RecordInfo {
            revision,
            key: key.clone(),
            create_revision: fields.create_revision,
            version: fields.version,
            lease,
            tombstone: false,
        };
        let record = self
            .batch
            .append_with(&info, fields.encoded_len(), |out| fields.encode(out));
        self.events.push(Event {
            kind: EventKind::Put,
            key: record::shared_key_of(&record),
            record,
            revision,
            create_revision: info.create_revision,
            version: info.version,
            lease,
            previous_lease: replaced.lease,
        });
        Ok(replaced.record)
    }

    /// Deletes the keys of `range` that are alive, in key order.
    ///
    /// # Errors
    /// The backend failed; the writer must then be dropped.
    pub fn delete_range(&mut self, range: &KeyRange, previous: Previous) -> Result<Deleted, Error> {
        let mut deleted = Deleted::default();
        if let KeyRange::One(key) = range {
            self.delete(key.clone(), previous, &mut deleted)?;
            return Ok(deleted);
        }
        let mut keys = Vec::new();
        for_each_alive(&self.undo.index, range, self.current(), |key, _| {
            keys.push(Bytes::copy_from_slice(key));
            ControlFlow::Continue(())
        });
        for key in keys {
            self.delete(key, previous, &mut deleted)?;
        }
        Ok(deleted)
    }

    /// Deletes one key if it is alive.
    fn delete(
        &mut self,
        key: Bytes,
        previous: Previous,
        deleted: &mut Deleted,
    ) -> Result<(), Error> {
        let revision = self.next_change();
        let Some(ended) = self.undo.index.write().delete(&key, revision) else {
            return Ok(());
        };
        self.undo.written.push(key.clone());
        let replaced = self.replaced(Some(ended), previous)?;
        let fields = Fields {
            key: &key,
            mod_revision: revision.main,
            ..Fields::default()
        };
        let info = RecordInfo {
            revision,
            key: key.clone(),
            create_revision: 0,
            version: 0,
            lease: 0,
            tombstone: true,
        };
        let record = self
            .batch
            .append_with(&info, fields.encoded_len(), |out| fields.encode(out));
        self.events.push(Event {
            kind: EventKind::Delete,
            key: record::shared_key_of(&record),
            record,
            revision,
            create_revision: 0,
            version: 0,
            lease: 0,
            previous_lease: replaced.lease,
        });
        deleted.count += 1;
        deleted.previous.extend(replaced.record);
        Ok(())
    }

    /// Runs a range query that sees this writer's own changes.
    ///
    /// # Errors
    /// The revision asked for is compacted or in the future, or the backend
    /// failed.
    pub fn range(&self, query: &RangeQuery) -> Result<RangeResult, Error> {
        let current = self.current();
        if query.revision > current {
            return Err(Error::FutureRevision {
                requested: query.revision,
                current,
            });
        }
        let main = if query.revision <= 0 {
            current
        } else {
            query.revision
        };
        if main < self.compact_revision {
            return Err(Error::Compacted {
                requested: main,
                compact_revision: self.compact_revision,
            });
        }
        let result = range::run(&self.undo.index, self, main, query)?;
        Ok(RangeResult {
            revision: current,
            ..result
        })
    }

    /// The encoded pair of one key, own changes included.
    ///
    /// # Errors
    /// The backend failed.
    pub fn key_value(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let change = self.undo.index.read().alive_at(key, self.current());
        change
            .map(|change| self.record(change.revision()))
            .transpose()
    }

    /// Revisions, version and lease of one key, own changes included. Reads the
    /// record only if the key has a lease.
    ///
    /// # Errors
    /// The backend failed.
    pub fn key_info(&self, key: &[u8]) -> Result<Option<KeyInfo>, Error> {
        let change = self.undo.index.read().alive_at(key, self.current());
        change.map(|change| KeyInfo::of(change, self)).transpose()
    }

    /// Newest revision: one above that of the request before as soon as the
    /// request under way has changed anything.
    pub fn current(&self) -> i64 {
        if self.events.is_empty() {
            self.revision
        } else {
            self.revision + 1
        }
    }

    /// Lowest readable revision, compactions of this entry included.
    pub fn compact_revision(&self) -> i64 {
        self.compact_revision
    }

    /// Moves the compact revision. History below it is unreadable from the
    /// commit on and is removed by later steps.
    ///
    /// # Errors
    /// `Compacted` at or below the present compact revision, `FutureRevision`
    /// above the newest revision.
    pub fn compact(&mut self, revision: i64) -> Result<(), Error> {
        let (compact_revision, current) = (self.compact_revision, self.current());
        if revision <= compact_revision {
            return Err(Error::Compacted {
                requested: revision,
                compact_revision,
            });
        }
        if revision > current {
            return Err(Error::FutureRevision {
                requested: revision,
                current,
            });
        }
        self.compact_revision = revision;
        let value = compaction::row_value(revision);
        self.batch
            .put_row(Table::Meta, compaction::SCHEDULED_ROW, &value);
        Ok(())
    }

    /// Sets a row of a small table.
    pub fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.batch.put_row(table, key, value);
    }

    /// Removes a row of a small table; absent is fine.
    pub fn delete_row(&mut self, table: Table, key: &[u8]) {
        self.batch.delete_row(table, key);
    }

    /// A row of a small table, own changes included.
    pub fn row(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.batch.row(table, key)
    }

    /// All rows of a small table in key order, own changes included.
    pub fn rows(&self, table: Table) -> Vec<(Bytes, Bytes)> {
        self.batch.rows(table)
    }

    /// Records the Raft membership that this entry establishes, opaque.
    pub fn set_membership(&mut self, membership: Bytes) {
        self.batch.set_membership(membership);
    }

    /// Begins the digest of everything applied anew behind this entry.
    pub fn begin_digest(&mut self) {
        self.batch.begin_digest();
    }

    /// Publishes everything of the entry in one step, with its log position;
    /// answers the digest that goes with it.
    pub fn commit(mut self, applied: impl Into<Applied>) -> Digest {
        debug_assert!(self.events.is_empty(), "every request has ended");
        let revision = self.current();
        self.undo.written.clear();
        let digest = self.batch.commit(applied, revision);
        self.shared.publish(revision, self.compact_revision);
        digest
    }

    /// Names the next change of the request under way.
    fn next_change(&self) -> Revision {
        let sub = i64::try_from(self.events.len()).unwrap_or(i64::MAX);
        Revision {
            main: self.revision + 1,
            sub,
        }
    }

    /// Looks at the put that a change replaces, as far as somebody needs it.
    fn replaced(&self, put: Option<Change>, previous: Previous) -> Result<Replaced, Error> {
        let Some(put) = put else {
            return Ok(Replaced::default());
        };
        if previous == Previous::Skip && !put.is_leased() {
            return Ok(Replaced::default());
        }
        let record = self.record(put.revision())?;
        let lease = if put.is_leased() {
            Record::decode(record.clone())?.lease()
        } else {
            0
        };
        Ok(Replaced {
            lease,
            record: (previous == Previous::Return).then_some(record),
        })
    }
}

/// Takes the changes of an entry that is not committed out of the index.
#[derive(Debug)]
struct Undo {
    index: Arc<RwLock<TreeIndex>>,
    /// Keys written since the start of the entry, in order, once per change;
    /// empty after `commit`.
    written: Vec<Bytes>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        for key in self.written.drain(..).rev() {
            self.index.write().undo(&key);
        }
    }
}

impl RecordSource for WriteTransaction {
    fn record(&self, revision: Revision) -> Result<Bytes, Error> {
        self.batch
            .record(revision)?
            .ok_or(Error::MissingRecord(revision))
    }

    fn records(&self, revisions: &[Revision]) -> Result<Vec<Bytes>, Error> {
        all_found(revisions, self.batch.records(revisions)?)
    }
}

/// The pair a change replaced.
#[derive(Default)]
struct Replaced {
    lease: i64,
    /// Only if it was asked for.
    record: Option<Bytes>,
}
