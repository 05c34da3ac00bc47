//! The hot tail: the newest entries in memory, bounded by bytes, and by number
//! where apply is through.
//!
//! Every entry is read back once by apply and once per follower, nearly
//! always soon after it was appended; those reads must not touch the disk.
//! The cache is one contiguous run that ends at the last entry of the log.
//! Evicting is always safe: the write-ahead log holds the same entries. It is
//! also wanted: an entry's buffer can be used again only once it has left.

use std::collections::VecDeque;
use std::ops::Range;

use crate::types::Entry;

/// A contiguous run of the newest entries.
#[derive(Debug, Default)]
pub(crate) struct EntryCache {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Entries below this index have been read by apply.
    unread_from: u64,
}

impl EntryCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
            unread_from: 0,
        }
    }

    /// Adds the next entry; an entry that does not follow starts a new run.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self
            .next_index()
            .is_some_and(|next| next != entry.log_id.index)
        {
            self.clear();
        }
        self.bytes += entry.footprint();
        self.entries.push_back(entry);
        self.evict();
    }

    /// Apply has read the entries below `index`.
    pub(crate) fn note_read(&mut self, index: u64) {
        self.unread_from = self.unread_from.max(index);
        self.evict();
    }

    fn evict(&mut self) {
        while let Some(first) = self.entries.front()
            && self.entries.len() > 1
        {
            let is_read = first.log_id.index < self.unread_from;
            let is_many = is_read && self.entries.len() > READ_COUNT_MAX;
            if self.bytes <= self.bytes_max && !is_many {
                break;
            }
            self.drop_first();
        }
    }

    /// Drops entries above `index`; `None` drops all.
    pub(crate) fn truncate_after(&mut self, index: Option<u64>) {
        while let Some(last) = self.entries.back() {
            if index.is_some_and(|index| last.log_id.index <= index) {
                break;
            }
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry.footprint();
            }
        }
    }

    /// Drops entries up to and including `index`.
    pub(crate) fn purge_to(&mut self, index: u64) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.log_id.index <= index)
        {
            self.drop_first();
        }
    }

    /// The entries of `range` up to `bytes_max`, at least one; `None` when the
    /// run does not begin early enough to serve the range.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.log_id.index;
        let from = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(first)?).ok()?;
        if to > self.entries.len() || from >= to {
            return None;
        }
        let mut bytes = 0;
        let mut found = Vec::with_capacity((to - from).min(1024));
        for entry in self.entries.range(from..to) {
            bytes += entry.weight();
            if !found.is_empty() && bytes > bytes_max {
                break;
            }
            found.push(entry.clone());
        }
        Some(found)
    }

    /// Those of the entries above `after` and up to `last` that are held.
    pub(crate) fn between(&self, after: Option<u64>, last: u64) -> impl Iterator<Item = &Entry> {
        let first = self.entries.front().map_or(0, |entry| entry.log_id.index);
        let place = |index: u64| {
            let place = usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX);
            place.min(self.entries.len())
        };
        let end = place(last.saturating_add(1));
        let start = after.map_or(0, |index| place(index.saturating_add(1)));
        self.entries.range(start.min(end)..end)
    }

    fn next_index(&self) -> Option<u64> {
        self.entries.back().map(|last| last.log_id.index + 1)
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.footprint();
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}

/// Entries that apply has read are held up to this number, for followers. Each
/// member has a handful under way at a time, so a follower that is further behind
/// had a reason, and is served from the log files.
const READ_COUNT_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::entry::RaftEntry;

    use super::*;
    use crate::types::{EntryBody, Tag, log_id};

    fn entry(index: u64, length: usize) -> Entry {
        let bytes = Bytes::from(vec![0; length]);
        Entry::new(log_id(1, index), EntryBody::new(Tag::Normal, bytes))
    }

    fn indexes(found: Option<Vec<Entry>>) -> Option<Vec<u64>> {
        Some(found?.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn old_entries_leave_when_the_bytes_run_out() {
        let mut cache = EntryCache::new(1000);
        (0..10).for_each(|index| cache.push(entry(index, 200)));
        assert_eq!(cache.read(0..10, usize::MAX), None);
        assert_eq!(indexes(cache.read(8..10, usize::MAX)), Some(vec![8, 9]));
        assert!(cache.bytes <= 1000);
    }

    #[test]
    fn small_entries_leave_by_their_number_once_apply_has_read_them() {
        let mut cache = EntryCache::new(1 << 20);
        let next = READ_COUNT_MAX as u64 + 50;
        (0..next).for_each(|index| cache.push(entry(index, 1)));
        assert!(cache.read(0..next, usize::MAX).is_some());
        cache.note_read(5);
        assert_eq!(cache.read(4..next, usize::MAX), None);
        assert!(cache.read(5..next, usize::MAX).is_some());
        cache.note_read(next);
        let held = cache.read(50..next, usize::MAX).unwrap();
        assert_eq!(held.len(), READ_COUNT_MAX);
        cache.push(entry(next, 1));
        assert_eq!(cache.read(50..next, usize::MAX), None);
    }

    #[test]
    fn a_read_returns_at_least_one_entry_however_small_the_limit() {
        let mut cache = EntryCache::new(1 << 20);
        (0..4).for_each(|index| cache.push(entry(index, 100)));
        assert_eq!(indexes(cache.read(1..4, 1)), Some(vec![1]));
        assert_eq!(indexes(cache.read(1..4, 2 * (100 + 64))), Some(vec![1, 2]));
    }

    #[test]
    fn only_what_is_held_is_between_two_indexes() {
        let mut cache = EntryCache::new(1 << 20);
        (5..10).for_each(|index| cache.push(entry(index, 10)));
        let between = |after, last| indexes(Some(cache.between(after, last).cloned().collect()));
        assert_eq!(between(None, 6), Some(vec![5, 6]));
        assert_eq!(between(Some(2), 5), Some(vec![5]));
        assert_eq!(between(Some(7), 50), Some(vec![8, 9]));
        assert_eq!(between(Some(7), 7), Some(Vec::new()));
        assert_eq!(between(Some(8), 2), Some(Vec::new()));
        assert_eq!(between(Some(50), 60), Some(Vec::new()));
    }

    #[test]
    fn truncation_and_purge_keep_the_run_contiguous() {
        let mut cache = EntryCache::new(1 << 20);
        (0..10).for_each(|index| cache.push(entry(index, 10)));
        cache.truncate_after(Some(6));
        cache.purge_to(2);
        assert_eq!(
            indexes(cache.read(3..7, usize::MAX)),
            Some(vec![3, 4, 5, 6])
        );
        cache.push(entry(7, 10));
        assert_eq!(indexes(cache.read(6..8, usize::MAX)), Some(vec![6, 7]));
        cache.push(entry(20, 10));
        assert_eq!(cache.read(7..8, usize::MAX), None);
        cache.truncate_after(None);
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }
}
