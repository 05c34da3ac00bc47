//! How an endpoint fared lately.
//!
//! Deciding code: the time comes in as an argument. A failing endpoint is left
//! alone for a pause that doubles with each failure in a row, from
//! [`PAUSE_MIN`] to [`PAUSE_MAX`]; one success forgets them all.

use std::time::{Duration, Instant};

/// Failures in a row and the pause they earned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// Failures since the last success.
    failures_count: u32,
    /// Before this time others are asked first.
    paused_until: Option<Instant>,
}

impl Health {
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        let doublings = self.failures_count.min(DOUBLINGS_MAX);
        let pause = (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX);
        self.failures_count = self.failures_count.saturating_add(1);
        self.paused_until = Some(now + pause);
    }

    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| until <= now)
    }

    /// When it may be asked again; the past if it may be asked now.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}

/// First pause: a restarting server or an election takes longer than this, so
/// the second attempt usually goes elsewhere.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: bounds how long a member that is back stays unused.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// `PAUSE_MIN * 2^6` is past `PAUSE_MAX`.
const DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_end_with_a_success() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(health.is_usable(now));
        health.failed(now);
        assert!(!health.is_usable(now) && health.is_usable(now + PAUSE_MIN));
        health.failed(now);
        assert!(!health.is_usable(now + PAUSE_MIN) && health.is_usable(now + PAUSE_MIN * 2));
        for _ in 0..100 {
            health.failed(now);
        }
        assert!(health.is_usable(now + PAUSE_MAX));
        health.succeeded();
        assert!(health.is_usable(now));
    }
}
