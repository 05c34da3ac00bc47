//! The backend against a model, crashes, damage and failing engines.
//!
//! Every suite runs over all engines. `model` holds what the backend should
//! answer; `crash` kills a child process and an engine's disk under it.

mod crash;
mod defragment;
mod digest;
mod full;
mod limits;
mod model;
mod random;
mod space;
mod switch;
mod transfer;

use std::sync::Arc;

use tempfile::TempDir;

use super::config::{Config, Durability, Identity};
use super::engine::{EngineKind, MemoryOpener, OpenEngine};
use super::error::Error;
use super::handle::Backend;

/// A log that has everything already.
#[derive(Debug)]
struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A directory that a backend is opened on again and again.
struct Place {
    directory: TempDir,
    opener: Arc<dyn OpenEngine>,
    kind: EngineKind,
}

const KINDS: [EngineKind; 3] = [EngineKind::Memory, EngineKind::Redb, EngineKind::Sled];
const IDENTITY: Identity = Identity {
    cluster_id: 10,
    member_id: 20,
};

impl Place {
    fn new(kind: EngineKind) -> Self {
        let opener = match kind {
            EngineKind::Memory => Arc::new(MemoryOpener::durable()),
            kind => kind.opener(1 << 20),
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            opener,
            kind,
        }
    }

    /// Checkpoints only when asked to.
    fn config(&self) -> Config {
        let mut config = Config::new(self.directory.path(), self.kind, IDENTITY);
        config.checkpoint_interval = std::time::Duration::from_secs(3600);
        config.collect_interval = config.checkpoint_interval;
        config.space_bytes_per_second = 0;
        config.block_cache_bytes_max = 1 << 20;
        config
    }

    fn open(&self) -> Backend {
        self.try_open(self.config()).unwrap()
    }

    fn try_open(&self, config: Config) -> Result<Backend, Error> {
        Backend::open_with(config, Arc::new(AlwaysDurable), Arc::clone(&self.opener))
    }
}

/// Runs a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}
