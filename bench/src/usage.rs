//! What a process has spent, read from `/proc`.
//!
//! CPU time is exact to a clock tick (10 ms), which over seconds of load is
//! far below the spread between rounds. Bytes written by a process are those
//! of the pages it dirtied: kernels with large folios charge a whole folio for
//! a small write into it, several times what reaches the disk. What does is
//! read from the device, where it cannot be told who wrote.

use std::{fs, path::Path, time::Duration};

use crate::{Error, Result};

/// A process's resources at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads since its start.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Most resident memory it ever had.
    pub resident_bytes_peak: u64,
    /// Bytes of the pages and folios it dirtied since its start.
    pub written_bytes: u64,
}

impl Usage {
    /// The usage of process `pid`.
    ///
    /// # Errors
    /// It does not run or belongs to someone else.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).map_err(Error::io(path))
        };
        let (stat, status, io) = (read("stat")?, read("status")?, read("io")?);
        let ticks = cpu_ticks(&stat).unwrap_or(0);
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            cpu: Duration::from_nanos(ticks * (1_000_000_000 / per_second)),
            resident_bytes: field(&status, "VmRSS:") * 1024,
            resident_bytes_peak: field(&status, "VmHWM:") * 1024,
            written_bytes: field(&io, "write_bytes:"),
        })
    }

    /// The usage of this process.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}

/// Makes the peak of resident memory of process `pid` begin anew. False where
/// the kernel does not allow it.
#[must_use]
pub fn reset_peak(pid: u32) -> bool {
    fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK).is_ok()
}

/// What `clear_refs` takes to reset the peak alone. Source: proc(5).
const RESET_PEAK: &str = "5";

/// Writes out everything that waits for the file system of `folder`.
///
/// # Errors
/// There is no such folder, or it cannot be written.
pub fn flush(folder: &Path) -> Result<()> {
    let what = || folder.display().to_string();
    let file = fs::File::open(folder).map_err(Error::io(what()))?;
    rustix::fs::syncfs(file).map_err(|error| Error::io(what())(error.into()))
}

/// Bytes written since boot to the device that holds `folder`, by anyone.
/// `None` where there is no such device, as for memory file systems.
#[must_use]
pub fn device_written_bytes(folder: &Path) -> Option<u64> {
    let device = rustix::fs::stat(folder).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    device_sectors(&stat).map(|sectors| sectors * SECTOR_BYTES)
}

/// The unit of block statistics, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

/// Sectors written: the seventh number.
fn device_sectors(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(6)?.parse().ok()
}

/// `utime + stime`: the 12th and 13th fields after the name, which is in
/// parentheses and may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The first number after `name`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 31 11 0 0 20 0 5 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(field(status, "VmRSS:"), 1024);
        assert_eq!(field(status, "VmSwap:"), 0);
    }

    #[test]
    fn sectors_written_are_the_seventh_number() {
        assert_eq!(device_sectors(" 1 2 3 4 5 6 77 8 9"), Some(77));
        assert_eq!(device_sectors("1 2"), None);
    }

    #[test]
    fn a_peak_begins_anew_and_a_folder_is_flushed() {
        let pid = std::process::id();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(touched);
        let before = Usage::own().unwrap();
        assert!(reset_peak(pid));
        let after = Usage::own().unwrap();
        assert!(after.resident_bytes_peak < before.resident_bytes_peak);
        flush(&std::env::temp_dir()).unwrap();
        assert!(flush(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn this_process_has_memory_and_grows_in_cpu_time() {
        let before = Usage::own().unwrap();
        assert!(before.resident_bytes > 0);
        assert!(before.resident_bytes_peak >= before.resident_bytes);
        let (mut spun, started) = (0_u64, std::time::Instant::now());
        // On a busy machine it may take long to be given one tick.
        while Usage::own().unwrap().cpu == before.cpu {
            spun = std::hint::black_box(spun.wrapping_add(1));
            assert!(started.elapsed() < Duration::from_secs(30), "{spun}");
        }
        assert!(Usage::own().unwrap().cpu > before.cpu);
    }
}
