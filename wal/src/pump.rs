//! A log without threads: its owner says when the disk works.
//!
//! For simulations, where one thread and one seed decide everything. A step has two
//! halves, so that time can pass in between: appends that come meanwhile go into
//! the next group, as they do while the writer thread is in its sync. The bytes, their
//! order and every error are those of the threads, which run the same code.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::group::Group;
use crate::log::Shared;
use crate::writer::Writer;

/// Writes what waits in a pumped log. Clones share it.
#[derive(Clone, Debug)]
pub struct Pump(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Writer,
    /// Between the two halves of a step.
    group: Option<Group>,
}

/// What is called when work begins to wait.
pub(crate) struct Wake(pub(crate) Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

impl Pump {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            shared,
            writer,
            group: None,
        })))
    }

    /// Takes all that waits as one group; nothing is written yet. False if nothing
    /// waits: `wake` will be called when that changes.
    #[must_use]
    pub fn begin(&self) -> bool {
        self.0.lock().begin()
    }

    /// Writes, syncs and completes the group, and does what is due on segments. False
    /// if the log has failed.
    pub fn finish(&self) -> bool {
        self.0.lock().finish()
    }

    /// Writes everything. False if the log has failed.
    pub(crate) fn drain(&self) -> bool {
        let mut inner = self.0.lock();
        while inner.begin() {
            if !inner.finish() {
                return false;
            }
        }
        true
    }
}

impl Inner {
    fn begin(&mut self) -> bool {
        if self.group.is_none() {
            let mut state = self.shared.state.lock();
            if state.failure.is_none() {
                self.group = state.take_group();
            }
            state.writer_idle = self.group.is_none();
        }
        if self.group.as_ref().is_some_and(Group::has_records) {
            self.shared
                .writing_since
                .lock()
                .get_or_insert_with(Instant::now);
        }
        self.group.is_some()
    }

    fn finish(&mut self) -> bool {
        if let Some(group) = self.group.take()
            && !self.writer.carry_out(group)
        {
            return false;
        }
        match self.shared.preallocator.work_off() {
            Ok(()) => true,
            Err(error) => {
                self.shared.poison(&error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;

    use crate::storage::{FaultyStorage, Loss};
    use crate::{Config, Entry, Log, LogIdentity};

    use super::*;

    fn config() -> Config {
        let identity = LogIdentity {
            cluster_id: 1,
            member_id: 2,
        };
        let mut config = Config::new("/wal".into(), identity);
        config.segment_bytes = 8 << 10;
        config.first_segment_bytes = 8 << 10;
        config
    }

    fn append(log: &Log, index: u64, durable: &Arc<AtomicU64>) {
        let entry = Entry {
            index,
            term: 1,
            kind: 0,
            payload: Bytes::from(vec![7; 500]),
        };
        let durable = Arc::clone(durable);
        let done = move |result: Result<(), _>| {
            // The last one fails: its disk has lost power.
            if result.is_ok() {
                durable.fetch_max(index, Ordering::Relaxed);
            }
        };
        log.append(&[entry], Box::new(done));
    }

    #[test]
    fn nothing_is_durable_before_the_pump_has_worked_and_all_is_after() {
        let (storage, wakes) = (FaultyStorage::new(1), Arc::new(AtomicU64::new(0)));
        let woken = Arc::clone(&wakes);
        let wake = move || {
            woken.fetch_add(1, Ordering::Relaxed);
        };
        let (log, _, pump) = Log::open_pumped(Arc::new(storage.clone()), config(), wake).unwrap();
        let durable = Arc::new(AtomicU64::new(0));
        let mut index = 0;
        // Enough for several segments.
        for _ in 0..50 {
            index += 1;
            append(&log, index, &durable);
            assert!(pump.begin());
            append(&log, index + 1, &durable);
            assert!(durable.load(Ordering::Relaxed) < index);
            assert!(pump.finish());
            assert_eq!(durable.load(Ordering::Relaxed), index);
            index += 1;
            assert!(pump.begin() && pump.finish() && !pump.begin());
            assert_eq!(durable.load(Ordering::Relaxed), index);
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 50);
        append(&log, index + 1, &durable);
        let left = storage.after_crash(Loss::Drop);
        drop((pump, log));
        let (log, recovery) = Log::open(Arc::new(left), config()).unwrap();
        assert_eq!(recovery.last.map(|last| last.index), Some(index));
        log.close().unwrap();
    }

    #[test]
    fn closing_writes_what_waits_and_a_failure_tells_who_waits() {
        let storage = FaultyStorage::new(1);
        let open = |storage: &FaultyStorage| {
            Log::open_pumped(Arc::new(storage.clone()), config(), || {}).unwrap()
        };
        let (log, _, pump) = open(&storage);
        let durable = Arc::new(AtomicU64::new(0));
        append(&log, 1, &durable);
        log.close().unwrap();
        assert_eq!(durable.load(Ordering::Relaxed), 1);
        drop((log, pump));
        let (log, recovery, pump) = open(&storage);
        assert_eq!(recovery.last.map(|last| last.index), Some(1));
        let failed = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&failed);
        let done = move |result: Result<(), _>| {
            told.store(u64::from(result.is_err()), Ordering::Relaxed);
        };
        log.save_vote(Bytes::from_static(b"vote"), Box::new(done));
        storage.die();
        assert!(pump.begin() && !pump.finish() && !pump.begin());
        assert_eq!(failed.load(Ordering::Relaxed), 1);
        assert!(log.failure().is_some() && log.close().is_err());
    }
}
