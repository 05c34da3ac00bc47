//! Where a long run is, on stderr; results go to stdout.

use std::time::{Duration, Instant};

/// Steps of known number.
#[derive(Debug)]
pub struct Progress {
    steps_count: usize,
    done_count: usize,
    started: Instant,
}

impl Progress {
    /// No step of `steps_count` is done.
    #[must_use]
    pub fn new(steps_count: usize) -> Self {
        Self {
            steps_count,
            done_count: 0,
            started: Instant::now(),
        }
    }

    /// Says what was done and how long the rest may take.
    pub fn step(&mut self, what: &str) {
        self.done_count += 1;
        let left = self.steps_count.saturating_sub(self.done_count);
        let each = self.started.elapsed().as_secs_f64() / self.done_count as f64;
        let rest = Duration::from_secs_f64(each * left as f64).as_secs();
        note(&format!(
            "[{}/{}, {rest} s left] {what}",
            self.done_count, self.steps_count
        ));
    }
}

/// How far one long load is.
#[derive(Debug)]
pub struct Ticker {
    duration: Option<Duration>,
    started: Instant,
    shown: Instant,
    shown_count: u64,
}

/// Time between two lines about one load: shorter loads stay silent.
const TICK: Duration = Duration::from_secs(10);

impl Ticker {
    /// For a load that runs for `duration`, or until it ends, and has done
    /// `count` operations.
    #[must_use]
    pub fn new(duration: Option<Duration>, count: u64) -> Self {
        let now = Instant::now();
        Self {
            duration,
            started: now,
            shown: now,
            shown_count: count,
        }
    }

    /// Time until the next line is due.
    #[must_use]
    pub fn until_next(&self) -> Duration {
        TICK.saturating_sub(self.shown.elapsed())
    }

    /// Shows a line if one is due; `count` operations are done by now.
    pub fn tick(&mut self, count: u64) {
        if !self.until_next().is_zero() {
            return;
        }
        let per_second =
            count.saturating_sub(self.shown_count) as f64 / self.shown.elapsed().as_secs_f64();
        let of = self.duration.map_or_else(String::new, |duration| {
            format!(" of {:.0}", duration.as_secs_f64())
        });
        let passed = self.started.elapsed().as_secs_f64();
        note(&format!(
            "    {passed:.0}{of} s: {per_second:.0} per second, {count} in all"
        ));
        (self.shown, self.shown_count) = (Instant::now(), count);
    }
}

/// One line on stderr.
#[expect(clippy::print_stderr, reason = "progress of a command line program")]
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Lines on stdout.
#[expect(clippy::print_stdout, reason = "result of a command line program")]
pub fn print(text: &str) {
    println!("{text}");
}
