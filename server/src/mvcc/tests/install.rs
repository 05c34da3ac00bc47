//! Readers beside the installation of a snapshot.

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::backend::{Backend, Config, Durability, EngineKind, Identity};
use crate::base::key_range::KeyRange;
use crate::mvcc::{CompactionProgress, Previous, RangeQuery, ReadTransaction, Store};

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A store in which "a" was put `puts` times, once per entry.
fn member(puts: u64) -> (TempDir, Backend, Store) {
    let directory = TempDir::new().unwrap();
    let identity = Identity {
        cluster_id: 1,
        member_id: 2,
    };
    let config = Config::new(directory.path(), EngineKind::Redb, identity);
    let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
    let store = Store::open(backend.clone()).unwrap();
    for index in 1..=puts {
        let mut writer = store.write();
        let key = Bytes::from_static(b"a");
        writer
            .put(key, index.to_string().as_bytes(), 0, Previous::Skip)
            .unwrap();
        writer.end();
        writer.commit((index, 1));
    }
    (directory, backend, store)
}

fn values(read: &ReadTransaction) -> (i64, usize) {
    let result = read.range(&RangeQuery::new(KeyRange::all())).unwrap();
    (result.revision, result.kvs.len())
}

#[tokio::test]
async fn a_read_beside_an_installation_sees_the_state_before_or_after_it() {
    let (_sender_directory, sender, ahead) = member(9);
    let mut writer = ahead.write();
    writer.compact(10).unwrap();
    writer.commit((10, 1));
    while !matches!(ahead.compaction_step(100), CompactionProgress::Idle) {}
    // What the compaction removed is no longer in the snapshot.
    sender.defragment().await.unwrap();
    let mut snapshot = sender.snapshot();
    let (_directory, backend, store) = member(3);
    let mut staging = backend.stage().unwrap();
    while let Some(chunk) = snapshot.next_chunk().unwrap() {
        staging.write(&chunk).unwrap();
    }
    let before = store.read();
    store.hold_readers();
    backend.install(staging).unwrap();
    assert_eq!(
        values(&store.read()),
        (4, 1),
        "the index is still the old one"
    );
    store.reload().unwrap();
    assert_eq!(values(&store.read()), (10, 1));
    assert_eq!(values(&before), (4, 1));
}
