//! Key names: a prefix and ten digits, 16 bytes in all.

use crate::random::Random;

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// What every key starts with.
pub const PREFIX: &[u8; 6] = b"bench/";

/// The first name after all keys: the end of a range over everything.
pub const PREFIX_END: &[u8; 6] = b"bench0";

/// A space of keys.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Number of different keys.
    pub keys_count: u64,
}

impl Keys {
    /// A space of `keys_count` keys, at least one.
    #[must_use]
    pub fn new(keys_count: u64) -> Self {
        Self {
            keys_count: keys_count.max(1),
        }
    }

    /// Any key, all alike likely.
    pub fn random(self, random: &mut Random) -> [u8; KEY_BYTES] {
        name(random.below(self.keys_count))
    }
}

/// The name of key `number`.
#[must_use]
pub fn name(number: u64) -> [u8; KEY_BYTES] {
    let mut name = [0; KEY_BYTES];
    let (prefix, digits) = name.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_and_lie_in_the_prefix() {
        assert_eq!(&name(42), b"bench/0000000042");
        assert!(name(9) < name(10));
        assert!(name(u64::MAX)[..] < PREFIX_END[..]);
    }

    #[test]
    fn random_keys_stay_in_the_space() {
        let (keys, mut random) = (Keys::new(3), Random::new(5));
        for _ in 0..100 {
            assert!(keys.random(&mut random) <= name(2));
        }
    }
}
