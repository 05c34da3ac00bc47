//! What a backend is opened with, and the durability it waits for.
//!
//! Every limit is named here with its default and reason; nothing else in the
//! backend decides how much memory or time it may take.

use std::path::PathBuf;
use std::time::Duration;

use super::engine::EngineKind;

/// Whose data a directory holds. A directory of another member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity {
    /// Id of the cluster.
    pub cluster_id: u64,
    /// Id of the member within it.
    pub member_id: u64,
}

/// Resolved settings of one backend.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the state lives; created when absent. Owned by this backend alone.
    pub directory: PathBuf,
    /// Which engine keeps the blocks. Must be the one the directory was made with.
    pub engine: EngineKind,
    /// Whose data this is.
    pub identity: Identity,
    /// Records in memory past which the proposal path is slowed.
    pub hot_bytes_max: usize,
    /// Cold blocks kept in memory.
    pub block_cache_bytes_max: usize,
    /// Cache inside the engine, below the block cache.
    pub engine_cache_bytes_max: usize,
    /// Records in memory that start a checkpoint.
    pub checkpoint_bytes: usize,
    /// Longest time a change stays out of the engine.
    pub checkpoint_interval: Duration,
    /// How often garbage is looked for while there is some.
    pub collect_interval: Duration,
    /// Bytes copied per second to make the files shrink; 0: only when asked to.
    pub space_bytes_per_second: u64,
    /// Where the time of each engine commit is noted, if anywhere.
    pub commit_durations: Option<prometheus::Histogram>,
}

impl Config {
    /// Default limits for `directory`.
    pub fn new(directory: impl Into<PathBuf>, engine: EngineKind, identity: Identity) -> Self {
        Self {
            directory: directory.into(),
            engine,
            identity,
            hot_bytes_max: HOT_BYTES_MAX,
            block_cache_bytes_max: BLOCK_CACHE_BYTES_MAX,
            engine_cache_bytes_max: ENGINE_CACHE_BYTES_MAX,
            checkpoint_bytes: CHECKPOINT_BYTES,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            collect_interval: COLLECT_INTERVAL,
            space_bytes_per_second: SPACE_BYTES_PER_SECOND,
            commit_durations: None,
        }
    }
}

/// What the write-ahead log has made durable.
///
/// The checkpoint thread asks before it commits, so that the applied index in
/// the engine is never ahead of the local log.
pub trait Durability: Send + Sync {
    /// Blocks until the log entry `log_index` is durable here.
    ///
    /// # Errors
    ///
    /// The log failed or stopped; the checkpoint is abandoned for good.
    fn wait_durable(&self, log_index: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Four checkpoints' worth: a slow flush does not stop writers at once.
const HOT_BYTES_MAX: usize = 128 << 20;
/// About two thousand blocks.
const BLOCK_CACHE_BYTES_MAX: usize = 64 << 20;
/// The engine serves exact reads only; the block cache above does the keeping.
const ENGINE_CACHE_BYTES_MAX: usize = 16 << 20;
/// Large enough to fill blocks, small enough to keep a flush short.
const CHECKPOINT_BYTES: usize = 32 << 20;
/// A checkpoint that only collects is small; more often, its flushes would be felt.
const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// A gigabyte in about a minute, a small part of what a disk does.
const SPACE_BYTES_PER_SECOND: u64 = 16 << 20;
/// Bounds the replay after a crash and the age of unflushed data.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
