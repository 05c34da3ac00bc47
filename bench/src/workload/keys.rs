//! Key names: a prefix and ten digits, 16 bytes in all.
//!
//! Each purpose has a prefix of its own, so that what one work writes is not in
//! what another reads.

use bytes::Bytes;

use crate::random::Random;

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// Bytes of every prefix, the last of them a slash.
pub const PREFIX_BYTES: usize = 6;

/// What keys of one purpose start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Keys that are written.
    Written,
    /// Keys that are written where nobody else did.
    Updated,
    /// Keys that are read and stay as they are.
    Read,
    /// Keys that are watched while they are written.
    Watched,
    /// Keys whose past is watched.
    History,
    /// Objects of the mixed load.
    Object,
    /// Short-lived objects of the mixed load.
    Event,
}

impl Prefix {
    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8; PREFIX_BYTES] {
        match self {
            Self::Written => b"bench/",
            Self::Updated => b"swaps/",
            Self::Read => b"reads/",
            Self::Watched => b"watch/",
            Self::History => b"older/",
            Self::Object => b"items/",
            Self::Event => b"event/",
        }
    }

    /// The first name after all keys with this prefix: the end of a range over
    /// all of them. A zero follows a slash.
    #[must_use]
    pub const fn end(self) -> &'static [u8; PREFIX_BYTES] {
        match self {
            Self::Written => b"bench0",
            Self::Updated => b"swaps0",
            Self::Read => b"reads0",
            Self::Watched => b"watch0",
            Self::History => b"older0",
            Self::Object => b"items0",
            Self::Event => b"event0",
        }
    }

    /// Start and end of a range over everything with this prefix.
    #[must_use]
    pub const fn range(self) -> (Bytes, Bytes) {
        (
            Bytes::from_static(self.bytes()),
            Bytes::from_static(self.end()),
        )
    }

    /// The name of key `number`.
    #[must_use]
    pub fn name(self, number: u64) -> [u8; KEY_BYTES] {
        let mut name = [0; KEY_BYTES];
        let (prefix, digits) = name.split_at_mut(PREFIX_BYTES);
        prefix.copy_from_slice(self.bytes());
        let mut left = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
        }
        name
    }
}

/// A space of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What they start with.
    pub prefix: Prefix,
    /// Number of different keys.
    pub keys_count: u64,
}

impl Keys {
    /// A space of `keys_count` keys, at least one.
    #[must_use]
    pub fn new(prefix: Prefix, keys_count: u64) -> Self {
        Self {
            prefix,
            keys_count: keys_count.max(1),
        }
    }

    /// The name of key `number`.
    #[must_use]
    pub fn name(self, number: u64) -> [u8; KEY_BYTES] {
        self.prefix.name(number)
    }

    /// The number of the key of that name; `None` if it is none of these.
    #[must_use]
    pub fn number(self, name: &[u8]) -> Option<u64> {
        let digits = name.strip_prefix(self.prefix.bytes())?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number < self.keys_count).then_some(number)
    }

    /// Any key, all alike likely.
    pub fn random(self, random: &mut Random) -> [u8; KEY_BYTES] {
        self.name(random.below(self.keys_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_and_lie_in_the_prefix() {
        let name = |number| Prefix::Written.name(number);
        assert_eq!(&name(42), b"bench/0000000042");
        assert!(name(9) < name(10));
        let (start, end) = Prefix::Written.range();
        assert!(start < name(0)[..] && name(u64::MAX)[..] < end);
    }

    #[test]
    fn random_keys_stay_in_the_space() {
        let (keys, mut random) = (Keys::new(Prefix::Read, 3), Random::new(5));
        for _ in 0..100 {
            let name = keys.random(&mut random);
            assert!(keys.number(&name).is_some());
        }
        assert_eq!(keys.number(&keys.name(3)), None);
        assert_eq!(keys.number(&Prefix::Event.name(1)), None);
    }
}
