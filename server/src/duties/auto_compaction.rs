//! The leader compacts what is older than the configured retention.
//!
//! Source: etcd 3.7. Mode `revision` keeps a number of revisions and looks every
//! five minutes. Mode `periodic` keeps a span of time: every member samples the
//! revision ten times per period of at most an hour, the first time at its start.
//! The first compaction comes when the whole span has passed, the next ones a
//! period after the last that succeeded; one that failed is tried again at the next
//! sample. Members that do not lead sample too, so a new leader goes on at once.

use std::{collections::VecDeque, time::Duration};

use quoin_proto::{etcdserverpb::CompactionRequest, quoinpb::command::Request};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::AutoCompaction,
    mvcc::Store,
    proposal::{ApplyError, LeaderView, ProposalError, Proposer},
};

/// How often mode `revision` looks.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Longest time between two compactions of mode `periodic`.
const PERIOD_MAX: Duration = Duration::from_secs(60 * 60);
/// Samples per period of mode `periodic`.
const SAMPLES_PER_PERIOD: u32 = 10;
/// etcd compacts at the revision one interval older than the retention, but for the
/// first time, as seen with a retention of one minute.
const RETAINED_MORE: usize = 1;

/// Compacts as configured while this member leads. Runs until dropped;
/// returns at once where automatic compaction is off.
pub(crate) async fn run(
    member_id: u64,
    mode: AutoCompaction,
    store: Store,
    proposer: Proposer,
    leader: watch::Receiver<LeaderView>,
) {
    let began = Instant::now();
    let Some(mut plan) = Plan::new(mode) else {
        return;
    };
    loop {
        plan.sample(store.revision());
        tokio::time::sleep(plan.interval()).await;
        if leader.borrow().leader != Some(member_id) {
            continue;
        }
        let Some(revision) = plan.target(began.elapsed(), store.revision()) else {
            continue;
        };
        tracing::info!(revision, "starting auto compaction");
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        match proposer.propose(Request::Compaction(request)).await {
            Ok(_) | Err(ProposalError::Apply(ApplyError::Compacted)) => {
                plan.compacted(began.elapsed(), revision);
                tracing::info!(revision, "completed auto compaction");
            }
            Err(error) => tracing::warn!(revision, %error, "failed auto compaction"),
        }
    }
}

/// Decides when and where to compact. Knows no clock: times are given, since the
/// start of the member.
#[derive(Debug)]
struct Plan {
    mode: Mode,
    /// Revision of the last compaction that succeeded; 0 for none.
    last: i64,
}

#[derive(Debug)]
enum Mode {
    /// Keep this many revisions.
    Revision { kept: i64 },
    /// Keep what is younger than the oldest sample.
    Periodic(Periodic),
}

#[derive(Debug)]
struct Periodic {
    /// Time between samples.
    interval: Duration,
    /// Samples kept.
    retained: usize,
    /// Revisions sampled, oldest first.
    samples: VecDeque<i64>,
    /// What has to pass after `last_success`.
    pause: Duration,
    /// The same once a compaction has been due.
    next_pause: Duration,
    last_success: Duration,
}

impl Plan {
    /// `None` where nothing is to be compacted.
    fn new(mode: AutoCompaction) -> Option<Self> {
        let mode = match mode {
            AutoCompaction::Off => return None,
            AutoCompaction::Revision(kept) => Mode::Revision { kept },
            AutoCompaction::Periodic(retention) => Mode::Periodic(Periodic::new(retention)),
        };
        Some(Self { mode, last: 0 })
    }

    fn interval(&self) -> Duration {
        match &self.mode {
            Mode::Revision { .. } => REVISION_INTERVAL,
            Mode::Periodic(periodic) => periodic.interval,
        }
    }

    /// Notes the revision at the beginning of an interval.
    fn sample(&mut self, current: i64) {
        if let Mode::Periodic(periodic) = &mut self.mode {
            periodic.samples.push_back(current);
            if periodic.samples.len() > periodic.retained {
                periodic.samples.pop_front();
            }
        }
    }

    /// The revision to compact at, at the end of an interval, if it is time.
    fn target(&mut self, now: Duration, current: i64) -> Option<i64> {
        let revision = match &mut self.mode {
            Mode::Revision { kept } => current - *kept,
            Mode::Periodic(periodic) => periodic.target(now)?,
        };
        if revision <= 0 || revision == self.last {
            return None;
        }
        if let Mode::Periodic(periodic) = &mut self.mode {
            periodic.pause = periodic.next_pause;
        }
        Some(revision)
    }

