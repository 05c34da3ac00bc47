//! The newest entries, kept in memory so that apply and peers read them without
//! a system call. Bounded in bytes; entries not yet durable are never dropped,
//! because they can be read nowhere else.

use std::collections::VecDeque;

use crate::entry::Entry;

/// Newest entries, contiguous up to the end of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(
            self.entries
                .back()
                .is_none_or(|last| last.index + 1 == entry.index)
        );
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
    }

    /// Drops entries from `end` on.
    pub(crate) fn truncate(&mut self, end: u64) {
        while self.entries.back().is_some_and(|entry| entry.index >= end) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= cost(&entry);
            }
        }
    }

    /// Drops entries before `first`.
    pub(crate) fn purge(&mut self, first: u64) {
        self.drop_front_while(|entry, _| entry.index < first);
    }

    /// Drops the oldest durable entries until at most `bytes_max` are held.
    pub(crate) fn shrink(&mut self, bytes_max: usize, durable_end: u64) {
        self.drop_front_while(|entry, bytes| bytes > bytes_max && entry.index < durable_end);
    }

    /// Index of the oldest entry held.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.index)
    }

    /// Entries from `start` on, in order.
    pub(crate) fn from(&self, start: u64) -> impl Iterator<Item = &Entry> {
        let skipped = self.first().map_or(0, |first| start.saturating_sub(first));
        self.entries.range(
            usize::try_from(skipped)
                .unwrap_or(usize::MAX)
                .min(self.entries.len())..,
        )
    }

    fn drop_front_while(&mut self, condition: impl Fn(&Entry, usize) -> bool) {
        while self
            .entries
            .front()
            .is_some_and(|entry| condition(entry, self.bytes))
        {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= cost(&entry);
            }
        }
    }
}

/// Memory an entry is charged for: its payload and its slot.
fn cost(entry: &Entry) -> usize {
    entry.payload.len() + size_of::<Entry>()
}
