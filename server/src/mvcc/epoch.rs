//! Epochs: the time between two compactions, and who waits for its end.
//!
//! Views hold the epoch they began in. What a compaction removes stays until
//! all views of earlier epochs are gone; the last one of an epoch to go wakes
//! the task that waits to remove it. One task waits: the one that makes the
//! steps. Knows no runtime: a waker is all it needs.

use std::sync::{Arc, Weak};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// The time between two compactions; only whether anyone holds it matters.
#[derive(Debug)]
pub(super) struct Epoch {
    ended: Arc<AtomicWaker>,
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.ended.wake();
    }
}

/// The epochs of one store.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// Earlier ones, with their compact revisions, until their views are gone.
    superseded: Mutex<Vec<(i64, Weak<Epoch>)>>,
    /// Woken with the end of an epoch.
    ended: Arc<AtomicWaker>,
}

impl Epochs {
    /// Begins one.
    pub(super) fn begin(&self) -> Arc<Epoch> {
        Arc::new(Epoch {
            ended: Arc::clone(&self.ended),
        })
    }

    /// A compaction ends `epoch`, whose views read down to `compact_revision`.
    pub(super) fn supersede(&self, compact_revision: i64, epoch: &Arc<Epoch>) {
        let entry = (compact_revision, Arc::downgrade(epoch));
        self.superseded.lock().push(entry);
    }

    /// Forgets earlier epochs: the state they were about is gone.
    pub(super) fn forget(&self) {
        self.superseded.lock().clear();
        self.ended.wake();
    }

    /// Whether a view exists that may read below `compact_revision`.
    pub(super) fn has_view_below(&self, compact_revision: i64) -> bool {
        let mut superseded = self.superseded.lock();
        superseded.retain(|(_, epoch)| epoch.strong_count() > 0);
        superseded
            .iter()
            .any(|(of_view, _)| *of_view < compact_revision)
    }

    /// The next end of an epoch wakes `waker`, and no other one. To be called
    /// before looking, so that no end falls in between.
    pub(super) fn wake_at_end(&self, waker: &Waker) {
        self.ended.register(waker);
    }
}
