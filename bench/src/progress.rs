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
