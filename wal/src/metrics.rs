//! Counters of one log: plain atomics, read by whoever exports them.
//!
//! This crate knows no metrics library. Counters only grow; the two gauges say
//! so. Each is written by one thread at a time, so relaxed order is enough.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a log has done since it was opened.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Duration of each data sync of the log's writer.
    pub fsync: Histogram,
    /// Bytes of frames written, headers and padding included.
    pub written_bytes: AtomicU64,
    /// Groups (frames) written.
    pub groups: AtomicU64,
    /// Records written, of all kinds.
    pub records: AtomicU64,
    /// Entry records written.
    pub entries: AtomicU64,
    /// Write buffers taken from the pool.
    pub buffer_hits: AtomicU64,
    /// Write buffers that had to be allocated.
    pub buffer_misses: AtomicU64,
    /// Gauge: write buffers not in the pool.
    pub buffers_in_use: AtomicU64,
    /// Entries read from memory.
    pub tail_reads: AtomicU64,
    /// Entries read from segments.
    pub segment_reads: AtomicU64,
    /// Segments begun.
    pub segments_started: AtomicU64,
    /// Segments made from a purged one.
    pub segments_recycled: AtomicU64,
    /// Segments made by zeroing a new file.
    pub segments_created: AtomicU64,
    /// Purged segments deleted because enough spares existed.
    pub segments_removed: AtomicU64,
    /// Times the writer had to wait for the next segment.
    pub segment_waits: AtomicU64,
    /// Times a caller had to wait because too much was pending.
    pub append_waits: AtomicU64,
    /// Gauge: bytes accepted and not yet durable.
    pub pending_bytes: AtomicU64,
}

/// A histogram over fixed bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; DURATION_BUCKET_BOUNDS.len() + 1],
    sum_nanoseconds: AtomicU64,
}

/// Upper bounds of the histograms in microseconds: etcd's for syncs (1 ms
/// doubling to 8.192 s) with seven finer ones below, so that etcd's can be
/// derived and a hand-over between threads is still seen.
pub const DURATION_BUCKET_BOUNDS: [u64; 21] = [
    8, 16, 31, 62, 125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000,
    256_000, 512_000, 1_024_000, 2_048_000, 4_096_000, 8_192_000,
];

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = DURATION_BUCKET_BOUNDS.partition_point(|bound| *bound < microseconds);
        if let Some(count) = self.buckets.get(bucket) {
            add(count, 1);
        }
        add(
            &self.sum_nanoseconds,
            u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    /// Observations per bucket (not cumulative); the last one is above every
    /// bound of [`DURATION_BUCKET_BOUNDS`].
    pub fn counts(&self) -> Vec<u64> {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect()
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// Sum of all observations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanoseconds.load(Ordering::Relaxed))
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Subtracts from a gauge.
pub(crate) fn subtract(gauge: &AtomicU64, amount: u64) {
    gauge.fetch_sub(amount, Ordering::Relaxed);
}
