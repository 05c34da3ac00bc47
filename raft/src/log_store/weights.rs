//! How many bytes of entries lie above an index, to purge by bytes.
//!
//! Sampled every few entries, so it costs nothing per entry and is exact to
//! one sample. Only entries appended since the process started are counted:
//! older ones weigh nothing until they are purged by count.

use std::collections::VecDeque;

/// Running total of entry bytes, sampled along the log.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    marks: VecDeque<(u64, u64)>,
    total: u64,
}

impl Weights {
    /// Notes an appended entry.
    pub(crate) fn push(&mut self, index: u64, bytes: u64) {
        if self
            .marks
            .back()
            .is_none_or(|(last, _)| index >= last.saturating_add(STRIDE))
        {
            self.marks.push_back((index, self.total));
        }
        self.total = self.total.saturating_add(bytes);
    }

    /// Forgets entries above `index`.
    pub(crate) fn truncate_after(&mut self, index: Option<u64>) {
        while let Some((last, total)) = self.marks.back().copied() {
            if index.is_some_and(|index| last <= index) {
                break;
            }
            self.total = total;
            self.marks.pop_back();
        }
    }

    /// Forgets marks up to and including `index`.
    pub(crate) fn purge_to(&mut self, index: u64) {
        while self.marks.front().is_some_and(|(first, _)| *first <= index) {
            self.marks.pop_front();
        }
    }

    /// The highest sampled index such that purging below it still keeps the
    /// newest `bytes_max`; `None` when everything fits.
    pub(crate) fn purge_below(&self, bytes_max: u64) -> Option<u64> {
        let floor = self.total.checked_sub(bytes_max)?;
        let at = self.marks.partition_point(|(_, before)| *before <= floor);
        let (index, before) = self.marks.get(at.checked_sub(1)?)?;
        (*before > 0).then_some(*index)
    }
}

/// Entries between two samples.
const STRIDE: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_tail_is_bounded_by_bytes() {
        let mut weights = Weights::default();
        (0..1000).for_each(|index| weights.push(index, 100));
        assert_eq!(weights.purge_below(100_000), None);
        let below = weights.purge_below(10_000).unwrap();
        assert!((868..=900).contains(&below), "{below}");
        weights.purge_to(below);
        weights.truncate_after(Some(950));
        assert!(weights.total <= 96_000);
    }
}
