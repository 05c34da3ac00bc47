//! Counts per bucket, and what is read from them.
//!
//! The counts (2 KB) are allocated by the first value: a member keeps sixteen
//! histograms and fills nine. Counts saturate, so recording never fails.
//! Invariant: `counts` is empty or one count per bucket, and then not all zero,
//! so that histograms with equal content compare equal.

use std::marker::PhantomData;

use crate::PercentileStats;
use crate::bucket::{BUCKETS_COUNT, index_of, lowest, width};

/// The distribution of `u64` values.
///
/// `T` is there for openraft's signatures, which say `Histogram::<()>`: the
/// original attaches it to periods of time, which openraft does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// Values per bucket; empty before the first value.
    counts: Vec<u64>,
    period: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// A histogram of no values; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: Vec::new(),
            period: PhantomData,
        }
    }

    /// Counts `value` once.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `value` `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS_COUNT];
        }
        if let Some(counted) = self.counts.get_mut(index_of(value)) {
            *counted = counted.saturating_add(count);
        }
    }

    /// Values counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |total, count| total.saturating_add(*count))
    }

    /// The percentiles, in one pass each.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.total();
        let at = |permille| self.value_at(rank(samples, permille));
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    /// Lowest value, width and count of each bucket that holds values.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let counted = self.counts.iter().enumerate();
        counted
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| (lowest(index), width(index), *count))
    }

    /// The value of the given rank, counted from 1; 0 when there is none.
    ///
    /// The values of a bucket are taken to be spread evenly over it.
    fn value_at(&self, rank: u64) -> u64 {
        let mut before = 0_u64;
        for (lowest, width, count) in self.filled() {
            if rank <= before.saturating_add(count) {
                let half_steps = u128::from(rank - before) * 2 - 1;
                let offset = u128::from(width) * half_steps / (u128::from(count) * 2);
                return lowest + u64::try_from(offset).unwrap_or(width - 1);
            }
            before = before.saturating_add(count);
        }
        0
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The rank of a percentile among `samples`: rounded up, from 1; 0 without samples.
fn rank(samples: u64, permille: u32) -> u64 {
    let rank = (u128::from(samples) * u128::from(permille)).div_ceil(1000);
    u64::try_from(rank).unwrap_or(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_histogram_has_no_counts_and_zero_percentiles() {
        let mut empty = Histogram::<()>::new();
        empty.record_n(9, 0);
        assert_eq!(empty.percentile_stats(), PercentileStats::default());
        assert_eq!((empty.total(), empty.counts.capacity()), (0, 0));
        assert_eq!(empty, Histogram::default());
    }

    #[test]
    fn percentiles_of_small_values_are_exact() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(1, 90);
        histogram.record_n(5, 9);
        histogram.record(7);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50), (100, 1, 1));
        assert_eq!((stats.p90, stats.p99, stats.p99_9), (1, 5, 7));
    }

    #[test]
    fn percentiles_of_large_values_are_off_by_less_than_a_quarter() {
        let mut histogram = Histogram::<()>::new();
        (1..=100_000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        let found = [stats.p0_1, stats.p1, stats.p5, stats.p10, stats.p50];
        let wanted = [100, 1_000, 5_000, 10_000, 50_000];
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert!(found.abs_diff(wanted) < wanted / 4, "{found} for {wanted}");
        }
        assert!(stats.p50 < stats.p90 && stats.p90 < stats.p99 && stats.p99 < stats.p99_9);
    }

    #[test]
    fn counts_saturate_at_both_ends_of_the_range() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(0, u64::MAX);
        histogram.record_n(u64::MAX, u64::MAX);
        histogram.record_n(u64::MAX, 1);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p99_9), (u64::MAX, 0));

        let mut highest = Histogram::<()>::new();
        highest.record(u64::MAX);
        assert_eq!(highest.percentile_stats().p50, lowest(251) + width(251) / 2);
    }

    #[test]
    fn a_copy_counts_on_its_own() {
        let mut first = Histogram::<()>::new();
        first.record(3);
        let mut second = first.clone();
        assert_eq!(first, second);
        second.record(3);
        assert_ne!(first, second);
        assert_eq!((first.total(), second.total()), (1, 2));
    }
}
