//! A bound on lines that overload would bring by the thousand.
//!
//! The sampler thins lines that are already made; where making them is the
//! cost, the writer asks here first. What is left out is counted, and the next
//! line says how many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lines of one kind that may be written in a second.
#[derive(Debug)]
pub(crate) struct LineBudget {
    began: Instant,
    /// The second under way, counted from `began`, and the lines in it.
    second: AtomicU64,
    count: AtomicU64,
    /// Left out since the last line.
    suppressed: AtomicU64,
}

impl LineBudget {
    /// A budget that is whole.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            second: AtomicU64::new(0),
            count: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// How many lines were left out before the one that may be written now;
    /// `None` if it may not. Two threads at the turn of a second may write a
    /// few lines more than allowed.
    pub(crate) fn take(&self) -> Option<u64> {
        self.take_at(self.began.elapsed().as_secs())
    }

    fn take_at(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND_MAX {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Enough to see what is slow, little beside what a second of work costs.
const LINES_PER_SECOND_MAX: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_by_the_next_line() {
        let budget = LineBudget::new();
        let written = (0..50).filter(|_| budget.take_at(7).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(budget.take_at(8), Some(30));
        assert_eq!(budget.take_at(8), Some(0));
    }
}
