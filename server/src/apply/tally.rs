//! What the commands of one entry did, and how long each took.
//!
//! Counted in plain integers while an entry is applied and added to the
//! exported counters once per entry, so that a put costs one clock reading
//! and one histogram bucket. Operations are counted as etcd counts them: a
//! request that asks for the previous pair reads a range, so does every
//! comparison, and a request of several operations is a transaction.
//! Source: etcd 3.7.

use std::time::{Duration, Instant};

use quoin_proto::{
    etcdserverpb::{PutRequest, TxnRequest},
    quoinpb::command::Request,
};

use crate::{
    proposal::{ApplyError, Reply},
    telemetry::metrics::{Metrics, MvccMetrics, OutcomeDurations},
};

/// Operations on keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(super) puts: u64,
    pub(super) put_bytes: u64,
    pub(super) deletes: u64,
    pub(super) ranges: u64,
    pub(super) txns: u64,
    /// Operations when the request under way began.
    before: u64,
}

impl Tally {
    /// Counts a put, whose `value` may be one kept from before.
    pub(super) fn put(&mut self, request: &PutRequest, value: &[u8]) {
        self.puts += 1;
        self.put_bytes += (request.key.len() + value.len()) as u64;
        self.ranges += u64::from(request.prev_kv);
    }

    /// Ends a request on keys.
    pub(super) fn end_request(&mut self) {
        let operations = self.puts + self.deletes + self.ranges;
        self.txns += u64::from(operations - self.before > 1);
        self.before = operations;
    }

    /// Adds everything to the exported counters.
    pub(crate) fn add_to(&self, metrics: &MvccMetrics) {
        metrics.put_total.inc_by(self.puts);
        metrics.delete_total.inc_by(self.deletes);
        metrics.range_total.inc_by(self.ranges);
        metrics.txn_total.inc_by(self.txns);
        let bytes = i64::try_from(self.put_bytes).unwrap_or(i64::MAX);
        metrics.total_put_size_bytes.add(bytes);
    }
}

/// Times the commands of one entry, one after the other.
#[derive(Debug)]
pub(super) struct Stopwatch {
    last: Instant,
    warn_above: Duration,
}

impl Stopwatch {
    /// Starts now; warns of commands that take longer than `warn_above`.
    pub(super) fn start(warn_above: Duration) -> Self {
        Self {
            last: Instant::now(),
            warn_above,
        }
    }

    /// Notes how long the command that just ended took.
    pub(super) fn lap(&mut self, metrics: &Metrics, request: &Request, reply: &Reply) {
        let now = Instant::now();
        let took = now.duration_since(self.last);
        self.last = now;
        let success = matches!(reply, Ok(_) | Err(ApplyError::Compacted));
        durations(metrics, request).observe(success, took);
        if took > self.warn_above {
            metrics.server.slow_apply_total.inc();
            tracing::warn!(
                took = ?took,
                "expected-duration" = ?self.warn_above,
                prefix = "",
                request = describe(request),
                error = reply.as_ref().err().map(tracing::field::display),
                "apply request took too long"
            );
        }
    }
}

fn durations<'a>(metrics: &'a Metrics, request: &Request) -> &'a OutcomeDurations {
    let durations = &metrics.server.apply_durations;
    match request {
        Request::Put(_) => &durations.put,
        Request::DeleteRange(_) => &durations.delete_range,
        Request::Txn(_) => &durations.txn,
        Request::Compaction(_) => &durations.compaction,
        Request::LeaseGrant(_) => &durations.lease_grant,
        Request::LeaseRevoke(_) | Request::LeaseExpiry(_) => &durations.lease_revoke,
        Request::LeaseCheckpoint(_) => &durations.lease_checkpoint,
        Request::Alarm(_) => &durations.alarm,
        Request::MemberAttributes(_) => &durations.member_attributes,
        Request::ClusterVersion(_) => &durations.cluster_version,
    }
}

/// A request in a few words; values never enter the log.
fn describe(request: &Request) -> String {
    match request {
        Request::Put(put) => {
            let key = put.key.escape_ascii();
            format!("put key:\"{key}\" value_size:{}", put.value.len())
        }
        Request::DeleteRange(delete) => {
            let (key, end) = (delete.key.escape_ascii(), delete.range_end.escape_ascii());
            format!("delete_range key:\"{key}\" range_end:\"{end}\"")
        }
        Request::Txn(TxnRequest {
            compare,
            success,
            failure,
        }) => format!(
            "txn compare:{} success:{} failure:{}",
            compare.len(),
            success.len(),
            failure.len()
        ),
        Request::Compaction(compaction) => format!("compaction revision:{}", compaction.revision),
        Request::LeaseGrant(grant) => format!("lease_grant id:{:x}", grant.id),
        Request::LeaseRevoke(revoke) => format!("lease_revoke id:{:x}", revoke.id),
        Request::LeaseExpiry(expiry) => format!("lease_expiry id:{:x}", expiry.id),
        Request::LeaseCheckpoint(request) => {
            format!("lease_checkpoint count:{}", request.checkpoints.len())
        }
        Request::Alarm(_) => "alarm".to_owned(),
        Request::MemberAttributes(_) => "cluster_member_attr_set".to_owned(),
        Request::ClusterVersion(_) => "cluster_version_set".to_owned(),
    }
}
