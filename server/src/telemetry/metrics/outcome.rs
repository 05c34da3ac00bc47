//! Durations by outcome, with handles resolved once.
//!
//! A label lookup hashes strings and takes a lock, which the put path must not
//! pay per request. So the handle of each label set is looked up at its first
//! use and kept; a series exists only from then on, as in etcd.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec};

/// The two series of one histogram whose last label is `success`.
#[derive(Debug)]
pub struct OutcomeDurations {
    vec: HistogramVec,
    /// Values of the labels before `success`.
    labels: &'static [&'static str],
    success: OnceLock<Histogram>,
    failure: OnceLock<Histogram>,
}

impl OutcomeDurations {
    pub(super) fn new(vec: &HistogramVec, labels: &'static [&'static str]) -> Self {
        Self {
            vec: vec.clone(),
            labels,
            success: OnceLock::new(),
            failure: OnceLock::new(),
        }
    }

    /// Records one that took `took`.
    pub fn observe(&self, success: bool, took: Duration) {
        let (slot, last) = match success {
            true => (&self.success, "true"),
            false => (&self.failure, "false"),
        };
        let resolve = || {
            let mut values = self.labels.to_vec();
            values.push(last);
            self.vec.with_label_values(&values)
        };
        slot.get_or_init(resolve).observe(took.as_secs_f64());
    }
}

/// Durations of applying, by the kind of command.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is the command it is named for")]
pub struct ApplyDurations {
    pub put: OutcomeDurations,
    pub delete_range: OutcomeDurations,
    pub txn: OutcomeDurations,
    pub compaction: OutcomeDurations,
    pub lease_grant: OutcomeDurations,
    pub lease_revoke: OutcomeDurations,
    pub lease_checkpoint: OutcomeDurations,
    pub alarm: OutcomeDurations,
    pub member_attributes: OutcomeDurations,
    pub cluster_version: OutcomeDurations,
    pub state_digest: OutcomeDurations,
}

impl ApplyDurations {
    pub(super) fn new(vec: &HistogramVec) -> Self {
        let of = |labels| OutcomeDurations::new(vec, labels);
        Self {
            put: of(&["v3", "Put"]),
            delete_range: of(&["v3", "DeleteRange"]),
            txn: of(&["v3", "Txn"]),
            compaction: of(&["v3", "Compaction"]),
            lease_grant: of(&["v3", "LeaseGrant"]),
            lease_revoke: of(&["v3", "LeaseRevoke"]),
            lease_checkpoint: of(&["v3", "LeaseCheckpoint"]),
            alarm: of(&["v3", "Alarm"]),
            member_attributes: of(&["v3", "ClusterMemberAttrSet"]),
            cluster_version: of(&["v3", "ClusterVersionSet"]),
            state_digest: of(&["v3", "StateDigest"]),
        }
    }
}

/// Durations of requests as their clients wait for them.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is the request it is named for")]
pub struct RequestDurations {
    pub range: OutcomeDurations,
    pub put: OutcomeDurations,
    pub delete_range: OutcomeDurations,
    pub txn: OutcomeDurations,
    pub read_only_txn: OutcomeDurations,
    pub compaction: OutcomeDurations,
    pub lease_grant: OutcomeDurations,
    pub lease_revoke: OutcomeDurations,
}

impl RequestDurations {
    pub(super) fn new(vec: &HistogramVec) -> Self {
        let of = |labels| OutcomeDurations::new(vec, labels);
        Self {
            range: of(&["Range"]),
            put: of(&["Put"]),
            delete_range: of(&["DeleteRange"]),
            txn: of(&["Txn"]),
            read_only_txn: of(&["ReadonlyTxn"]),
            compaction: of(&["Compaction"]),
            lease_grant: of(&["LeaseGrant"]),
            lease_revoke: of(&["LeaseRevoke"]),
        }
    }
}
