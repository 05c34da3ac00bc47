//! `Log`: the one entry point. Calls encode into the newest group and return;
//! the writer thread does the rest.
//!
//! Threads: callers, the writer (`writer`), the preparer of segments
//! (`segment::Preallocator`); of a pumped log (`pump`) callers only. Lock order: the
//! log's state, then the buffer pool or the watch of `Durable`; never two logs.
//! Completions run on the writer thread with no lock held, or on the caller's once
//! the log has failed.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::buffer_pool::BufferPool;
use crate::config::Config;
use crate::durable::Durable;
use crate::entry::{Entry, Position};
use crate::error::Error;
use crate::fetch::Plan;
use crate::metrics::{Metrics, add};
use crate::pump::{Pump, Wake};
use crate::recovery::recover;
use crate::segment::{LOCK_FILE_NAME, Preallocator};
use crate::state::State;
use crate::storage::{LockGuard, Storage};
use crate::writer::Writer;

/// Called exactly once: on the writer thread, or (after a failure) on the
/// caller's. It must not block: every later group waits for it.
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

/// The log of one member. All methods may be called from any thread.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

/// What `close` ends.
#[derive(Debug)]
struct Running {
    /// Keeps other processes out.
    lock: Option<Box<dyn LockGuard>>,
    writer: Option<JoinHandle<()>>,
    preallocator: Option<JoinHandle<()>>,
    /// In place of the threads.
    pump: Option<Pump>,
}

/// What callers and the two threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) preallocator: Preallocator,
    pub(crate) durable: Durable,
    pub(crate) state: Mutex<State>,
    /// There is work for the writer.
    pub(crate) work: Condvar,
    /// Pending bytes have become fewer.
    pub(crate) room: Condvar,
    /// Since when the writer has been waiting for the disk.
    pub(crate) writing_since: Mutex<Option<Instant>>,
    /// Told in place of `work` if the log is pumped.
    wake: Option<Wake>,
}

impl Log {
    /// Opens or creates the log in `config.directory`.
    ///
    /// # Errors
    /// I/O, corruption (file and offset), a foreign identity or format, or a
    /// directory in use.
    pub fn open(storage: Arc<dyn Storage>, config: Config) -> Result<(Self, Recovery), Error> {
        let (log, recovery, writer) = Self::recover(storage, config, None)?;
        log.spawn_threads(writer)?;
        Ok((log, recovery))
    }

    /// The same without threads: nothing is written before the owner works the
    /// [`Pump`]. `wake` is called, from any call on the log, when work begins to wait.
    /// `append` never waits for room, and nobody may block on [`Durable`].
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_pumped(
        storage: Arc<dyn Storage>,
        config: Config,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Recovery, Pump), Error> {
        let wake = Wake(Box::new(wake));
        let (log, recovery, writer) = Self::recover(storage, config, Some(wake))?;
        let pump = Pump::new(Arc::clone(&log.shared), writer);
        log.shared.state.lock().writer_idle = true;
        log.running.lock().pump = Some(pump.clone());
        Ok((log, recovery, pump))
    }

    /// A log that nobody writes yet.
    fn recover(
        storage: Arc<dyn Storage>,
        config: Config,
        wake: Option<Wake>,
    ) -> Result<(Self, Recovery, Writer), Error> {
        config.check()?;
        let lock = lock_directory(&*storage, &config)?;
        let metrics = Arc::new(Metrics::default());
        let mut recovered = recover(&*storage, &config, &metrics)?;
        let recovery = recovered.recovery.clone();
        if let Some(torn) = &recovery.torn_tail {
            let path = torn.path.display();
            tracing::warn!(%path, offset = torn.offset, "cut an unfinished write off the log");
        }
        let pool = BufferPool::new(config.group_bytes_max, Arc::clone(&metrics));
        let preallocator = Preallocator::new(
            storage,
            config.clone(),
            Arc::clone(&metrics),
            recovered.next_sequence,
            std::mem::take(&mut recovered.ready),
            std::mem::take(&mut recovered.spares),
            wake.is_some(),
        );
        let mut state = State::new(
            &mut recovered,
            Arc::clone(&pool),
            config.group_bytes_max,
            config.tail_bytes_max,
        );
        preallocator.retire(state.release_segments(recovered.segment.sequence));
        let shared = Arc::new(Shared {
            config,
            metrics,
            pool,
            preallocator,
            durable: Durable::new(state.durable_end),
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            writing_since: Mutex::new(None),
            wake,
        });
        let running = Running {
            lock: Some(lock),
            writer: None,
            preallocator: None,
            pump: None,
        };
        let writer = Writer::new(Arc::clone(&shared), &recovered);
        let log = Self {
            shared,
            running: Mutex::new(running),
        };
        Ok((log, recovery, writer))
    }

