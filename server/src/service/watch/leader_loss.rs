//! Ends streams that insist on a leader once there has been none for a while.
//!
//! Whether a leader is known is sampled once per election timeout; the third
//! sample in a row without one ends every stream that asked for this, in one
//! step. A stream opened later waits for the next loss.
//!
//! Source: observed etcd behaviour (3.7).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Samples without a leader in a row that count as its loss.
const SAMPLES_MAX: u32 = 3;

/// Tells of the loss of the leader. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderLoss {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Samples in a row without a leader.
    samples_without: u32,
    /// Cancelled at the next loss.
    next_loss: CancellationToken,
}

impl LeaderLoss {
    /// Nothing is lost yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled at the next loss.
    pub(crate) fn next_loss(&self) -> CancellationToken {
        self.state.lock().next_loss.clone()
    }

    /// Takes one sample.
    pub(crate) fn sample(&self, has_leader: bool) {
        let mut state = self.state.lock();
        if has_leader {
            state.samples_without = 0;
            return;
        }
        state.samples_without = state.samples_without.saturating_add(1);
        if state.samples_without >= SAMPLES_MAX {
            let lost = std::mem::take(&mut state.next_loss);
            drop(state);
            lost.cancel();
        }
    }

    /// Samples once per `interval`, the election timeout, for ever.
    pub(crate) async fn run(self, interval: Duration, has_leader: impl Fn() -> bool + Send) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sample(has_leader());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_sample_in_a_row_without_a_leader_is_the_loss() {
        let loss = LeaderLoss::new();
        let early = loss.next_loss();
        for has_leader in [false, false, true, false, false] {
            loss.sample(has_leader);
        }
        assert!(!early.is_cancelled());
        loss.sample(false);
        assert!(early.is_cancelled());
        // A stream opened now is told of the next sample without a leader.
        let late = loss.next_loss();
        assert!(!late.is_cancelled());
        loss.sample(true);
        for _ in 0..SAMPLES_MAX {
            assert!(!late.is_cancelled());
            loss.sample(false);
        }
        assert!(late.is_cancelled());
    }
}
