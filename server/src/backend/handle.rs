//! Backend: the entry point, and what all its parts share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::batch_transaction::{BatchTransaction, Changes};
use super::config::{Config, Durability};
use super::error::Error;
use super::read_transaction::ReadTransaction;
use super::read_view::View;
use super::record::RecordInfo;
use super::segment::{Arena, SEGMENT_BYTES, Segment};
use super::table::Table;
use crate::base::revision::Revision;

/// A Raft log position that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Log index.
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

impl From<(u64, u64)> for Applied {
    fn from((index, term): (u64, u64)) -> Self {
        Self { index, term }
    }
}

/// How far a version of the state goes: at start, or after a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Last Raft entry in it; `None` when nothing was ever applied.
    pub applied: Option<Applied>,
    /// Raft membership as of `applied`, opaque.
    pub membership: Option<Bytes>,
    /// Main revision of the store.
    pub revision: i64,
}

/// Space taken by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes on disk plus bytes waiting in memory to be written.
    pub allocated_bytes: u64,
    /// Bytes that live data needs.
    pub in_use_bytes: u64,
}

/// Storage of one member; cheap to clone.
#[derive(Debug, Clone)]
pub struct Backend {
    shared: Arc<Shared>,
}

impl Backend {
    /// Opens or creates the state in `config.directory`.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, is corrupt, or is not ours.
    pub fn open(_config: Config, _durability: Arc<dyn Durability>) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::new(Shared::default()),
        })
    }

    /// How far the state went when it was opened (or last installed).
    pub fn recovered(&self) -> Recovered {
        self.shared.view.load().position()
    }

    /// Calls `f` for every record in revision order, without values.
    ///
    /// # Errors
    ///
    /// A key row could not be read or is corrupt.
    pub fn for_each_record_info(&self, _f: &mut dyn FnMut(RecordInfo)) -> Result<(), Error> {
        todo!()
    }

    /// Begins the batch of one Raft entry; waits while another one is open.
    pub fn batch(&self) -> BatchTransaction {
        self.shared.batch()
    }

    /// Pins the current version for reading.
    pub fn read(&self) -> ReadTransaction {
        ReadTransaction::new(self.shared.view.load_full())
    }

    /// Says that these records are dead: compaction superseded them.
    ///
    /// The decision (a compact revision row) must have been committed before.
    pub fn discard(&self, _dead: &[Revision]) {
        todo!()
    }

    /// Whether records in memory exceed `hot_bytes_max`.
    pub fn over_hot_limit(&self) -> bool {
        todo!()
    }

    /// Waits until records in memory are within `hot_bytes_max`.
    ///
    /// # Errors
    ///
    /// The checkpoint thread failed, so that they never will be.
    pub async fn wait_below_hot_limit(&self) -> Result<(), Error> {
        todo!()
    }

    /// Makes everything committed so far durable; resolves with what is.
    pub fn checkpoint(&self) -> impl Future<Output = Result<Recovered, Error>> + Send + use<> {
        async { todo!() }
    }

    /// Resolves when the backend can no longer make anything durable: the
    /// process must stop.
    pub async fn failed(&self) -> Error {
        todo!()
    }

    /// The failure `failed` would resolve with, if it happened.
    pub fn failure(&self) -> Option<Error> {
        todo!()
    }

    /// Space taken and space needed.
    pub fn sizes(&self) -> Sizes {
        todo!()
    }

    /// Gives all reclaimable space back; online, but heavy.
    pub fn defragment(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        async { todo!() }
    }

    /// Checkpoints what is committed, stops the checkpoint thread, closes the engine.
    ///
    /// # Errors
    ///
    /// The last checkpoint failed.
    pub fn close(&self) -> Result<(), Error> {
        todo!()
    }
}

/// What the parts of one backend share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The current version.
    view: ArcSwap<View>,
    /// The writer's arena while no batch is open.
    writer: Mutex<Option<Arena>>,
    writer_returned: Condvar,
    /// Serialises publishers: the writer and the checkpoint thread.
    publish: Mutex<Unwritten>,
    /// Memory of the records in the current view.
    hot_bytes: AtomicUsize,
}

/// What was published since the last checkpoint began.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    changed_rows: BTreeSet<(Table, Bytes)>,
}

impl Shared {
    fn batch(self: &Arc<Self>) -> BatchTransaction {
        let arena = Arena::default();
        BatchTransaction::new(Arc::clone(self), arena, self.view.load_full())
    }

    /// Takes the writer's arena back from a batch that ended.
    pub(super) fn return_writer(&self, arena: Arena) {
        *self.writer.lock() = Some(arena);
        self.writer_returned.notify_one();
    }

    /// Makes the changes of one batch visible.
    pub(super) fn publish_changes(&self, changes: Changes) {
        let mut unwritten = self.publish.lock();
        let mut view = View::clone(&self.view.load());
        if let Some(first) = changes.records.first().map(|record| record.revision) {
            let bytes: usize = changes
                .records
                .iter()
                .map(|record| record.memory_bytes())
                .sum();
            let is_room = |segment: &&Arc<Segment>| segment.bytes() < SEGMENT_BYTES;
            match view.segments.last().filter(is_room) {
                Some(segment) => segment.append(changes.records.into_iter()),
                None => {
                    let segment = Arc::new(Segment::new(first));
                    segment.append(changes.records.into_iter());
                    view.segments = view.segments.with(segment);
                }
            }
            self.hot_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        view.revision = changes.revision;
        view.applied = Some(changes.applied);
        view.membership = changes.membership.or(view.membership);
        view.tables = changes.tables;
        unwritten.changed_rows.extend(changes.changed_rows);
        self.view.store(Arc::new(view));
    }
}
