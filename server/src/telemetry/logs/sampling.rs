//! Bounded repetition: of equal lines within a second the first hundred are
//! written and then every hundredth.
//!
//! Counters live in a fixed table indexed by a hash of level and message, so
//! that memory is bounded and no lock is taken; two messages that share a slot
//! thin each other out, which a table of this size makes rare.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of recent lines.
#[derive(Debug)]
pub(super) struct Sampler {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// The second the count belongs to.
    second: AtomicU64,
    count: AtomicU64,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS_COUNT).map(|_| Slot::default()).collect(),
        }
    }

    /// Whether a line of this level and message may be written in this second.
    pub(super) fn admits(&self, level: &str, message: &str, second: u64) -> bool {
        let mut hasher = DefaultHasher::new();
        (level, message).hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SLOTS_COUNT).unwrap_or(0);
        let Some(slot) = self.slots.get(index) else {
            return true;
        };
        if slot.second.swap(second, Ordering::Relaxed) != second {
            slot.count.store(0, Ordering::Relaxed);
        }
        let before = slot.count.fetch_add(1, Ordering::Relaxed);
        before < FIRST_COUNT || before.is_multiple_of(EVERY)
    }
}

const SLOTS_COUNT: u64 = 4096;
/// Lines written in a second before thinning.
const FIRST_COUNT: u64 = 100;
/// One in this many is written after that.
const EVERY: u64 = 100;

#[cfg(test)]
mod tests {
    use super::Sampler;

    #[test]
    fn repetition_is_thinned_within_a_second_only() {
        let sampler = Sampler::new();
        let admitted = |second| {
            (0..1000)
                .filter(|_| sampler.admits("info", "m", second))
                .count()
        };
        assert_eq!(admitted(1), 109);
        assert_eq!(admitted(2), 109);
        assert!(sampler.admits("warn", "m", 2));
    }
}
