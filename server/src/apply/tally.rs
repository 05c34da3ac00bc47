//! What the commands of one entry did, and how long each took.
//!
//! Counted in plain integers while an entry is applied and added to the
//! exported counters once per entry, so that a put costs one clock reading
//! and one histogram bucket. Operations are counted as etcd counts them: a
//! request that asks for the previous pair reads a range, so does every
//! comparison, and a request of several operations is a transaction.
//! Source: etcd 3.7.

use std::time::{Duration, Instant};

use quoin_proto::{etcdserverpb::PutRequest, quoinpb::command::Request};

use super::brief::Brief;
use crate::{
    proposal::{ApplyError, Passage, Reply},
    telemetry::{
        logs::LineBudget,
        metrics::{Metrics, MvccMetrics, OutcomeDurations},
    },
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
pub(super) struct Stopwatch<'a> {
    last: Instant,
    passage: Passage,
    slow: &'a SlowApplies,
}

/// What is said of commands that take too long.
#[derive(Debug)]
pub(super) struct SlowApplies {
    /// `--warning-apply-duration`.
    above: Duration,
    budget: LineBudget,
}

impl SlowApplies {
    /// Warns of commands that take longer than `above`.
    pub(super) fn new(above: Duration) -> Self {
        Self {
            above,
            budget: LineBudget::new(),
        }
    }

    /// One line, with the way of the entry so far.
    fn warn(&self, took: Duration, passage: &Passage, request: &Request, reply: &Reply) {
        let Some(suppressed) = self.budget.take() else {
            return;
        };
        let (log, committed) = (passage.log, passage.committed());
        let waited = passage.applying.saturating_duration_since(committed);
        tracing::warn!(
            ?took,
            "expected-duration" = ?self.above,
            prefix = "",
            request = %Brief::of(request),
            response = reply.as_ref().ok().map(|outcome| {
                format!("size:{}", outcome.encoded_len())
            }),
            error = reply.as_ref().err().map(display),
            propose = log.propose.map(debug),
            fsync = log.fsync.map(debug),
            replicate = log.replicate.map(debug),
            "apply-wait" = log.committed.map(|_known| debug(waited)),
            suppressed = (suppressed > 0).then_some(suppressed),
            "apply request took too long"
        );
    }
}

impl<'a> Stopwatch<'a> {
    /// Starts now, for the entry of `passage`.
    pub(super) fn start(slow: &'a SlowApplies, passage: Passage) -> Self {
        Self {
            last: Instant::now(),
            passage,
            slow,
        }
    }

    /// Notes how long the command that just ended took.
    pub(super) fn lap(&mut self, metrics: &Metrics, request: &Request, reply: &Reply) {
        let now = Instant::now();
        let took = now.duration_since(self.last);
        self.last = now;
        let success = matches!(reply, Ok(_) | Err(ApplyError::Compacted));
        durations(metrics, request).observe(success, took);
        if took > self.slow.above {
            metrics.server.slow_apply_total.inc();
            self.slow.warn(took, &self.passage, request, reply);
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
        Request::StateDigest(_)
        | Request::DigestBegin(_)
        | Request::StateHashBegin(_)
        | Request::StateHash(_) => &durations.state_digest,
        Request::Quarantine(_) => &durations.alarm,
    }
}
