//! What a load did and what it cost.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Result,
    load::Options,
    recorder::Recorder,
    usage::{Usage, device_written_bytes, flush, reset_peak},
};

/// What a load did and what it cost.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Merged over all clients.
    pub recorder: Recorder,
    /// Measured time.
    pub elapsed: Duration,
    /// Usage of each server process at both edges, in the order of `pids`.
    pub servers: Vec<(Usage, Usage)>,
    /// True if peaks of memory count from the first edge.
    pub has_peaks: bool,
    /// CPU time of the generator itself.
    pub generator_cpu: Duration,
    /// Bytes that reached the device of the data.
    pub device: Option<DeviceCount>,
}

/// Bytes written to a device by anyone, for some operations.
///
/// Servers write behind, and the kernel behind them: so both ends flush the
/// file system first, the count begins before the warm-up, and ends when every
/// request in flight was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCount {
    /// Bytes.
    pub bytes: u64,
    /// Operations in the same time, measured or not.
    pub operations_count: u64,
}

impl DeviceCount {
    /// What the device that holds `folder` has written, once nothing waits.
    /// `None` where there is no such device or folder.
    #[must_use]
    pub fn flushed_bytes(folder: &Path) -> Option<u64> {
        flush(folder).ok()?;
        device_written_bytes(folder)
    }
}

/// What is sampled at both edges of the measured time.
pub(super) struct Edge {
    pub(super) time: Instant,
    pub(super) servers: Vec<Usage>,
    pub(super) generator_cpu: Duration,
}

impl Edge {
    /// The first edge; peaks of memory begin anew. False if they cannot.
    pub(super) fn first(options: &Options) -> Result<(Self, bool)> {
        let mut has_peaks = true;
        for pid in &options.pids {
            has_peaks &= reset_peak(*pid);
        }
        Ok((Self::now(options)?, has_peaks))
    }

    /// Samples every process.
    pub(super) fn now(options: &Options) -> Result<Self> {
        let servers = options.pids.iter().map(|pid| Usage::of(*pid));
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
            generator_cpu: Usage::own()?.cpu,
            time: Instant::now(),
        })
    }
}
