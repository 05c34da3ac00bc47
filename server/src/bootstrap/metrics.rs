//! Connects the member's own counters to the exported metrics.
//!
//! Gauges are set when a scrape comes; counters that other crates keep as
//! plain atomics are read then. Nothing here is on a hot path.

use std::sync::Arc;

use quoin_raft::{Histogram, Metrics as RaftMetrics, Node};

use crate::{
    base::version,
    proposal::{Registry, stages::StageMetrics},
    service::Context,
    telemetry::metrics::{HistogramReading, Metrics, SourceKind},
    watch::Hub,
};

/// Registers everything a running member can tell about itself.
pub(super) fn connect(metrics: &Arc<Metrics>, context: &Context, registry: &Registry, hub: &Hub) {
    let member_id = context.header.member_id;
    metrics.server.set_identity(member_id, version::ETCD);
    raft_gauges(metrics, context, registry);
    store_gauges(metrics, context, hub);
    wal_sources(metrics, &context.node);
    raft_sources(metrics, &context.node);
    snapshot_sources(metrics, &context.node);
    stage_sources(metrics, &context.node, registry);
    digest_gauges(metrics, context);
}

fn digest_gauges(metrics: &Metrics, context: &Context) {
    let (agreement, quarantine) = (context.agreement.clone(), context.quarantine.clone());
    metrics.on_scrape(move |metrics| {
        let (digest, tally) = (&metrics.digest, agreement.tally());
        digest.equal_index.set(signed(tally.equal_index));
        let counted = digest.differences_total.get();
        let new = tally.differences_count.saturating_sub(counted);
        digest.differences_total.inc_by(new);
        digest.quarantined.set(i64::from(quarantine.is_active()));
    });
}

fn raft_gauges(metrics: &Metrics, context: &Context, registry: &Registry) {
    let (context, registry) = (context.clone(), registry.clone());
    metrics
        .server
        .quota_backend_bytes
        .set(signed(context.limits.quota_bytes.unwrap_or(0)));
    metrics.on_scrape(move |metrics| {
        let status = context.node.status();
        let server = &metrics.server;
        server.has_leader.set(i64::from(status.leader.is_some()));
        server
            .is_leader
            .set(i64::from(status.leader == Some(status.member_id)));
        server.is_learner.set(i64::from(status.is_learner));
        server
            .proposals_committed
            .set(signed(status.committed_index));
        server
            .proposals_applied
            .set(signed(context.header.applied.index()));
        server
            .proposals_pending
            .set(i64::try_from(registry.pending_count()).unwrap_or(i64::MAX));
        let changes = context.node.metrics().leader_changes.value();
        let seen = server.leader_changes_total.get();
        server
            .leader_changes_total
            .inc_by(changes.saturating_sub(seen));
        let failures = context.node.metrics().heartbeat_failures.value();
        let counted = server.heartbeat_send_failures_total.get();
        server
            .heartbeat_send_failures_total
            .inc_by(failures.saturating_sub(counted));
        known_peers(metrics, &context);
        if let Some(version) = context.cluster.version() {
            server.set_cluster_version(version.rsplit_once('.').map_or(&*version, |v| v.0));
        }
    });
}

/// The members of the cluster, this one among them.
fn known_peers(metrics: &Metrics, context: &Context) {
    let known = &metrics.network.known_peers;
    known.reset();
    let local = format!("{:x}", context.header.member_id);
    for member in context.node.membership() {
        let remote = format!("{:x}", member.id);
        known.with_label_values(&[&local, &remote]).set(1);
    }
}

fn store_gauges(metrics: &Metrics, context: &Context, hub: &Hub) {
    let (context, hub) = (context.clone(), hub.clone());
    metrics.on_scrape(move |metrics| {
        let (mvcc, sizes, watch) = (&metrics.mvcc, context.backend.sizes(), hub.metrics());
        mvcc.db_total_size_bytes.set(signed(sizes.allocated_bytes));
        mvcc.db_in_use_bytes.set(signed(sizes.in_use_bytes));
        mvcc.keys_total
            .set(i64::try_from(context.store.keys_count()).unwrap_or(i64::MAX));
        mvcc.current_revision.set(context.store.revision());
        mvcc.compact_revision.set(context.store.compact_revision());
        mvcc.watcher_total.set(watch.watchers_count);
        mvcc.watch_stream_total.set(watch.streams_count);
        mvcc.slow_watcher_total.set(watch.slow_watchers_count);
        mvcc.pending_events_total.set(watch.pending_events_count);
        let sent = mvcc.events_total.get();
        mvcc.events_total
            .inc_by(watch.events_sent_total.saturating_sub(sent));
    });
}

/// Adds a counter that is read when a scrape comes.
fn counter(
    metrics: &Metrics,
    node: &Node,
    name: &str,
    help: &str,
    read: impl Fn(&Node) -> u64 + Send + Sync + 'static,
) {
    source(metrics, SourceKind::Counter, node, name, help, read);
}

/// Adds a gauge that is read when a scrape comes.
fn gauge(
    metrics: &Metrics,
    node: &Node,
    name: &str,
    help: &str,
    read: impl Fn(&Node) -> u64 + Send + Sync + 'static,
) {
    source(metrics, SourceKind::Gauge, node, name, help, read);
}

fn source(
    metrics: &Metrics,
    kind: SourceKind,
    node: &Node,
    name: &str,
    help: &str,
    read: impl Fn(&Node) -> u64 + Send + Sync + 'static,
) {
    let node = node.clone();
    #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are floats")]
    metrics.add_source(kind, name, help, &[], move || read(&node) as f64);
}

