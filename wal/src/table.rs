//! Where each written entry lies: index to segment and offset.
//!
//! Indexes are contiguous, so this is a queue: appended at the back, truncated
//! from the back, purged from the front. It follows the stream as written; the
//! newest entries of the log may be in memory only.

use std::collections::VecDeque;

use crate::entry::Position;

/// Place of one entry's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Segment.
    pub(crate) sequence: u64,
    /// Offset of the record header in the segment.
    pub(crate) offset: u32,
    /// Payload length.
    pub(crate) length: u32,
    pub(crate) term: u64,
}

/// Locations of the entries `first()..next`.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Index after the last entry; `None` until the first one decides it.
    next: Option<u64>,
    locations: VecDeque<Location>,
}

impl Table {
    /// An empty table whose first entry will be `next`.
    pub(crate) fn starting_at(next: Option<u64>) -> Self {
        Self {
            next,
            locations: VecDeque::new(),
        }
    }

    /// Adds the entry `index`; false if it is not the next one.
    #[must_use]
    pub(crate) fn push(&mut self, index: u64, location: Location) -> bool {
        if self.next.is_some_and(|next| next != index) || index == u64::MAX {
            return false;
        }
        self.next = Some(index + 1);
        self.locations.push_back(location);
        true
    }

    /// Drops entries from `end` on; `None` drops all and forgets where to go on.
    pub(crate) fn truncate(&mut self, end: Option<u64>) {
        let Some(end) = end else {
            *self = Self::default();
            return;
        };
        let kept = self.first().map_or(0, |first| end.saturating_sub(first));
        self.locations
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.next = self.next.map(|next| next.min(end));
    }

    /// Drops entries up to and including `position`.
    pub(crate) fn purge(&mut self, position: Position) {
        let end = position.index.saturating_add(1);
        while self.first().is_some_and(|first| first < end) && self.locations.pop_front().is_some()
        {
        }
        if self.locations.is_empty() {
            self.next = Some(self.next.map_or(end, |next| next.max(end)));
        }
    }

    /// Index of the first entry held, or where the first one would be.
    pub(crate) fn first(&self) -> Option<u64> {
        self.next.map(|next| next - self.locations.len() as u64)
    }

    /// Index after the last entry.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<Position> {
        let term = self.locations.back()?.term;
        Some(Position {
            index: self.next?.checked_sub(1)?,
            term,
        })
    }

    /// Where `index` lies.
    pub(crate) fn location(&self, index: u64) -> Option<Location> {
        let ordinal = index.checked_sub(self.first()?)?;
        self.locations.get(usize::try_from(ordinal).ok()?).copied()
    }

    /// Segment of the oldest entry.
    pub(crate) fn first_sequence(&self) -> Option<u64> {
        self.locations.front().map(|location| location.sequence)
    }

    /// Whether no entry is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(range: std::ops::Range<u64>) -> Table {
        let mut table = Table::default();
        for index in range {
            assert!(table.push(
                index,
                Location {
                    sequence: index,
                    offset: 0,
                    length: 0,
                    term: 1
                }
            ));
        }
        table
    }

    #[test]
    fn indexes_map_to_their_locations_through_truncation_and_purge() {
        let mut table = filled(5..15);
        table.purge(Position { index: 7, term: 1 });
        table.truncate(Some(12));
        assert_eq!((table.first(), table.next()), (Some(8), Some(12)));
        assert_eq!(table.location(8).unwrap().sequence, 8);
        assert_eq!(table.location(7), None);
        assert_eq!(table.location(12), None);
        assert!(!table.push(13, table.location(8).unwrap()));
        table.truncate(Some(3));
        assert_eq!(
            (table.first(), table.next(), table.is_empty()),
            (Some(3), Some(3), true)
        );
    }

    #[test]
    fn a_purge_beyond_the_end_moves_the_end() {
        let mut table = filled(0..3);
        table.purge(Position { index: 9, term: 4 });
        assert_eq!(
            (table.first(), table.next(), table.last()),
            (Some(10), Some(10), None)
        );
        table.truncate(None);
        assert_eq!(table.next(), None);
    }
}
