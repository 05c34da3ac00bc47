//! The percentiles that openraft prints, together.

use std::fmt;

/// Percentiles of a [`Histogram`](crate::Histogram); all zero while it is empty.
///
/// Each is a value inside the bucket that holds the percentile, so it is off by
/// less than a quarter of itself, and exact below 8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// Values recorded.
    pub samples: u64,
    /// The value that one value in a thousand does not exceed.
    pub p0_1: u64,
    /// The 1st percentile.
    pub p1: u64,
    /// The 5th percentile.
    pub p5: u64,
    /// The 10th percentile.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The value that one value in a thousand exceeds.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "n={} p0.1={} p1={} p5={} p10={} p50={} p90={} p99={} p99.9={}",
            self.samples,
            self.p0_1,
            self.p1,
            self.p5,
            self.p10,
            self.p50,
            self.p90,
            self.p99,
            self.p99_9
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percentile_is_printed_under_its_name() {
        let stats = PercentileStats {
            samples: 9,
            p0_1: 1,
            p1: 2,
            p5: 3,
            p10: 4,
            p50: 5,
            p90: 6,
            p99: 7,
            p99_9: 8,
        };
        let text = "n=9 p0.1=1 p1=2 p5=3 p10=4 p50=5 p90=6 p99=7 p99.9=8";
        assert_eq!(stats.to_string(), text);
    }
}
