//! A store in memory for the benchmarks of this crate.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::sync::Arc;

use bytes::Bytes;
use quoin_server::backend::{Backend, Config, Durability, EngineKind, Identity};
use quoin_server::mvcc::{Commit, Previous, Store};
use tempfile::TempDir;

/// Keys of a store that was filled.
pub(crate) const KEYS_COUNT: u64 = 100_000;

/// A log that has everything already.
struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A store and where its log stands.
pub(crate) struct Place {
    pub(crate) store: Store,
    index: u64,
    value: Vec<u8>,
    _directory: TempDir,
}

impl Place {
    /// An empty store; values have 256 bytes.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let config = Config::new(directory.path(), EngineKind::Memory, Identity::default());
        let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
        Self {
            store: Store::open(backend).unwrap(),
            index: 0,
            value: vec![7; 256],
            _directory: directory,
        }
    }

    /// A store with [`KEYS_COUNT`] keys.
    pub(crate) fn filled() -> Self {
        let mut place = Self::new();
        place.put_all(1);
        place
    }

    /// Writes every key so many times.
    pub(crate) fn put_all(&mut self, rounds: u64) {
        for _ in 0..rounds {
            for first in (0..KEYS_COUNT).step_by(500) {
                self.put(first..first + 500);
            }
        }
    }

    /// One Raft entry that puts these keys, a request each.
    pub(crate) fn put(&mut self, numbers: impl Iterator<Item = u64>) -> Vec<Commit> {
        let mut writer = self.store.write();
        let mut commits = Vec::new();
        for number in numbers {
            writer.begin();
            let put = writer.put(key(number), &self.value, 0, Previous::Skip);
            put.unwrap();
            commits.push(writer.end());
        }
        self.index += 1;
        writer.commit((self.index, 1));
        commits
    }

    /// One Raft entry that compacts to the newest revision.
    pub(crate) fn compact(&mut self) {
        let revision = self.store.revision();
        let mut writer = self.store.write();
        writer.begin();
        writer.compact(revision).unwrap();
        writer.end();
        self.index += 1;
        writer.commit((self.index, 1));
    }
}

/// The key with this number.
pub(crate) fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/things/{:06}", number % KEYS_COUNT))
}

/// Numbers in no order, the same in every run.
pub(crate) fn scattered() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    }
}
