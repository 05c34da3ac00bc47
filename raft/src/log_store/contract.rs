//! openraft's own suite over this log store, and what it does not test.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{LogState, RaftLogReader, StorageError};
use quoin_wal::storage::MemoryStorage;
use tempfile::TempDir;

use super::LogStore;
use crate::applier::{Applier, ApplierControl, CheckpointPace};
use crate::shared::Shared;
use crate::snapshot::Pins;
use crate::tests::register::{Disk, Register};
use crate::types::{Entry, EntryBody, LogId, Tag, TypeConfig, log_id};
use crate::{Blocking, Config, WalConfig};

struct Builder {
    cache_bytes_max: usize,
}

impl StoreBuilder<TypeConfig, LogStore, Applier<Register>, TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(TempDir, LogStore, Applier<Register>), StorageError<TypeConfig>> {
        let directory = TempDir::new().unwrap();
        let mut config = Config::new(0, 1, Vec::new(), WalConfig::new(directory.path().into()));
        config.wal.segment_bytes = 1 << 20;
        config.cache_bytes_max = self.cache_bytes_max;
        let store = LogStore::open_on(Arc::new(MemoryStorage::new()), &config).unwrap();
        let control = Arc::new(ApplierControl::default());
        control.running.store(true, Ordering::Release);
        let shared = Arc::new(Shared::new(
            0,
            Arc::clone(store.metrics()),
            Vec::new(),
            true,
            HashSet::new(),
        ));
        let pins = Arc::new(Pins::new(store.clone()));
        let pace = CheckpointPace {
            entries: 1000,
            bytes: u64::MAX,
        };
        let register = Register::lenient(Disk::default());
        Ok((
            directory,
            store,
            Applier::new(register, shared, control, pins, pace, Blocking::Threads),
        ))
    }
}

#[test]
fn passes_the_suite_of_openraft_from_the_cache() {
    TypeConfig::run(async {
        Suite::test_all(Builder {
            cache_bytes_max: 1 << 20,
        })
        .await
        .unwrap()
    });
}

#[test]
fn passes_the_suite_of_openraft_from_the_log_files() {
    TypeConfig::run(async {
        Suite::test_all(Builder { cache_bytes_max: 0 })
            .await
            .unwrap()
    });
}

fn entry(term: u64, index: u64, length: usize) -> Entry {
    let bytes = Bytes::from(vec![index as u8; length]);
    Entry::new(log_id(term, index), EntryBody::new(Tag::Normal, bytes))
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let directory = TempDir::new().unwrap();
    let config = alone(&directory);
    let vote = crate::types::Vote::new_committed(3, 9);
    {
        let mut store = LogStore::open(&config).unwrap();
        assert!(store.is_new());
        store.save_vote(&vote).await.unwrap();
        store
            .blocking_append((0..100).map(|index| entry(2, index, 100)))
            .await
            .unwrap();
        assert_eq!(store.durable().index(), 100);
        store.truncate_after(Some(log_id(2, 89))).await.unwrap();
        store
            .blocking_append((90..95).map(|index| entry(3, index, 10)))
            .await
            .unwrap();
        store.purge(log_id(2, 9)).await.unwrap();
        store.save_committed(Some(log_id(2, 50))).await.unwrap();
        store.close().unwrap();
    }
    let mut store = LogStore::open(&config).unwrap();
    assert!(!store.is_new());
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(2, 9)));
    assert_eq!(state.last_log_id, Some(log_id(3, 94)));
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(2, 50)));
    let entries = store.try_get_log_entries(..).await.unwrap();
    assert_eq!(entries.len(), 85);
    assert_eq!(entries[0], entry(2, 10, 100));
    assert_eq!(entries[84], entry(3, 94, 10));
    store.close().unwrap();
}

/// A member without peers whose log is below `directory`.
fn alone(directory: &TempDir) -> Config {
    let wal = WalConfig::new(directory.path().join("wal"));
    Config::new(1, 1, Vec::new(), wal)
}

#[tokio::test]
async fn a_request_for_replication_is_bounded_by_bytes() {
    let directory = TempDir::new().unwrap();
    let config = alone(&directory);
    let mut store = LogStore::open(&config).unwrap();
    store
        .blocking_append((0..20).map(|index| entry(1, index, 300 << 10)))
        .await
        .unwrap();
    let entries = store.limited_get_log_entries(3, 20).await.unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry.log_id.index)
            .collect::<Vec<_>>(),
        [3, 4, 5]
    );
    store.close().unwrap();
}

#[tokio::test]
async fn the_log_goes_on_behind_a_purge_beyond_its_end() {
    let directory = TempDir::new().unwrap();
    let config = alone(&directory);
    let mut store = LogStore::open(&config).unwrap();
    store
        .blocking_append((0..5).map(|index| entry(1, index, 10)))
        .await
        .unwrap();
    store.purge(log_id(2, 99)).await.unwrap();
    assert_eq!(store.durable().index(), 100);
    store.durable().wait_for(100).unwrap();
    store
        .blocking_append((100..105).map(|index| entry(2, index, 10)))
        .await
        .unwrap();
    assert_eq!(store.try_get_log_entries(..).await.unwrap().len(), 5);
    assert_eq!(store.durable().index(), 105);
    store.close().unwrap();
}

/// What is left of a log whose member crashed while it installed a snapshot up
/// to `applied`, after it has come to terms with that.
async fn agreed(entries: &[(u64, std::ops::Range<u64>)], applied: LogId) -> LogState<TypeConfig> {
    let directory = TempDir::new().unwrap();
    let config = alone(&directory);
    let mut store = LogStore::open(&config).unwrap();
    for (term, indexes) in entries.iter().cloned() {
        let entries = indexes.map(|index| entry(term, index, 10));
        store.blocking_append(entries).await.unwrap();
    }
    store.close().unwrap();
    let mut store = LogStore::open(&config).unwrap();
    store.agree_with(applied).unwrap();
    let found = store.get_log_state().await.unwrap();
    // The log goes on behind it, and is found so again.
    let next = found.last_log_id.map_or(0, |last| last.index + 1);
    store.blocking_append([entry(9, next, 10)]).await.unwrap();
    store.close().unwrap();
    let mut store = LogStore::open(&config).unwrap();
    let again = store.get_log_state().await.unwrap();
    assert_eq!(again.last_log_id, Some(log_id(9, next)));
    assert_eq!(again.last_purged_log_id, found.last_purged_log_id);
    store.close().unwrap();
    found
}

/// etcd pull request 11888: a crash between saving a snapshot and saving the log
/// entry about it.
#[tokio::test]
async fn the_log_gives_way_to_a_snapshot_that_was_installed_before_a_crash() {
    let ends = |state: LogState<TypeConfig>| (state.last_purged_log_id, state.last_log_id);
    let snapshot = log_id(3, 59);
    let only_snapshot = (Some(snapshot), Some(snapshot));
    // Other entries in its place, as a deposed leader leaves them.
    let diverged = agreed(&[(1, 0..40), (2, 40..80)], snapshot).await;
    assert_eq!(ends(diverged), only_snapshot);
    // It ends before, but in a later term.
    let later = agreed(&[(1, 0..40), (5, 40..45)], snapshot).await;
    assert_eq!(ends(later), only_snapshot);
    // It holds what was applied: nothing is wrong.
    let whole = agreed(&[(1, 0..40), (3, 40..80)], snapshot).await;
    assert_eq!(ends(whole), (None, Some(log_id(3, 79))));
}
