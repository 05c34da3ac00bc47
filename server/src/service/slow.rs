//! Log lines about requests that took too long, and where their time went.
//!
//! Two lines, as in etcd: `apply request took too long` for what was read or
//! applied slower than `--warning-apply-duration`, and `request stats` for a
//! call slower than `--warning-unary-request-duration` (all calls, at level
//! debug). The stages are ours. Under overload everything is slow: a budget
//! keeps the lines few. Source: etcd 3.7 for texts and fields.

use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime},
};

use prost::Message;
use quoin_proto::{
    etcdserverpb::{RangeRequest, TxnRequest},
    raw,
};
use tonic::Status;

use crate::{
    apply::{Brief, Key},
    config::ServerConfig,
    mvcc::{self, RangeResult},
    proposal::{Outcome, RequestStages, Times},
    telemetry::{logs, logs::LineBudget, metrics::Metrics},
};

/// Writes the lines. One for all services.
#[derive(Debug)]
pub(crate) struct SlowLog {
    /// `--warning-apply-duration`.
    apply_above: Duration,
    /// `--warning-unary-request-duration`.
    unary_above: Duration,
    budget: LineBudget,
}

/// When a read passed what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTimes {
    started: Instant,
    /// It was linearizable.
    reading: Instant,
    ended: Instant,
}

/// One call as `request stats` shows it; -1 stands for what etcd does not
/// count.
struct Call<'a> {
    method: &'static str,
    took: Duration,
    request_count: i64,
    request_size: i64,
    response_count: i64,
    response_size: i64,
    content: &'a dyn Display,
    error: Option<&'a Status>,
    write: RequestStages,
    read: Option<ReadTimes>,
}

/// One line of `request stats`, at a level that must be constant.
macro_rules! request_stats {
    ($level:expr, $call:expr, $suppressed:expr) => {{
        let (call, write) = ($call, &$call.write);
        tracing::event!(
            $level,
            "start time" = logs::utc(SystemTime::now() - call.took),
            "time spent" = ?call.took,
            "response type" = call.method,
            "request count" = call.request_count,
            "request size" = call.request_size,
            "response count" = call.response_count,
            "response size" = call.response_size,
            "request content" = %call.content,
            error = call.error.map(|status| display(status.message())),
            queue = write.queue.map(debug),
            propose = write.propose.map(debug),
            fsync = write.fsync.map(debug),
            replicate = write.replicate.map(debug),
            commit = write.commit.map(debug),
            apply = write.apply.map(debug),
            reply = write.reply.map(debug),
            "read-index" = call.read.map(|read| debug(read.read_index())),
            range = call.read.map(|read| debug(read.range())),
            suppressed = $suppressed,
            "request stats"
        );
    }};
}

