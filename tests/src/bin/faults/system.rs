//! The system calls that a simulation answers itself.
//!
//! The symbols below take the place of those of libc in this binary alone, so that
//! `HashMap`, tokio, `rand` and `Instant` get entropy and time from the seed.
#![allow(
    unsafe_code,
    reason = "symbols of libc are replaced, which cannot be done otherwise"
)]

use std::time::Duration;

use quoin_tests::simulation::process;
use rustix::rand::{GetRandomFlags, getrandom as system_getrandom};
use rustix::time::{ClockId, clock_gettime as system_clock_gettime};

/// `struct timespec` on 64-bit Linux.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

/// `getrandom(2)`.
///
/// # Safety
/// `buffer` has room for `length` bytes, as its callers promise to libc.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: see above.
    let bytes = unsafe {
        std::ptr::write_bytes(buffer, 0, length);
        std::slice::from_raw_parts_mut(buffer, length)
    };
    if process::fill(bytes) {
        return isize::try_from(length).unwrap_or(-1);
    }
    match system_getrandom(bytes, GetRandomFlags::empty()) {
        Ok(count) => isize::try_from(count).unwrap_or(-1),
        Err(_) => -1,
    }
}

/// `clock_gettime(2)`.
///
/// # Safety
/// `out` points to a `timespec`, as its callers promise to libc.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: i32, out: *mut TimeSpec) -> i32 {
    let (seconds, nanoseconds) = match process::time() {
        Some(time) => parts(time),
        None => {
            let time = system_clock_gettime(match clock {
                0 => ClockId::Realtime,
                _ => ClockId::Monotonic,
            });
            (time.tv_sec, time.tv_nsec)
        }
    };
    // SAFETY: see above.
    unsafe {
        out.write(TimeSpec {
            seconds,
            nanoseconds,
        });
    }
    0
}

fn parts(time: Duration) -> (i64, i64) {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    (seconds, i64::from(time.subsec_nanos()))
}

/// Ends the process if it does not end by itself.
pub(crate) fn watch_over() {
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        std::process::exit(HUNG);
    });
}

/// Real time for one seed.
const LIMIT: Duration = Duration::from_secs(600);
/// Exit status of a process that hung.
const HUNG: i32 = 86;
