//! Counts of the watch hub, for the metrics endpoint and for tests.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Live counters; each is exact on its own, together they are not one instant.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) streams: AtomicI64,
    pub(super) watchers: AtomicI64,
    pub(super) slow_watchers: AtomicI64,
    pub(super) pending_events: AtomicI64,
    pub(super) events_sent: AtomicU64,
    pub(super) store_reads: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Open streams.
    pub streams_count: i64,
    /// Watchers on them that can still get events.
    pub watchers_count: i64,
    /// Watchers among these that are not caught up.
    pub slow_watchers_count: i64,
    /// Events waiting in the queues of streams.
    pub pending_events_count: i64,
    /// Events given to streams for sending, since the start.
    pub events_sent_total: u64,
    /// Reads of the store for watchers that catch up, since the start.
    pub store_reads_total: u64,
}

impl Metrics {
    pub(super) fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            streams_count: self.streams.load(Ordering::Relaxed),
            watchers_count: self.watchers.load(Ordering::Relaxed),
            slow_watchers_count: self.slow_watchers.load(Ordering::Relaxed),
            pending_events_count: self.pending_events.load(Ordering::Relaxed),
            events_sent_total: self.events_sent.load(Ordering::Relaxed),
            store_reads_total: self.store_reads.load(Ordering::Relaxed),
        }
    }
}
