//! Cheap repeatable randomness (splitmix64) and incompressible values.
//!
//! Keys and values need to be spread, not secret: one addition and three
//! multiplications per number. Values are windows of one random buffer, so
//! that making one costs no copy; the buffer is large enough that a
//! compressing store gains nothing from the repetition.

use bytes::Bytes;

/// Bytes of random data that values are cut from.
const POOL_BYTES: usize = 4 << 20;

/// A repeatable source of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source; equal seeds yield equal numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, zero for a bound of zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Values of one size, cut from a random buffer.
#[derive(Clone, Debug)]
pub struct Values {
    pool: Bytes,
    value_bytes: usize,
}

impl Values {
    /// Values of `value_bytes` bytes.
    #[must_use]
    pub fn new(value_bytes: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let words = (POOL_BYTES + value_bytes) / 8 + 1;
        let pool: Vec<u8> = (0..words)
            .flat_map(|_| random.next_u64().to_le_bytes())
            .collect();
        Self {
            pool: pool.into(),
            value_bytes,
        }
    }

    /// Some value.
    pub fn value(&self, random: &mut Random) -> Bytes {
        let start = usize::try_from(random.below(POOL_BYTES as u64)).unwrap_or(0);
        self.pool.slice(start..start + self.value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[usize::try_from(random.below(7)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| (700..1300).contains(count)));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn values_have_their_size_and_differ() {
        let (values, mut random) = (Values::new(256, 3), Random::new(4));
        let (one, two) = (values.value(&mut random), values.value(&mut random));
        assert_eq!((one.len(), two.len()), (256, 256));
        assert_ne!(one, two);
    }
}
