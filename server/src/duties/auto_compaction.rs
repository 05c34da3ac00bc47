//! The leader compacts what is older than the configured retention.
//!
//! Source: etcd 3.7: mode `revision` keeps a number of revisions and looks
//! every five minutes; mode `periodic` keeps a span of time, sampling the
//! revision ten times per period and compacting once per period, at most once
//! an hour.

use std::{collections::VecDeque, time::Duration};

use quoin_proto::{etcdserverpb::CompactionRequest, quoinpb::command::Request};
use tokio::sync::watch;

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

/// Compacts as configured while this member leads. Runs until dropped;
/// returns at once where automatic compaction is off.
pub(crate) async fn run(
    member_id: u64,
    mode: AutoCompaction,
    store: Store,
    proposer: Proposer,
    leader: watch::Receiver<LeaderView>,
) {
    let mut plan = match mode {
        AutoCompaction::Off => return,
        AutoCompaction::Revision(kept) => Plan::Revision { kept },
        AutoCompaction::Periodic(retention) => Plan::periodic(retention),
    };
    let mut last = 0;
    loop {
        tokio::time::sleep(plan.interval()).await;
        let target = plan.target(store.revision());
        let leads = leader.borrow().leader == Some(member_id);
        let Some(revision) = target.filter(|revision| leads && *revision > last) else {
            continue;
        };
        tracing::info!(revision, "starting auto compaction");
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        match proposer.propose(Request::Compaction(request)).await {
            Ok(_) | Err(ProposalError::Apply(ApplyError::Compacted)) => {
                last = revision;
                plan.compacted();
                tracing::info!(revision, "completed auto compaction");
            }
            Err(error) => tracing::warn!(revision, %error, "failed auto compaction"),
        }
    }
}

/// Decides when and where to compact; knows no clock.
#[derive(Debug)]
enum Plan {
    /// Keep this many revisions.
    Revision { kept: i64 },
    /// Keep what is younger than the samples go back.
    Periodic {
        /// Time between samples.
        interval: Duration,
        /// Samples the retention spans.
        retained: usize,
        /// Samples between two compactions.
        spacing: usize,
        /// Samples since the last compaction.
        since: usize,
        /// Revisions sampled, oldest first; at most `retained + 1`.
        samples: VecDeque<i64>,
    },
}

impl Plan {
    fn periodic(retention: Duration) -> Self {
        let interval = retention.min(PERIOD_MAX) / SAMPLES_PER_PERIOD;
        let retained = retention.as_nanos().div_ceil(interval.as_nanos().max(1));
        let retained = usize::try_from(retained).unwrap_or(usize::MAX);
        let spacing = SAMPLES_PER_PERIOD as usize;
        Self::Periodic {
            interval,
            retained,
            spacing,
            since: spacing,
            samples: VecDeque::new(),
        }
    }

    fn interval(&self) -> Duration {
        match self {
            Self::Revision { .. } => REVISION_INTERVAL,
            Self::Periodic { interval, .. } => *interval,
        }
    }

    /// The revision to compact at now, if it is time.
    fn target(&mut self, current: i64) -> Option<i64> {
        match self {
            Self::Revision { kept } => Some(current - *kept).filter(|revision| *revision > 0),
            Self::Periodic {
                retained,
                spacing,
                since,
                samples,
                ..
            } => {
                samples.push_back(current);
                if samples.len() > *retained + 1 {
                    samples.pop_front();
                }
                *since += 1;
                let old_enough = samples.len() > *retained;
                samples
                    .front()
                    .copied()
                    .filter(|_| old_enough && *since >= *spacing)
            }
        }
    }

    fn compacted(&mut self) {
        if let Self::Periodic { since, .. } = self {
            *since = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_revision_keeps_the_newest() {
        let mut plan = Plan::Revision { kept: 100 };
        assert_eq!(plan.target(100), None);
        assert_eq!(plan.target(150), Some(50));
    }

    #[test]
    fn mode_periodic_compacts_once_per_period_at_what_is_old_enough() {
        let mut plan = Plan::periodic(Duration::from_secs(600));
        assert_eq!(plan.interval(), Duration::from_secs(60));
        let mut compactions = Vec::new();
        for minute in 1..=31_i64 {
            if let Some(revision) = plan.target(minute * 10) {
                plan.compacted();
                compactions.push((minute, revision));
            }
        }
        assert_eq!(compactions, vec![(11, 10), (21, 110), (31, 210)]);
    }

    #[test]
    fn long_retentions_are_sampled_every_six_minutes() {
        let mut plan = Plan::periodic(Duration::from_secs(24 * 3600));
        assert_eq!(plan.interval(), Duration::from_secs(360));
        let first = (1..=300).find(|sample| plan.target(*sample).is_some());
        assert_eq!(first, Some(241));
    }
}
