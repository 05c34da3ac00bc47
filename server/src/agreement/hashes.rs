//! Hashes of everything stored, taken by all members at the same entry.
//!
//! The digest says what was applied; this says what is stored now, bits that
//! changed on the disk included. A view is pinned when the entry is applied, so
//! revision and compact revision are the same everywhere, however long the hashing
//! takes. One view waits at a time: a newer one takes its place.

use std::collections::BTreeMap;

use crate::mvcc::{HashKv, ReadTransaction};

/// Hashes kept for members that ask or object late.
const KNOWN_MAX: usize = 4;

/// A view to be hashed.
#[derive(Debug)]
pub(crate) struct PinnedView {
    /// The entry that it is as of.
    pub(crate) index: u64,
    pub(crate) view: ReadTransaction,
    /// Of which state it is a view: how many took each other's place before.
    pub(super) generation: u64,
}

impl PinnedView {
    /// To be told with its hash.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

/// Views to be hashed, and hashes.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    pinned: Option<PinnedView>,
    known: BTreeMap<u64, u128>,
    generation: u64,
}

impl Hashes {
    /// The entry at `index` asks for a hash of this view.
    pub(super) fn pin(&mut self, index: u64, view: ReadTransaction) {
        self.pinned = Some(PinnedView {
            index,
            view,
            generation: self.generation,
        });
    }

    /// Takes the view that waits.
    pub(super) fn take(&mut self) -> Option<PinnedView> {
        self.pinned.take()
    }

    /// The view of `index` was hashed; false if it is one of a state that was
    /// replaced meanwhile.
    pub(super) fn note(&mut self, index: u64, generation: u64, value: u128) -> bool {
        if generation != self.generation {
            return false;
        }
        self.known.insert(index, value);
        while self.known.len() > KNOWN_MAX {
            self.known.pop_first();
        }
        true
    }

    /// The hash of the view of `index`.
    pub(super) fn get(&self, index: u64) -> Option<u128> {
        self.known.get(&index).copied()
    }

    /// Another state took the place of the one that was hashed.
    pub(super) fn forget(&mut self) {
        *self = Self {
            generation: self.generation + 1,
            ..Self::default()
        };
    }
}

/// All of a hash in one number, to be compared.
pub(crate) fn value_of(hash: &HashKv) -> u128 {
    let (revision, compacted) = (hash.hash_revision as u64, hash.compact_revision as u64);
    // Of the compact revision as much as there is room for: -1 is none.
    let compacted = u128::from(compacted as u32);
    u128::from(revision) << 64 | compacted << 32 | u128::from(hash.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_a_state_that_was_replaced_meanwhile_counts_for_nothing() {
        let mut hashes = Hashes::default();
        assert!(hashes.note(5, 0, 50));
        hashes.forget();
        assert_eq!(hashes.get(5), None);
        assert!(!hashes.note(6, 0, 60));
        assert_eq!(hashes.get(6), None);
        assert!(hashes.note(6, 1, 61));
        assert_eq!(hashes.get(6), Some(61));
    }
}