    fn compacted(&mut self, now: Duration, revision: i64) {
        self.last = revision;
        if let Mode::Periodic(periodic) = &mut self.mode {
            periodic.last_success = now;
        }
    }
}

impl Periodic {
    fn new(retention: Duration) -> Self {
        let next_pause = retention.min(PERIOD_MAX);
        let interval = next_pause / SAMPLES_PER_PERIOD;
        let retained = retention.as_nanos() / interval.as_nanos().max(1);
        Self {
            interval,
            retained: usize::try_from(retained)
                .unwrap_or(usize::MAX)
                .saturating_add(RETAINED_MORE),
            samples: VecDeque::new(),
            pause: retention,
            next_pause,
            last_success: Duration::ZERO,
        }
    }

    fn target(&self, now: Duration) -> Option<i64> {
        let is_time = now.saturating_sub(self.last_success) >= self.pause;
        self.samples.front().copied().filter(|_| is_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a plan on a clock of its own for `intervals`, one revision per interval;
    /// gives what it asks for and when, in intervals. `fails` says which fail.
    fn compactions(
        plan: &mut Plan,
        intervals: std::ops::Range<u32>,
        fails: impl Fn(u32) -> bool,
    ) -> Vec<(u32, i64)> {
        let mut asked = Vec::new();
        for number in intervals {
            plan.sample(i64::from(number) + 1);
            let now = plan.interval() * (number + 1);
            if let Some(revision) = plan.target(now, i64::from(number) + 2) {
                asked.push((number + 1, revision));
                if !fails(number + 1) {
                    plan.compacted(now, revision);
                }
            }
        }
        asked
    }

    fn periodic(seconds: u64) -> Plan {
        Plan::new(AutoCompaction::Periodic(Duration::from_secs(seconds))).unwrap()
    }

    #[test]
    fn mode_revision_keeps_the_newest_and_asks_for_nothing_twice() {
        let mut plan = Plan::new(AutoCompaction::Revision(100)).unwrap();
        assert_eq!(plan.interval(), Duration::from_secs(300));
        let now = Duration::from_secs(300);
        assert_eq!(plan.target(now, 100), None);
        assert_eq!(plan.target(now, 150), Some(50));
        // It failed: again five minutes later.
        assert_eq!(plan.target(now * 2, 150), Some(50));
        plan.compacted(now * 2, 50);
        assert_eq!(plan.target(now * 3, 150), None);
        assert_eq!(plan.target(now * 4, 151), Some(51));
        assert!(Plan::new(AutoCompaction::Off).is_none());
    }

    #[test]
    fn mode_periodic_begins_after_the_retention_and_goes_on_once_per_period() {
        let mut plan = periodic(600);
        assert_eq!(plan.interval(), Duration::from_secs(60));
        let asked = compactions(&mut plan, 0..40, |_| false);
        assert_eq!(asked, [(10, 1), (20, 10), (30, 20), (40, 30)]);
    }

    #[test]
    fn long_retentions_are_sampled_every_six_minutes_and_compacted_every_hour() {
        let mut plan = periodic(3 * 3600);
        assert_eq!(plan.interval(), Duration::from_secs(360));
        let asked = compactions(&mut plan, 0..55, |_| false);
        assert_eq!(asked, [(30, 1), (40, 10), (50, 20)]);
    }

    #[test]
    fn what_failed_is_tried_again_at_the_next_sample() {
        let mut plan = periodic(600);
        let asked = compactions(&mut plan, 0..23, |number| number == 10 || number == 11);
        assert_eq!(asked, [(10, 1), (11, 1), (12, 2), (22, 12)]);
    }

    #[test]
    fn an_idle_cluster_is_compacted_once() {
        let mut plan = periodic(600);
        let mut asked = 0;
        for number in 1..=100_u32 {
            plan.sample(7);
            let now = plan.interval() * number;
            if let Some(revision) = plan.target(now, 7) {
                assert_eq!(revision, 7);
                plan.compacted(now, revision);
                asked += 1;
            }
        }
        assert_eq!(asked, 1);
    }

    #[test]
    fn a_new_leader_goes_on_with_what_it_sampled_before() {
        let mut plan = periodic(600);
        // Another member leads: this one only samples.
        (0..25).for_each(|number| plan.sample(number + 1));
        let revision = plan.target(plan.interval() * 25, 26);
        assert_eq!(revision, Some(15));
    }
}
