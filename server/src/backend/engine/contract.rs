//! What every engine must do, as one suite.
//!
//! The hostile counterpart, an engine that fails on schedule, is in
//! `tests/limits.rs`; crashes are in `tests/crash.rs`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{
    Change, Engine, EngineTable, MemoryOpener, OpenEngine, RedbOpener, RowKey, SledOpener,
};

fn openers() -> [Arc<dyn OpenEngine>; 3] {
    [
        Arc::new(MemoryOpener::durable()),
        Arc::new(RedbOpener {
            cache_bytes_max: 1 << 20,
        }),
        Arc::new(SledOpener {
            cache_bytes_max: 1 << 20,
        }),
    ]
}

/// Runs a case on a new engine of every kind.
fn on_every_engine(case: impl Fn(&dyn OpenEngine, &Path)) {
    for opener in openers() {
        let root = tempfile::tempdir().unwrap();
        case(opener.as_ref(), &root.path().join("state"));
    }
}

fn put(table: EngineTable, id: u64, part: u32, value: &[u8]) -> Change {
    Change::Put(table, RowKey { id, part }, Bytes::copy_from_slice(value))
}

fn rows(engine: &dyn Engine, table: EngineTable) -> Vec<(RowKey, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut collect = |key, value: &[u8]| {
        rows.push((key, value.to_vec()));
        Ok(())
    };
    engine.scan(table, &mut collect).unwrap();
    rows
}

#[test]
fn a_commit_makes_rows_and_meta_durable_together() {
    on_every_engine(|opener, path| {
        let engine = opener.create(path).unwrap();
        assert_eq!(engine.meta().unwrap(), None);
        engine
            .write(vec![put(EngineTable::Block, 1, 0, b"a")])
            .unwrap();
        engine
            .write(vec![put(EngineTable::Page, 1, 0, b"b")])
            .unwrap();
        engine.commit(b"meta 1").unwrap();
        drop(engine);
        let engine = opener.open(path).unwrap();
        assert_eq!(engine.meta().unwrap().unwrap(), "meta 1");
        let key = RowKey { id: 1, part: 0 };
        assert_eq!(engine.read(EngineTable::Block, key).unwrap().unwrap(), "a");
        assert_eq!(engine.read(EngineTable::Page, key).unwrap().unwrap(), "b");
        assert_eq!(engine.read(EngineTable::KeyRow, key).unwrap(), None);
    });
}

#[test]
fn changes_without_a_commit_are_gone_after_reopening() {
    on_every_engine(|opener, path| {
        let engine = opener.create(path).unwrap();
        engine
            .write(vec![put(EngineTable::Block, 1, 0, b"kept")])
            .unwrap();
        engine.commit(b"meta 1").unwrap();
        if opener.name() == "sled" {
            // A dropped sled leaks its handle to lose the changes, and with it
            // the lock of the directory: only a new process could reopen it.
            return;
        }
        engine
            .write(vec![put(EngineTable::Block, 2, 0, b"lost")])
            .unwrap();
        engine
            .write(vec![Change::Delete(
                EngineTable::Block,
                RowKey { id: 1, part: 0 },
            )])
            .unwrap();
        drop(engine);
        let engine = opener.open(path).unwrap();
        let kept = (RowKey { id: 1, part: 0 }, b"kept".to_vec());
        assert_eq!(rows(engine.as_ref(), EngineTable::Block), vec![kept]);
        assert_eq!(engine.meta().unwrap().unwrap(), "meta 1");
    });
}

#[test]
fn scans_list_one_table_in_key_order() {
    on_every_engine(|opener, path| {
        let engine = opener.create(path).unwrap();
        let ids = [300, 2, 1, 70_000, u64::MAX];
        let tables = [EngineTable::Block, EngineTable::KeyRow, EngineTable::Page];
        for table in tables {
            let changes = ids.iter().flat_map(|id| {
                (0..3)
                    .rev()
                    .map(move |part| put(table, *id, part, &[table as u8]))
            });
            engine.write(changes.collect()).unwrap();
        }
        engine.commit(b"meta").unwrap();
        for table in tables {
            let found = rows(engine.as_ref(), table);
            assert_eq!(found.len(), ids.len() * 3);
            assert!(found.is_sorted());
            assert!(found.iter().all(|(_, value)| *value == [table as u8]));
        }
    });
}

#[test]
fn deleted_and_overwritten_rows_stay_so_through_upkeep_and_reclaiming() {
    on_every_engine(|opener, path| {
        let engine = opener.create(path).unwrap();
        let value = vec![7; 31 << 10];
        for id in 0..64 {
            engine
                .write(vec![put(EngineTable::Block, id, 0, &value)])
                .unwrap();
        }
        engine.commit(b"meta 1").unwrap();
        let delete = |id| Change::Delete(EngineTable::Block, RowKey { id, part: 0 });
        engine.write((0..60).map(delete).collect()).unwrap();
        engine
            .write(vec![put(EngineTable::Block, 63, 0, b"new")])
            .unwrap();
        engine.commit(b"meta 2").unwrap();
        engine.maintain().unwrap();
        engine.reclaim().unwrap();
        let check = |engine: &dyn Engine| {
            let found = rows(engine, EngineTable::Block);
            let ids: Vec<_> = found.iter().map(|(key, _)| key.id).collect();
            assert_eq!(ids, [60, 61, 62, 63]);
            assert_eq!(found[3].1, b"new");
            assert_eq!(engine.meta().unwrap().unwrap(), "meta 2");
        };
        check(engine.as_ref());
        drop(engine);
        check(opener.open(path).unwrap().as_ref());
    });
}

#[test]
fn readers_beside_the_writer_see_whole_committed_rows() {
    on_every_engine(|opener, path| {
        let engine = opener.create(path).unwrap();
        let fixed = vec![9; 20_000];
        engine
            .write(vec![put(EngineTable::Block, 0, 0, &fixed)])
            .unwrap();
        engine.commit(b"meta").unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Acquire) {
                        let key = RowKey { id: 0, part: 0 };
                        let found = engine.read(EngineTable::Block, key).unwrap();
                        assert_eq!(found.unwrap(), fixed);
                    }
                });
            }
            for round in 1..40 {
                engine
                    .write(vec![put(EngineTable::Block, round, 0, &fixed)])
                    .unwrap();
                engine.commit(b"meta").unwrap();
                engine.maintain().unwrap();
            }
            is_done.store(true, Ordering::Release);
        });
    });
}
