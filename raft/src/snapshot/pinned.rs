//! The states that are being sent.
//!
//! A pinned state is taken once and read by every transfer that can use it, so
//! that several members that join together cost the memory of one. It lives as
//! long as a transfer holds it; the log after it is kept meanwhile, within the
//! bound on bytes, because its receivers go on from there.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::log_store::LogStore;
use crate::state_machine::SnapshotSource;
use crate::types::SnapshotMeta;

/// A state that can be read any number of times.
pub(crate) struct Pinned {
    /// Tells this snapshot from all others, of this process and of others.
    pub(crate) id: u64,
    pub(crate) meta: SnapshotMeta,
    /// Never read itself.
    source: Mutex<Box<dyn SnapshotSource>>,
}

impl Pinned {
    pub(crate) fn new(meta: SnapshotMeta, source: Box<dyn SnapshotSource>) -> Self {
        Self {
            id: rand::random(),
            meta,
            source: Mutex::new(source),
        }
    }

    /// The state from its beginning.
    pub(crate) fn reader(&self) -> Box<dyn SnapshotSource> {
        self.source.lock().again()
    }

    fn index(&self) -> u64 {
        self.meta.last_log_id.as_ref().map_or(0, |id| id.index)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("id", &self.id)
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}

/// What is pinned now, oldest first.
#[derive(Debug)]
pub(crate) struct Pins {
    log_store: LogStore,
    pinned: Mutex<Vec<Weak<Pinned>>>,
}

impl Pins {
    pub(crate) fn new(log_store: LogStore) -> Self {
        Self {
            log_store,
            pinned: Mutex::default(),
        }
    }

    /// A state in use from which the log still leads on.
    pub(crate) fn usable(&self) -> Option<Arc<Pinned>> {
        let first = self.log_store.first_index();
        let newest = self.pinned.lock().last().and_then(Weak::upgrade);
        newest.filter(|pinned| pinned.index() + 1 >= first)
    }

    pub(crate) fn add(&self, pinned: &Arc<Pinned>) {
        let mut all = self.pinned.lock();
        all.retain(|pinned| pinned.strong_count() > 0);
        all.push(Arc::downgrade(pinned));
    }

    /// The log index of the oldest state in use.
    pub(crate) fn oldest_index(&self) -> Option<u64> {
        let all = self.pinned.lock();
        let alive = all.iter().filter_map(Weak::upgrade);
        alive.map(|pinned| pinned.index()).min()
    }
}
