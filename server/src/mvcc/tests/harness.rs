//! A store over a backend in a temporary directory, with a log of its entries,
//! so that it can crash and be replayed.

use std::sync::Arc;

use bytes::Bytes;
use quoin_proto::mvccpb::KeyValue;
use tempfile::TempDir;

use crate::backend::{Backend, Config, Durability, EngineKind, Identity};
use crate::base::key_range::KeyRange;
use crate::mvcc::{
    Commit, CompactionProgress, Previous, RangeQuery, ReadTransaction, Store, WriteTransaction,
};

/// One write of a request.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        lease: i64,
    },
    Delete {
        key: Vec<u8>,
        range_end: Vec<u8>,
    },
}

/// One request.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Write(Vec<Write>),
    Compact(i64),
}

pub(super) struct Harness {
    pub(super) store: Store,
    backend: Backend,
    config: Config,
    /// Entry n of the Raft log is at place n - 1.
    log: Vec<Vec<Request>>,
    directory: TempDir,
}

impl Harness {
    pub(super) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let identity = Identity {
            cluster_id: 1,
            member_id: 2,
        };
        let mut config = Config::new(directory.path().join("state"), EngineKind::Redb, identity);
        // Checkpoints only where a test asks for them.
        config.checkpoint_interval = std::time::Duration::from_secs(3600);
        let backend = open_backend(&config);
        let store = Store::open(backend.clone()).unwrap();
        Self {
            store,
            backend,
            config,
            log: Vec::new(),
            directory,
        }
    }

    /// Applies one Raft entry and logs it.
    pub(super) fn apply(&mut self, requests: Vec<Request>) -> Vec<Commit> {
        self.log.push(requests);
        self.replay(self.log.len())
    }

    fn replay(&self, index: usize) -> Vec<Commit> {
        let mut writer = self.store.write();
        let commits = self.log[index - 1]
            .iter()
            .map(|request| run(&mut writer, request))
            .collect();
        writer.commit((index as u64, 1));
        commits
    }

    pub(super) fn put(&mut self, key: &str, value: &str) -> Commit {
        self.put_leased(key, value, 0)
    }

    pub(super) fn put_leased(&mut self, key: &str, value: &str, lease: i64) -> Commit {
        self.apply(vec![Request::Write(vec![put(key, value, lease)])])
            .remove(0)
    }

    pub(super) fn delete(&mut self, key: &str, range_end: &str) -> Commit {
        self.apply(vec![Request::Write(vec![delete(key, range_end)])])
            .remove(0)
    }

    pub(super) fn compact(&mut self, revision: i64) {
        self.apply(vec![Request::Compact(revision)]);
        assert_eq!(self.store.compact_revision(), revision);
    }

    /// Compacts and removes everything.
    pub(super) fn compact_fully(&mut self, revision: i64) {
        self.compact(revision);
        while self.store.compaction_step(1000) != CompactionProgress::Idle {}
    }

    pub(super) fn checkpoint(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(self.backend.checkpoint()).unwrap();
    }

    /// Loses everything since the last checkpoint, opens again and replays what
    /// the log has beyond it. Answers how many entries that were.
    pub(super) fn crash(&mut self) -> usize {
        // A closed backend would checkpoint first, so this opens a copy of what
        // is on disk now.
        let copy = TempDir::new().unwrap();
        let target = copy.path().join("state");
        copy_directory(&self.config.directory, &target);
        self.config.directory = target;
        self.backend = open_backend(&self.config);
        self.directory = copy;
        self.store = Store::open(self.backend.clone()).unwrap();
        let applied = self
            .backend
            .recovered()
            .applied
            .map_or(0, |applied| applied.index);
        assert_eq!(
            self.store.applied().map_or(0, |applied| applied.index),
            applied
        );
        let first = usize::try_from(applied).unwrap() + 1;
        for index in first..=self.log.len() {
            self.replay(index);
        }
        self.log.len() + 1 - first
    }

    /// Closes properly and opens again.
    pub(super) fn restart(&mut self) -> usize {
        self.backend.close().unwrap();
        self.crash()
    }
}

/// Runs one request on a writer.
pub(super) fn run(writer: &mut WriteTransaction, request: &Request) -> Commit {
    writer.begin();
    match request {
        Request::Compact(revision) => {
            let _ = writer.compact(*revision);
        }
        Request::Write(writes) => {
            for write in writes {
                match write {
                    Write::Put { key, value, lease } => {
                        writer
                            .put(key.clone().into(), value, *lease, Previous::Return)
                            .unwrap();
                    }
                    Write::Delete { key, range_end } => {
                        let range = KeyRange::new(key.clone().into(), range_end.clone().into());
                        writer.delete_range(&range, Previous::Skip).unwrap();
                    }
                }
            }
        }
    }
    writer.end()
}

pub(super) fn put(key: &str, value: &str, lease: i64) -> Write {
    Write::Put {
        key: key.into(),
        value: value.into(),
        lease,
    }
}

pub(super) fn delete(key: &str, range_end: &str) -> Write {
    Write::Delete {
        key: key.into(),
        range_end: range_end.into(),
    }
}

pub(super) fn range(key: &str, range_end: &str) -> KeyRange {
    KeyRange::new(
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(range_end.as_bytes()),
    )
}

pub(super) fn decode(encoded: &[u8]) -> KeyValue {
    prost::Message::decode(encoded).unwrap()
}

/// All pairs alive at a revision.
pub(super) fn all_at(view: &ReadTransaction, revision: i64) -> Vec<KeyValue> {
    let query = RangeQuery {
        revision,
        ..RangeQuery::new(KeyRange::all())
    };
    view.range(&query)
        .unwrap()
        .kvs
        .iter()
        .map(|kv| decode(kv))
        .collect()
}

fn open_backend(config: &Config) -> Backend {
    Backend::open(config.clone(), Arc::new(AlwaysDurable)).unwrap()
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The log of these tests is in memory and never lost.
struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}
