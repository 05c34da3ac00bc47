//! What is due next: ids ordered by time, cleaned lazily.
//!
//! A renewal moves a deadline far more often than one is reached, so it does not
//! touch the queue: an entry says "look at this id not before then". Whoever
//! pops one compares with the deadline in force and puts the id back if that is
//! later. The owner keeps one entry per id, so the queue is as long as there
//! are leases; entries of ids that are gone are dropped when their time comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Ids ordered by when to look at them.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue {
    entries: BinaryHeap<Reverse<(Instant, i64)>>,
}

impl ExpiryQueue {
    /// Asks to look at `id` at `when`.
    pub(super) fn push(&mut self, when: Instant, id: i64) {
        self.entries.push(Reverse((when, id)));
    }

    /// The earliest id whose time is at or before `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, i64)> {
        let Reverse((when, _)) = self.entries.peek()?;
        if *when > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_come_out_in_the_order_of_their_time_and_not_before_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = ExpiryQueue::default();
        for (seconds, id) in [(5, 50), (1, 10), (3, 30)] {
            queue.push(at(seconds), id);
        }
        assert_eq!(queue.pop_due(at(0)), None);
        assert_eq!(queue.pop_due(at(4)), Some((at(1), 10)));
        assert_eq!(queue.pop_due(at(4)), Some((at(3), 30)));
        assert_eq!(queue.pop_due(at(4)), None);
        queue.clear();
        assert_eq!(queue.pop_due(at(9)), None);
    }
}