    /// Appends entries. They are readable when this returns; `done` is called
    /// once they are durable, after the completions of all later appends of the
    /// same write. Waits only while `pending_bytes_max` is exceeded.
    ///
    /// # Panics
    /// If an entry is not the next one (the log has no holes), or its payload
    /// exceeds 256 MiB.
    pub fn append(&self, entries: &[Entry], done: Completion) {
        let mut state = self.shared.state.lock();
        self.wait_for_room(&mut state);
        if let Some(error) = refusal(&state) {
            drop(state);
            done(Err(error));
            return;
        }
        for entry in entries {
            state.push_entry(entry);
        }
        state.group().completions.push(done);
        self.wake_writer(state);
    }

    /// Stores the vote; `done` is called once it and everything before it is
    /// durable.
    pub fn save_vote(&self, vote: Bytes, done: Completion) {
        let mut state = self.shared.state.lock();
        if let Some(error) = refusal(&state) {
            drop(state);
            done(Err(error));
            return;
        }
        state.push_vote(vote);
        state.group().completions.push(done);
        self.wake_writer(state);
    }

    /// Notes how far the log is committed. Reaches the disk with the next group
    /// or at close; only the newest mark counts.
    pub fn save_committed(&self, committed: Bytes) {
        self.shared.state.lock().committed = Some(committed);
    }

    /// Drops the entries after `index`; `None` drops all that are not purged.
    /// Reaches the disk with the next group.
    ///
    /// # Panics
    /// If purged entries would have to come back.
    pub fn truncate_after(&self, index: Option<u64>) {
        let mut state = self.shared.state.lock();
        if refusal(&state).is_none() && state.truncate(index.map(|index| index.saturating_add(1))) {
            self.shared.durable.set_end(state.durable_end);
        }
    }

    /// Drops the entries up to and including `position`, which may lie beyond
    /// the end: the log then goes on after it. Segments without entries are
    /// recycled once this is durable.
    pub fn purge_to(&self, position: Position) {
        let mut state = self.shared.state.lock();
        if refusal(&state).is_none() && state.purge(position) {
            self.wake_writer(state);
        }
    }

