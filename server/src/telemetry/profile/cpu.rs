//! Where CPU time is spent: stacks sampled by a timer on the CPU time of the
//! whole process.
//!
//! The samples are taken in a signal handler of the `pprof` crate, which walks
//! the stack of the thread that was running. Threads that wait are not seen.
//! One sampling at a time; a second one is refused, as in Go. Beginning and
//! ending take long, dropping included: the crate prepares a table of some 90 MB,
//! and reads the debug information of the binary. Do all of it off the runtime.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A sampling under way; ends when it is dropped.
pub(crate) struct CpuSampling {
    guard: pprof::ProfilerGuard<'static>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SamplingError {
    /// Another one is under way.
    #[error("cpu profiling already in use")]
    Busy,
    /// The timer, the signal or the buffer could not be had.
    #[error("{0}")]
    Failed(String),
}

/// Stacks and how often each was seen.
#[derive(Debug)]
pub(crate) struct CpuProfile {
    /// Distinct stacks.
    pub(super) stacks: Vec<Stack>,
    /// CPU time between two samples.
    pub(super) period: Duration,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
}

/// One stack of one thread.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) thread: String,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
    pub(super) samples_count: u64,
}

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// Name as it is written in the source.
    pub(super) function: String,
    /// Name as the linker has it.
    pub(super) symbol: String,
    pub(super) file: String,
    pub(super) line: u32,
}

impl CpuSampling {
    /// Starts sampling. Takes long.
    ///
    /// # Errors
    /// Another one is under way, or the system refuses.
    pub(crate) fn start() -> Result<Self, SamplingError> {
        // Interrupted inside the C library, a thread may hold the locks that
        // walking its stack takes.
        let builder = pprof::ProfilerGuardBuilder::default()
            .frequency(SAMPLES_PER_SECOND)
            .blocklist(&["libc", "libgcc", "pthread", "vdso"]);
        match builder.build() {
            Ok(guard) => Ok(Self { guard }),
            Err(pprof::Error::Running) => Err(SamplingError::Busy),
            Err(error) => Err(SamplingError::Failed(error.to_string())),
        }
    }

    /// Ends the sampling and names what was seen. Takes long.
    ///
    /// # Errors
    /// The samples cannot be read back.
    pub(crate) fn finish(self) -> Result<CpuProfile, SamplingError> {
        let report = self.guard.report().build();
        // Kept for the next time it would hold the debug information of all.
        backtrace::clear_symbol_cache();
        let report = report.map_err(|error| SamplingError::Failed(error.to_string()))?;
        let stacks = report.data.iter().map(|(stack, count)| Stack {
            thread: stack.thread_name_or_id(),
            frames: stack.frames.iter().flatten().map(frame).collect(),
            samples_count: u64::try_from(*count).unwrap_or(0),
        });
        Ok(CpuProfile {
            stacks: stacks.collect(),
            period: Duration::from_secs(1) / SAMPLES_PER_SECOND.unsigned_abs(),
            started: report.timing.start_time,
            took: report.timing.duration,
        })
    }
}

impl std::fmt::Debug for CpuSampling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CpuSampling")
            .finish_non_exhaustive()
    }
}

impl CpuProfile {
    /// One line per stack, outermost function first, then its samples: the
    /// form that flame graph tools read.
    pub(crate) fn folded(&self) -> String {
        let mut lines = BTreeMap::<String, u64>::new();
        for stack in &self.stacks {
            let frames = stack.frames.iter().rev().map(|frame| &*frame.function);
            let line: Vec<_> = std::iter::once(&*stack.thread).chain(frames).collect();
            *lines.entry(line.join(";")).or_default() += stack.samples_count;
        }
        lines
            .iter()
            .map(|(stack, count)| format!("{stack} {count}\n"))
            .collect()
    }
}

fn frame(symbol: &pprof::Symbol) -> Frame {
    Frame {
        function: symbol.name(),
        symbol: symbol.sys_name().into_owned(),
        file: symbol.filename().into_owned(),
        line: symbol.lineno(),
    }
}

/// Go's rate, less one: a round number would beat with timers of the server.
const SAMPLES_PER_SECOND: i32 = 99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_found_by_its_name_and_a_second_sampling_is_refused() {
        let sampling = CpuSampling::start().unwrap();
        let busy = CpuSampling::start().unwrap_err();
        assert!(matches!(busy, SamplingError::Busy), "{busy}");
        let started = std::time::Instant::now();
        let mut sum = 0;
        // Bounded by the wall clock for machines that give it no CPU.
        while started.elapsed() < Duration::from_secs(2) {
            sum = spin_for_the_profile(sum);
        }
        let profile = sampling.finish().unwrap();
        let folded = profile.folded();
        assert!(folded.contains("spin_for_the_profile"), "{sum} {folded}");
        let samples: u64 = profile.stacks.iter().map(|stack| stack.samples_count).sum();
        assert!(samples > 10, "{folded}");
        assert_eq!(folded.lines().filter(|line| line.is_empty()).count(), 0);
        // It is over: another one may begin.
        drop(CpuSampling::start().unwrap());
    }

    #[inline(never)]
    fn spin_for_the_profile(seed: u64) -> u64 {
        (0..100_000u64).fold(seed, |sum, number| {
            std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number))
        })
    }
}
