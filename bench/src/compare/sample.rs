//! What one run of one work gave, as figures.

use hdrhistogram::Histogram;

use crate::load::Outcome;

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Operations per second.
    Throughput,
    /// Median latency.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// Longest latency.
    Max,
    /// CPU time per operation of all members together.
    CpuAll,
    /// CPU time per operation of the leader.
    CpuLeader,
    /// CPU time per operation of one follower, their mean.
    CpuFollower,
    /// CPU time per operation of the load generator.
    CpuGenerator,
    /// Resident memory of the leader after the work.
    ResidentLeader,
    /// Resident memory of one follower after the work, their mean.
    ResidentFollower,
    /// Bytes that reached the device per operation, other programs' included.
    Device,
    /// Bytes of dirtied pages per operation, all members together.
    Written,
}

impl Metric {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 14] = [
        Self::Throughput,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::CpuAll,
        Self::CpuLeader,
        Self::CpuFollower,
        Self::CpuGenerator,
        Self::ResidentLeader,
        Self::ResidentFollower,
        Self::Device,
        Self::Written,
    ];

    /// Its name in the report.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Throughput => "throughput, per second",
            Self::P50 => "latency p50, ms",
            Self::P90 => "latency p90, ms",
            Self::P99 => "latency p99, ms",
            Self::P999 => "latency p99.9, ms",
            Self::Max => "latency max, ms",
            Self::CpuAll => "server CPU per operation, all members, us",
            Self::CpuLeader => "server CPU per operation, leader, us",
            Self::CpuFollower => "server CPU per operation, each follower, us",
            Self::CpuGenerator => "generator CPU per operation, us",
            Self::ResidentLeader => "resident memory after, leader, MiB",
            Self::ResidentFollower => "resident memory after, each follower, MiB",
            Self::Device => "written to the device per operation, bytes",
            Self::Written => "pages dirtied per operation, all members, bytes",
        }
    }
}

/// What one run of one work gave.
#[derive(Clone, Debug)]
pub struct Sample {
    outcome: Outcome,
}

impl Sample {
    /// Of an outcome whose servers are listed leader first.
    #[must_use]
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome }
    }

    /// Latencies in nanoseconds.
    #[must_use]
    pub const fn latencies(&self) -> &Histogram<u64> {
        &self.outcome.recorder.latencies
    }

    /// Requests that failed, and the first failure.
    #[must_use]
    pub fn errors(&self) -> (u64, Option<&str>) {
        let recorder = &self.outcome.recorder;
        (recorder.errors_count, recorder.first_error.as_deref())
    }

    /// A figure in the unit of its title; `None` where there is nothing to
    /// measure, as a follower of one node.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let quantile = |quantile| {
            let nanos = self.latencies().value_at_quantile(quantile);
            Some(nanos as f64 / 1e6)
        };
        match metric {
            Metric::Throughput => {
                let seconds = self.outcome.elapsed.as_secs_f64();
                (seconds > 0.0).then(|| self.operations() / seconds)
            }
            Metric::P50 => quantile(0.5),
            Metric::P90 => quantile(0.9),
            Metric::P99 => quantile(0.99),
            Metric::P999 => quantile(0.999),
            Metric::Max => Some(self.latencies().max() as f64 / 1e6),
            Metric::CpuAll => self.cpu(0..usize::MAX).map(|each| each.0),
            Metric::CpuLeader => self.cpu(0..1).map(|each| each.0),
            Metric::CpuFollower => self.cpu(1..usize::MAX).map(|each| each.0 / each.1),
            Metric::CpuGenerator => {
                Some(self.outcome.generator_cpu.as_secs_f64() * 1e6 / self.operations())
            }
            Metric::ResidentLeader => self.resident(0..1),
            Metric::ResidentFollower => self.resident(1..usize::MAX),
            Metric::Device => {
                let bytes = self.outcome.device_bytes;
                bytes.map(|bytes| bytes as f64 / self.operations())
            }
            Metric::Written => {
                let servers = &self.outcome.servers;
                let written = servers.iter().map(|(before, after)| {
                    after.written_bytes.saturating_sub(before.written_bytes) as f64
                });
                (!servers.is_empty()).then(|| written.sum::<f64>() / self.operations())
            }
        }
    }

    fn operations(&self) -> f64 {
        self.outcome.recorder.operations_count.max(1) as f64
    }

    /// Microseconds per operation of some members together, and their number.
    fn cpu(&self, members: std::ops::Range<usize>) -> Option<(f64, f64)> {
        let (mut seconds, mut count) = (0.0, 0.0);
        for (before, after) in self.members(members) {
            seconds += after.cpu.saturating_sub(before.cpu).as_secs_f64();
            count += 1.0;
        }
        (count > 0.0).then(|| (seconds * 1e6 / self.operations(), count))
    }

    /// Mean resident MiB of some members.
    fn resident(&self, members: std::ops::Range<usize>) -> Option<f64> {
        let (mut bytes, mut count) = (0.0, 0.0);
        for (_, after) in self.members(members) {
            bytes += after.resident_bytes as f64;
            count += 1.0;
        }
        (count > 0.0).then(|| bytes / count / f64::from(1 << 20))
    }

    fn members(
        &self,
        members: std::ops::Range<usize>,
    ) -> impl Iterator<Item = &(crate::usage::Usage, crate::usage::Usage)> {
        let servers = self.outcome.servers.iter();
        servers.skip(members.start).take(members.len())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{recorder::Recorder, usage::Usage};

    /// Two operations in one second; the leader spent 40 us, followers 20 each.
    pub(crate) fn sample(latency: Duration, members_count: u64) -> Sample {
        let mut recorder = Recorder::new();
        recorder.record(latency);
        recorder.record(latency);
        let servers = (0..members_count).map(|member| {
            let after = Usage {
                cpu: Duration::from_micros(if member == 0 { 40 } else { 20 }),
                resident_bytes: 2 << 20,
                resident_bytes_peak: 3 << 20,
                written_bytes: 1000,
            };
            (Usage::default(), after)
        });
        Sample::new(Outcome {
            recorder,
            elapsed: Duration::from_secs(1),
            servers: servers.collect(),
            generator_cpu: Duration::from_micros(10),
            device_bytes: Some(600),
        })
    }

    #[test]
    fn figures_are_per_operation_and_by_role() {
        let sample = sample(Duration::from_millis(5), 3);
        let value = |metric| sample.value(metric).unwrap();
        assert_eq!(value(Metric::Throughput), 2.0);
        assert!((value(Metric::P99) - 5.0).abs() < 0.01);
        assert_eq!(value(Metric::CpuAll), 40.0);
        assert_eq!(value(Metric::CpuLeader), 20.0);
        assert_eq!(value(Metric::CpuFollower), 10.0);
        assert_eq!(value(Metric::CpuGenerator), 5.0);
        assert_eq!(value(Metric::ResidentFollower), 2.0);
        assert_eq!(value(Metric::Device), 300.0);
        assert_eq!(value(Metric::Written), 1500.0);
    }

    #[test]
    fn one_node_has_no_followers() {
        let sample = sample(Duration::from_millis(5), 1);
        assert_eq!(sample.value(Metric::CpuFollower), None);
        assert_eq!(sample.value(Metric::ResidentFollower), None);
        assert!(sample.value(Metric::CpuAll).is_some());
    }
}