    /// Reads entries from the start of `range`: all, or as many as `bytes_max`
    /// of payload allows, at least one unless the range is empty. Entries not
    /// in memory are read from disk by the calling thread.
    ///
    /// # Errors
    /// `OutOfRange` if the log does not hold the whole range, I/O, corruption.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let plan = Plan::new(&self.shared.state.lock(), &range, bytes_max)?;
        plan.execute(&self.shared.metrics)
    }

    /// The failure that stopped the log, if one has.
    pub fn failure(&self) -> Option<Error> {
        self.shared.state.lock().failure.clone()
    }

    /// How long the disk has taken so far over the write that is under way; zero
    /// if there is none.
    pub fn writing_for(&self) -> Duration {
        let since = *self.shared.writing_since.lock();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A watch on the durable index.
    pub fn durable(&self) -> Durable {
        self.shared.durable.clone()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Writes and syncs what is pending, then ends the threads. Later appends
    /// complete with `Closed`; entries stay readable. Safe to call again.
    ///
    /// # Errors
    /// The failure that poisoned the log, if any.
    pub fn close(&self) -> Result<(), Error> {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        let mut running = self.running.lock();
        let (writer, preallocator) = (running.writer.take(), running.preallocator.take());
        let (lock, pump) = (running.lock.take(), running.pump.take());
        drop(running);
        let is_drained = pump.is_some_and(|pump| pump.drain()) || join(writer);
        self.shared.preallocator.stop();
        join(preallocator);
        drop(lock);
        self.shared.durable.fail(&Error::Closed);
        match &self.shared.state.lock().failure {
            Some(failure) => Err(failure.clone()),
            None => {
                debug_assert!(!is_drained || self.shared.pool.outstanding() == 0);
                Ok(())
            }
        }
    }

    fn spawn_threads(&self, writer: Writer) -> Result<(), Error> {
        let directory = &self.shared.config.directory;
        let failed = |source| Error::io("start threads for", directory, source);
        let mut running = self.running.lock();
        let writer = thread::Builder::new()
            .name("wal-writer".into())
            .spawn(|| writer.run());
        running.writer = Some(writer.map_err(failed)?);
        let shared = Arc::clone(&self.shared);
        let prepare = move || {
            if let Some(error) = shared.preallocator.run() {
                tracing::error!(%error, "preparing a log segment failed, the member must stop");
                shared.poison(&error);
            }
        };
        let preallocator = thread::Builder::new()
            .name("wal-prepare".into())
            .spawn(prepare);
        running.preallocator = Some(preallocator.map_err(failed)?);
        Ok(())
    }

    fn wait_for_room(&self, state: &mut MutexGuard<'_, State>) {
        let max = self.shared.config.pending_bytes_max;
        if state.pending_bytes < max || self.shared.wake.is_some() {
            return;
        }
        add(&self.shared.metrics.append_waits, 1);
        while state.pending_bytes >= max && refusal(state).is_none() {
            self.shared.room.wait(state);
        }
    }

    fn wake_writer(&self, mut state: MutexGuard<'_, State>) {
        let is_idle = std::mem::take(&mut state.writer_idle);
        drop(state);
        match &self.shared.wake {
            _ if !is_idle => {}
            Some(Wake(wake)) => wake(),
            None => drop(self.shared.work.notify_one()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::debug!(%error, "log was poisoned before it was dropped");
        }
    }
}

impl Shared {
    /// Stops the log for good and tells everyone who waits, newest first.
    pub(crate) fn poison(&self, error: &Error) {
        let mut state = self.state.lock();
        let failure = state.failure.get_or_insert_with(|| error.poison()).clone();
        let pending = std::mem::take(&mut state.pending);
        state.pending_bytes = 0;
        drop(state);
        self.durable.fail(&failure);
        self.room.notify_all();
        self.work.notify_all();
        for mut group in pending.into_iter().rev() {
            while let Some(done) = group.completions.pop() {
                done(Err(failure.clone()));
            }
        }
    }
}

/// Why nothing may be added to the log.
fn refusal(state: &State) -> Option<Error> {
    state
        .failure
        .clone()
        .or_else(|| state.closing.then_some(Error::Closed))
}

fn lock_directory(storage: &dyn Storage, config: &Config) -> Result<Box<dyn LockGuard>, Error> {
    let directory = &config.directory;
    let created = storage.create_directory(directory);
    created.map_err(|source| Error::io("create", directory, source))?;
    let path = directory.join(LOCK_FILE_NAME);
    storage.lock(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path },
        _ => Error::io("lock", &path, source),
    })
}

/// Waits for a thread, unless it is the calling one (a completion may close).
/// Whether it has ended in order.
fn join(thread: Option<JoinHandle<()>>) -> bool {
    let other = thread.filter(|thread| thread.thread().id() != thread::current().id());
    other.is_some_and(|thread| {
        let ended = thread.join();
        if ended.is_err() {
            tracing::error!("a thread of the log ended by a panic");
        }
        ended.is_ok()
    })
}
