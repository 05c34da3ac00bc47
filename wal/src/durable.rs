//! A watch on how far the log is durable, for those who may only act behind it
//! (the backend's checkpoint). Reading is one atomic load; waiting blocks the
//! calling thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::Error;

/// Watches how far the log is durable. Cheap to clone; outlives the log.
#[derive(Clone, Debug)]
pub struct Durable(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    /// Entries below this index are durable. Written under the log's lock.
    end: AtomicU64,
    failure: Mutex<Option<Error>>,
    changed: Condvar,
}

impl Durable {
    pub(crate) fn new(end: u64) -> Self {
        Self(Arc::new(Progress {
            end: AtomicU64::new(end),
            failure: Mutex::new(None),
            changed: Condvar::new(),
        }))
    }

    /// Highest index up to which everything is durable: in the log, or purged
    /// by a durable purge. Falls when the log is truncated.
    pub fn index(&self) -> Option<u64> {
        self.0.end.load(Ordering::Acquire).checked_sub(1)
    }

    /// Blocks until `index` is durable.
    ///
    /// # Errors
    /// The log was poisoned or closed before that.
    pub fn wait_for(&self, index: u64) -> Result<(), Error> {
        if self.index().is_some_and(|durable| durable >= index) {
            return Ok(());
        }
        let mut failure = self.0.failure.lock();
        loop {
            if self.index().is_some_and(|durable| durable >= index) {
                return Ok(());
            }
            if let Some(failure) = failure.as_ref() {
                return Err(failure.clone());
            }
            self.0.changed.wait(&mut failure);
        }
    }

    /// Moves the end, up or (truncation) down.
    pub(crate) fn set_end(&self, end: u64) {
        if self.0.end.swap(end, Ordering::Release) < end {
            drop(self.0.failure.lock());
            self.0.changed.notify_all();
        }
    }

    /// Ends all waiting; the first failure stays.
    pub(crate) fn fail(&self, error: &Error) {
        self.0.failure.lock().get_or_insert_with(|| error.clone());
        self.0.changed.notify_all();
    }
}
