//! The member as a server: leadership, proposals, requests, health.

use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::outcome::{ApplyDurations, OutcomeDurations, RequestDurations};
use super::registrar::{Registrar, disk_buckets, memory_buckets};
use crate::config::{FeatureGate, FeatureGates};

/// Metrics named `etcd_server_*` and `etcd_cluster_*`.
#[derive(Debug)]
pub struct ServerMetrics {
    /// Whether a leader is known.
    pub has_leader: IntGauge,
    /// Whether this member leads.
    pub is_leader: IntGauge,
    /// Whether this member has no vote.
    pub is_learner: IntGauge,
    /// Changes of leader seen.
    pub leader_changes_total: IntCounter,
    /// The committed index (a gauge despite its name).
    pub proposals_committed: IntGauge,
    /// The applied index (a gauge despite its name).
    pub proposals_applied: IntGauge,
    /// Proposals waiting.
    pub proposals_pending: IntGauge,
    /// Proposals that failed.
    pub proposals_failed_total: IntCounter,
    /// Heartbeats late or lost.
    pub heartbeat_send_failures_total: IntCounter,
    /// Applies slower than the warning threshold.
    pub slow_apply_total: IntCounter,
    /// Read-index rounds slower than the request interval.
    pub slow_read_indexes_total: IntCounter,
    /// Read-index rounds that failed.
    pub read_indexes_failed_total: IntCounter,
    /// Effective quota in bytes.
    pub quota_backend_bytes: IntGauge,
    /// Duration of applies by `version`, `op` and `success`.
    pub apply_durations: ApplyDurations,
    /// Duration of range reads by `success`.
    pub range_duration: OutcomeDurations,
    /// Duration of requests by `type` and `success`.
    pub request_durations: RequestDurations,
    /// Requests by `type` and `client_api_version`.
    pub client_requests_total: IntCounterVec,
    /// `/health` answers that were good.
    pub health_success_total: IntCounter,
    /// `/health` answers that were bad.
    pub health_failures_total: IntCounter,
    /// Last result of a check by `type` and `name`.
    pub healthcheck: IntGaugeVec,
    /// Checks made by `type`, `name` and `status`.
    pub healthchecks_total: IntCounterVec,
    /// Snapshots being applied.
    pub snapshot_apply_in_progress: IntGauge,
    /// Learners promoted by this member as leader.
    pub learner_promote_successes: IntCounter,
    /// Promotions refused by `Reason`.
    pub learner_promote_failures: IntCounterVec,
    /// Raised alarms by `server_id` and `alarm_type`.
    pub alarms: IntGaugeVec,
    /// Revision of the auth store.
    pub auth_revision: IntGauge,
    version: IntGaugeVec,
    id: IntGaugeVec,
    cluster_version: IntGaugeVec,
    feature_enabled: IntGaugeVec,
}

