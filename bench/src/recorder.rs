//! Phases of a run and what was seen in the measured one.
//!
//! All threads look at one [`Control`]; each has a [`Recorder`] of its own,
//! merged at the end. Only requests that complete while the phase is
//! [`Phase::Measure`] count, so warm-up and drain leave no trace.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// Shortest and longest latency told apart, in nanoseconds.
const LATENCY_NANOS: (u64, u64) = (1_000, 120_000_000_000);

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients connect; no request is sent.
    Setup,
    /// Requests are sent and not counted.
    WarmUp,
    /// Requests are counted.
    Measure,
    /// Clients end after their request in flight.
    Stop,
}

/// The phase, and how far the run has come, shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Control {
    phase: AtomicU8,
    /// Operations completed in any phase.
    completed_count: AtomicU64,
}

impl Control {
    /// Moves on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Counts operations, measured or not.
    pub fn add_completed(&self, count: u64) {
        self.completed_count.fetch_add(count, Ordering::Relaxed);
    }

    /// Operations completed so far, in every phase.
    #[must_use]
    pub fn completed_count(&self) -> u64 {
        self.completed_count.load(Ordering::Relaxed)
    }

    /// True before the first request may be sent.
    #[must_use]
    pub fn is_setting_up(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Setup as u8
    }

    /// True while completions count.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Measure as u8
    }

    /// True once clients should end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Stop as u8
    }
}

/// What the clients of one thread saw.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Latencies in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Operations completed: requests, or events delivered.
    pub operations_count: u64,
    /// Rows read or events delivered by those operations, where one carries
    /// several.
    pub rows_count: u64,
    /// Requests that failed, and arrivals that found no room.
    pub errors_count: u64,
    /// The first failure's text.
    pub first_error: Option<String>,
}

impl Recorder {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        let (low, high) = LATENCY_NANOS;
        let latencies = Histogram::new_with_bounds(low, high, 3);
        Self {
            latencies: latencies.expect("the bounds are constants in order"),
            operations_count: 0,
            rows_count: 0,
            errors_count: 0,
            first_error: None,
        }
    }

    /// Counts one operation that began, or was due, at `start`.
    pub fn complete(&mut self, start: Instant) {
        self.record(start.elapsed());
    }

    /// Counts one operation that took `latency`.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanos);
        self.operations_count += 1;
    }

    /// Counts one failure.
    pub fn fail(&mut self, failure: impl ToString) {
        self.errors_count += 1;
        self.first_error.get_or_insert_with(|| failure.to_string());
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        // Same bounds, so nothing can be out of range.
        let _added = self.latencies.add(&other.latencies);
        self.operations_count += other.operations_count;
        self.rows_count += other.rows_count;
        self.errors_count += other.errors_count;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_every_operation_and_the_first_error() {
        let (mut one, mut two) = (Recorder::new(), Recorder::new());
        one.record(Duration::from_millis(1));
        two.record(Duration::from_millis(3));
        two.fail("refused");
        two.fail("again");
        one.merge(&two);
        assert_eq!((one.operations_count, one.errors_count), (2, 2));
        assert_eq!(one.first_error.as_deref(), Some("refused"));
        let max = Duration::from_nanos(one.latencies.max());
        assert!(max.abs_diff(Duration::from_millis(3)) < Duration::from_micros(10));
    }

    #[test]
    fn a_latency_past_the_bound_is_kept_at_the_bound() {
        let mut recorder = Recorder::new();
        recorder.record(Duration::from_secs(10_000));
        assert_eq!(recorder.latencies.len(), 1);
    }
}
