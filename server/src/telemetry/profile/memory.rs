//! The memory of the process: what the kernel counts and what the allocator
//! counts.
//!
//! The allocator knows how much it took from the system, not who asked for it:
//! counting each allocation, or where it came from, would cost on every path.
//! Its figures by size class are left out, because each thread keeps its own
//! and adds them up late. Where another allocator is built in, as in unit
//! tests, its figures are about nothing.

use std::fs;

use serde::Deserialize;

/// All figures there are, in bytes unless said otherwise.
#[derive(Debug, Default)]
pub(crate) struct MemoryFigures {
    /// Name and bytes of each figure of the kernel; empty where it has none.
    pub(crate) kernel: Vec<(&'static str, u64)>,
    /// The allocator's.
    pub(crate) allocator: Option<AllocatorFigures>,
}

/// What mimalloc counts for the whole process.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct AllocatorFigures {
    /// As major, minor and patch in decimal: 30302 is 3.3.2.
    #[serde(rename = "mimalloc_version")]
    pub(crate) version: u64,
    /// Address space.
    pub(crate) reserved: Held,
    /// Memory that may be touched.
    pub(crate) committed: Held,
    /// Calls that took address space from the system.
    pub(crate) mmap_calls: u64,
    /// Calls that gave memory back.
    pub(crate) purge_calls: u64,
}

/// Bytes held.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Held {
    /// Now.
    pub(crate) current: i64,
    /// At most so far.
    pub(crate) peak: i64,
}

/// Reads all figures.
pub(crate) fn memory() -> MemoryFigures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    MemoryFigures {
        kernel: kernel_figures(&status),
        allocator: allocator_figures(),
    }
}

fn kernel_figures(status: &str) -> Vec<(&'static str, u64)> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes = line.strip_prefix(':')?.trim().strip_suffix(" kB")?;
        kibibytes.parse::<u64>().ok()?.checked_mul(1024)
    };
    let figures = KERNEL_FIGURES.iter();
    figures
        .filter_map(|name| Some((*name, bytes(name)?)))
        .collect()
}

fn allocator_figures() -> Option<AllocatorFigures> {
    let json = mimalloc::MiMalloc::stats_json().ok()?;
    serde_json::from_slice(json.to_bytes()).ok()
}

/// Resident now, at most, of it heap and stacks, of it files; swapped out;
/// address space.
const KERNEL_FIGURES: [&str; 6] = ["VmRSS", "VmHWM", "RssAnon", "RssFile", "VmSwap", "VmSize"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_of_the_kernel_become_bytes() {
        let status = "Name:\tquoin\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\nThreads:\t9\n";
        assert_eq!(
            kernel_figures(status),
            [("VmRSS", 1 << 20), ("VmHWM", 2 << 20)]
        );
    }

    #[test]
    fn the_allocator_answers_in_the_form_expected() {
        assert!(allocator_figures().unwrap().version > 0);
    }
}