fn wal_sources(metrics: &Metrics, node: &Node) {
    use std::sync::atomic::Ordering::Relaxed;
    counter(
        metrics,
        node,
        "etcd_disk_wal_write_bytes_total",
        "Bytes written to the WAL.",
        |n| n.wal_metrics().written_bytes.load(Relaxed),
    );
    counter(
        metrics,
        node,
        "quoin_wal_groups_total",
        "Writes with one fdatasync each.",
        |n| n.wal_metrics().groups.load(Relaxed),
    );
    counter(
        metrics,
        node,
        "quoin_wal_records_total",
        "Records written to the WAL.",
        |n| n.wal_metrics().records.load(Relaxed),
    );
    counter(
        metrics,
        node,
        "quoin_wal_buffer_hits_total",
        "Write buffers reused.",
        |n| n.wal_metrics().buffer_hits.load(Relaxed),
    );
    counter(
        metrics,
        node,
        "quoin_wal_buffer_misses_total",
        "Write buffers allocated.",
        |n| n.wal_metrics().buffer_misses.load(Relaxed),
    );
    counter(
        metrics,
        node,
        "quoin_wal_segments_recycled_total",
        "Segments reused.",
        |n| n.wal_metrics().segments_recycled.load(Relaxed),
    );
    let node = node.clone();
    metrics.add_histogram_source(
        "etcd_disk_wal_fsync_duration_seconds",
        "The latency distributions of fdatasync called by the WAL.",
        &[],
        move || reading(&node.wal_metrics().fsync),
    );
}

fn stage_sources(metrics: &Metrics, node: &Node, registry: &Registry) {
    let of_raft = |stage, histogram: fn(&RaftMetrics) -> &Histogram| {
        let raft = Arc::clone(node.metrics());
        stage_source(metrics, stage, move || reading(histogram(&raft)));
    };
    let own = |stage, histogram: fn(&StageMetrics) -> &Histogram| {
        let registry = registry.clone();
        stage_source(metrics, stage, move || {
            reading(histogram(registry.stages()))
        });
    };
    own("queue", |stages| &stages.queue);
    of_raft("propose", |metrics| &metrics.propose_duration);
    of_raft("fsync", |metrics| &metrics.fsync_duration);
    of_raft("replicate", |metrics| &metrics.replicate_duration);
    own("apply", |stages| &stages.apply);
    own("reply", |stages| &stages.reply);
}

fn stage_source(
    metrics: &Metrics,
    stage: &str,
    read: impl Fn() -> HistogramReading + Send + Sync + 'static,
) {
    metrics.add_histogram_source(
        "quoin_proposal_stage_duration_seconds",
        "Time of an entry at each stage of a write.",
        &[("stage", stage)],
        read,
    );
}

fn reading(histogram: &Histogram) -> HistogramReading {
    let counts = histogram.counts();
    let above_count = counts.last().copied().unwrap_or(0);
    let bounds = quoin_raft::DURATION_BUCKET_BOUNDS.iter();
    #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^52")]
    let buckets = bounds
        .map(|microseconds| *microseconds as f64 / 1e6)
        .zip(counts)
        .collect();
    HistogramReading {
        buckets,
        above_count,
        sum_seconds: histogram.sum().as_secs_f64(),
    }
}

fn raft_sources(metrics: &Metrics, node: &Node) {
    counter(
        metrics,
        node,
        "quoin_entry_pool_gets_total",
        "Entry buffers asked for.",
        |n| n.metrics().pool_gets.value(),
    );
    counter(
        metrics,
        node,
        "quoin_entry_pool_misses_total",
        "Entry buffers allocated.",
        |n| n.metrics().pool_misses.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_peer_sent_bytes_total",
        "Bytes sent to peers.",
        |n| n.metrics().peer_sent_bytes.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_peer_received_bytes_total",
        "Bytes from peers.",
        |n| n.metrics().peer_received_bytes.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_proposals_total",
        "Entries proposed here.",
        |n| n.metrics().proposals.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_read_index_rounds_total",
        "Read-index rounds.",
        |n| n.metrics().read_index_rounds.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_disk_stalls_total",
        "Log writes that took longer than an election timeout.",
        |n| n.metrics().disk_stalls.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_checkpoints_total",
        "Checkpoints for the log.",
        |n| n.metrics().checkpoints.value(),
    );
}

fn snapshot_sources(metrics: &Metrics, node: &Node) {
    counter(
        metrics,
        node,
        "quoin_raft_snapshots_sent_total",
        "Snapshots sent.",
        |n| n.metrics().snapshots_sent.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_snapshots_resumed_total",
        "Transfers of snapshots that went on after a break.",
        |n| n.metrics().snapshots_resumed.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_snapshot_chunks_sent_total",
        "Chunks of snapshots sent, of 256 KiB or less.",
        |n| n.metrics().snapshot_chunks_sent.value(),
    );
    gauge(
        metrics,
        node,
        "quoin_raft_snapshots_sending",
        "Snapshots being sent.",
        |n| n.metrics().snapshots_sending.value(),
    );
    gauge(
        metrics,
        node,
        "quoin_raft_snapshots_waiting",
        "Snapshots waiting until others are sent.",
        |n| n.metrics().snapshots_waiting.value(),
    );
    counter(
        metrics,
        node,
        "quoin_raft_snapshots_received_total",
        "Snapshots installed.",
        |n| n.metrics().snapshots_received.value(),
    );
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
