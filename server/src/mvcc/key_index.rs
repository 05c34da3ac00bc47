//! One key's history: its newest change, and the older ones if there are any.
//!
//! Most keys have one live change, so the older ones are kept outside, in
//! [`Histories`], and the entry holds a 4-byte link. A history ascends by
//! revision and never holds the newest change; it exists only while it is not
//! empty. Reads at a revision search it by bisection.

use crate::base::revision::Revision;

use super::generation::Change;

/// Index entry of one key. 32 bytes.
#[derive(Debug)]
#[repr(Rust, packed(4))]
pub(super) struct KeyIndex {
    newest: Change,
    /// Place of the older changes in [`Histories`], or [`NO_HISTORY`].
    history: u32,
}

impl KeyIndex {
    /// An entry whose only change is `first`.
    pub(super) fn new(first: Change) -> Self {
        Self {
            newest: first,
            history: NO_HISTORY,
        }
    }

    /// Adds a change newer than all others.
    pub(super) fn push(&mut self, change: Change, histories: &mut Histories) {
        debug_assert!(change.revision() > self.newest.revision());
        if self.history == NO_HISTORY {
            self.history = histories.allocate();
        }
        histories.at_mut(self.history).push(self.newest);
        self.newest = change;
    }

    /// Removes the newest change and answers the one before, now the newest;
    /// nothing if there was no other, and then the entry is to be removed.
    pub(super) fn pop(&mut self, histories: &mut Histories) -> Option<Change> {
        if self.history == NO_HISTORY {
            return None;
        }
        let older = histories.at_mut(self.history);
        let before = older.pop()?;
        if older.is_empty() {
            histories.release(self.history);
            self.history = NO_HISTORY;
        }
        self.newest = before;
        Some(before)
    }

    /// The newest change.
    pub(super) fn newest(&self) -> Change {
        self.newest
    }

    /// The newest change with a main revision of at most `main`.
    pub(super) fn change_at(&self, main: i64, histories: &Histories) -> Option<Change> {
        if self.newest.main() <= main {
            return Some(self.newest);
        }
        let older = self.older(histories);
        let after = older.partition_point(|change| change.main() <= main);
        after
            .checked_sub(1)
            .and_then(|place| older.get(place))
            .copied()
    }

    /// All changes with `from <= main <= to`, ascending.
    pub(super) fn changes_between<'a>(
        &self,
        from: i64,
        to: i64,
        histories: &'a Histories,
    ) -> impl Iterator<Item = Change> + use<'a> {
        let older = self.older(histories);
        let start = older.partition_point(|change| change.main() < from);
        let newest = self.newest;
        let inside = move |change: &Change| from <= change.main() && change.main() <= to;
        older
            .iter()
            .skip(start)
            .copied()
            .take_while(inside)
            .chain(std::iter::once(newest).filter(inside))
    }

    /// Forgets what compaction at `compact_revision` removes and adds it to
    /// `dead`. Answers whether anything of the key is left.
    ///
    /// Kept: every change above the revision, and the greatest at or below it,
    /// unless that is a tombstone below it.
    pub(super) fn compact(
        &mut self,
        compact_revision: i64,
        histories: &mut Histories,
        dead: &mut Vec<Revision>,
    ) -> bool {
        let newest = self.newest;
        let newest_is_above = newest.main() > compact_revision;
        if self.history != NO_HISTORY {
            let older = histories.at_mut(self.history);
            let mut cut = if newest_is_above {
                older.partition_point(|change| change.main() <= compact_revision)
            } else {
                older.len()
            };
            if newest_is_above
                && let Some(base) = cut.checked_sub(1)
                && older
                    .get(base)
                    .is_some_and(|change| survives_as_base(*change, compact_revision))
            {
                cut = base;
            }
            dead.extend(older.drain(..cut).map(Change::revision));
            if older.is_empty() {
                histories.release(self.history);
                self.history = NO_HISTORY;
            } else if older.capacity() > 2 * older.len() + 4 {
                older.shrink_to_fit();
            }
        }
        if newest_is_above || survives_as_base(newest, compact_revision) {
            return true;
        }
        dead.push(newest.revision());
        false
    }

    fn older<'a>(&self, histories: &'a Histories) -> &'a [Change] {
        if self.history == NO_HISTORY {
            &[]
        } else {
            histories.at(self.history)
        }
    }
}

