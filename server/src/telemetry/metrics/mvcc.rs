//! The multi-version store, its watchers, and leases.

use prometheus::{Error, Gauge, Histogram, IntCounter, IntGauge};

use super::registrar::{Registrar, doubling};

/// Metrics named `etcd_mvcc_*` and `etcd_debugging_mvcc_*`.
#[derive(Debug)]
pub struct MvccMetrics {
    /// Puts applied.
    pub put_total: IntCounter,
    /// Keys deleted.
    pub delete_total: IntCounter,
    /// Ranges read.
    pub range_total: IntCounter,
    /// Transactions of more than one operation.
    pub txn_total: IntCounter,
    /// Bytes allocated by the database.
    pub db_total_size_bytes: IntGauge,
    /// Bytes of those in use.
    pub db_in_use_bytes: IntGauge,
    /// Read transactions open now.
    pub db_open_read_transactions: IntGauge,
    /// Hashing of everything.
    pub hash_duration_seconds: Histogram,
    /// Hashing of a revision.
    pub hash_rev_duration_seconds: Histogram,
    /// Live keys.
    pub keys_total: IntGauge,
    /// The current revision.
    pub current_revision: IntGauge,
    /// The compacted revision; -1 before the first compaction.
    pub compact_revision: IntGauge,
    /// Bytes of keys and values put.
    pub total_put_size_bytes: IntGauge,
    /// Watchers open.
    pub watcher_total: IntGauge,
    /// Watch streams open.
    pub watch_stream_total: IntGauge,
    /// Watchers that have fallen behind.
    pub slow_watcher_total: IntGauge,
    /// Events handed to watchers.
    pub events_total: IntCounter,
    /// Events not yet handed over.
    pub pending_events_total: IntGauge,
    /// Keys removed by compactions.
    pub db_compaction_keys_total: IntCounter,
    /// Unix time of the last compaction.
    pub db_compaction_last: Gauge,
    /// Whole compactions.
    pub db_compaction_total_duration_milliseconds: Histogram,
    /// Single steps of compactions.
    pub db_compaction_pause_duration_milliseconds: Histogram,
}

impl MvccMetrics {
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            put_total: make.counter("etcd_mvcc_put_total", "Puts applied.")?,
            delete_total: make.counter("etcd_mvcc_delete_total", "Deletes applied.")?,
            range_total: make.counter("etcd_mvcc_range_total", "Ranges read.")?,
            txn_total: make
                .counter("etcd_mvcc_txn_total", "Transactions of several operations.")?,
            db_total_size_bytes: make.gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Bytes allocated by the database.",
            )?,
            db_in_use_bytes: make.gauge(
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Bytes of those in use.",
            )?,
            db_open_read_transactions: make.gauge(
                "etcd_mvcc_db_open_read_transactions",
                "Read transactions open.",
            )?,
            hash_duration_seconds: make.histogram(
                "etcd_mvcc_hash_duration_seconds",
                "Time to hash everything.",
                doubling(0.01, 15),
            )?,
            hash_rev_duration_seconds: make.histogram(
                "etcd_mvcc_hash_rev_duration_seconds",
                "Time to hash a revision.",
                doubling(0.01, 15),
            )?,
            keys_total: make.gauge("etcd_debugging_mvcc_keys_total", "Live keys.")?,
            current_revision: make.gauge(
                "etcd_debugging_mvcc_current_revision",
                "The current revision.",
            )?,
            compact_revision: make.gauge(
                "etcd_debugging_mvcc_compact_revision",
                "The compacted revision.",
            )?,
            total_put_size_bytes: make
                .gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes put.")?,
            watcher_total: make.gauge("etcd_debugging_mvcc_watcher_total", "Watchers open.")?,
            watch_stream_total: make.gauge(
                "etcd_debugging_mvcc_watch_stream_total",
                "Watch streams open.",
            )?,
            slow_watcher_total: make
                .gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers behind.")?,
            events_total: make.counter("etcd_debugging_mvcc_events_total", "Events handed out.")?,
            pending_events_total: make.gauge(
                "etcd_debugging_mvcc_pending_events_total",
                "Events not handed out.",
            )?,
            db_compaction_keys_total: make.counter(
                "etcd_debugging_mvcc_db_compaction_keys_total",
                "Keys compacted.",
            )?,
            db_compaction_last: make.float_gauge(
                "etcd_debugging_mvcc_db_compaction_last",
                "Time of the last one.",
            )?,
            db_compaction_total_duration_milliseconds: make.histogram(
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Time of a whole compaction.",
                doubling(100.0, 14),
            )?,
            db_compaction_pause_duration_milliseconds: make.histogram(
                "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                "Time of one step of a compaction.",
                doubling(1.0, 13),
            )?,
        })
    }
}

/// Metrics named `etcd_debugging_lease_*`.
#[derive(Debug)]
pub struct LeaseMetrics {
    /// Leases granted.
    pub granted_total: IntCounter,
    /// Leases revoked.
    pub revoked_total: IntCounter,
    /// Leases renewed.
    pub renewed_total: IntCounter,
    /// Leases expired.
    pub expired_total: IntCounter,
    /// Times to live asked for, in seconds.
    pub ttl_seconds: Histogram,
}

impl LeaseMetrics {
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            granted_total: make.counter("etcd_debugging_lease_granted_total", "Granted leases.")?,
            revoked_total: make.counter("etcd_debugging_lease_revoked_total", "Revoked leases.")?,
            renewed_total: make.counter("etcd_debugging_lease_renewed_total", "Renewed leases.")?,
            expired_total: make.counter(
                "etcd_debugging_server_lease_expired_total",
                "Expired leases.",
            )?,
            ttl_seconds: make.histogram(
                "etcd_debugging_lease_ttl_total",
                "Times to live asked for.",
                doubling(1.0, 24),
            )?,
        })
    }
}
