//! Who waits for disks: tokio's blocking threads, or the raft thread after a while.
//!
//! Everything of this crate that may block passes through [`Blocking::run`]. Without
//! threads, one thread runs all members of a simulation, in an order that can be
//! repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use tokio::task::JoinError;

use crate::types::TypeConfig;

/// Where work that may block is done.
#[derive(Clone, Default)]
pub enum Blocking {
    /// On the blocking threads of the runtime.
    #[default]
    Threads,
    /// In place, once as much time has passed as the function says; for simulations.
    InPlace(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl Blocking {
    /// Does the work; what else runs on the thread goes on meanwhile.
    ///
    /// # Errors
    /// The work panicked on its thread, or the runtime ended before it began.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await,
            Self::InPlace(delay) => {
                TypeConfig::sleep(delay()).await;
                Ok(work())
            }
        }
    }

    /// Drops what may take its time, because files go with it.
    pub(crate) fn discard(&self, what: impl Send + 'static) {
        match self {
            Self::Threads => match tokio::runtime::Handle::try_current() {
                Ok(handle) => drop(handle.spawn_blocking(move || drop(what))),
                // The runtime is gone: nobody waits for this thread.
                Err(_) => drop(what),
            },
            Self::InPlace(_) => drop(what),
        }
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::InPlace(_) => "InPlace",
        })
    }
}
