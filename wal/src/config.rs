//! Settings of a log, resolved: plain values, no `Option`.
//!
//! Every bound of the crate is named here or beside the constant it belongs
//! to. Sizes are in bytes of the disk format (docs/formats/wal.md).

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// Whose log this is. Written into every segment header; a directory that
/// carries another identity is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// Cluster the member belongs to.
    pub cluster_id: u64,
    /// The member that writes the log.
    pub member_id: u64,
}

/// How a log is kept. `Config::new` gives the defaults named on the fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the segments; created if absent, locked while open.
    pub directory: PathBuf,
    /// Owner of the log.
    pub log_id: LogIdentity,
    /// Length of a full segment (64 MiB).
    pub segment_bytes: u64,
    /// Zeroed length of the very first segment (512 KiB): written during `open`,
    /// so it is small; the next segment has full length.
    pub first_segment_bytes: u64,
    /// Purged segments kept for reuse (2); further ones are deleted.
    pub spare_segments_count: usize,
    /// Bytes gathered into one write and one sync (1 MiB). A single larger
    /// record still goes out, alone.
    pub group_bytes_max: usize,
    /// Bytes accepted but not yet written (256 MiB). `append` waits above it.
    pub pending_bytes_max: usize,
    /// Entry bytes kept readable in memory (32 MiB); older durable entries are
    /// read from their segments. Entries not yet durable always stay.
    pub tail_bytes_max: usize,
    /// Longest time a group may grow before it is written when the previous
    /// one held more than `gather_records_min` records. Zero (default) is off.
    pub gather_pause: Duration,
    /// See `gather_pause` (16).
    pub gather_records_min: usize,
    /// Zeroing ahead writes one chunk (1 MiB) per this time (10 ms), because
    /// volumes slow down every sync after a burst.
    pub zeroing_pause: Duration,
    /// Never sync. Loses acknowledged records on power loss; tests only.
    pub unsafe_no_fsync: bool,
}

impl Config {
    /// The defaults for a log in `directory`.
    pub fn new(directory: PathBuf, log_id: LogIdentity) -> Self {
        Self {
            directory,
            log_id,
            segment_bytes: 64 << 20,
            first_segment_bytes: 512 << 10,
            spare_segments_count: 2,
            group_bytes_max: 1 << 20,
            pending_bytes_max: 256 << 20,
            tail_bytes_max: 32 << 20,
            gather_pause: Duration::ZERO,
            gather_records_min: 16,
            zeroing_pause: Duration::from_millis(10),
            unsafe_no_fsync: false,
        }
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what| Err(Error::Config { what });
        if self.segment_bytes < SEGMENT_BYTES_MIN || self.segment_bytes > SEGMENT_BYTES_LIMIT {
            return wrong("segment_bytes must be between 8 KiB and 1 GiB");
        }
        if self.first_segment_bytes > self.segment_bytes {
            return wrong("first_segment_bytes must not exceed segment_bytes");
        }
        if self.group_bytes_max < GROUP_BYTES_MIN || self.group_bytes_max > GROUP_BYTES_LIMIT {
            return wrong("group_bytes_max must be between 512 B and 64 MiB");
        }
        if self.pending_bytes_max < self.group_bytes_max {
            return wrong("pending_bytes_max must not be below group_bytes_max");
        }
        Ok(())
    }
}

/// A header page and one page of frames.
const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// Offsets within a segment are 32 bits wide; the rest is room for one
/// oversized frame.
const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;
/// Below this a group is all framing.
const GROUP_BYTES_MIN: usize = 512;
/// A group is held in memory twice (filling and in flight).
const GROUP_BYTES_LIMIT: usize = 64 << 20;
