//! What a process may ask the system for and must not: entropy and time.
//!
//! `HashMap`, tokio and `rand` seed themselves from the system, some of them once per
//! process. A binary that simulates answers `getrandom` and `clock_gettime` itself,
//! from here, and runs one seed per process. Before [`begin`] both come from the
//! system.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use super::random::mix;

static IS_SIMULATED: AtomicBool = AtomicBool::new(false);
static ENTROPY: AtomicU64 = AtomicU64::new(0);
static NOW: AtomicU64 = AtomicU64::new(0);
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// From now on the process has no time and no entropy but those of the seed, and
/// remembers its first panic.
pub fn begin(seed: u64) {
    ENTROPY.store(mix(seed ^ 0x5151), Ordering::SeqCst);
    IS_SIMULATED.store(true, Ordering::SeqCst);
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(std::io::stderr(), "{panic}");
        let mut first = PANIC.lock();
        if first.is_none() {
            *first = Some(panic.to_string().replace('\n', " "));
        }
    }));
}

/// Fills `bytes` as `getrandom` would; false outside of a simulation.
pub fn fill(bytes: &mut [u8]) -> bool {
    if !IS_SIMULATED.load(Ordering::Relaxed) {
        return false;
    }
    for chunk in bytes.chunks_mut(8) {
        let step = ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let number = mix(step).to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(number) {
            *byte = random;
        }
    }
    true
}

/// The time on every clock; `None` outside of a simulation.
pub fn time() -> Option<Duration> {
    if !IS_SIMULATED.load(Ordering::Relaxed) {
        return None;
    }
    Some(EPOCH + Duration::from_millis(NOW.load(Ordering::Relaxed)))
}

pub(super) fn set_now(milliseconds: u64) {
    NOW.store(milliseconds, Ordering::Relaxed);
}

/// The first panic.
pub(super) fn panicked() -> Option<String> {
    PANIC.lock().clone()
}

/// Processor time that this process has used.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Where simulated clocks begin.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
