//! Removal of history below a revision.
//!
//! The decision is a row written by the apply thread: from that commit on,
//! reads below the compact revision fail. The removal follows in bounded steps
//! beside everything else: the index forgets dead changes chunk by chunk, under
//! its short-held lock, and names them to the backend, which takes the space
//! back with its next checkpoints. A compaction that was cut short by a restart
//! runs again from the start, which changes nothing that is already done.
//!
//! A later compaction does not interrupt the one under way, else the end of the
//! key space would never be reached; it runs next, at the newest revision asked
//! for by then. No step runs while a view below its revision exists.

use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;

use crate::base::revision::Revision;

use super::Error;
use super::index_key::IndexKey;
use super::store::{NEVER_COMPACTED, Shared};
use super::tree_index::CHUNK_KEYS;

/// What a step did and whether another one is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CompactionProgress {
    /// Nothing is scheduled, or it is all done.
    Idle,
    /// A piece was done, and more is left.
    Working {
        /// Changes removed by this step.
        removed_count: usize,
    },
    /// This step finished the compaction of this revision.
    Finished {
        /// The revision compacted to.
        compact_revision: i64,
        /// Changes removed by this step.
        removed_count: usize,
    },
    /// A view of an older revision is still open; [`super::Store::views_gone`]
    /// tells when to go on.
    Waiting,
}

/// The compaction under way.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    compact_revision: i64,
    /// Last key looked at.
    cursor: Option<IndexKey>,
}

/// Does one bounded piece.
pub(super) fn step(shared: &Shared, keys_max: usize) -> CompactionProgress {
    let mut compactor = shared.compactor.lock();
    let published = shared.published.load_full();
    let scheduled = published.compact_revision;
    let finished = shared.finished_compact_revision.load(Ordering::Acquire);
    if compactor.active.is_none() && scheduled <= finished {
        return CompactionProgress::Idle;
    }
    let active = compactor.active.get_or_insert(Active {
        compact_revision: scheduled,
        cursor: None,
    });
    if shared.epochs.has_view_below(active.compact_revision) {
        return CompactionProgress::Waiting;
    }
    let mut removed_count = 0;
    let mut keys_left = keys_max.max(1);
    loop {
        let keys = keys_left.min(CHUNK_KEYS);
        keys_left -= keys;
        let mut dead: Vec<Revision> = Vec::new();
        active.cursor = published.index.write().compact_chunk(
            active.cursor.as_deref(),
            active.compact_revision,
            keys,
            &mut dead,
        );
        removed_count += dead.len();
        if !dead.is_empty() {
            shared.backend.discard(&dead);
        }
        if active.cursor.is_none() {
            let compact_revision = active.compact_revision;
            compactor.active = None;
            shared
                .finished_compact_revision
                .store(compact_revision, Ordering::Release);
            return CompactionProgress::Finished {
                compact_revision,
                removed_count,
            };
        }
        if keys_left == 0 {
            return CompactionProgress::Working { removed_count };
        }
    }
}

/// Resolves once no view holds up the compaction that is under way.
pub(super) async fn views_gone(shared: &Shared) {
    let is_held_up = || {
        let compactor = shared.compactor.lock();
        let active = compactor.active.as_ref();
        active.is_some_and(|active| shared.epochs.has_view_below(active.compact_revision))
    };
    std::future::poll_fn(|context| {
        shared.epochs.wake_at_end(context.waker());
        if is_held_up() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Row of `Table::Meta` with the revision compacted to; named and valued as in
/// etcd's file: a 17-byte revision key.
pub(super) const SCHEDULED_ROW: &[u8] = b"scheduledCompactRev";

/// Value of [`SCHEDULED_ROW`].
pub(super) fn row_value(compact_revision: i64) -> [u8; 17] {
    Revision::new(compact_revision, 0).to_key()
}

/// The row of `Table::Meta` that says so: a store that opens over it forgets what
/// is older.
#[must_use]
pub fn compacted_row(compact_revision: i64) -> (Bytes, Bytes) {
    let value = Bytes::copy_from_slice(&row_value(compact_revision));
    (Bytes::from_static(SCHEDULED_ROW), value)
}

/// The compact revision that [`SCHEDULED_ROW`] names.
pub(super) fn stored_compact_revision(row: Option<Bytes>) -> Result<i64, Error> {
    let Some(row) = row else {
        return Ok(NEVER_COMPACTED);
    };
    match row.first_chunk::<8>() {
        Some(main) if row.len() == 17 => Ok(i64::from_be_bytes(*main)),
        _ => Err(Error::Corrupt(
            "the compact revision row has a wrong length",
        )),
    }
}
