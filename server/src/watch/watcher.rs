//! One watcher: what it wants, and how far it has got.
//!
//! What it wants never changes. How far it has got (`mode`, `next`) is written
//! only under the lock of its stream's queue, together with the queue itself,
//! so that "was queued" and "counts as delivered" are one step. The hub's
//! worker is the only one that moves a watcher between `Live` and `Lagging`;
//! it may therefore read both without that lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};

use crate::base::key_range::KeyRange;
use crate::mvcc::{Event, EventKind};

use super::event::RevisionEvents;
use super::queue::StreamQueue;

/// A client's wish for a watcher, as decoded from the wire.
#[derive(Clone, Debug)]
pub struct Create {
    /// Keys to watch.
    pub range: KeyRange,
    /// First revision wanted; 0 for whatever comes next.
    pub start_revision: i64,
    /// Send a sign of life now and then while there are no events.
    pub progress_notify: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
    /// Send the pair before the change along.
    pub previous: bool,
    /// Id chosen by the client; 0 to have one assigned.
    pub watch_id: i64,
    /// Split large responses.
    pub fragment: bool,
}

/// A registered watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Id on its stream.
    pub(super) id: i64,
    pub(super) wish: Create,
    /// Where its events go.
    pub(super) stream: Arc<StreamQueue>,
    /// An event response was sent since the last tick of the progress timer.
    pub(super) was_busy: AtomicBool,
    mode: AtomicU8,
    next: AtomicI64,
    /// Its place in its [`super::group::WatcherSet`], guarded by that set.
    pub(super) position: AtomicUsize,
    /// Its place among the watchers touched by the revision being dispatched;
    /// used by the worker alone, stale values are recognized.
    pub(super) touched: AtomicUsize,
}

/// Where a watcher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mode {
    /// Has everything up to the last dispatched revision; gets new ones.
    Live,
    /// Lacks everything from `next` on; gets it from ring or store.
    Lagging,
    /// Compaction overtook it; gets nothing more but keeps its id.
    Compacted,
    /// Cancelled, or its stream is gone.
    Closed,
}

impl Watcher {
    pub(super) fn new(id: i64, wish: Create, stream: Arc<StreamQueue>, next: i64) -> Self {
        Self {
            id,
            wish,
            stream,
            was_busy: AtomicBool::new(false),
            mode: AtomicU8::new(Mode::Lagging as u8),
            next: AtomicI64::new(next),
            position: AtomicUsize::new(0),
            touched: AtomicUsize::new(0),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            mode if mode == Mode::Live as u8 => Mode::Live,
            mode if mode == Mode::Lagging as u8 => Mode::Lagging,
            mode if mode == Mode::Compacted as u8 => Mode::Compacted,
            _ => Mode::Closed,
        }
    }

    /// Only under the lock of the stream's queue.
    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// No event below this revision is wanted any more.
    pub(super) fn next(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Only under the lock of the stream's queue.
    pub(super) fn set_next(&self, next: i64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Whether the filters let `event` through, whatever its key.
    pub(super) fn lets_through(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Put => !self.wish.no_put,
            EventKind::Delete => !self.wish.no_delete,
        }
    }

    /// Whether `event` is for this watcher.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.lets_through(event) && self.wish.range.contains(&event.key)
    }

    /// The encoding this watcher gets, unless it needs a lookup not yet made.
    pub(super) fn encoding(&self, events: &RevisionEvents, index: usize) -> Option<bytes::Bytes> {
        if self.wish.previous {
            events.with_previous(index)
        } else {
            Some(events.plain(index))
        }
    }
}
