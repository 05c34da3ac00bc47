//! All watchers of a hub, found by key.
//!
//! Watchers of a single key sit in a sharded map, those of a range in an
//! interval map; a change finds its watchers in O(log ranges + matches). A
//! watcher is in the group from its creation until it is cancelled or
//! overtaken by compaction; one that lags stays and is passed over, so that
//! falling behind and catching up never touch the index.
//!
//! Lock order: shard or range lock, then the queue of a stream. Closures given
//! to this module run under the former.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::base::interval_map::IntervalMap;
use crate::base::key_range::KeyRange;
use crate::base::sharded_map::ShardedMap;

use super::watcher::Watcher;

/// The index of watchers by key.
#[derive(Debug, Default)]
pub(super) struct Group {
    keys: ShardedMap<WatcherSet>,
    ranges: RwLock<IntervalMap<WatcherSet>>,
    /// Watchers that want previous pairs.
    previous_count: AtomicUsize,
}

/// Watchers of the same key or range; removal takes constant time.
#[derive(Debug, Default)]
pub(super) struct WatcherSet {
    watchers: Vec<Arc<Watcher>>,
}

impl Group {
    pub(super) fn insert(&self, watcher: &Arc<Watcher>) {
        if watcher.wish.previous {
            self.previous_count.fetch_add(1, Ordering::Relaxed);
        }
        match &watcher.wish.range {
            KeyRange::One(key) => self.keys.with_or_default(key, |set| set.insert(watcher)),
            range => self.ranges.write().value_or_default(range).insert(watcher),
        }
    }

    /// Removes a watcher that was inserted.
    pub(super) fn remove(&self, watcher: &Watcher) {
        if watcher.wish.previous {
            self.previous_count.fetch_sub(1, Ordering::Relaxed);
        }
        match &watcher.wish.range {
            KeyRange::One(key) => self.keys.remove_if(key, |set| set.remove(watcher)),
            range => {
                let mut ranges = self.ranges.write();
                if ranges
                    .value_mut(range)
                    .is_some_and(|set| set.remove(watcher))
                {
                    ranges.remove(range);
                }
            }
        }
    }

    /// Runs `f` on every watcher whose range holds `key`.
    pub(super) fn for_each_around(&self, key: &[u8], mut f: impl FnMut(&Arc<Watcher>)) {
        self.keys
            .with(key, |set| set.watchers.iter().for_each(&mut f));
        self.ranges
            .read()
            .for_each_around(key, |set| set.watchers.iter().for_each(&mut f));
    }

    /// Runs `f` on every watcher.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Arc<Watcher>)) {
        self.keys
            .for_each(|_, set| set.watchers.iter().for_each(&mut f));
        self.ranges
            .read()
            .for_each(|set| set.watchers.iter().for_each(&mut f));
    }

    /// Whether any watcher wants previous pairs.
    pub(super) fn wants_previous(&self) -> bool {
        self.previous_count.load(Ordering::Relaxed) > 0
    }

    /// Whether no watcher is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.read().is_empty() && !self.wants_previous()
    }
}

impl WatcherSet {
    fn insert(&mut self, watcher: &Arc<Watcher>) {
        watcher
            .position
            .store(self.watchers.len(), Ordering::Relaxed);
        self.watchers.push(Arc::clone(watcher));
    }

    /// Removes `watcher`; true if the set is empty then.
    fn remove(&mut self, watcher: &Watcher) -> bool {
        let position = watcher.position.load(Ordering::Relaxed);
        let is_there = self
            .watchers
            .get(position)
            .is_some_and(|other| std::ptr::eq(Arc::as_ptr(other), watcher));
        debug_assert!(is_there, "a watcher is removed once, from its own set");
        if is_there {
            self.watchers.swap_remove(position);
            if let Some(moved) = self.watchers.get(position) {
                moved.position.store(position, Ordering::Relaxed);
            }
        }
        self.watchers.is_empty()
    }
}