impl ServerMetrics {
    #[expect(clippy::too_many_lines, reason = "one line per metric")]
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            has_leader: make.gauge("etcd_server_has_leader", "1 if a leader is known.")?,
            is_leader: make.gauge("etcd_server_is_leader", "1 if this member leads.")?,
            is_learner: make.gauge("etcd_server_is_learner", "1 if this member has no vote.")?,
            leader_changes_total: make.counter(
                "etcd_server_leader_changes_seen_total",
                "Changes of leader seen.",
            )?,
            proposals_committed: make.gauge(
                "etcd_server_proposals_committed_total",
                "Index of the last commit.",
            )?,
            proposals_applied: make.gauge(
                "etcd_server_proposals_applied_total",
                "Index of the last apply.",
            )?,
            proposals_pending: make.gauge(
                "etcd_server_proposals_pending",
                "Proposals not yet decided.",
            )?,
            proposals_failed_total: make.counter(
                "etcd_server_proposals_failed_total",
                "Proposals that failed.",
            )?,
            heartbeat_send_failures_total: make.counter(
                "etcd_server_heartbeat_send_failures_total",
                "Heartbeats that were late or lost.",
            )?,
            slow_apply_total: make.counter(
                "etcd_server_slow_apply_total",
                "Applies slower than the threshold.",
            )?,
            slow_read_indexes_total: make.counter(
                "etcd_server_slow_read_indexes_total",
                "Slow read-index rounds.",
            )?,
            read_indexes_failed_total: make.counter(
                "etcd_server_read_indexes_failed_total",
                "Failed read-index rounds.",
            )?,
            quota_backend_bytes: make.gauge(
                "etcd_server_quota_backend_bytes",
                "Bound of the database size.",
            )?,
            apply_durations: ApplyDurations::new(&make.histogram_vec(
                "etcd_server_apply_duration_seconds",
                "Time to apply a request.",
                memory_buckets(),
                &["version", "op", "success"],
            )?),
            range_duration: OutcomeDurations::new(
                &make.histogram_vec(
                    "etcd_server_range_duration_seconds",
                    "Time to read a range.",
                    memory_buckets(),
                    &["success"],
                )?,
                &[],
            ),
            request_durations: RequestDurations::new(&make.histogram_vec(
                "etcd_server_request_duration_seconds",
                "Time to answer a request.",
                disk_buckets(),
                &["type", "success"],
            )?),
            client_requests_total: make.counter_vec(
                "etcd_server_client_requests_total",
                "Requests by the API version their client names.",
                &["type", "client_api_version"],
            )?,
            health_success_total: make
                .counter("etcd_server_health_success", "Good answers of /health.")?,
            health_failures_total: make
                .counter("etcd_server_health_failures", "Bad answers of /health.")?,
            healthcheck: make.gauge_vec(
                "etcd_server_healthcheck",
                "Last result of each check.",
                &["type", "name"],
            )?,
            healthchecks_total: make.counter_vec(
                "etcd_server_healthchecks_total",
                "Checks made.",
                &["type", "name", "status"],
            )?,
            snapshot_apply_in_progress: make.gauge(
                "etcd_server_snapshot_apply_in_progress_total",
                "1 while a received snapshot is applied.",
            )?,
            learner_promote_successes: make.counter(
                "etcd_server_learner_promote_successes",
                "Learners promoted.",
            )?,
            learner_promote_failures: make.counter_vec(
                "etcd_server_learner_promote_failures",
                "Promotions refused.",
                &["Reason"],
            )?,
            alarms: make.gauge_vec(
                "etcd_debugging_server_alarms",
                "Raised alarms.",
                &["server_id", "alarm_type"],
            )?,
            auth_revision: make.gauge(
                "etcd_debugging_auth_revision",
                "Revision of the auth store.",
            )?,
            version: make.gauge_vec("etcd_server_version", "API version.", &["server_version"])?,
            id: make.gauge_vec("etcd_server_id", "Id of this member.", &["server_id"])?,
            cluster_version: make.gauge_vec(
                "etcd_cluster_version",
                "Version the cluster agreed on.",
                &["cluster_version"],
            )?,
            feature_enabled: make.gauge_vec(
                "etcd_server_feature_enabled",
                "Feature gates.",
                &["name", "stage"],
            )?,
        })
    }

    /// Names this member and the API it speaks.
    pub fn set_identity(&self, member_id: u64, version: &str) {
        self.id.reset();
        self.id
            .with_label_values(&[format!("{member_id:x}").as_str()])
            .set(1);
        self.version.with_label_values(&[version]).set(1);
    }

    /// Names the version the cluster agreed on (`3.7`).
    pub fn set_cluster_version(&self, version: &str) {
        self.cluster_version.reset();
        self.cluster_version.with_label_values(&[version]).set(1);
    }

    /// Shows all feature gates.
    pub fn set_feature_gates(&self, gates: &FeatureGates) {
        for gate in FeatureGate::ALL {
            let labels = [gate.name(), gate.stage().as_str()];
            self.feature_enabled
                .with_label_values(&labels)
                .set(i64::from(gates.is_enabled(gate)));
        }
    }
}
