//! How far the local log is durable, counted from 1 like everything outside.
//!
//! A checkpoint of the state machine must not run ahead of it: an entry can be
//! committed by the other members before this one has synced it. What a
//! snapshot covers counts as durable although its entries were never here.

use std::sync::atomic::Ordering;

use super::LogStore;
use crate::error::Error;

/// A watch on the durable index. Clones share it.
#[derive(Clone, Debug)]
pub struct Durable {
    store: LogStore,
    wal: quoin_wal::Durable,
}

impl Durable {
    pub(super) fn new(store: &LogStore) -> Self {
        Self {
            store: store.clone(),
            wal: store.shared.wal.durable(),
        }
    }

    /// The highest index up to which everything is durable; 0 for none.
    pub fn index(&self) -> u64 {
        let purged = self.store.shared.purged_next.load(Ordering::Acquire);
        self.wal.index().map_or(0, |index| index + 1).max(purged)
    }

    /// Blocks until `index` is durable. Not for async code.
    ///
    /// # Errors
    /// The log failed or was closed before.
    pub fn wait_for(&self, index: u64) -> Result<(), Error> {
        let Some(hidden) = index.checked_sub(1) else {
            return Ok(());
        };
        if self.index() >= index {
            return Ok(());
        }
        Ok(self.wal.wait_for(hidden)?)
    }
}
