//! openraft's log storage on the write-ahead log.
//!
//! One ordered stream carries entries, votes, truncations, purges and commit
//! marks, so that nothing can become durable out of order. `append` returns
//! at once; openraft learns of durability through the completion the log
//! calls after the sync. Reads come from the entry cache; what has left it is
//! read from the log's files on a blocking thread, never on the raft thread.
//!
//! Lock order: `State` is a leaf; it is never held over an await or a call
//! into the log that can block.

mod behind;
mod durable;
pub(crate) mod entry_cache;
pub(crate) mod entry_codec;
pub(crate) mod entry_pool;
mod examination;
mod forced;
mod reader;
mod storage;
mod weights;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quoin_wal::storage::{FileStorage, Storage};
use quoin_wal::{Log, LogIdentity, Pump, Recovery, TornTail};

pub use durable::Durable;
pub use examination::{Entries, LogExamination, Quorums};

use crate::blocking::Blocking;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::state_machine::LogId as ShownLogId;
use crate::types::{LogId, Vote, log_id, shown};
use entry_cache::EntryCache;
use entry_codec::CodecError;
use entry_pool::EntryPool;
use weights::Weights;

/// The log of one member. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    pub(crate) shared: Arc<Shared>,
}

impl LogStore {
    /// Opens or creates the log in `config.wal.directory`.
    ///
    /// # Errors
    /// The directory cannot be used, or what it holds is corrupt.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Self::open_on(Arc::new(FileStorage), config)
    }

    /// The same on any storage.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open_on(storage: Arc<dyn Storage>, config: &Config) -> Result<Self, Error> {
        let (wal, recovery) = Log::open(storage, wal_config(config))?;
        Self::over(wal, recovery, config)
    }

    /// The same without threads, for simulations: nothing is written before the
    /// caller works the [`Pump`], as `wake` tells it to.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open_pumped(
        storage: Arc<dyn Storage>,
        config: &Config,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Pump), Error> {
        let (wal, recovery, pump) = Log::open_pumped(storage, wal_config(config), wake)?;
        Ok((Self::over(wal, recovery, config)?, pump))
    }

    fn over(wal: Log, recovery: Recovery, config: &Config) -> Result<Self, Error> {
        let is_new =
            recovery.last.is_none() && recovery.purged.is_none() && recovery.vote.is_none();
        let position = |at: quoin_wal::Position| log_id(at.term, at.index);
        let purged = recovery.purged.map(position);
        let state = State {
            vote: stored("vote", recovery.vote.as_ref().map(entry_codec::decode_vote))?,
            committed: stored(
                "commit mark",
                recovery
                    .committed
                    .as_ref()
                    .map(entry_codec::decode_committed),
            )?
            .flatten(),
            purged,
            last: recovery.last.map(position).or(purged),
            first: recovery
                .first_index
                .unwrap_or(purged.map_or(0, |id| id.index + 1)),
            cache: EntryCache::new(config.cache_bytes_max),
            weights: Weights::default(),
        };
        let metrics = Metrics::shared();
        let pool = EntryPool::new(Arc::clone(&metrics));
        pool.fill_ahead();
        let purged_next = AtomicU64::new(purged.map_or(0, |id| id.index + 1));
        Ok(Self {
            shared: Arc::new(Shared {
                wal,
                state: Mutex::new(state),
                pool,
                metrics,
                purged_next,
                is_new,
                blocking: config.blocking.clone(),
                torn_tail: recovery.torn_tail,
            }),
        })
    }

    /// True when nothing was ever written to it.
    pub fn is_new(&self) -> bool {
        self.shared.is_new
    }

    /// An unfinished last write that was cut off when the log was opened.
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.shared.torn_tail.as_ref()
    }

    /// Follows how far the log is durable on this member.
    pub fn durable(&self) -> Durable {
        Durable::new(self)
    }

    /// Buffers for entries; see [`EntryPool`].
    pub fn entry_pool(&self) -> &EntryPool {
        &self.shared.pool
    }

    /// The counters this log and its node write.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// The counters of the write-ahead log.
    pub fn wal_metrics(&self) -> &quoin_wal::Metrics {
        self.shared.wal.metrics()
    }

    /// The position of the last entry, durable or not; of what was purged if no entry
    /// is held.
    pub fn last(&self) -> Option<ShownLogId> {
        self.shared.state.lock().last.as_ref().map(shown)
    }

    /// Entries from `index` on, counted from 1, that are held: where each stands and
    /// its bytes as they were proposed. For tools that compare logs. May block.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn entries_from(&self, index: u64) -> Result<Vec<(ShownLogId, Bytes)>, Error> {
        let range = {
            let state = self.shared.state.lock();
            let end = state.last.map_or(0, |last| last.index + 1);
            index.saturating_sub(1).max(state.first)..end
        };
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.shared.wal.read(range, usize::MAX)?;
        let shown_entry = |entry: quoin_wal::Entry| {
            let id = shown(&log_id(entry.term, entry.index));
            (id, entry.payload)
        };
        Ok(entries.into_iter().map(shown_entry).collect())
    }

    /// See [`Weights::purge_below`].
    pub(crate) fn purge_below(&self, bytes_max: u64) -> Option<u64> {
        self.shared.state.lock().weights.purge_below(bytes_max)
    }

    /// The first entry that is there, or will be.
    pub(crate) fn first_index(&self) -> u64 {
        self.shared.state.lock().first
    }

    /// The failure that stopped the log, if one has.
    pub(crate) fn failure(&self) -> Option<Error> {
        Some(self.shared.wal.failure()?.into())
    }

    /// See [`Log::writing_for`].
    pub(crate) fn writing_for(&self) -> std::time::Duration {
        self.shared.wal.writing_for()
    }

    /// Writes and syncs what is pending and stops the writer. May block.
    pub(crate) fn close(&self) -> Result<(), Error> {
        Ok(self.shared.wal.close()?)
    }
}

impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore")
            .field("is_new", &self.shared.is_new)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    pub(crate) wal: Log,
    pub(crate) state: Mutex<State>,
    pub(crate) pool: EntryPool,
    pub(crate) metrics: Arc<Metrics>,
    /// Index after the last purged entry, for [`Durable`].
    purged_next: AtomicU64,
    is_new: bool,
    pub(crate) blocking: Blocking,
    torn_tail: Option<TornTail>,
}

impl Shared {
    fn note_purged(&self, index: u64) {
        self.purged_next
            .fetch_max(index.saturating_add(1), Ordering::Release);
    }
}

/// What is known without reading: the ends of the log and the hard state.
pub(crate) struct State {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    /// Index of the oldest entry held, or where the next one will go.
    pub(crate) first: u64,
    pub(crate) cache: EntryCache,
    pub(crate) weights: Weights,
}

/// How the write-ahead log is kept under this configuration.
fn wal_config(config: &Config) -> quoin_wal::Config {
    let identity = LogIdentity {
        cluster_id: config.cluster_id,
        member_id: config.member_id,
    };
    let mut wal = quoin_wal::Config::new(config.wal.directory.clone(), identity);
    wal.segment_bytes = config.wal.segment_bytes;
    wal.first_segment_bytes = wal.first_segment_bytes.min(wal.segment_bytes);
    wal.spare_segments_count = config.wal.spare_segments_count;
    wal.unsafe_no_fsync = config.wal.unsafe_no_fsync;
    // Recent entries are in our cache; the log keeps what is not durable, and
    // nothing else, because that would hold buffers back.
    wal.tail_bytes_max = 0;
    wal
}

fn stored<T>(
    what: &'static str,
    decoded: Option<Result<T, CodecError>>,
) -> Result<Option<T>, Error> {
    decoded.transpose().map_err(|error| Error::Corrupt {
        what,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod contract;
