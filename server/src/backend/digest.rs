//! Digest: one number for everything that was applied.
//!
//! Every effect of an entry (a record, a changed row, a membership) is hashed as
//! it is stored; at the commit the effects, the entry's log position and the
//! digest before make the next one. So the digest after index i depends on every
//! effect up to i and on their order, and on nothing else: not on checkpoints,
//! restarts, or how the state got here. Two members that parted stay different,
//! short of a collision of 128 bits. It finds faults, not forgeries: XXH3 is no
//! cryptographic hash (source: xxHash specification, XXH3 128 bits).
//!
//! A digest has a base: the index behind which it began. Only digests of one base
//! can be compared. A state that was empty began at 0; one that an earlier
//! version wrote has none until an entry begins it on all members at once.
//!
//! What an entry does to the digest is part of the replicated state: a build that
//! changes it has to begin digests anew once all members run it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_128;

use super::handle::Applied;
use super::table::Table;
use crate::base::revision::Revision;

/// The digest as of an applied entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Index of the entry behind which it began; `None` while it is not known.
    pub base: Option<u64>,
    /// The number; 0 while there is no base, and at the beginning of a state that was
    /// not made from another one.
    pub value: u128,
}

impl Default for Digest {
    /// That of the empty state.
    fn default() -> Self {
        Self::begun(0)
    }
}

impl Digest {
    /// Of a state whose history was not digested.
    pub const UNKNOWN: Self = Self {
        base: None,
        value: 0,
    };

    /// One that begins behind the entry at `index`.
    pub fn begun(index: u64) -> Self {
        Self {
            base: Some(index),
            value: 0,
        }
    }

    /// The digest after one more entry, which left the store at `revision`.
    pub(super) fn after(self, applied: Applied, revision: i64, effects: &Effects) -> Self {
        if self.base.is_none() {
            return self;
        }
        let mut bytes = [0; 16 + 8 + 8 + 8 + 16];
        let mut out = bytes.as_mut_slice();
        out.put_u128_le(self.value);
        out.put_u64_le(applied.index);
        out.put_u64_le(applied.term);
        out.put_i64_le(revision);
        out.put_u128_le(effects.0);
        Self {
            base: self.base,
            value: xxh3_128(&bytes),
        }
    }

    /// Appends the byte form; whether there is a base is stored elsewhere.
    pub(super) fn put(self, out: &mut BytesMut) {
        out.put_u64_le(self.base.unwrap_or(0));
        out.put_u128_le(self.value);
    }

    /// Takes the byte form, [`DIGEST_BYTES`] that the caller has made sure of.
    pub(super) fn take(has_base: bool, bytes: &mut impl Buf) -> Self {
        let (base, value) = (bytes.get_u64_le(), bytes.get_u128_le());
        if has_base {
            let base = Some(base);
            Self { base, value }
        } else {
            Self::UNKNOWN
        }
    }
}

/// What one entry has done so far.
#[derive(Debug, Default)]
pub(super) struct Effects(u128);

impl Effects {
    /// A record was appended, with these bytes.
    pub(super) fn record(&mut self, revision: Revision, is_tombstone: bool, record: &[u8]) {
        let kind = if is_tombstone { TOMBSTONE } else { RECORD };
        self.add(kind, xxh3_128(record));
        let (main, sub) = (revision.main as u64, revision.sub as u64);
        self.add(kind, u128::from(main) << 64 | u128::from(sub));
    }

    /// A row was set, or removed for `None`.
    pub(super) fn row(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let kind = if value.is_some() {
            ROW_SET
        } else {
            ROW_REMOVED
        };
        let kind = kind << 8 | u64::from(table.number());
        self.add(kind, xxh3_128(key));
        self.add(kind, xxh3_128(value.unwrap_or_default()));
    }

    /// The membership was set.
    pub(super) fn membership(&mut self, membership: &Bytes) {
        self.add(MEMBERSHIP, xxh3_128(membership));
    }

    /// Adds one hash; a polynomial, so that the order counts.
    fn add(&mut self, kind: u64, hash: u128) {
        let hash = hash.wrapping_add(u128::from(kind));
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(hash);
    }
}

/// Bytes of [`Digest::put`].
pub(super) const DIGEST_BYTES: usize = 24;
/// Odd, so that multiplying loses nothing. Source: the FNV prime of 128 bits.
const MULTIPLIER: u128 = 0x0100_0000_0000_0000_0000_013B;
const RECORD: u64 = 1;
const TOMBSTONE: u64 = 2;
const ROW_SET: u64 = 3;
const ROW_REMOVED: u64 = 4;
const MEMBERSHIP: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fill: impl FnOnce(&mut Effects)) -> u128 {
        let mut effects = Effects::default();
        fill(&mut effects);
        effects.0
    }

    #[test]
    fn kind_place_content_and_order_of_effects_count() {
        let at = Revision::new;
        let digests = [
            of(|_| {}),
            of(|e| e.record(at(2, 0), false, b"a")),
            of(|e| e.record(at(2, 0), true, b"a")),
            of(|e| e.record(at(2, 1), false, b"a")),
            of(|e| e.record(at(3, 0), false, b"a")),
            of(|e| e.record(at(2, 0), false, b"b")),
            of(|e| e.row(Table::Lease, b"k", Some(b"v"))),
            of(|e| e.row(Table::Auth, b"k", Some(b"v"))),
            of(|e| e.row(Table::Lease, b"kv", Some(b""))),
            of(|e| e.row(Table::Lease, b"k", Some(b""))),
            of(|e| e.row(Table::Lease, b"k", None)),
            of(|e| e.membership(&Bytes::from_static(b"k"))),
            of(|e| {
                e.row(Table::Lease, b"k", Some(b"1"));
                e.row(Table::Lease, b"k", Some(b"2"));
            }),
            of(|e| {
                e.row(Table::Lease, b"k", Some(b"2"));
                e.row(Table::Lease, b"k", Some(b"1"));
            }),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }

    #[test]
    fn an_entry_without_effects_counts_and_an_unknown_digest_stays_unknown() {
        let at = |index, term| Applied { index, term };
        let none = Effects::default();
        let first = Digest::default().after(at(1, 1), 1, &none);
        assert_eq!(first.base, Some(0));
        assert_ne!(first, Digest::default());
        assert_ne!(first, Digest::default().after(at(1, 2), 1, &none));
        assert_ne!(first, Digest::default().after(at(2, 1), 1, &none));
        assert_ne!(first, Digest::default().after(at(1, 1), 2, &none));
        let unknown = Digest::UNKNOWN.after(at(1, 1), 1, &none);
        assert_eq!(unknown, Digest::UNKNOWN);
    }
}
