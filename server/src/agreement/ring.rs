//! The digests after the most recent entries.
//!
//! Indexes follow each other without a gap; an entry that does not (a state that
//! was installed) or another base starts the ring over.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::backend::Digest;

/// Entries whose digests are kept: 256 KiB. Many times what passes between two
/// comparisons, so that the last equal one is still there when two differ.
pub(crate) const RING_ENTRIES_MAX: usize = 16_384;

/// Recent digests of one base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    base: u64,
    /// Index of the first value.
    first: u64,
    values: VecDeque<u128>,
}

/// Where two members parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// At this entry: after the one before, both were equal.
    At(u64),
    /// At this entry or an earlier one, which neither remembers.
    AtOrBefore(u64),
    /// They are equal at this last index that both have.
    Nowhere(u64),
}

impl Ring {
    /// Notes the digest after the entry at `index`.
    pub(super) fn push(&mut self, index: u64, digest: Digest) {
        let Some(base) = digest.base else {
            *self = Self::default();
            return;
        };
        if self.base != base || self.next() != Some(index) {
            self.base = base;
            self.first = index;
            self.values.clear();
        }
        if self.values.len() == RING_ENTRIES_MAX {
            self.values.pop_front();
            self.first += 1;
        }
        self.values.push_back(digest.value);
    }

    /// The index behind the last one.
    fn next(&self) -> Option<u64> {
        (!self.values.is_empty()).then(|| self.first + self.values.len() as u64)
    }

    /// The digest after the entry at `index`.
    pub(super) fn get(&self, base: u64, index: u64) -> Option<u128> {
        if self.base != base {
            return None;
        }
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.values.get(at).copied()
    }

    /// The newest digest, with its index.
    pub(super) fn newest(&self) -> Option<(u64, Digest)> {
        let (next, value) = (self.next()?, self.values.back()?);
        let (base, value) = (Some(self.base), *value);
        Some((next - 1, Digest { base, value }))
    }

    /// Where the other member's digests stop being equal; `None` if nothing can
    /// be compared. Digests that differ once differ for ever, so halving finds it.
    pub(crate) fn parting(&self, other: &Self) -> Option<Parting> {
        if self.base != other.base {
            return None;
        }
        let from = self.first.max(other.first);
        let to = self.next()?.min(other.next()?);
        let is_equal = |index| self.get(self.base, index) == other.get(self.base, index);
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_equal(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low {
            _ if from >= to => None,
            low if low == to => Some(Parting::Nowhere(to - 1)),
            low if low == from => Some(Parting::AtOrBefore(low)),
            low => Some(Parting::At(low)),
        }
    }

    /// The byte form: base, first index, then the values; little-endian.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + VALUE_BYTES * self.values.len());
        out.put_u64_le(self.base);
        out.put_u64_le(self.first);
        self.values.iter().for_each(|value| out.put_u128_le(*value));
        out.freeze()
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_BYTES || !(bytes.len() - HEADER_BYTES).is_multiple_of(VALUE_BYTES) {
            return Err("digests of a wrong length");
        }
        let (base, first) = (bytes.get_u64_le(), bytes.get_u64_le());
        let count = bytes.len() / VALUE_BYTES;
        if count > RING_ENTRIES_MAX || first.checked_add(count as u64).is_none() {
            return Err("more digests than a member keeps");
        }
        let values = (0..count).map(|_| bytes.get_u128_le()).collect();
        Ok(Self {
            base,
            first,
            values,
        })
    }
}

const HEADER_BYTES: usize = 16;
const VALUE_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(indexes: std::ops::Range<u64>, value: impl Fn(u64) -> u128) -> Ring {
        let mut ring = Ring::default();
        for index in indexes {
            let digest = Digest {
                base: Some(7),
                value: value(index),
            };
            ring.push(index, digest);
        }
        ring
    }

    fn parted(at: u64) -> impl Fn(u64) -> u128 {
        move |index| u128::from(index) + if index >= at { 1 << 100 } else { 0 }
    }

    #[test]
    fn a_ring_keeps_the_newest_and_starts_over_at_a_gap() {
        let kept = RING_ENTRIES_MAX as u64;
        let mut full = ring(1..kept + 11, u128::from);
        assert_eq!(full.get(7, 10), None);
        assert_eq!(full.get(7, 11), Some(11));
        assert_eq!(full.get(8, 11), None);
        assert_eq!(full.newest().map(|(index, _)| index), Some(kept + 10));
        full.push(
            kept + 20,
            Digest {
                base: Some(7),
                value: 1,
            },
        );
        assert_eq!(
            (full.get(7, kept + 10), full.get(7, kept + 20)),
            (None, Some(1))
        );
        full.push(kept + 21, Digest::UNKNOWN);
        assert_eq!(full.newest(), None);
    }

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let own = ring(10..200, u128::from);
        for at in 50..150 {
            let other = ring(50..150, parted(at));
            let expected = if at == 50 {
                Parting::AtOrBefore(50)
            } else {
                Parting::At(at)
            };
            assert_eq!(own.parting(&other), Some(expected));
            assert_eq!(other.parting(&own), Some(expected));
        }
        let equal = ring(50..150, u128::from);
        assert_eq!(own.parting(&equal), Some(Parting::Nowhere(149)));
        assert_eq!(own.parting(&ring(300..310, u128::from)), None);
        assert_eq!(own.parting(&Ring::default()), None);
    }

    #[test]
    fn a_ring_reads_back_as_written_and_other_bytes_are_refused() {
        for ring in [Ring::default(), ring(3..100, u128::from)] {
            assert_eq!(Ring::decode(ring.encode()), Ok(ring));
        }
        let bytes = ring(3..5, u128::from).encode();
        for cut in [0, 15, 17, 47] {
            assert!(Ring::decode(bytes.slice(..cut)).is_err());
        }
        let long = vec![0; HEADER_BYTES + VALUE_BYTES * (RING_ENTRIES_MAX + 1)];
        assert!(Ring::decode(long.into()).is_err());
    }
}