impl SlowLog {
    /// The configured thresholds.
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            apply_above: config.warning_apply_duration,
            unary_above: config.warning_unary_request_duration,
            budget: LineBudget::new(),
        }
    }

    /// Notes a command that went through the log, or failed to.
    pub(crate) fn command(
        &self,
        brief: &Brief,
        started: Instant,
        result: Result<&Outcome, &Status>,
        times: &Times,
    ) {
        let now = Instant::now();
        let took = now.saturating_duration_since(started);
        if !self.is_worth_stats(took) {
            return;
        }
        let (response_count, response_size) = result.map_or((-1, -1), measure);
        let succeeded = match result {
            Ok(Outcome::Txn(response)) => response.succeeded,
            _ => true,
        };
        let counted = brief.operations_count(succeeded);
        self.stats(&Call {
            method: brief.method,
            took,
            request_count: counted.map_or(-1, signed),
            request_size: signed(brief.size),
            response_count,
            response_size,
            content: brief,
            error: result.err(),
            write: RequestStages::of(times, started, now),
            read: None,
        });
    }

    /// Notes a range that was read, or could not be.
    pub(crate) fn range(
        &self,
        request: &RangeRequest,
        result: Result<&RangeResult, &mvcc::Error>,
        times: ReadTimes,
        metrics: &Metrics,
    ) {
        let took = times.took();
        let is_slow = took > self.apply_above;
        if is_slow {
            metrics.server.slow_apply_total.inc();
        }
        if !is_slow && !self.is_worth_stats(took) {
            return;
        }
        let size = |result: &RangeResult| result.kvs.iter().map(|pair| pair.len()).sum::<usize>();
        let (count, bytes) = result.map_or((0, 0), |result| (result.kvs.len(), size(result)));
        let content = range_content(request);
        if is_slow && let Some(suppressed) = self.budget.take() {
            let response = format!("range_response_count:{count} size:{bytes}");
            self.slow_read("read-only range ", &content, &response, times, suppressed);
        }
        if self.is_worth_stats(took) {
            self.stats(&Call {
                method: "/etcdserverpb.KV/Range",
                took,
                request_count: 0,
                request_size: signed(request.encoded_len()),
                response_count: result.map_or(0, |result| result.count),
                response_size: signed(bytes),
                content: &content,
                error: None,
                write: RequestStages::default(),
                read: Some(times),
            });
        }
    }

    /// Notes a transaction that only read.
    pub(crate) fn read_only_txn(
        &self,
        request: &TxnRequest,
        response: Option<&raw::TxnResponse>,
        times: ReadTimes,
        metrics: &Metrics,
    ) {
        let took = times.took();
        let is_slow = took > self.apply_above;
        if is_slow {
            metrics.server.slow_apply_total.inc();
        }
        if !is_slow && !self.is_worth_stats(took) {
            return;
        }
        let brief = &Brief::of_txn(request);
        let size = response.map_or(0, Message::encoded_len);
        if is_slow && let Some(suppressed) = self.budget.take() {
            let count = response.map_or(0, |response| response.responses.len());
            let text = format!("responses:{count} size:{size}");
            self.slow_read("read-only txn ", brief, &text, times, suppressed);
        }
        if self.is_worth_stats(took) {
            let succeeded = response.is_none_or(|response| response.succeeded);
            self.stats(&Call {
                method: brief.method,
                took,
                request_count: brief.operations_count(succeeded).map_or(-1, signed),
                request_size: signed(brief.size),
                response_count: 0,
                response_size: signed(size),
                content: brief,
                error: None,
                write: RequestStages::default(),
                read: Some(times),
            });
        }
    }

    fn is_worth_stats(&self, took: Duration) -> bool {
        took > self.unary_above || tracing::enabled!(tracing::Level::DEBUG)
    }

    fn slow_read(
        &self,
        prefix: &str,
        request: &dyn Display,
        response: &str,
        times: ReadTimes,
        suppressed: u64,
    ) {
        tracing::warn!(
            took = ?times.took(),
            "expected-duration" = ?self.apply_above,
            prefix,
            request = %request,
            response,
            "read-index" = ?times.read_index(),
            range = ?times.range(),
            suppressed = told(suppressed),
            "apply request took too long"
        );
    }

    fn stats(&self, call: &Call<'_>) {
        if call.took <= self.unary_above {
            let none: Option<u64> = None;
            request_stats!(tracing::Level::DEBUG, call, none);
        } else if let Some(suppressed) = self.budget.take() {
            request_stats!(tracing::Level::WARN, call, told(suppressed));
        }
    }
}

impl ReadTimes {
    /// The read of a request that was checked at `started`, linearizable at
    /// `reading`, and is over.
    pub(crate) fn ending_now(started: Instant, reading: Instant) -> Self {
        Self {
            started,
            reading,
            ended: Instant::now(),
        }
    }

    fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.started)
    }

    /// The wait for the read index, and until it was applied here.
    fn read_index(&self) -> Duration {
        self.reading.saturating_duration_since(self.started)
    }

    fn range(&self) -> Duration {
        self.ended.saturating_duration_since(self.reading)
    }
}

/// Response count and size as etcd logs them.
fn measure(outcome: &Outcome) -> (i64, i64) {
    match outcome {
        Outcome::Put(_) | Outcome::Txn(_) => (0, signed(outcome.encoded_len())),
        Outcome::DeleteRange(response) => (response.deleted, signed(outcome.encoded_len())),
        _ => (-1, -1),
    }
}

fn range_content(request: &RangeRequest) -> String {
    let mut text = format!("key:{}", Key(&request.key));
    if !request.range_end.is_empty() {
        text.push_str(&format!(" range_end:{}", Key(&request.range_end)));
    }
    for (name, value) in [("limit", request.limit), ("revision", request.revision)] {
        if value != 0 {
            text.push_str(&format!(" {name}:{value}"));
        }
    }
    for (name, is_set) in [
        ("serializable", request.serializable),
        ("keys_only", request.keys_only),
        ("count_only", request.count_only),
    ] {
        if is_set {
            text.push_str(&format!(" {name}:true"));
        }
    }
    text
}

/// A count of lines left out, where there were any.
fn told(suppressed: u64) -> Option<u64> {
    (suppressed > 0).then_some(suppressed)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
