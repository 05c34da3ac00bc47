//! The ordered index: every key that has a stored change.
//!
//! It holds revisions, never values, and lives in memory alone: it is rebuilt
//! from the backend at start. It sits under one short-held lock. Writers take
//! it per change, walks and compaction per chunk of at most [`CHUNK_KEYS`]
//! keys, so nobody waits long. Changes of an entry not yet committed are
//! already in here: readers skip them, because they read at a revision.
//!
//! Invariant: what is readable at or above the revision of the last compaction
//! that ran over a key is never lost from its history.

use std::collections::{BTreeMap, btree_map::Entry};
use std::ops::{Bound, ControlFlow};

use parking_lot::RwLock;

use crate::base::{key_range::KeyRange, revision::Revision};

use super::generation::Change;
use super::index_key::IndexKey;
use super::key_index::{Histories, KeyIndex};

/// All keys in order.
#[derive(Debug, Default)]
pub(super) struct TreeIndex {
    keys: BTreeMap<IndexKey, KeyIndex>,
    histories: Histories,
    /// Keys whose newest change is a put.
    alive_count: usize,
}

impl TreeIndex {
    /// Records a put. Answers the new change and the put it replaces.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        revision: Revision,
        leased: bool,
    ) -> (Change, Option<Change>) {
        let Some(entry) = self.keys.get_mut(key) else {
            let change = Change::creation(revision, leased);
            self.keys.insert(key.into(), KeyIndex::new(change));
            self.alive_count += 1;
            return (change, None);
        };
        let previous = entry.newest();
        let change = previous.next_put(revision, leased);
        entry.push(change, &mut self.histories);
        if previous.is_tombstone() {
            self.alive_count += 1;
            (change, None)
        } else {
            (change, Some(previous))
        }
    }

    /// Records a deletion of a key that is alive. Answers the put it ends, or
    /// nothing if there was none; then nothing changed.
    pub(super) fn delete(&mut self, key: &[u8], revision: Revision) -> Option<Change> {
        let entry = self.keys.get_mut(key)?;
        let previous = entry.newest();
        if previous.is_tombstone() {
            return None;
        }
        entry.push(Change::tombstone(revision), &mut self.histories);
        self.alive_count -= 1;
        Some(previous)
    }

    /// Takes back the newest change of `key`, made by an entry that was not
    /// committed.
    pub(super) fn undo(&mut self, key: &[u8]) {
        let Some(entry) = self.keys.get_mut(key) else {
            debug_assert!(false, "a key that was written is in the index");
            return;
        };
        if !entry.newest().is_tombstone() {
            self.alive_count -= 1;
        }
        match entry.pop(&mut self.histories) {
            Some(newest) if !newest.is_tombstone() => self.alive_count += 1,
            Some(_) => {}
            None => {
                self.keys.remove(key);
            }
        }
    }

    /// Takes over a stored change at start, in revision order.
    pub(super) fn restore(&mut self, key: &[u8], change: Change) {
        let now = usize::from(!change.is_tombstone());
        // One walk down the tree: this is most of a start.
        match self.keys.entry(IndexKey::from(key)) {
            Entry::Vacant(place) => {
                place.insert(KeyIndex::new(change));
                self.alive_count += now;
            }
            Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                let before = usize::from(!entry.newest().is_tombstone());
                entry.push(change, &mut self.histories);
                self.alive_count = self.alive_count + now - before;
            }
        }
    }

    /// The put of `key` that is alive at `main`.
    pub(super) fn alive_at(&self, key: &[u8], main: i64) -> Option<Change> {
        self.keys
            .get(key)
            .and_then(|entry| entry.change_at(main, &self.histories))
            .filter(|change| !change.is_tombstone())
    }

    /// Keys whose newest change is a put, uncommitted ones included.
    pub(super) fn alive_count(&self) -> usize {
        self.alive_count
    }

    /// Keys with any stored change.
    pub(super) fn keys_count(&self) -> usize {
        self.keys.len()
    }

    /// Compacts up to `keys_max` keys after `cursor` and adds what is removed
    /// to `dead`. Answers the last key looked at while there are more.
    pub(super) fn compact_chunk(
        &mut self,
        cursor: Option<&[u8]>,
        compact_revision: i64,
        keys_max: usize,
        dead: &mut Vec<Revision>,
    ) -> Option<IndexKey> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        let mut last = None;
        let mut gone: Vec<IndexKey> = Vec::new();
        for (key, entry) in self.keys.range_mut::<[u8], _>((from, Bound::Unbounded)) {
            if !entry.compact(compact_revision, &mut self.histories, dead) {
                gone.push(key.clone());
            }
            looked_at += 1;
            if looked_at == keys_max {
                last = Some(key.clone());
                break;
            }
        }
        for key in gone {
            self.keys.remove(&*key);
        }
        last
    }

    /// Shows up to `keys_max` entries of `range` after `cursor` to `visit`.
    /// Returns whether the range may have more; then `cursor` is the last key.
    fn visit_chunk(
        &self,
        range: &KeyRange,
        cursor: &mut Option<Vec<u8>>,
        keys_max: usize,
        mut visit: impl FnMut(&[u8], &KeyIndex, &Histories) -> ControlFlow<()>,
    ) -> bool {
        let from = match cursor {
            Some(last) => Bound::Excluded(last.as_slice()),
            None => Bound::Included(range.start()),
        };
        let mut entries = self
            .keys
            .range::<[u8], _>((from, range.end_bound()))
            .enumerate();
        let stopped_at = entries.find_map(|(place, (key, entry))| {
            if visit(key, entry, &self.histories).is_break() {
                return Some((false, key));
            }
            (place + 1 == keys_max).then_some((true, key))
        });
        let Some((may_have_more, key)) = stopped_at else {
            return false;
        };
        let last = cursor.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        may_have_more
    }
}

/// Shows every key of `range` that is alive at `main` to `visit`, in order,
/// until it breaks. The lock is dropped between chunks.
pub(super) fn for_each_alive(
    index: &RwLock<TreeIndex>,
    range: &KeyRange,
    main: i64,
    mut visit: impl FnMut(&[u8], Change) -> ControlFlow<()>,
) {
    for_each_key(index, range, |key, entry, histories| {
        match entry.change_at(main, histories) {
            Some(change) if !change.is_tombstone() => visit(key, change),
            _ => ControlFlow::Continue(()),
        }
    });
}

/// Shows every entry of `range` to `visit`, in order, until it breaks. The lock
/// is dropped between chunks.
pub(super) fn for_each_key(
    index: &RwLock<TreeIndex>,
    range: &KeyRange,
    mut visit: impl FnMut(&[u8], &KeyIndex, &Histories) -> ControlFlow<()>,
) {
    if range.is_empty() {
        return;
    }
    let mut cursor = None;
    while index
        .read()
        .visit_chunk(range, &mut cursor, CHUNK_KEYS, &mut visit)
    {}
}

/// Keys walked per lock hold: a few microseconds, short beside one apply.
pub(super) const CHUNK_KEYS: usize = 256;
