//! The figures that a work can give.

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Operations per second.
    Throughput,
    /// Rows read or events delivered per second, where operations carry them.
    Rows,
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
    /// Most resident memory of a member during the work, their mean.
    ResidentPeak,
    /// Bytes that reached the device per operation, other programs' included.
    Device,
    /// Bytes of dirtied pages per operation, all members together.
    Written,
    /// From the start of a member on its data to its first linearizable read.
    Restart,
    /// From the start of a new member on an empty directory until it has all data.
    Join,
}

impl Metric {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 18] = [
        Self::Throughput,
        Self::Rows,
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
        Self::ResidentPeak,
        Self::Device,
        Self::Written,
        Self::Restart,
        Self::Join,
    ];

    /// Its name without its unit, for ratios.
    #[must_use]
    pub fn name(self) -> &'static str {
        let title = self.title();
        title.rsplit_once(", ").map_or(title, |(name, _)| name)
    }

    /// Its name and unit in the report.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Throughput => "throughput, per second",
            Self::Rows => "rows or events, per second",
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
            Self::ResidentPeak => "peak resident memory during, each member, MiB",
            Self::Device => "written to the device per operation, bytes",
            Self::Written => "pages dirtied per operation, all members, bytes",
            Self::Restart => "restart of a member until ready, ms",
            Self::Join => "join of a new member until it has the data, ms",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, position);
            assert!(metric.title().len() > metric.name().len() + 2);
        }
    }
}
