//! What Quoin set out to reach, as ratios to etcd in one run.
//!
//! Rows and bounds are those of the project's goal; the report holds every one
//! of them against what was measured, missed ones and unmeasured ones too.

use crate::compare::{metric::Metric, statistics::Spread};

/// How far a ratio may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Lower is better.
    AtMost(f64),
    /// Higher is better.
    AtLeast(f64),
}

/// Where a target's figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The ratio of a figure of a work, Quoin over etcd.
    Ratio {
        /// The work's short name.
        work: &'static str,
        /// Its figure.
        metric: Metric,
    },
    /// The ratio of a figure of Quoin's puts after growth to that before.
    Growth {
        /// The figure.
        metric: Metric,
    },
}

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What shows it.
    pub evidence: Evidence,
    /// What it must reach.
    pub bound: Bound,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The median is within the bound.
    Met,
    /// It is not.
    Missed,
    /// This run says nothing about it.
    Unmeasured,
}

impl Target {
    /// Judges the ratio that was measured, if it was.
    #[must_use]
    pub fn judge(&self, ratio: Option<Spread>) -> Verdict {
        let Some(Spread { median, .. }) = ratio else {
            return Verdict::Unmeasured;
        };
        let met = match self.bound {
            Bound::AtMost(most) => median <= most,
            Bound::AtLeast(least) => median >= least,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

/// All of them, in the order of the goal.
pub const TARGETS: [Target; 19] = [
    ratio("put-3-1000", Metric::CpuAll, Bound::AtMost(0.25)),
    ratio("put-3-1000", Metric::Throughput, Bound::AtLeast(3.0)),
    ratio("put-3-1000", Metric::P99, Bound::AtMost(0.33)),
    ratio("put-3-1", Metric::P50, Bound::AtMost(0.4)),
    ratio("put-1-1000", Metric::Throughput, Bound::AtLeast(2.5)),
    ratio("put-1-1000", Metric::P99, Bound::AtMost(0.33)),
    ratio("range-linearizable", Metric::CpuAll, Bound::AtMost(0.25)),
    ratio("range-serializable", Metric::CpuAll, Bound::AtMost(0.33)),
    ratio("range-10000", Metric::Throughput, Bound::AtLeast(3.0)),
    ratio("range-10000", Metric::ResidentPeak, Bound::AtMost(0.33)),
    ratio("watch-1000", Metric::CpuAll, Bound::AtMost(0.2)),
    ratio("watch-1000", Metric::P99, Bound::AtMost(0.33)),
    ratio("watch-100", Metric::CpuAll, Bound::AtMost(0.33)),
    ratio("lease", Metric::Throughput, Bound::AtLeast(3.0)),
    ratio("loaded", Metric::ResidentLeader, Bound::AtMost(0.5)),
    ratio("loaded", Metric::Restart, Bound::AtMost(0.33)),
    ratio("loaded", Metric::Join, Bound::AtMost(0.5)),
    ratio("loaded", Metric::Device, Bound::AtMost(0.6)),
    Target {
        evidence: Evidence::Growth {
            metric: Metric::Throughput,
        },
        bound: Bound::AtLeast(0.8),
    },
];

const fn ratio(work: &'static str, metric: Metric, bound: Bound) -> Target {
    Target {
        evidence: Evidence::Ratio { work, metric },
        bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::{stages, tests::flags};

    #[test]
    fn every_target_rests_on_a_work_of_the_plan() {
        let stages = stages(&flags());
        for target in TARGETS {
            if let Evidence::Ratio { work: name, .. } = target.evidence {
                let mut works = stages.iter().flat_map(|stage| &stage.works);
                assert!(works.any(|work| work.name == name), "{name}");
            }
        }
    }

    #[test]
    fn the_median_decides() {
        let spread = Spread::of(&[0.1, 0.3, 0.9]);
        let most = |bound| ratio("lease", Metric::P99, Bound::AtMost(bound)).judge(spread);
        let least = |bound| ratio("lease", Metric::P99, Bound::AtLeast(bound)).judge(spread);
        assert_eq!((most(0.3), most(0.2)), (Verdict::Met, Verdict::Missed));
        assert_eq!((least(0.3), least(0.4)), (Verdict::Met, Verdict::Missed));
        let target = ratio("lease", Metric::P99, Bound::AtMost(1.0));
        assert_eq!(target.judge(None), Verdict::Unmeasured);
    }
}
