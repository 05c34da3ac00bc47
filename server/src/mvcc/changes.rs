//! Stored changes in revision order: how a watcher that is behind catches up.
//!
//! A query names one range around all keys that matter and a finer test. Where
//! the range holds few keys, their revisions come from the index and nothing
//! else is read; otherwise records are scanned by revision, and only the key of
//! each is looked at before the test. An answer is bounded by revisions, bytes
//! and records scanned, and always ends between two main revisions.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::{key_range::KeyRange, revision::Revision};

use super::range::RecordSource;
use super::read_transaction::RECORDS_PER_READ;
use super::tree_index::for_each_key;
use super::{Error, Event, ReadTransaction, record};

/// Which changes are wanted.
#[derive(Clone, Copy)]
pub struct ChangesQuery<'a> {
    /// First main revision.
    pub from: i64,
    /// Last main revision.
    pub to: i64,
    /// Keys outside of this are not even decoded.
    pub range: &'a KeyRange,
    /// Whether the changes of this key are wanted.
    pub wanted: &'a dyn Fn(&[u8]) -> bool,
    /// Main revisions to return at most.
    pub revisions_max: usize,
    /// Stop after the main revision with which the records returned reach this
    /// many bytes.
    pub bytes_max: usize,
}

impl std::fmt::Debug for ChangesQuery<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ChangesQuery")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("range", &self.range)
            .field("revisions_max", &self.revisions_max)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

/// Answer to a [`ChangesQuery`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changes {
    /// Main revisions with at least one wanted change, ascending, each with its
    /// changes in execution order.
    pub revisions: Vec<(i64, Vec<Event>)>,
    /// Everything wanted below this is in the answer: where to go on. `to + 1`
    /// when the query is exhausted.
    pub next: i64,
}

/// Runs a query whose bounds were checked.
pub(super) fn run(view: &ReadTransaction, query: &ChangesQuery<'_>) -> Result<Changes, Error> {
    let mut answer = Answer::new(query);
    if query.from <= query.to && !query.range.is_empty() {
        match revisions_from_index(view, query) {
            Some(revisions) => answer.read(view, &revisions)?,
            None => answer.scan(view)?,
        }
    }
    answer.finish()
}

/// The wanted revisions, ascending, if the range holds few enough keys.
fn revisions_from_index(view: &ReadTransaction, query: &ChangesQuery<'_>) -> Option<Vec<Revision>> {
    let mut keys_count = 0;
    let mut revisions = Vec::new();
    for_each_key(view.index(), query.range, |key, entry, histories| {
        keys_count += 1;
        if keys_count > INDEXED_KEYS_MAX {
            return ControlFlow::Break(());
        }
        if (query.wanted)(key) {
            let changes = entry.changes_between(query.from, query.to, histories);
            revisions.extend(changes.map(|change| change.revision()));
        }
        ControlFlow::Continue(())
    });
    revisions.sort_unstable();
    (keys_count <= INDEXED_KEYS_MAX).then_some(revisions)
}

/// An answer under construction.
struct Answer<'a> {
    query: &'a ChangesQuery<'a>,
    revisions: Vec<(i64, Vec<Event>)>,
    bytes: usize,
    scanned_count: usize,
    next: i64,
    failure: Option<Error>,
}

impl<'a> Answer<'a> {
    fn new(query: &'a ChangesQuery<'a>) -> Self {
        Self {
            query,
            revisions: Vec::new(),
            bytes: 0,
            scanned_count: 0,
            next: query.to.saturating_add(1),
            failure: None,
        }
    }

    /// Takes the records that the index named.
    fn read(&mut self, view: &ReadTransaction, revisions: &[Revision]) -> Result<(), Error> {
        for some in revisions.chunks(RECORDS_PER_READ) {
            for (revision, record) in some.iter().zip(view.records(some)?) {
                if self.is_full_before(revision.main) || self.take(*revision, record).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes what matches of everything stored.
    fn scan(&mut self, view: &ReadTransaction) -> Result<(), Error> {
        let mut scanned_main = 0;
        let query = self.query;
        view.records
            .scan(query.from..=query.to, &mut |revision, encoded| {
                self.scanned_count += 1;
                if revision.main != scanned_main {
                    let is_exhausted = self.scanned_count > RECORDS_SCANNED_MAX;
                    if is_exhausted {
                        self.next = revision.main;
                    }
                    if is_exhausted || self.is_full_before(revision.main) {
                        return ControlFlow::Break(());
                    }
                    scanned_main = revision.main;
                }
                let key = record::key_of(encoded);
                if !query.range.contains(key) || !(query.wanted)(key) {
                    return ControlFlow::Continue(());
                }
                self.take(revision, encoded.clone())
            })?;
        Ok(())
    }

    /// Whether a new main revision would break the limits; then the answer ends
    /// in front of it.
    fn is_full_before(&mut self, main: i64) -> bool {
        let is_new = self.revisions.last().is_some_and(|(last, _)| *last != main);
        let is_full = is_new
            && (self.revisions.len() >= self.query.revisions_max
                || self.bytes >= self.query.bytes_max);
        if is_full {
            self.next = main;
        }
        is_full
    }

    fn take(&mut self, revision: Revision, encoded: Bytes) -> ControlFlow<()> {
        self.bytes += encoded.len();
        let event = match Event::from_record(revision, encoded) {
            Ok(event) => event,
            Err(failure) => {
                self.failure = Some(failure);
                return ControlFlow::Break(());
            }
        };
        match self.revisions.last_mut() {
            Some((main, events)) if *main == revision.main => events.push(event),
            _ => self.revisions.push((revision.main, vec![event])),
        }
        ControlFlow::Continue(())
    }

    fn finish(self) -> Result<Changes, Error> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(Changes {
                revisions: self.revisions,
                next: self.next,
            }),
        }
    }
}

/// Ranges with up to this many keys are answered from the index: about the cost
/// of scanning as many records.
const INDEXED_KEYS_MAX: usize = 1024;

/// Records one answer looks at, so that a query without matches also ends soon:
/// some 20 to 50 ms of scanning.
const RECORDS_SCANNED_MAX: usize = 100_000;
