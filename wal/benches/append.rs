//! Appending with group commit: what a durable append costs, and how callers
//! share the sync.
//!
//! `durable` is the time from the call until the completion, for that many
//! entries in one call: nearly all of it is the disk's fdatasync. `shared` is
//! the same for single entries from several threads at once, per thread: with
//! group commit it hardly grows, because one sync serves all that wait.
//! `encode` is the caller's part alone, without disk or sync: what the raft
//! thread spends per entry.
//!
//! `cargo bench -p quoin-wal --bench append`

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot write has nothing to say"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use parking_lot::Mutex;
use quoin_wal::storage::{FileStorage, MemoryStorage, Storage};
use quoin_wal::{Config, Entry, Error, Log, LogIdentity, Position};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 16, 256])]
fn durable(bencher: Bencher<'_, '_>, entries_count: u64) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let feed = Feed::open(Arc::new(FileStorage), directory.path(), false);
    bencher
        .counter(ItemsCount::new(entries_count))
        .bench(|| feed.append(entries_count).recv());
}

#[divan::bench(threads = [1, 4, 16])]
fn shared(bencher: Bencher<'_, '_>) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let feed = Feed::open(Arc::new(FileStorage), directory.path(), false);
    bencher
        .counter(ItemsCount::new(1_u64))
        .bench(|| feed.append(1).recv());
}

#[divan::bench(args = [1, 16, 256])]
fn encode(bencher: Bencher<'_, '_>, entries_count: u64) {
    let feed = Feed::open(Arc::new(MemoryStorage::new()), Path::new("/log"), true);
    bencher
        .counter(ItemsCount::new(entries_count))
        .bench(|| feed.append(entries_count));
}

/// A log and where it goes on.
struct Feed {
    log: Log,
    next: Mutex<u64>,
    payload: Bytes,
}

impl Feed {
    fn open(storage: Arc<dyn Storage>, directory: &Path, unsafe_no_fsync: bool) -> Self {
        let log_id = LogIdentity {
            cluster_id: 1,
            member_id: 1,
        };
        let mut config = Config::new(directory.join("wal"), log_id);
        config.unsafe_no_fsync = unsafe_no_fsync;
        config.tail_bytes_max = 0;
        Self {
            log: Log::open(storage, config).unwrap().0,
            next: Mutex::new(1),
            payload: Bytes::from(vec![7; PAYLOAD_BYTES]),
        }
    }

    /// Appends this many entries; the receiver gets the outcome.
    fn append(&self, count: u64) -> Receiver<Result<(), Error>> {
        let (done, outcome) = sync_channel(1);
        let mut next = self.next.lock();
        let entries: Vec<_> = (*next..*next + count)
            .map(|index| self.entry(index))
            .collect();
        *next += count;
        let done = Box::new(move |result| {
            let _ = done.send(result);
        });
        self.log.append(&entries, done);
        // The log is kept short, as checkpoints do it.
        if next.is_multiple_of(KEPT_COUNT) {
            let index = *next - 1;
            self.log.purge_to(Position { index, term: 1 });
        }
        outcome
    }

    fn entry(&self, index: u64) -> Entry {
        Entry {
            index,
            term: 1,
            kind: 1,
            payload: self.payload.clone(),
        }
    }
}

/// A small put with its framing.
const PAYLOAD_BYTES: usize = 300;
/// Entries after which older ones are purged.
const KEPT_COUNT: u64 = 4096;
