//! The store: what is published, and how it starts.
//!
//! State is three things: records in the backend, the index over them, and the
//! published pair of revisions. A commit first makes the records visible and
//! then publishes the revisions, in one pointer swap; a reader loads the
//! published pair first and pins the backend second, so it always finds every
//! record its revision can see.
//!
//! Every compaction opens an [`Epoch`], and what it removes stays until all views
//! of earlier epochs are gone. So a view is consistent for as long as it lives,
//! and costs two references.
//!
//! One writer at a time (the apply thread); readers and the compaction task run
//! beside it. Lock order: `compactor`, then the index or the epochs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use crate::backend::{self, Applied, Backend, Table};
use crate::base::key_range::KeyRange;

use super::compaction::{self, Compactor};
use super::epoch::{Epoch, Epochs};
use super::generation::Change;
use super::tree_index::{TreeIndex, for_each_key};
use super::{CompactionProgress, Error, HashKv, ReadTransaction, WriteTransaction};

/// Multi-version store of keys. Clones share the same store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Takes over what the backend recovered: rebuilds the index and schedules
    /// the last compaction again, of which some part may not have been done.
    ///
    /// # Errors
    /// The backend failed, or what it holds does not make sense.
    pub fn open(backend: Backend) -> Result<Self, Error> {
        let epochs = Epochs::default();
        let published = Published::recover(&backend, epochs.begin())?;
        Ok(Self {
            shared: Arc::new(Shared {
                backend,
                published: ArcSwap::from_pointee(published),
                epochs,
                compactor: Mutex::default(),
                finished_compact_revision: AtomicI64::new(NEVER_COMPACTED),
            }),
        })
    }

    /// Keeps readers on the state of now while the backend takes over another
    /// one, until [`Store::reload`]: what the index names need not be in the new
    /// state. Called by the apply thread, between entries.
    pub fn hold_readers(&self) {
        let now = self.shared.published.load_full();
        self.shared.published.store(Arc::new(Published {
            revision: now.revision,
            compact_revision: now.compact_revision,
            epoch: Arc::clone(&now.epoch),
            index: Arc::clone(&now.index),
            held: Some(self.shared.backend.read()),
        }));
    }

    /// Takes over what the backend holds after a snapshot was installed in it,
    /// between [`Store::hold_readers`] and this. Views of before keep what they
    /// see. Called by the apply thread, between entries.
    ///
    /// # Errors
    /// As [`Store::open`]; then nothing changes.
    pub fn reload(&self) -> Result<(), Error> {
        let mut compactor = self.shared.compactor.lock();
        let epochs = &self.shared.epochs;
        let published = Published::recover(&self.shared.backend, epochs.begin())?;
        *compactor = Compactor::default();
        epochs.forget();
        self.shared
            .finished_compact_revision
            .store(NEVER_COMPACTED, Ordering::Release);
        self.shared.published.store(Arc::new(published));
        Ok(())
    }

    /// The newest revision; 1 in a fresh store.
    pub fn revision(&self) -> i64 {
        self.shared.published.load().revision
    }

    /// The lowest readable revision; -1 in a store never compacted.
    pub fn compact_revision(&self) -> i64 {
        self.shared.published.load().compact_revision
    }

    /// Up to here compaction has removed what it can since the store was
    /// opened; -1 before the first one is through.
    pub fn finished_compact_revision(&self) -> i64 {
        self.shared
            .finished_compact_revision
            .load(Ordering::Acquire)
    }

    /// Last log position whose effects are visible; `None` if there is none.
    pub fn applied(&self) -> Option<Applied> {
        self.shared.backend.read().applied()
    }

    /// A consistent view of the newest revision.
    pub fn read(&self) -> ReadTransaction {
        ReadTransaction::new(&self.shared)
    }

    /// The writer of one Raft entry; waits while another one is open.
    pub fn write(&self) -> WriteTransaction {
        WriteTransaction::new(Arc::clone(&self.shared))
    }

    /// The hash of all records up to `revision` (0: the newest), as etcd
    /// defines it.
    ///
    /// # Errors
    /// The revision is compacted or in the future, or the backend failed.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        self.read().hash_kv(revision)
    }

    /// Does a bounded piece of a scheduled compaction: looks at up to
    /// `keys_max` keys. The caller paces the pieces; writes are never held up
    /// for longer than a few microseconds.
    pub fn compaction_step(&self, keys_max: usize) -> CompactionProgress {
        compaction::step(&self.shared, keys_max)
    }

    /// Resolves once no view holds up the compaction that is under way. For the
    /// one task that makes the steps. Cancel safe.
    pub async fn views_gone(&self) {
        compaction::views_gone(&self.shared).await;
    }

    /// Keys alive at the newest revision.
    pub fn keys_count(&self) -> usize {
        self.shared.published.load().index.read().alive_count()
    }

    /// Keys of `range` that have any stored change, dead ones included, counted up
    /// to `keys_max`.
    pub fn keys_in(&self, range: &KeyRange, keys_max: usize) -> usize {
        let published = self.shared.published.load();
        let mut met = 0;
        if keys_max == 0 {
            return met;
        }
        for_each_key(&published.index, range, |_, _, _| {
            met += 1;
            if met < keys_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        met
    }

    /// Keys that have any stored change, dead ones included.
    pub fn indexed_keys_count(&self) -> usize {
        self.shared.published.load().index.read().keys_count()
    }
}

/// What store, transactions and compaction share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) backend: Backend,
    /// Written by the writer's commit and by reload alone.
    pub(super) published: ArcSwap<Published>,
    pub(super) epochs: Epochs,
    /// The compaction under way; held for one step.
    pub(super) compactor: Mutex<Compactor>,
    pub(super) finished_compact_revision: AtomicI64,
}

