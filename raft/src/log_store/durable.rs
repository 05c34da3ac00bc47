//! How far the local log is durable, counted from 1 like everything outside.
//!
//! A checkpoint of the state machine must not run ahead of it: an entry can be
//! committed by the other members before this one has synced it. What a
//! snapshot covers counts as durable although its entries were never here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;

use super::LogStore;
use crate::blocking::Blocking;
use crate::error::Error;
use crate::types::TypeConfig;

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

    /// Blocks until `index` is durable. Not for async code, and not where nobody but
    /// the waiting thread would work a log without threads.
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

    /// The same for async code: waits where `blocking` says.
    ///
    /// # Errors
    /// As [`Durable::wait_for`].
    pub(crate) async fn reached(&self, index: u64, blocking: &Blocking) -> Result<(), Error> {
        if let Blocking::Threads = blocking {
            let durable = self.clone();
            let waited = blocking.run(move || durable.wait_for(index)).await;
            return waited.map_err(|error| Error::Raft(error.to_string()))?;
        }
        while self.index() < index {
            if let Some(failure) = self.store.failure() {
                return Err(failure);
            }
            TypeConfig::sleep(POLL).await;
        }
        Ok(())
    }
}

/// Pause between two looks at a log without threads.
const POLL: Duration = Duration::from_millis(2);
