//! A set of neighbouring keys, from the API's `key` and `range_end`.
//!
//! Keys order as unsigned bytes. The API's special forms are resolved once,
//! here: no end names a single key, an end of one zero byte means "to the last
//! key", and an end at or before the start is an empty set, not an error.
//! Source: observed etcd behaviour (3.7), where key "\0" alone is a key.

use std::cmp::Ordering;
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

/// Where a set of neighbouring keys ends.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum RangeEnd {
    /// Before this key.
    Before(Bytes),
    /// Nowhere.
    Unbounded,
}

/// The union of many sets, for one quick test.
#[derive(Clone, Debug, Default)]
pub struct KeyRangeUnion {
    /// Sorted by start; no two touch or overlap.
    spans: Vec<(Bytes, RangeEnd)>,
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

    /// The first key that can be in the set, to be kept.
    pub fn start_key(&self) -> &Bytes {
        match self {
            Self::One(start) | Self::Until { start, .. } | Self::From(start) => start,
        }
    }

    /// Where the set ends, in a form that can be compared and kept.
    pub fn end(&self) -> RangeEnd {
        match self {
            Self::One(key) => {
                // The next key is this one with a zero byte behind it.
                let mut end = Vec::with_capacity(key.len() + 1);
                end.extend_from_slice(key);
                end.push(0);
                RangeEnd::Before(end.into())
            }
            Self::Until { end, .. } => RangeEnd::Before(end.clone()),
            Self::From(_) => RangeEnd::Unbounded,
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

impl RangeEnd {
    /// Whether `key` lies before this end.
    pub fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < end.as_ref(),
            Self::Unbounded => true,
        }
    }
}

impl PartialOrd for RangeEnd {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RangeEnd {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Unbounded, Self::Unbounded) => Ordering::Equal,
            (Self::Unbounded, Self::Before(_)) => Ordering::Greater,
            (Self::Before(_), Self::Unbounded) => Ordering::Less,
            (Self::Before(left), Self::Before(right)) => left.cmp(right),
        }
    }
}

impl KeyRangeUnion {
    /// Unites `ranges`; empty ones are left out.
    pub fn new<'a>(ranges: impl IntoIterator<Item = &'a KeyRange>) -> Self {
        let mut sorted: Vec<(Bytes, RangeEnd)> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(|range| (range.start_key().clone(), range.end()))
            .collect();
        sorted.sort_unstable();
        let mut spans: Vec<(Bytes, RangeEnd)> = Vec::new();
        for (start, end) in sorted {
            match spans.last_mut() {
                Some((_, last)) if *last == RangeEnd::Before(start.clone()) => {
                    *last = end;
                }
                Some((_, last)) if last.is_after(&start) => {
                    if end > *last {
                        *last = end;
                    }
                }
                _ => spans.push((start, end)),
            }
        }
        Self { spans }
    }

    /// The smallest set of neighbours around the union; None if it is empty.
    pub fn hull(&self) -> Option<KeyRange> {
        let (start, _) = self.spans.first()?;
        let (_, end) = self.spans.last()?;
        let start = start.clone();
        Some(match end {
            RangeEnd::Unbounded => KeyRange::From(start),
            RangeEnd::Before(end) => KeyRange::Until {
                start,
                end: end.clone(),
            },
        })
    }

    /// Whether `key` is inside one of the ranges.
    pub fn contains(&self, key: &[u8]) -> bool {
        let after = self
            .spans
            .partition_point(|(start, _)| start.as_ref() <= key);
        after
            .checked_sub(1)
            .is_some_and(|index| self.spans[index].1.is_after(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn any_range() -> impl Strategy<Value = KeyRange> {
        let key = prop::collection::vec(0u8..4, 1..3);
        let end = prop::collection::vec(0u8..4, 0..3);
        (key, end).prop_map(|(key, end)| KeyRange::new(key.into(), end.into()))
    }

    proptest! {
        #[test]
        fn a_union_holds_what_one_of_its_ranges_holds(
            ranges in prop::collection::vec(any_range(), 0..8),
            key in prop::collection::vec(0u8..4, 1..4),
        ) {
            let union = KeyRangeUnion::new(&ranges);
            let naive = ranges.iter().any(|range| range.contains(&key));
            prop_assert_eq!(union.contains(&key), naive);
            let in_hull = union.hull().is_some_and(|hull| hull.contains(&key));
            prop_assert!(in_hull || !naive);
        }

        #[test]
        fn start_and_end_describe_the_same_keys(
            range in any_range(),
            key in prop::collection::vec(0u8..4, 1..4),
        ) {
            let bounded = range.start() <= key.as_slice() && range.end().is_after(&key);
            prop_assert_eq!(range.contains(&key), bounded);
        }
    }
}