impl Shared {
    /// Makes the revisions of a commit visible.
    pub(super) fn publish(&self, revision: i64, compact_revision: i64) {
        let before = self.published.load_full();
        debug_assert!(before.revision <= revision);
        debug_assert!(before.compact_revision <= compact_revision);
        let epoch = if before.compact_revision == compact_revision {
            Arc::clone(&before.epoch)
        } else {
            // Before the swap: who sees the new compact revision must see that
            // views of the old one may be left.
            self.epochs
                .supersede(before.compact_revision, &before.epoch);
            self.epochs.begin()
        };
        self.published.store(Arc::new(Published {
            revision,
            compact_revision,
            epoch,
            index: Arc::clone(&before.index),
            held: None,
        }));
    }
}

/// What readers see from one commit to the next.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
    pub(super) epoch: Arc<Epoch>,
    /// The same one until the next reload.
    pub(super) index: Arc<RwLock<TreeIndex>>,
    /// Where readers find the records while the backend takes over another
    /// state; `None` at all other times.
    pub(super) held: Option<backend::ReadTransaction>,
}

impl Published {
    /// What the backend holds, with the index over it.
    fn recover(backend: &Backend, epoch: Arc<Epoch>) -> Result<Self, Error> {
        let records = backend.read();
        let compact_revision = compaction::stored_compact_revision(
            records.row(Table::Meta, compaction::SCHEDULED_ROW),
        )?;
        let revision = records.revision().max(FIRST_REVISION).max(compact_revision);
        let mut index = TreeIndex::default();
        backend.for_each_record_info(&mut |info| {
            let change = if info.tombstone {
                Change::tombstone(info.revision)
            } else {
                Change::put(
                    info.revision,
                    info.create_revision,
                    info.version,
                    info.lease != 0,
                )
            };
            index.restore(&info.key, change);
        })?;
        let index = Arc::new(RwLock::new(index));
        Ok(Self {
            revision,
            compact_revision,
            epoch,
            index,
            held: None,
        })
    }
}

/// Revision of a store into which nothing was written.
const FIRST_REVISION: i64 = 1;

/// Compact revision of a store that was never compacted.
pub(super) const NEVER_COMPACTED: i64 = -1;
