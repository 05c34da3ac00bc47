//! `Log`: the public face. Skeleton: signatures first.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Config;
use crate::entry::{Entry, Position};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::storage::Storage;

/// Called once, on the writer thread or (after a failure) the caller's.
pub type Completion = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What `Log::open` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Index of the oldest entry held; `None` if there is none.
    pub first_index: Option<u64>,
    /// Newest entry held; `None` if there is none (then `purged` is the end).
    pub last: Option<Position>,
    /// Newest purged position.
    pub purged: Option<Position>,
    /// Last saved vote.
    pub vote: Option<Bytes>,
    /// Last saved commit mark that reached the disk.
    pub committed: Option<Bytes>,
    /// An unfinished last write that was cut off.
    pub torn_tail: Option<TornTail>,
}

/// Where an unfinished write was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Segment file.
    pub path: PathBuf,
    /// Offset of the frame that was cut.
    pub offset: u64,
}

/// The log of one member.
#[derive(Debug)]
pub struct Log {}

/// Watches how far the log is durable. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Durable {}

impl Log {
    /// Opens or creates the log in `config.directory`.
    ///
    /// # Errors
    /// I/O, corruption, a foreign identity, or a directory in use.
    pub fn open(storage: Arc<dyn Storage>, config: Config) -> Result<(Self, Recovery), Error> {
        config.check()?;
        let _ = storage;
        todo!()
    }

    /// Appends entries; they are readable when this returns. `done` is called
    /// once they are durable.
    pub fn append(&self, entries: &[Entry], done: Completion) {
        let _ = (entries, done);
        todo!()
    }

    /// Stores the vote; `done` is called once it is durable.
    pub fn save_vote(&self, vote: Bytes, done: Completion) {
        let _ = (vote, done);
        todo!()
    }

    /// Notes how far the log is committed; reaches the disk with the next group.
    pub fn save_committed(&self, committed: Bytes) {
        let _ = committed;
        todo!()
    }

    /// Drops entries after `index`; `None` drops all.
    pub fn truncate_after(&self, index: Option<u64>) {
        let _ = index;
        todo!()
    }

    /// Drops entries up to and including `position`.
    pub fn purge_to(&self, position: Position) {
        let _ = position;
        todo!()
    }

    /// Reads entries; at least one for a non-empty range.
    ///
    /// # Errors
    /// `OutOfRange`, I/O, corruption.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let _ = (range, bytes_max);
        todo!()
    }

    /// A watch on the durable index.
    pub fn durable(&self) -> Durable {
        todo!()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        todo!()
    }

    /// Writes and syncs what is pending, then stops the writer.
    ///
    /// # Errors
    /// The failure that poisoned the log, if any.
    pub fn close(&self) -> Result<(), Error> {
        todo!()
    }
}

impl Durable {
    /// Highest index up to which the log is durable.
    pub fn index(&self) -> Option<u64> {
        todo!()
    }

    /// Blocks until `index` is durable.
    ///
    /// # Errors
    /// The log was poisoned or closed before.
    pub fn wait_for(&self, index: u64) -> Result<(), Error> {
        let _ = index;
        todo!()
    }
}
