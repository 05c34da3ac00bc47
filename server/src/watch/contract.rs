//! What the hub relies on, asked of every [`History`]: the store, over a
//! backend on disk, and the list in memory that the other tests use.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::backend::{Backend, Durability, EngineKind, Identity};
use crate::base::key_range::{KeyRange, KeyRangeUnion};
use crate::mvcc::{self, CompactionProgress, Event, Previous};

use super::history::{ChangesLimits, History, HistoryError};
use super::testing::{Change, Committed, MemoryHistory};

/// A history that can be written.
trait Subject {
    fn write(&self, changes: &[Change<'_>]) -> Committed;
    fn compact(&self, revision: i64);
    fn history(&self) -> &dyn History;
}

impl Subject for Arc<MemoryHistory> {
    fn write(&self, changes: &[Change<'_>]) -> Committed {
        MemoryHistory::write(self, changes)
    }

    fn compact(&self, revision: i64) {
        MemoryHistory::compact(self, revision);
    }

    fn history(&self) -> &dyn History {
        &**self
    }
}

/// A store, and the directory it lives in.
struct Stored {
    store: mvcc::Store,
    _directory: TempDir,
}

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

impl Stored {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let identity = Identity {
            cluster_id: 1,
            member_id: 2,
        };
        let path = directory.path().join("state");
        let config = crate::backend::Config::new(path, EngineKind::Redb, identity);
        let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
        Self {
            store: mvcc::Store::open(backend).unwrap(),
            _directory: directory,
        }
    }

    fn entry(&self, write: impl FnOnce(&mut mvcc::WriteTransaction)) -> mvcc::Commit {
        let index = self.store.applied().map_or(0, |applied| applied.index) + 1;
        let mut writer = self.store.write();
        writer.begin();
        write(&mut writer);
        let commit = writer.end();
        writer.commit((index, 1));
        commit
    }
}

impl Subject for Stored {
    fn write(&self, changes: &[Change<'_>]) -> Committed {
        let commit = self.entry(|writer| {
            for (key, value) in changes {
                let key = Bytes::copy_from_slice(key.as_bytes());
                match value {
                    Some(value) => {
                        writer
                            .put(key, value.as_bytes(), 0, Previous::Skip)
                            .unwrap();
                    }
                    None => {
                        let only = KeyRange::new(key, Bytes::new());
                        writer.delete_range(&only, Previous::Skip).unwrap();
                    }
                }
            }
        });
        (commit.revision, commit.events.into())
    }

    fn compact(&self, revision: i64) {
        self.entry(|writer| writer.compact(revision).unwrap());
        while self.store.compaction_step(1000) != CompactionProgress::Idle {}
    }

    fn history(&self) -> &dyn History {
        &self.store
    }
}

const UNLIMITED: ChangesLimits = ChangesLimits {
    revisions_max: usize::MAX,
    bytes_max: usize::MAX,
};

fn all_keys() -> KeyRangeUnion {
    KeyRangeUnion::new(&[KeyRange::all()])
}

/// Revision, key and record of each event of an answer.
fn plain(revisions: &[(i64, Vec<Event>)]) -> Vec<(i64, Vec<(Bytes, Bytes)>)> {
    let pair = |event: &Event| (event.key.clone(), event.record.clone());
    revisions
        .iter()
        .map(|(main, events)| (*main, events.iter().map(pair).collect()))
        .collect()
}

/// Everything wanted from `from` on, in as many answers as it takes.
fn read_all(
    history: &dyn History,
    from: i64,
    keys: &KeyRangeUnion,
    limits: ChangesLimits,
) -> Vec<(i64, Vec<(Bytes, Bytes)>)> {
    let to = history.revision();
    let mut all = Vec::new();
    let mut next = from;
    while next <= to {
        let answer = history.changes(next, to, keys, limits).unwrap();
        assert!(answer.next > next && answer.next <= to + 1);
        assert!(
            answer
                .revisions
                .iter()
                .all(|(main, _)| (next..answer.next).contains(main))
        );
        assert!(answer.revisions.len() <= limits.revisions_max);
        all.extend(plain(&answer.revisions));
        next = answer.next;
    }
    all
}

fn obeys_the_contract(subject: &dyn Subject) {
    let history = subject.history();
    assert_eq!((history.revision(), history.compact_revision()), (1, -1));
    let committed = [
        subject.write(&[("a", Some("1")), ("b", Some("1"))]),
        subject.write(&[("a", Some("2"))]),
        subject.write(&[("b", None)]),
        subject.write(&[("b", Some("2")), ("a", None)]),
    ];
    assert_eq!(history.revision(), 5);

    // What is read later is what was published.
    let published: Vec<(i64, Vec<Event>)> = committed
        .iter()
        .map(|(revision, events)| (*revision, events.to_vec()))
        .collect();
    assert_eq!(
        read_all(history, 2, &all_keys(), UNLIMITED),
        plain(&published)
    );
    let read = history
        .changes(2, 5, &all_keys(), UNLIMITED)
        .unwrap()
        .revisions;
    for ((_, read), (_, published)) in read.iter().zip(&published) {
        for (read, published) in read.iter().zip(published) {
            assert_eq!(
                (read.kind, read.revision),
                (published.kind, published.revision)
            );
            assert_eq!(read.create_revision, published.create_revision);
        }
    }

    // Within bounds, and never a part of a revision.
    for bytes_max in [0, 1, 30] {
        let limits = ChangesLimits {
            revisions_max: 1000,
            bytes_max,
        };
        assert_eq!(read_all(history, 2, &all_keys(), limits), plain(&published));
    }
    let limits = ChangesLimits {
        revisions_max: 1,
        bytes_max: 1000,
    };
    assert_eq!(read_all(history, 2, &all_keys(), limits), plain(&published));

    let value = |key: &str, revision: i64| {
        let pair = history.key_value(key.as_bytes(), revision).unwrap();
        pair.map(|record| record == committed[usize::try_from(revision - 2).unwrap()].1[0].record)
    };
    assert_eq!(value("a", 2), Some(true));
    assert_eq!(value("a", 3), Some(true));
    assert_eq!(value("b", 4), None);
    assert_eq!(history.key_value(b"c", 5).unwrap(), None);

    // Compaction: its own revision stays readable as a whole, deletions too.
    subject.compact(4);
    assert_eq!(history.compact_revision(), 4);
    assert_eq!(
        read_all(history, 4, &all_keys(), UNLIMITED),
        plain(&published[2..])
    );
    let refused = history.changes(3, 5, &all_keys(), UNLIMITED);
    assert!(matches!(refused, Err(HistoryError::Compacted)));
    assert!(matches!(
        history.key_value(b"a", 3),
        Err(HistoryError::Compacted)
    ));
    assert!(history.key_value(b"a", 4).unwrap().is_some());
}

#[test]
fn the_list_in_memory_obeys_the_contract() {
    obeys_the_contract(&MemoryHistory::new());
}

#[test]
fn the_store_obeys_the_contract() {
    obeys_the_contract(&Stored::new());
}

#[test]
fn an_answer_about_no_keys_is_empty_and_complete() {
    let subject = Stored::new();
    subject.write(&[("a", Some("1"))]);
    for history in [subject.history(), MemoryHistory::new().history()] {
        let answer = history
            .changes(2, 2, &KeyRangeUnion::default(), UNLIMITED)
            .unwrap();
        assert_eq!((answer.next, answer.revisions.len()), (3, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_and_the_list_answer_alike(
        writes in prop::collection::vec(
            prop::collection::vec((0..5usize, any::<bool>()), 1..4),
            1..40,
        ),
        queries in prop::collection::vec((any::<u8>(), 0..5usize, 0..6usize, 1..5usize), 1..12),
        compaction in any::<u8>(),
    ) {
        const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", ""];
        let (memory, stored) = (MemoryHistory::new(), Stored::new());
        for write in &writes {
            let mut changes: Vec<Change<'_>> = Vec::new();
            for (key, is_put) in write {
                let key = KEYS[*key];
                let is_new = changes.iter().all(|(other, _)| *other != key);
                if is_new && (*is_put || memory.is_alive(key)) {
                    changes.push((key, is_put.then_some("0123456789")));
                }
            }
            if !changes.is_empty() {
                let (left, right) = (memory.write(&changes), stored.write(&changes));
                let plain = |(main, events): &Committed| plain(&[(*main, events.to_vec())]);
                prop_assert_eq!(plain(&left), plain(&right));
            }
        }
        let last = memory.revision();
        let compact_revision = last * i64::from(compaction) / 256;
        if compact_revision > 0 {
            MemoryHistory::compact(&memory, compact_revision);
            stored.compact(compact_revision);
        }
        for (from, key, range_end, revisions_max) in queries {
            let first = compact_revision.max(1);
            let from = first + (last - first) * i64::from(from) / 256;
            let range = KeyRange::new(
                Bytes::from_static(KEYS[key].as_bytes()),
                Bytes::from_static(KEYS[range_end].as_bytes()),
            );
            let keys = KeyRangeUnion::new([&range, &KeyRange::One(Bytes::from_static(b"b"))]);
            let limits = ChangesLimits { revisions_max, bytes_max: 60 };
            prop_assert_eq!(
                read_all(&*memory, from, &keys, limits),
                read_all(&stored.store, from, &keys, limits)
            );
            let key = KEYS[key].as_bytes();
            prop_assert_eq!(
                memory.key_value(key, from).unwrap(),
                stored.store.key_value(key, from).unwrap()
            );
        }
    }
}
