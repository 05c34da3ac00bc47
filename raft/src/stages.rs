//! Where the time of a proposed entry goes before it is applied.
//!
//! A trace rides with an entry from the proposal to the state machine. It
//! lives in memory only, on the leader only, never in the log or on the wire,
//! and is no part of what the entry is: two entries that differ in nothing
//! else are equal. Marks are made once per entry, not per request in it, and
//! decide nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::Metrics;

/// What is known of an entry's way to the state machine. Only the leader that
/// appended it knows anything, and only while the entry is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// From the proposal, or its arrival from a follower, until it was
    /// appended to the leader's log.
    pub propose: Option<Duration>,
    /// From there until the leader's own log was durable; `None` as well when
    /// a quorum of others was faster.
    pub fsync: Option<Duration>,
    /// From the append until the entry was committed.
    pub replicate: Option<Duration>,
    /// When it was committed.
    pub committed: Option<Instant>,
}

/// The trace of one entry, or none. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Option<Arc<Timeline>>);

/// When an entry passed each mark: nanoseconds since `proposed`, 0 for not
/// yet. Each mark is written once, `durable` by the log's thread.
#[derive(Debug)]
struct Timeline {
    proposed: Instant,
    appended: AtomicU64,
    durable: AtomicU64,
    committed: AtomicU64,
}

impl Trace {
    /// A trace of what is proposed now.
    pub(crate) fn start() -> Self {
        Self(Some(Arc::new(Timeline {
            proposed: Instant::now(),
            appended: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        })))
    }

    /// There is something to mark.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The entry is in the leader's log, not yet durable.
    pub(crate) fn note_appended(&self, metrics: &Metrics) {
        let Some(timeline) = &self.0 else { return };
        if let Some(at) = timeline.mark(&timeline.appended) {
            metrics.propose_duration.observe(at);
        }
    }

    /// The leader's log is durable up to the entry.
    pub(crate) fn note_durable(&self, metrics: &Metrics) {
        let Some(timeline) = &self.0 else { return };
        if let Some(at) = timeline.mark(&timeline.durable) {
            metrics.fsync_duration.observe(timeline.since_appended(at));
        }
    }

    /// A quorum has the entry.
    pub(crate) fn note_committed(&self, metrics: &Metrics) {
        let Some(timeline) = &self.0 else { return };
        if let Some(at) = timeline.mark(&timeline.committed) {
            metrics
                .replicate_duration
                .observe(timeline.since_appended(at));
        }
    }

    /// What is known now.
    pub(crate) fn stages(&self) -> Stages {
        let Some(timeline) = &self.0 else {
            return Stages::default();
        };
        let committed = marked(&timeline.committed);
        let since_appended = |at| timeline.since_appended(at);
        Stages {
            propose: marked(&timeline.appended),
            fsync: marked(&timeline.durable).map(since_appended),
            replicate: committed.map(since_appended),
            committed: committed.map(|at| timeline.proposed + at),
        }
    }
}

/// A trace is no part of what an entry is.
impl PartialEq for Trace {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Trace {}

impl Timeline {
    /// Sets a mark to now; `None` if it was set before.
    fn mark(&self, mark: &AtomicU64) -> Option<Duration> {
        let at = self.proposed.elapsed();
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1);
        let order = Ordering::Relaxed;
        mark.compare_exchange(0, nanoseconds, order, order)
            .ok()
            .map(|_unset| at)
    }

    fn since_appended(&self, at: Duration) -> Duration {
        at.saturating_sub(marked(&self.appended).unwrap_or_default())
    }
}

fn marked(mark: &AtomicU64) -> Option<Duration> {
    let nanoseconds = mark.load(Ordering::Relaxed);
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_once_and_stages_follow_from_marks() {
        let (trace, metrics) = (Trace::start(), Metrics::default());
        assert_eq!(trace.stages(), Stages::default());
        trace.note_appended(&metrics);
        trace.note_committed(&metrics);
        let early = trace.clone().stages();
        assert!(early.propose.is_some() && early.replicate.is_some());
        assert_eq!(early.fsync, None);
        trace.note_durable(&metrics);
        trace.note_committed(&metrics);
        let late = trace.stages();
        assert!(late.fsync >= late.replicate);
        assert_eq!(
            (late.replicate, late.committed),
            (early.replicate, early.committed)
        );
        for histogram in [
            &metrics.propose_duration,
            &metrics.fsync_duration,
            &metrics.replicate_duration,
        ] {
            assert_eq!(histogram.count(), 1);
        }
        assert_eq!(metrics.replicate_duration.sum(), late.replicate.unwrap());
    }

    #[test]
    fn an_entry_without_a_trace_costs_nothing_and_tells_nothing() {
        let (trace, metrics) = (Trace::default(), Metrics::default());
        assert!(!trace.is_kept());
        trace.note_appended(&metrics);
        trace.note_durable(&metrics);
        trace.note_committed(&metrics);
        assert_eq!(trace.stages(), Stages::default());
        assert_eq!(metrics.propose_duration.count(), 0);
    }
}
