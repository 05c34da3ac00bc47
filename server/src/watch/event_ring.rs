//! The latest revisions, kept for watchers that are slightly behind.
//!
//! A watcher whose stream stalled for a moment, or that reconnects, is served
//! from here: events are already built and often already encoded. The ring has
//! no holes: it holds every revision from its first to the last one dispatched.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::RevisionEvents;

/// Consecutive recent revisions within bounds of count and bytes.
#[derive(Debug)]
pub(super) struct EventRing {
    revisions: VecDeque<Arc<RevisionEvents>>,
    bytes: usize,
    revisions_max: usize,
    bytes_max: usize,
}

impl EventRing {
    pub(super) fn new(revisions_max: usize, bytes_max: usize) -> Self {
        Self {
            revisions: VecDeque::new(),
            bytes: 0,
            revisions_max,
            bytes_max,
        }
    }

    /// Adds the next revision and drops the oldest ones past the bounds.
    pub(super) fn push(&mut self, events: Arc<RevisionEvents>) {
        debug_assert!(
            self.revisions
                .back()
                .is_none_or(|last| last.revision + 1 == events.revision)
        );
        self.bytes += events.bytes;
        self.revisions.push_back(events);
        while self.revisions.len() > self.revisions_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.revisions.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
    }

    /// Forgets everything: the next revision does not follow the last one.
    pub(super) fn clear(&mut self) {
        self.revisions.clear();
        self.bytes = 0;
    }

    /// Every revision from `from` on, or nothing if the ring starts later.
    pub(super) fn since(
        &self,
        from: i64,
    ) -> Option<impl ExactSizeIterator<Item = &Arc<RevisionEvents>> + use<'_>> {
        let first = self.revisions.front()?.revision;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        Some(self.revisions.range(skip.min(self.revisions.len())..))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryHistory;
    use super::*;

    fn filled(count: usize, ring: &mut EventRing) {
        let history = MemoryHistory::new();
        for _ in 0..count {
            let (revision, events) = history.put("key", "0123456789");
            ring.push(Arc::new(RevisionEvents::new(revision, events)));
        }
    }

    #[test]
    fn it_serves_only_what_it_holds_without_a_hole() {
        let mut ring = EventRing::new(4, 1 << 20);
        assert!(ring.since(1).is_none());
        filled(10, &mut ring);
        // Revisions 2 to 11 went in; 8 to 11 are left.
        assert!(ring.since(7).is_none());
        let held: Vec<i64> = ring
            .since(8)
            .unwrap()
            .map(|events| events.revision)
            .collect();
        assert_eq!(held, vec![8, 9, 10, 11]);
        assert_eq!(ring.since(11).unwrap().len(), 1);
        assert_eq!(ring.since(12).unwrap().len(), 0);
        ring.clear();
        assert!(ring.since(11).is_none());
    }

    #[test]
    fn it_is_bounded_by_bytes() {
        let mut ring = EventRing::new(1000, 100);
        filled(10, &mut ring);
        assert!(ring.bytes <= 100);
        assert!(ring.since(11).unwrap().len() == 1);
        assert!(ring.revisions.len() < 5);
    }
}
