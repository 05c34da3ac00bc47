//! Bytes and failures between this member, its clients and its peers.

use prometheus::{Error, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::registrar::{Registrar, doubling};

/// Metrics named `etcd_network_*`; ids in labels are hexadecimal.
#[derive(Debug)]
pub struct NetworkMetrics {
    /// Message bytes from clients.
    pub client_received_bytes_total: IntCounter,
    /// Message bytes to clients.
    pub client_sent_bytes_total: IntCounter,
    /// Streams broken by `Type` and `API`.
    pub server_stream_failures_total: IntCounterVec,
    /// Peers with a live connection by `Local` and `Remote`.
    pub active_peers: IntGaugeVec,
    /// Peers known by `Local` and `Remote`, this member included.
    pub known_peers: IntGaugeVec,
    /// Connections lost by `Local` and `Remote`.
    pub disconnected_peers_total: IntCounterVec,
    /// Bytes to peers by `To`.
    pub peer_sent_bytes_total: IntCounterVec,
    /// Bytes from peers by `From`.
    pub peer_received_bytes_total: IntCounterVec,
    /// Sends that failed by `To`.
    pub peer_sent_failures_total: IntCounterVec,
    /// Round trips by `To`.
    pub peer_round_trip_time_seconds: HistogramVec,
    /// Snapshots sent by `To`.
    pub snapshot_send_success: IntCounterVec,
    /// Snapshots not sent by `To`.
    pub snapshot_send_failures: IntCounterVec,
    /// Snapshots received by `From`.
    pub snapshot_receive_success: IntCounterVec,
    /// Snapshots not received by `From`.
    pub snapshot_receive_failures: IntCounterVec,
}

impl NetworkMetrics {
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        let pair = ["Local", "Remote"];
        Ok(Self {
            client_received_bytes_total: make.counter(
                "etcd_network_client_grpc_received_bytes_total",
                "Message bytes from clients.",
            )?,
            client_sent_bytes_total: make.counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "Message bytes to clients.",
            )?,
            server_stream_failures_total: make.counter_vec(
                "etcd_network_server_stream_failures_total",
                "Streams broken.",
                &["Type", "API"],
            )?,
            active_peers: make.gauge_vec(
                "etcd_network_active_peers",
                "Peers with a live connection.",
                &pair,
            )?,
            known_peers: make.gauge_vec("etcd_network_known_peers", "Peers known.", &pair)?,
            disconnected_peers_total: make.counter_vec(
                "etcd_network_disconnected_peers_total",
                "Connections to peers lost.",
                &pair,
            )?,
            peer_sent_bytes_total: make.counter_vec(
                "etcd_network_peer_sent_bytes_total",
                "Bytes to peers.",
                &["To"],
            )?,
            peer_received_bytes_total: make.counter_vec(
                "etcd_network_peer_received_bytes_total",
                "Bytes from peers.",
                &["From"],
            )?,
            peer_sent_failures_total: make.counter_vec(
                "etcd_network_peer_sent_failures_total",
                "Sends to peers that failed.",
                &["To"],
            )?,
            peer_round_trip_time_seconds: make.histogram_vec(
                "etcd_network_peer_round_trip_time_seconds",
                "Round trips to peers.",
                doubling(0.0001, 16),
                &["To"],
            )?,
            snapshot_send_success: make.counter_vec(
                "etcd_network_snapshot_send_success",
                "Snapshots sent.",
                &["To"],
            )?,
            snapshot_send_failures: make.counter_vec(
                "etcd_network_snapshot_send_failures",
                "Snapshots that could not be sent.",
                &["To"],
            )?,
            snapshot_receive_success: make.counter_vec(
                "etcd_network_snapshot_receive_success",
                "Snapshots received.",
                &["From"],
            )?,
            snapshot_receive_failures: make.counter_vec(
                "etcd_network_snapshot_receive_failures",
                "Snapshots that could not be received.",
                &["From"],
            )?,
        })
    }
}
