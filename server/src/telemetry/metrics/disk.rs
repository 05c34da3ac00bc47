//! Disk work. Syncs and bytes of the log come from the log's own counters, as
//! a source; see `Metrics::add_histogram_source`.

use prometheus::{Error, Histogram, IntGauge};

use super::registrar::{Registrar, disk_buckets, doubling};

/// Metrics named `etcd_disk_*` and `etcd_snap_*`.
#[derive(Debug)]
pub struct DiskMetrics {
    /// Checkpoints of the backend.
    pub backend_commit_duration_seconds: Histogram,
    /// Defragmentations.
    pub backend_defrag_duration_seconds: Histogram,
    /// Snapshots streamed out of the backend.
    pub backend_snapshot_duration_seconds: Histogram,
    /// 1 while defragmenting.
    pub defrag_inflight: IntGauge,
    /// Syncs of received snapshots.
    pub snap_db_fsync_duration_seconds: Histogram,
    /// Receiving a snapshot to disk, in all.
    pub snap_db_save_total_duration_seconds: Histogram,
    /// Syncs of snapshot markers.
    pub snap_fsync_duration_seconds: Histogram,
}

impl DiskMetrics {
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            backend_commit_duration_seconds: make.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Time to make the backend durable.",
                disk_buckets(),
            )?,
            backend_defrag_duration_seconds: make.histogram(
                "etcd_disk_backend_defrag_duration_seconds",
                "Time to defragment the backend.",
                doubling(0.1, 13),
            )?,
            backend_snapshot_duration_seconds: make.histogram(
                "etcd_disk_backend_snapshot_duration_seconds",
                "Time to stream the backend out.",
                doubling(0.01, 17),
            )?,
            defrag_inflight: make.gauge("etcd_disk_defrag_inflight", "1 while defragmenting.")?,
            snap_db_fsync_duration_seconds: make.histogram(
                "etcd_snap_db_fsync_duration_seconds",
                "Time to sync a received snapshot.",
                disk_buckets(),
            )?,
            snap_db_save_total_duration_seconds: make.histogram(
                "etcd_snap_db_save_total_duration_seconds",
                "Time to receive a snapshot.",
                doubling(0.1, 10),
            )?,
            snap_fsync_duration_seconds: make.histogram(
                "etcd_snap_fsync_duration_seconds",
                "Time to sync a snapshot's marker.",
                disk_buckets(),
            )?,
        })
    }
}
