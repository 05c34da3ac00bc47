//! A consistent view of the store at one revision.
//!
//! It sees exactly what was committed when it was made, for as long as it
//! lives, whatever is written or compacted meanwhile. It never blocks the
//! writer. Compaction waits for views that are older than it, so a view is held
//! for one request or one chunk of a stream, not for a connection.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::backend;
use crate::base::{key_range::KeyRange, revision::Revision};

use super::changes::{self, Changes, ChangesQuery};
use super::hash::{self, HashKv};
use super::range::{self, RangeQuery, RangeResult, RecordSource};
use super::record::Record;
use super::store::{Published, Shared};
use super::tree_index::{TreeIndex, for_each_alive};
use super::{Error, KeyInfo};

/// A view; cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct ReadTransaction {
    /// Pins the epoch, and with it everything readable at these revisions.
    published: Arc<Published>,
    pub(super) records: backend::ReadTransaction,
}

impl ReadTransaction {
    pub(super) fn new(shared: &Shared) -> Self {
        loop {
            // In this order: the backend then has every record of the revision.
            let published = shared.published.load_full();
            if let Some(records) = published.held.clone() {
                return Self { published, records };
            }
            let records = shared.backend.read();
            // Unless the backend took over another state in between.
            let now = shared.published.load();
            if now.held.is_none() && Arc::ptr_eq(&now.index, &published.index) {
                return Self { published, records };
            }
        }
    }

    /// The same view, but reads of records fail with
    /// [`backend::Error::NotInMemory`] where they would have to wait for the disk.
    #[must_use]
    pub fn in_memory(self) -> Self {
        Self {
            records: self.records.in_memory(),
            ..self
        }
    }

    /// Newest revision of this view.
    pub fn revision(&self) -> i64 {
        self.published.revision
    }

    /// Lowest readable revision of this view.
    pub fn compact_revision(&self) -> i64 {
        self.published.compact_revision
    }

    /// The backend below, for rows of small tables. Its rows can be newer than
    /// this view's revision.
    pub fn backend(&self) -> &backend::ReadTransaction {
        &self.records
    }

    /// Runs a range query.
    ///
    /// # Errors
    /// The revision asked for is compacted or in the future, or the backend
    /// failed.
    pub fn range(&self, query: &RangeQuery) -> Result<RangeResult, Error> {
        let main = self.resolve(query.revision)?;
        let result = range::run(&self.published.index, self, main, query)?;
        Ok(RangeResult {
            revision: self.revision(),
            ..result
        })
    }

    /// The encoded pair of one key; a revision of 0 or below is the newest.
    ///
    /// # Errors
    /// As [`ReadTransaction::range`].
    pub fn key_value(&self, key: &[u8], revision: i64) -> Result<Option<Bytes>, Error> {
        let main = self.resolve(revision)?;
        let change = self.published.index.read().alive_at(key, main);
        change
            .map(|change| self.record(change.revision()))
            .transpose()
    }

    /// Revisions, version and lease of one key; a revision of 0 or below is
    /// the newest. Reads the record only if the key has a lease.
    ///
    /// # Errors
    /// As [`ReadTransaction::range`].
    pub fn key_info(&self, key: &[u8], revision: i64) -> Result<Option<KeyInfo>, Error> {
        let main = self.resolve(revision)?;
        let change = self.published.index.read().alive_at(key, main);
        change.map(|change| KeyInfo::of(change, self)).transpose()
    }

    /// Stored changes in revision order, for watchers that catch up.
    ///
    /// # Errors
    /// `Compacted` if the query starts below the compact revision;
    /// `FutureRevision` if it ends above the newest one; the backend failed.
    pub fn changes(&self, query: &ChangesQuery<'_>) -> Result<Changes, Error> {
        if query.from < self.compact_revision() {
            return Err(self.compacted(query.from));
        }
        self.refuse_future(query.to)?;
        changes::run(self, query)
    }

    /// The hash of all records up to `revision` (0: the newest).
    ///
    /// # Errors
    /// The revision is compacted or in the future, or the backend failed.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        if revision > 0 && revision < self.compact_revision() {
            return Err(self.compacted(revision));
        }
        self.refuse_future(revision)?;
        let revision = if revision == 0 {
            self.revision()
        } else {
            revision
        };
        hash::run(self, revision)
    }

    /// The hash of the newest records and of all that is kept beside them.
    ///
    /// # Errors
    /// The backend failed.
    pub fn hash_everything(&self) -> Result<u32, Error> {
        hash::of_everything(self)
    }

    /// Shows every live key that has a lease, in key order, with that lease:
    /// the attachments, which are stored nowhere else.
    ///
    /// # Errors
    /// The backend failed.
    pub fn for_each_leased_key(&self, mut visit: impl FnMut(&[u8], i64)) -> Result<(), Error> {
        let mut leased: Vec<Revision> = Vec::new();
        for_each_alive(
            &self.published.index,
            &KeyRange::all(),
            self.revision(),
            |_, change| {
                if change.is_leased() {
                    leased.push(change.revision());
                }
                ControlFlow::Continue(())
            },
        );
        for revisions in leased.chunks(RECORDS_PER_READ) {
            for encoded in self.records(revisions)? {
                let record = Record::decode(encoded)?;
                visit(record.key_bytes(), record.lease());
            }
        }
        Ok(())
    }

    pub(super) fn index(&self) -> &RwLock<TreeIndex> {
        &self.published.index
    }

    /// The main revision to read at.
    fn resolve(&self, requested: i64) -> Result<i64, Error> {
        self.refuse_future(requested)?;
        if requested <= 0 {
            return Ok(self.revision());
        }
        if requested < self.compact_revision() {
            return Err(self.compacted(requested));
        }
        Ok(requested)
    }

    fn refuse_future(&self, requested: i64) -> Result<(), Error> {
        if requested > self.revision() {
            return Err(Error::FutureRevision {
                requested,
                current: self.revision(),
            });
        }
        Ok(())
    }

    fn compacted(&self, requested: i64) -> Error {
        Error::Compacted {
            requested,
            compact_revision: self.compact_revision(),
        }
    }
}

impl RecordSource for ReadTransaction {
    fn record(&self, revision: Revision) -> Result<Bytes, Error> {
        self.records
            .record(revision)?
            .ok_or(Error::MissingRecord(revision))
    }

    fn records(&self, revisions: &[Revision]) -> Result<Vec<Bytes>, Error> {
        all_found(revisions, self.records.records(revisions)?)
    }
}

/// The records, or the first one that is missing as an error.
pub(super) fn all_found(
    revisions: &[Revision],
    records: Vec<Option<Bytes>>,
) -> Result<Vec<Bytes>, Error> {
    records
        .into_iter()
        .zip(revisions)
        .map(|(record, revision)| record.ok_or(Error::MissingRecord(*revision)))
        .collect()
}

/// Records fetched at once by walks that do not keep them.
pub(super) const RECORDS_PER_READ: usize = 256;
