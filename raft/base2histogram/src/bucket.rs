//! Which values share a bucket.
//!
//! A bucket holds the values that agree in their three highest bits. Values below
//! 8 have a bucket each; above, every power of two is cut into four buckets of
//! equal width, so a bucket is at most a quarter as wide as its lowest value.
//! Bounds are computed, not looked up: a leading-zero count and two shifts.

/// Buckets that cover all of `u64`: 4 for 0..=3, then 4 for each of 62 powers.
pub(crate) const BUCKETS_COUNT: usize = ((u64::BITS - FRACTION_BITS + 1) << FRACTION_BITS) as usize;

/// The bucket that `value` falls into; below [`BUCKETS_COUNT`].
pub(crate) fn index_of(value: u64) -> usize {
    if value < QUARTERS {
        return value as usize;
    }
    let shift = value.ilog2() - FRACTION_BITS;
    // The shifted value is in 4..=7, so values 4..=7 (shift 0) keep their own number.
    (u64::from(shift) * QUARTERS + (value >> shift)) as usize
}

/// The lowest value of bucket `index`, which is below [`BUCKETS_COUNT`].
pub(crate) fn lowest(index: usize) -> u64 {
    let index = index as u64;
    if index < QUARTERS {
        return index;
    }
    (QUARTERS + index % QUARTERS) << shift_of(index)
}

/// How many values share bucket `index`.
pub(crate) fn width(index: usize) -> u64 {
    1 << shift_of(index as u64)
}

fn shift_of(index: u64) -> u64 {
    (index / QUARTERS).saturating_sub(1)
}

/// Bits of a value that tell buckets apart below its leading one.
const FRACTION_BITS: u32 = 2;
/// Buckets per power of two.
const QUARTERS: u64 = 1 << FRACTION_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_without_gap_or_overlap() {
        let mut next = 0;
        for index in 0..BUCKETS_COUNT {
            let highest = lowest(index) + (width(index) - 1);
            assert_eq!(lowest(index), next, "bucket {index}");
            assert_eq!(index_of(lowest(index)), index);
            assert_eq!(index_of(highest), index);
            next = highest.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends at the last value");
    }

    #[test]
    fn bounds_follow_the_three_highest_bits() {
        let lowest: Vec<u64> = (0..16).map(lowest).collect();
        assert_eq!(
            lowest,
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28]
        );
        assert_eq!((BUCKETS_COUNT, index_of(u64::MAX)), (252, 251));
    }

    #[test]
    fn a_bucket_is_at_most_a_quarter_as_wide_as_its_lowest_value() {
        assert!((4..BUCKETS_COUNT).all(|index| width(index) <= lowest(index) / 4));
    }
}
