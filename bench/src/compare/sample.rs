//! What one run of one work gave, as figures.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::{
    compare::metric::Metric,
    load::{DeviceCount, Outcome},
    recorder::Recorder,
    usage::Usage,
};

/// One mebibyte.
const MIB: f64 = (1 << 20) as f64;

/// What one run of one work gave.
#[derive(Clone, Debug)]
pub struct Sample {
    recorder: Recorder,
    /// By the metrics' numbers, in the unit of their titles; `None` where there
    /// is nothing to measure, as a follower of one node.
    values: [Option<f64>; Metric::ALL.len()],
}

impl Sample {
    /// Of an outcome whose servers are listed leader first.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        let mut values = [None; Metric::ALL.len()];
        for (metric, value) in Metric::ALL.into_iter().zip(&mut values) {
            *value = measured(&outcome, metric);
        }
        Self {
            recorder: outcome.recorder,
            values,
        }
    }

    /// Adds or replaces a figure that the load itself does not give.
    pub fn set(&mut self, metric: Metric, value: Option<f64>) {
        if let Some(place) = self.values.get_mut(metric as usize) {
            *place = value;
        }
    }

    /// Sets the resident memory after the work.
    pub fn set_resident(&mut self, servers: &[Usage]) {
        self.set(Metric::ResidentLeader, resident(servers, 0..1));
        self.set(Metric::ResidentFollower, resident(servers, 1..usize::MAX));
    }

    /// Latencies in nanoseconds.
    #[must_use]
    pub const fn latencies(&self) -> &Histogram<u64> {
        &self.recorder.latencies
    }

    /// Requests that failed, and the first failure.
    #[must_use]
    pub fn errors(&self) -> (u64, Option<&str>) {
        let recorder = &self.recorder;
        (recorder.errors_count, recorder.first_error.as_deref())
    }

    /// A figure in the unit of its title; `None` where there is nothing to
    /// measure.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.values.get(metric as usize).copied().flatten()
    }
}

/// What `outcome` says about `metric`.
fn measured(outcome: &Outcome, metric: Metric) -> Option<f64> {
    let (recorder, servers) = (&outcome.recorder, &outcome.servers);
    let latencies = &recorder.latencies;
    let quantile = |quantile| Some(latencies.value_at_quantile(quantile) as f64 / 1e6);
    let seconds = outcome.elapsed.as_secs_f64();
    let per_second = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
    let operations = recorder.operations_count.max(1) as f64;
    let after = || servers.iter().map(|(_, after)| *after).collect::<Vec<_>>();
    match metric {
        Metric::Throughput => per_second(recorder.operations_count),
        Metric::Rows => per_second(recorder.rows_count).filter(|rows| *rows > 0.0),
        Metric::P50 => quantile(0.5),
        Metric::P90 => quantile(0.9),
        Metric::P99 => quantile(0.99),
        Metric::P999 => quantile(0.999),
        Metric::Max => Some(latencies.max() as f64 / 1e6),
        Metric::CpuAll => cpu(servers, 0..usize::MAX).map(|(sum, _)| sum / operations),
        Metric::CpuLeader => cpu(servers, 0..1).map(|(sum, _)| sum / operations),
        Metric::CpuFollower => {
            cpu(servers, 1..usize::MAX).map(|(sum, count)| sum / count / operations)
        }
        Metric::CpuGenerator => Some(outcome.generator_cpu.as_secs_f64() * 1e6 / operations),
        Metric::ResidentLeader => resident(&after(), 0..1),
        Metric::ResidentFollower => resident(&after(), 1..usize::MAX),
        Metric::ResidentPeak => {
            let peaks = servers.iter().map(|(_, after)| after.resident_bytes_peak);
            let sum = peaks.sum::<u64>() as f64 / MIB;
            let known = outcome.has_peaks && !servers.is_empty();
            known.then(|| sum / servers.len() as f64)
        }
        Metric::Device => outcome.device.and_then(per_operation),
        Metric::Written => {
            let written = servers.iter().map(|(before, after)| {
                after.written_bytes.saturating_sub(before.written_bytes) as f64
            });
            (!servers.is_empty()).then(|| written.sum::<f64>() / operations)
        }
        Metric::Restart | Metric::Join => None,
    }
}

/// Bytes per operation; `None` without operations.
#[must_use]
pub fn per_operation(device: DeviceCount) -> Option<f64> {
    let count = device.operations_count;
    (count > 0).then(|| device.bytes as f64 / count as f64)
}

/// Microseconds of some members together, and their number.
fn cpu(servers: &[(Usage, Usage)], members: Range<usize>) -> Option<(f64, f64)> {
    let (mut micros, mut count) = (0.0, 0.0);
    for (before, after) in servers.iter().skip(members.start).take(members.len()) {
        micros += after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
        count += 1.0;
    }
    (count > 0.0).then_some((micros, count))
}

/// Mean resident MiB of some members.
fn resident(servers: &[Usage], members: Range<usize>) -> Option<f64> {
    let (mut bytes, mut count) = (0.0, 0.0);
    for usage in servers.iter().skip(members.start).take(members.len()) {
        bytes += usage.resident_bytes as f64;
        count += 1.0;
    }
    (count > 0.0).then(|| bytes / count / MIB)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// Two operations in one second; the leader spent 40 us, followers 20 each.
    pub(crate) fn sample(latency: Duration, members_count: u64) -> Sample {
        let mut recorder = Recorder::new();
        recorder.record(latency);
        recorder.record(latency);
        recorder.rows_count = 20;
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
            has_peaks: true,
            generator_cpu: Duration::from_micros(10),
            device: Some(DeviceCount {
                bytes: 900,
                operations_count: 3,
            }),
        })
    }

    #[test]
    fn figures_are_per_operation_and_by_role() {
        let mut sample = sample(Duration::from_millis(5), 3);
        let value = |metric| sample.value(metric).unwrap();
        assert_eq!(value(Metric::Throughput), 2.0);
        assert_eq!(value(Metric::Rows), 20.0);
        assert!((value(Metric::P99) - 5.0).abs() < 0.01);
        assert_eq!(value(Metric::CpuAll), 40.0);
        assert_eq!(value(Metric::CpuLeader), 20.0);
        assert_eq!(value(Metric::CpuFollower), 10.0);
        assert_eq!(value(Metric::CpuGenerator), 5.0);
        assert_eq!(value(Metric::ResidentFollower), 2.0);
        assert_eq!(value(Metric::ResidentPeak), 3.0);
        assert_eq!(value(Metric::Device), 300.0);
        assert_eq!(value(Metric::Written), 1500.0);
        assert_eq!(sample.value(Metric::Restart), None);
        sample.set(Metric::Restart, Some(7.0));
        assert_eq!(sample.value(Metric::Restart), Some(7.0));
    }

    #[test]
    fn one_node_has_no_followers() {
        let sample = sample(Duration::from_millis(5), 1);
        assert_eq!(sample.value(Metric::CpuFollower), None);
        assert_eq!(sample.value(Metric::ResidentFollower), None);
        assert!(sample.value(Metric::CpuAll).is_some());
    }
}
