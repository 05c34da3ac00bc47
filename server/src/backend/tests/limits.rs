//! Bounds, refusals and failures that must stay failures.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

use super::{KINDS, Place, wait};
use crate::backend::engine::{
    Change, Engine, EngineTable, MemoryOpener, OpenEngine, RowKey, RowVisitor,
};
use crate::backend::{
    Backend, Durability, EngineKind, Error, Identity, RecordInfo, Recovered, Table,
};
use crate::base::revision::Revision;

/// Commits one record of this length as entry `index`.
pub(super) fn commit(backend: &Backend, index: u64, value_len: usize) {
    let revision = Revision::new(index as i64 + 1, 0);
    let mut batch = backend.batch();
    let info = RecordInfo {
        revision,
        key: Bytes::from_static(b"key"),
        create_revision: 2,
        version: index as i64,
        lease: 0,
        tombstone: false,
    };
    batch.append(&info, &vec![index as u8; value_len]);
    batch.commit((index, 1), revision.main);
}

#[test]
fn a_directory_of_another_member_is_refused() {
    for kind in KINDS {
        let place = Place::new(kind);
        let backend = place.open();
        commit(&backend, 1, 10);
        backend.close().unwrap();
        drop(backend);
        let mut config = place.config();
        config.identity = Identity {
            cluster_id: 10,
            member_id: 21,
        };
        let error = place.try_open(config).unwrap_err();
        assert!(matches!(error, Error::WrongDirectory { .. }), "{error}");
    }
}

#[test]
fn a_read_that_must_not_wait_for_the_disk_says_where_it_would_have_to() {
    for kind in KINDS {
        let place = Place::new(kind);
        let backend = place.open();
        commit(&backend, 1, 10);
        let revision = Revision::new(2, 0);
        assert!(
            backend
                .read()
                .in_memory()
                .record(revision)
                .unwrap()
                .is_some()
        );
        backend.close().unwrap();
        drop(backend);
        let backend = place.open();
        let view = backend.read().in_memory();
        let refused = [
            view.record(revision).unwrap_err(),
            view.records(&[revision]).unwrap_err(),
        ];
        assert!(
            refused
                .iter()
                .all(|error| matches!(error, Error::NotInMemory))
        );
        // From now on its block is in the cache.
        assert!(backend.read().record(revision).unwrap().is_some());
        assert!(view.record(revision).unwrap().is_some());
        backend.close().unwrap();
    }
}

#[test]
fn writers_wait_above_the_hot_limit_until_a_checkpoint() {
    let place = Place::new(EngineKind::Memory);
    let mut config = place.config();
    config.hot_bytes_max = 100_000;
    let backend = place.try_open(config).unwrap();
    for index in 1..=50 {
        commit(&backend, index, 30_000);
        wait(backend.wait_below_hot_limit()).unwrap();
        assert!(!backend.over_hot_limit());
    }
    assert!(backend.recovered().applied.is_some());
}

/// An engine whose writing calls fail once a countdown is over.
#[derive(Debug)]
struct FailingOpener {
    inner: Arc<dyn OpenEngine>,
    calls_left: Arc<AtomicI64>,
}

#[derive(Debug)]
struct FailingEngine {
    inner: Arc<dyn Engine>,
    calls_left: Arc<AtomicI64>,
}

impl OpenEngine for FailingOpener {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        let inner = self.inner.create(directory)?;
        Ok(Arc::new(FailingEngine {
            inner,
            calls_left: Arc::clone(&self.calls_left),
        }))
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        let inner = self.inner.open(directory)?;
        Ok(Arc::new(FailingEngine {
            inner,
            calls_left: Arc::clone(&self.calls_left),
        }))
    }
}

impl FailingEngine {
    fn count(&self) -> Result<(), Error> {
        if self.calls_left.fetch_sub(1, Ordering::AcqRel) <= 0 {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(Error::engine("failing", "write")(full));
        }
        Ok(())
    }
}

impl Engine for FailingEngine {
    fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.count()?;
        self.inner.write(changes)
    }

    fn commit(&self, meta: &[u8]) -> Result<(), Error> {
        self.count()?;
        self.inner.commit(meta)
    }

    fn meta(&self) -> Result<Option<Bytes>, Error> {
        self.inner.meta()
    }

    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error> {
        self.inner.read(table, key)
    }

    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.inner.scan(table, f)
    }

    fn maintain(&self) -> Result<(), Error> {
        self.inner.maintain()
    }

    fn reclaim(&self) -> Result<(), Error> {
        self.inner.reclaim()
    }
}

