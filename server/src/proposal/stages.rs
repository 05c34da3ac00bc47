//! Where the time of an entry and of a request in it goes.
//!
//! The stages of a put: *queue* until its entry is packed, *propose* until the
//! entry is in the leader's log, *fsync* until the leader's disk has it,
//! *replicate* until it is committed, *apply* until its outcome exists here,
//! *reply* until its request is awake again. The three in the middle are
//! Raft's to measure, on the leader; the others are measured here, by the
//! member that was asked. Everything is taken once per entry; a single request
//! is looked at only when it was slow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quoin_raft::{Histogram, Stages};

/// Stages of the entries that carry this member's own requests.
#[derive(Debug, Default)]
pub(crate) struct StageMetrics {
    /// The longest wait of a request for its place in an entry.
    pub(crate) queue: Histogram,
    /// From the commit, or where that is not known from the begin of its
    /// apply, until the outcomes of an entry exist.
    pub(crate) apply: Histogram,
    /// From there until the request that is woken last is awake.
    pub(crate) reply: Histogram,
}

/// An entry on its way through apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage {
    /// What Raft knows of its way here.
    pub(crate) log: Stages,
    /// The applier took it up.
    pub(crate) applying: Instant,
}

impl Passage {
    /// Apply of an entry begins now.
    pub(crate) fn begin(log: Stages) -> Self {
        Self {
            log,
            applying: Instant::now(),
        }
    }

    /// When the entry was committed, as far as this member knows.
    pub(crate) fn committed(&self) -> Instant {
        self.log.committed.unwrap_or(self.applying)
    }
}

/// When an entry of this member passed what.
#[derive(Debug)]
pub(crate) struct EntryTimes {
    /// It was packed.
    pub(crate) packed: Instant,
    /// Its way through log and apply.
    pub(crate) passage: Passage,
    /// Its outcomes existed.
    pub(crate) applied: Instant,
}

/// The times of a request's entry, where they were kept.
pub(crate) type Times = Option<Arc<EntryTimes>>;

/// Where the time of one request went; nothing where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RequestStages {
    /// Its wait for a place in an entry.
    pub(crate) queue: Option<Duration>,
    /// On the leader: until the entry was in its log.
    pub(crate) propose: Option<Duration>,
    /// On the leader: from there until its disk had it.
    pub(crate) fsync: Option<Duration>,
    /// On the leader: from the append until the commit.
    pub(crate) replicate: Option<Duration>,
    /// From the place in an entry until this member knew of the commit: on the
    /// leader propose and replicate, elsewhere the way to it and back as well.
    pub(crate) commit: Option<Duration>,
    /// From there until the outcome existed.
    pub(crate) apply: Option<Duration>,
    /// From there until now.
    pub(crate) reply: Option<Duration>,
}

impl RequestStages {
    /// The stages of a request that began at `started` and whose reply is
    /// complete at `now`.
    pub(crate) fn of(times: &Times, started: Instant, now: Instant) -> Self {
        let Some(times) = times else {
            return Self::default();
        };
        let (log, committed) = (times.passage.log, times.passage.committed());
        let between = |from: Instant, to: Instant| Some(to.saturating_duration_since(from));
        Self {
            queue: between(started, times.packed),
            propose: log.propose,
            fsync: log.fsync,
            replicate: log.replicate,
            commit: between(times.packed, committed),
            apply: between(committed, times.applied),
            reply: between(times.applied, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_of_a_request_add_up_to_its_time() {
        let started = Instant::now();
        let at = |milliseconds| started + Duration::from_millis(milliseconds);
        let entry = |log| EntryTimes {
            packed: at(3),
            passage: Passage {
                log,
                applying: at(20),
            },
            applied: at(21),
        };
        let leader = entry(Stages {
            propose: Some(Duration::from_millis(1)),
            replicate: Some(Duration::from_millis(9)),
            committed: Some(at(13)),
            ..Stages::default()
        });
        for (times, commit, apply) in [(leader, 10, 8), (entry(Stages::default()), 17, 1)] {
            let stages = RequestStages::of(&Some(Arc::new(times)), started, at(25));
            assert_eq!(stages.queue, Some(Duration::from_millis(3)));
            assert_eq!(stages.commit, Some(Duration::from_millis(commit)));
            assert_eq!(stages.apply, Some(Duration::from_millis(apply)));
            assert_eq!(stages.reply, Some(Duration::from_millis(4)));
        }
        let unknown = RequestStages::of(&None, started, at(25));
        assert_eq!(unknown, RequestStages::default());
    }
}
