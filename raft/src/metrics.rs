//! Counters of a member, plain atomics that anyone may read at any time.
//!
//! They are written by the raft thread and read by the exporter of the
//! server; every counter is monotonic unless its name says otherwise. No
//! counter is used to decide anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quoin_wal::Histogram;

/// A monotonic counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Overwrites the value: for gauges.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Subtracts `amount`: for gauges.
    pub fn sub(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Reads the value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything this crate counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Entry buffers asked of the pool.
    pub pool_gets: Counter,
    /// Entry buffers that had to be allocated because the pool was empty.
    pub pool_misses: Counter,
    /// Gauge: entry buffers that are out of the pool now.
    pub pool_outstanding: Counter,
    /// Log reads served from the entry cache.
    pub cache_hits: Counter,
    /// Log reads that went to the write-ahead log.
    pub cache_misses: Counter,
    /// Bytes written to peers, headers included.
    pub peer_sent_bytes: Counter,
    /// Bytes read from peers, headers included.
    pub peer_received_bytes: Counter,
    /// Frames written to peers.
    pub peer_sent_frames: Counter,
    /// System calls that wrote them.
    pub peer_writes: Counter,
    /// Frames read from peers.
    pub peer_received_frames: Counter,
    /// Connections to peers that broke or could not be made.
    pub peer_failures: Counter,
    /// Heartbeats that got no answer in time.
    pub heartbeat_failures: Counter,
    /// Times that a follower lacked what it had acknowledged.
    pub log_reversions: Counter,
    /// Proposals handed to this member.
    pub proposals: Counter,
    /// Proposals that failed.
    pub proposals_failed: Counter,
    /// Gauge: proposals waiting for their outcome.
    pub proposals_pending: Counter,
    /// As leader: from a proposal until it was appended to the own log. Once
    /// per entry, as the two that follow.
    pub propose_duration: Histogram,
    /// As leader: from there until the own log was durable.
    pub fsync_duration: Histogram,
    /// As leader: from the append until the entry was committed.
    pub replicate_duration: Histogram,
    /// Read-index rounds.
    pub read_index_rounds: Counter,
    /// Reads served by those rounds.
    pub read_index_served: Counter,
    /// Read-index rounds that failed and were tried again.
    pub read_index_failures: Counter,
    /// Snapshots sent completely.
    pub snapshots_sent: Counter,
    /// Transfers of snapshots that went on where they had been broken off.
    pub snapshots_resumed: Counter,
    /// Gauge: snapshots being sent.
    pub snapshots_sending: Counter,
    /// Gauge: snapshots waiting until others are sent.
    pub snapshots_waiting: Counter,
    /// Chunks of snapshots sent, those sent again included.
    pub snapshot_chunks_sent: Counter,
    /// Snapshots that could not be sent.
    pub snapshots_send_failed: Counter,
    /// Snapshots received and installed.
    pub snapshots_received: Counter,
    /// Incoming snapshots that were refused or broken off.
    pub snapshots_receive_failed: Counter,
    /// Checkpoints of the state machine.
    pub checkpoints: Counter,
    /// Writes of the log that took the disk longer than an election timeout.
    pub disk_stalls: Counter,
    /// Times the leader changed as seen here.
    pub leader_changes: Counter,
}

impl Metrics {
    /// Fresh counters behind an `Arc`.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Share of buffers that came from the pool, in 0..=1; 1 before any use.
    pub fn pool_reuse_rate(&self) -> f64 {
        let gets = self.pool_gets.value();
        if gets == 0 {
            return 1.0;
        }
        1.0 - self.pool_misses.value() as f64 / gets as f64
    }
}
