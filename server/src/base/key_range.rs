//! A set of neighbouring keys, from the API's `key` and `range_end`.
//!
//! Keys order as unsigned bytes. The API's special forms are resolved once,
//! here: no end names a single key, an end of one zero byte means "to the last
//! key", and an end at or before the start is an empty set, not an error.
//! Source: observed etcd behaviour (3.7), where key "\0" alone is a key.

use std::ops::Bound;

use bytes::Bytes;

/// Neighbouring keys.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyRange {
    /// Exactly one key.
    One(Bytes),
    /// Every key from `start` up to, not including, `end`.
    Until {
        /// First key of the set.
        start: Bytes,
        /// First key after the set.
        end: Bytes,
    },
    /// Every key from this one on.
    From(Bytes),
}

impl KeyRange {
    /// The set that a request with these fields names.
    pub fn new(key: Bytes, range_end: Bytes) -> Self {
        match range_end.as_ref() {
            [] => Self::One(key),
            [0] => Self::From(key),
            _ => Self::Until {
                start: key,
                end: range_end,
            },
        }
    }

    /// Every key.
    pub fn all() -> Self {
        Self::From(Bytes::from_static(&[0]))
    }

    /// Whether the set contains `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(only) => only == key,
            Self::Until { start, end } => start <= key && key < end.as_ref(),
            Self::From(start) => start <= key,
        }
    }

    /// Whether the set contains no key at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Until { start, end } if end <= start)
    }

    /// The first key that can be in the set.
    pub fn start(&self) -> &[u8] {
        match self {
            Self::One(start) | Self::Until { start, .. } | Self::From(start) => start,
        }
    }

    /// Where the set ends, for ordered maps. Call only if not
    /// [`KeyRange::is_empty`]: maps refuse a range that ends before it starts.
    pub fn end_bound(&self) -> Bound<&[u8]> {
        match self {
            Self::One(only) => Bound::Included(only),
            Self::Until { end, .. } => Bound::Excluded(end),
            Self::From(_) => Bound::Unbounded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static [u8], end: &'static [u8]) -> KeyRange {
        KeyRange::new(Bytes::from_static(key), Bytes::from_static(end))
    }

    #[test]
    fn the_forms_of_the_api_are_told_apart() {
        assert!(range(b"a", b"").contains(b"a"));
        assert!(!range(b"a", b"").contains(b"aa"));
        assert!(range(b"a", b"c").contains(b"bzz"));
        assert!(!range(b"a", b"c").contains(b"c"));
        assert!(range(b"a", b"\0").contains(b"\xff\xff"));
        assert!(!range(b"b", b"\0").contains(b"a"));
        assert!(KeyRange::all().contains(b"\0"));
        assert!(!range(b"\0", b"").contains(b"a"));
        assert!(range(b"b", b"a").is_empty());
        assert!(range(b"b", b"b").is_empty());
        assert!(!range(b"b", b"\0").is_empty());
    }
}