/// etcd issue 8214, in the store: nothing goes on after a failure.
#[test]
fn an_engine_failure_is_sticky_and_everybody_hears_of_it() {
    for kind in [EngineKind::Memory, EngineKind::Redb] {
        for calls in 0..4 {
            let mut place = Place::new(kind);
            let calls_left = Arc::new(AtomicI64::new(calls));
            let inner = Arc::clone(&place.opener);
            place.opener = Arc::new(FailingOpener {
                inner: Arc::clone(&inner),
                calls_left,
            });
            let mut config = place.config();
            config.hot_bytes_max = 5000;
            let backend = place.try_open(config).unwrap();
            let mut acknowledged = 0;
            let mut index = 0;
            let failure = loop {
                index += 1;
                commit(&backend, index, 2000);
                match wait(backend.checkpoint()) {
                    Ok(durable) => acknowledged = durable.applied.unwrap().index,
                    Err(error) => break error,
                }
            };
            assert!(matches!(failure, Error::Full { .. }), "{failure}");
            assert!(matches!(wait(backend.failed()), Error::Full { .. }));
            assert!(backend.failure().is_some());
            commit(&backend, index + 1, 10_000);
            assert!(wait(backend.checkpoint()).is_err());
            assert!(wait(backend.defragment()).is_err());
            assert!(wait(backend.wait_below_hot_limit()).is_err());
            assert!(backend.close().is_err());
            let newest = Revision::new(index as i64 + 1, 0);
            assert!(backend.read().record(newest).unwrap().is_some());
            drop(backend);
            place.opener = inner;
            let recovered = place.open().recovered();
            assert_eq!(
                recovered.applied.map_or(0, |applied| applied.index),
                acknowledged
            );
        }
    }
}

/// etcd pull request 11888: state that was saved before the log that leads to it.
#[test]
fn a_checkpoint_never_gets_ahead_of_the_log() {
    struct BrokenLog;
    impl Durability for BrokenLog {
        fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Err("the log is broken".into())
        }
    }
    let place = Place::new(EngineKind::Redb);
    let opener = Arc::clone(&place.opener);
    let backend = Backend::open_with(place.config(), Arc::new(BrokenLog), opener).unwrap();
    commit(&backend, 7, 10);
    let error = wait(backend.checkpoint()).unwrap_err();
    assert!(
        matches!(error, Error::NotDurable { log_index: 7, .. }),
        "{error}"
    );
    drop(backend);
    assert_eq!(place.open().recovered(), Recovered::default());
}

#[test]
fn a_directory_of_another_engine_is_refused() {
    let mut place = Place::new(EngineKind::Redb);
    let backend = place.open();
    commit(&backend, 1, 10);
    backend.close().unwrap();
    drop(backend);
    place.opener = EngineKind::Sled.opener(1 << 20);
    let error = place.try_open(place.config()).unwrap_err();
    assert!(matches!(error, Error::WrongEngine { .. }), "{error}");
}

/// etcd issues 14140 and 14211: bits that flipped, and revisions that were missing,
/// were found by a panic or not at all.
#[test]
fn damaged_rows_are_named_and_never_panic() {
    let tables = [EngineTable::Block, EngineTable::KeyRow, EngineTable::Page];
    for table in tables {
        for at in [0, 4, 8, 12, 20, 40] {
            let mut place = Place::new(EngineKind::Memory);
            let opener = Arc::new(MemoryOpener::durable());
            place.opener = Arc::clone(&opener) as Arc<dyn OpenEngine>;
            let backend = place.open();
            for index in 1..=40 {
                commit(&backend, index, 2000);
            }
            let mut batch = backend.batch();
            batch.put_row(Table::Alarm, b"a key that is long enough", b"a value");
            batch.commit((41, 1), 41);
            backend.close().unwrap();
            drop(backend);
            opener.damage(table, at);
            let result = place.try_open(place.config()).and_then(|backend| {
                backend.for_each_record_info(&mut |_| {})?;
                backend
                    .read()
                    .scan(0..=100, &mut |_, _| ControlFlow::Continue(()))
            });
            let error = result.unwrap_err();
            let Error::Corrupt {
                table: named, path, ..
            } = &error
            else {
                panic!("{error}")
            };
            assert_eq!(*named, table.name());
            assert!(path.ends_with("state-1"));
        }
    }
}

#[test]
fn space_comes_back_after_compaction_once_readers_are_gone() {
    for kind in KINDS {
        let place = Place::new(kind);
        let backend = place.open();
        for index in 1..=400 {
            commit(&backend, index, 3000);
        }
        wait(backend.checkpoint()).unwrap();
        let full = backend.sizes();
        assert!(full.in_use_bytes > 400 * 3000);
        let reader = backend.read();
        let dead: Vec<_> = (2..=400).map(|main| Revision::new(main, 0)).collect();
        backend.discard(&dead);
        assert!(backend.sizes().in_use_bytes < full.in_use_bytes / 10);
        wait(backend.defragment()).unwrap();
        // The reader still has everything.
        for main in 2..=401 {
            assert!(reader.record(Revision::new(main, 0)).unwrap().is_some());
        }
        let pinned = backend.sizes();
        assert!(pinned.allocated_bytes > pinned.in_use_bytes || kind == EngineKind::Memory);
        drop(reader);
        wait(backend.defragment()).unwrap();
        let after = backend.sizes();
        assert!(
            after.allocated_bytes < full.allocated_bytes,
            "{kind:?} {full:?} {after:?}"
        );
        let newest = Revision::new(401, 0);
        assert!(backend.read().record(newest).unwrap().is_some());
        let mut infos = 0;
        backend.for_each_record_info(&mut |_| infos += 1).unwrap();
        assert_eq!(infos, 1);
    }
}