/// Whether the greatest change at or below the compact revision stays.
pub(super) fn survives_as_base(change: Change, compact_revision: i64) -> bool {
    !change.is_tombstone() || change.main() == compact_revision
}

/// The older changes of all keys that have any, in chunks so that growing
/// never copies the whole.
#[derive(Debug, Default)]
pub(super) struct Histories {
    chunks: Vec<Vec<Vec<Change>>>,
    /// Places that were released and are empty.
    free: Vec<u32>,
}

impl Histories {
    fn allocate(&mut self) -> u32 {
        if let Some(place) = self.free.pop() {
            return place;
        }
        if self
            .chunks
            .last()
            .is_none_or(|chunk| chunk.len() == CHUNK_LEN)
        {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        let full = (self.chunks.len() - 1) * CHUNK_LEN;
        let chunk = self
            .chunks
            .last_mut()
            .expect("a chunk was pushed if there was none");
        chunk.push(Vec::new());
        let place = u32::try_from(full + chunk.len() - 1).unwrap_or(NO_HISTORY);
        assert!(
            place != NO_HISTORY,
            "the index holds fewer than 2^32 keys with a history"
        );
        place
    }

    fn release(&mut self, place: u32) {
        let released = std::mem::take(self.at_mut(place));
        debug_assert!(released.is_empty());
        self.free.push(place);
    }

    fn at(&self, place: u32) -> &[Change] {
        &self.chunks[place as usize / CHUNK_LEN][place as usize % CHUNK_LEN]
    }

    fn at_mut(&mut self, place: u32) -> &mut Vec<Change> {
        &mut self.chunks[place as usize / CHUNK_LEN][place as usize % CHUNK_LEN]
    }
}

const NO_HISTORY: u32 = u32::MAX;

/// Histories per chunk: 4096 * 24 bytes, a piece the allocator gives at once.
const CHUNK_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(main: i64) -> Revision {
        Revision { main, sub: 0 }
    }

    /// put@2 put@4 delete@6 put@8 delete@10
    fn sample(histories: &mut Histories) -> KeyIndex {
        let mut key = KeyIndex::new(Change::creation(at(2), false));
        key.push(key.newest().next_put(at(4), false), histories);
        key.push(Change::tombstone(at(6)), histories);
        key.push(key.newest().next_put(at(8), false), histories);
        key.push(Change::tombstone(at(10)), histories);
        key
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<KeyIndex>(), 32);
    }

    #[test]
    fn a_read_finds_the_newest_change_at_its_revision() {
        let mut histories = Histories::default();
        let key = sample(&mut histories);
        let found = |main| key.change_at(main, &histories).map(Change::main);
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(found),
            [None, Some(2), Some(2), Some(4), Some(4), Some(6)]
        );
        assert_eq!([9, 10, 11].map(found), [Some(8), Some(10), Some(10)]);
        let between: Vec<i64> = key
            .changes_between(4, 8, &histories)
            .map(Change::main)
            .collect();
        assert_eq!(between, [4, 6, 8]);
        let all: Vec<i64> = key
            .changes_between(0, 99, &histories)
            .map(Change::main)
            .collect();
        assert_eq!(all, [2, 4, 6, 8, 10]);
    }

    #[test]
    fn compaction_keeps_the_base_and_what_is_above() {
        let expected: [(i64, &[i64], bool); 8] = [
            (1, &[], true),
            (2, &[], true),
            (5, &[2], true),
            (6, &[2, 4], true),
            (7, &[2, 4, 6], true),
            (9, &[2, 4, 6], true),
            (10, &[2, 4, 6, 8], true),
            (11, &[2, 4, 6, 8, 10], false),
        ];
        for (revision, gone, remains) in expected {
            let mut histories = Histories::default();
            let mut key = sample(&mut histories);
            let mut dead = Vec::new();
            assert_eq!(
                key.compact(revision, &mut histories, &mut dead),
                remains,
                "at {revision}"
            );
            let dead: Vec<i64> = dead.iter().map(|revision| revision.main).collect();
            assert_eq!(dead, gone, "at {revision}");
        }
    }

    #[test]
    fn released_histories_are_used_again() {
        let mut histories = Histories::default();
        let mut key = sample(&mut histories);
        assert!(key.compact(10, &mut histories, &mut Vec::new()));
        let _ = sample(&mut histories);
        assert_eq!(histories.chunks[0].len(), 1);
    }
}
