//! Space taken and space needed, in counters that anyone may read.
//!
//! A member asks with every put whether its quota is used up, so the answer
//! must not wait for anything: each figure is an atomic, written by whoever
//! changes what it counts. The figures are not of one moment; a quota needs
//! no better.

use std::sync::atomic::{AtomicU64, Ordering};

use super::collect::Collector;

/// Space taken by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes on disk plus bytes waiting in memory to be written. A copy that is
    /// being made to shrink the files is not counted, nor what readers still hold.
    pub allocated_bytes: u64,
    /// Bytes that live data needs.
    pub in_use_bytes: u64,
}

/// The counters of one backend.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Size of the engine's files after the last checkpoint.
    disk_bytes: AtomicU64,
    /// Bytes of the pages of small tables.
    pages_bytes: AtomicU64,
    /// Bytes of live records in blocks; what the collector counts.
    live_bytes: AtomicU64,
}

impl Space {
    pub(super) fn note_disk(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn note_pages(&self, bytes: u64) {
        self.pages_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Called by whoever has changed the collector, before it is unlocked.
    pub(super) fn note_collector(&self, collector: &Collector) {
        self.live_bytes
            .store(collector.live_bytes(), Ordering::Relaxed);
    }

    /// The sizes, with `hot_bytes` in memory that no checkpoint has written.
    pub(super) fn sizes(&self, hot_bytes: u64) -> Sizes {
        let pages_bytes = self.pages_bytes.load(Ordering::Relaxed);
        let in_use_bytes = self.live_bytes() + pages_bytes + hot_bytes;
        let on_disk = self.disk_bytes.load(Ordering::Relaxed);
        // Compression may make the files smaller than what they hold.
        Sizes {
            allocated_bytes: (on_disk + hot_bytes).max(in_use_bytes),
            in_use_bytes,
        }
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }
}
