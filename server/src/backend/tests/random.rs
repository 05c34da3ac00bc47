//! Random operations on a backend and on the model, with crashes in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::model::State;
use super::{KINDS, Place, wait};
use crate::backend::{Backend, EngineKind, ReadTransaction, Table};
use crate::base::revision::Revision;

#[derive(Debug, Clone)]
enum Operation {
    /// Records (key, value length) of one entry; all in one main revision or one each.
    Commit {
        records: Vec<(u16, usize)>,
        is_one_revision: bool,
        rows: Vec<(u8, u8, bool)>,
    },
    /// An entry whose batch is dropped.
    Abandon {
        records: Vec<(u16, usize)>,
    },
    /// Compaction at this part (of 255) of the history.
    Compact(u8),
    Checkpoint,
    Defragment,
    /// Keeps a reader for later.
    Pin,
    Unpin,
    Crash,
    Close,
    /// Sends the state to a new member in pieces of this size; it goes on there.
    Transfer(usize),
}

fn records(max: usize) -> impl Strategy<Value = Vec<(u16, usize)>> {
    let length = prop_oneof![20 => 0usize..400, 2 => 5000usize..20_000, 1 => 30_000usize..120_000];
    prop::collection::vec((0u16..60, length), 0..max)
}

fn operation() -> impl Strategy<Value = Operation> {
    let rows = prop::collection::vec((0u8..4, any::<u8>(), any::<bool>()), 0..20);
    prop_oneof![
        8 => (records(120), any::<bool>(), rows).prop_map(|(records, is_one_revision, rows)| {
            Operation::Commit { records, is_one_revision, rows }
        }),
        1 => records(10).prop_map(|records| Operation::Abandon { records }),
        3 => any::<u8>().prop_map(Operation::Compact),
        4 => Just(Operation::Checkpoint),
        1 => Just(Operation::Defragment),
        1 => Just(Operation::Pin),
        1 => Just(Operation::Unpin),
        1 => Just(Operation::Crash),
        1 => Just(Operation::Close),
        1 => (1usize..300_000).prop_map(Operation::Transfer),
    ]
}

/// A backend and everything it should know.
struct Run {
    kind: EngineKind,
    place: Place,
    backend: Backend,
    state: State,
    /// States a crash may lead back to, by applied index.
    history: BTreeMap<u64, State>,
    acknowledged: u64,
    pins: Vec<(ReadTransaction, State)>,
}

impl Run {
    fn new(kind: EngineKind) -> Self {
        let place = Place::new(kind);
        let backend = place.open();
        let history = BTreeMap::from([(0, State::default())]);
        let state = State::default();
        Self {
            kind,
            place,
            backend,
            state,
            history,
            acknowledged: 0,
            pins: Vec::new(),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Commit {
                records,
                is_one_revision,
                rows,
            } => {
                self.commit(records, *is_one_revision, rows);
            }
            Operation::Abandon { records } => self.abandon(records),
            Operation::Compact(part) => self.compact(*part),
            Operation::Checkpoint => {
                let durable = wait(self.backend.checkpoint()).unwrap();
                self.acknowledged = durable.applied.map_or(0, |applied| applied.index);
                assert_eq!(self.acknowledged, self.state.index);
            }
            Operation::Defragment => {
                wait(self.backend.defragment()).unwrap();
                self.acknowledged = self.state.index;
            }
            Operation::Pin => self.pins.push((self.backend.read(), self.state.clone())),
            Operation::Unpin => drop(self.pins.pop()),
            Operation::Crash => self.reopen(false),
            Operation::Close => self.reopen(true),
            Operation::Transfer(piece_bytes) => self.transfer(*piece_bytes),
        }
    }

    fn commit(&mut self, records: &[(u16, usize)], is_one: bool, rows: &[(u8, u8, bool)]) {
        let mut batch = self.backend.batch();
        let mut next = self.state.clone();
        next.index += 1;
        for (sub, (key, value_len)) in records.iter().enumerate() {
            let record = next.put(if is_one { sub as i64 } else { 0 }, *key, *value_len);
            let stored = batch.append(&record.info, &record.value);
            assert_eq!(stored, record.value);
            assert_eq!(
                batch.record(record.info.revision).unwrap(),
                Some(record.value)
            );
            if !is_one {
                next.revision = record.info.revision.main;
            }
        }
        if is_one && !records.is_empty() {
            next.revision = next.revision.max(1) + 1;
        }
        for (table, key, is_put) in rows {
            let table = Table::ALL[*table as usize];
            let key = Bytes::copy_from_slice(&[*key]);
            if *is_put {
                let value = Bytes::from(vec![*key.first().unwrap(); 5 + key[0] as usize * 20]);
                batch.put_row(table, &key, &value);
                next.rows.insert((table, key.clone()), value.clone());
                assert_eq!(batch.row(table, &key), Some(value));
            } else {
                batch.delete_row(table, &key);
                next.rows.remove(&(table, key));
            }
        }
        self.state.check_is_visible(&self.backend.read());
        batch.commit((next.index, 1), next.revision);
        self.state = next;
        self.history.insert(self.state.index, self.state.clone());
    }

    fn abandon(&mut self, records: &[(u16, usize)]) {
        let mut batch = self.backend.batch();
        let mut lost = self.state.clone();
        for (sub, (key, value_len)) in records.iter().enumerate() {
            let record = lost.put(sub as i64, *key, *value_len);
            batch.append(&record.info, &record.value);
        }
        batch.put_row(Table::Alarm, b"lost", b"row");
    }

    fn compact(&mut self, part: u8) {
        let compacted = self.state.revision * i64::from(part) / 255;
        let mut batch = self.backend.batch();
        let mut next = self.state.clone();
        next.index += 1;
        let row = (Table::Cluster, Bytes::from_static(b"compacted"));
        let before = next.rows.get(&row).map_or(0, compacted_of);
        let compacted = compacted.max(before);
        let value = Bytes::copy_from_slice(&compacted.to_be_bytes());
        batch.put_row(row.0, &row.1, &value);
        next.rows.insert(row, value);
        let dead = next.compact(compacted);
        batch.commit((next.index, 1), next.revision);
        self.backend.discard(&dead);
        self.state = next;
        self.history.insert(self.state.index, self.state.clone());
    }

    fn reopen(&mut self, is_orderly: bool) {
        // Two opens of one directory must not overlap, so nothing may be held.
        self.pins.clear();
        if is_orderly {
            self.backend.close().unwrap();
            self.acknowledged = self.state.index;
        }
        let elsewhere = Place::new(EngineKind::Memory);
        self.backend = elsewhere.open();
        self.backend = self.place.open();
        let recovered = self.backend.recovered();
        let index = recovered.applied.map_or(0, |applied| applied.index);
        assert!(
            index >= self.acknowledged,
            "{index} < {}",
            self.acknowledged
        );
        self.state = self.history[&index].clone();
        self.history.retain(|known, _| *known <= index);
        self.rediscard();
        self.check();
    }

    /// As mvcc does at start: what the stored compaction supersedes is dead.
    fn rediscard(&self) {
        let dead: Vec<Revision> = self.state.dead.keys().copied().collect();
        self.backend.discard(&dead);
    }

    fn transfer(&mut self, piece_bytes: usize) {
        let place = Place::new(self.kind);
        let receiver = place.open();
        let mut snapshot = self.backend.snapshot();
        let mut staging = receiver.stage().unwrap();
        while let Some(chunk) = snapshot.next_chunk().unwrap() {
            for piece in chunk.chunks(piece_bytes) {
                staging.write(piece).unwrap();
            }
        }
        let installed = receiver.install(staging).unwrap();
        assert_eq!(installed, snapshot.position());
        drop(snapshot);
        self.pins.clear();
        self.backend = receiver;
        self.place = place;
        self.acknowledged = self.state.index;
        self.rediscard();
        self.check();
    }

    fn check(&self) {
        self.state.check(&self.backend.read());
        self.state.check_infos(&self.backend);
        let shared = self.backend.shared();
        let collector = shared.collector.lock();
        assert_eq!(shared.space.live_bytes(), collector.live_bytes());
        drop(collector);
        for (read, state) in &self.pins {
            state.check(read);
        }
    }
}

impl State {
    /// A cheap check that an open batch is not visible.
    fn check_is_visible(&self, read: &ReadTransaction) {
        assert_eq!(read.revision(), self.revision);
        assert_eq!(
            read.record(Revision::new(self.revision + 1, 0)).unwrap(),
            None
        );
    }
}

fn compacted_of(value: &Bytes) -> i64 {
    i64::from_be_bytes(value.as_ref().try_into().unwrap())
}

fn run(kind: EngineKind, operations: &[Operation]) {
    let mut run = Run::new(kind);
    for operation in operations {
        run.apply(operation);
        if !matches!(operation, Operation::Commit { .. }) {
            run.check();
        }
    }
    run.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn memory_backend_behaves_as_the_model(
        operations in prop::collection::vec(operation(), 1..40),
    ) {
        run(EngineKind::Memory, &operations);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        max_shrink_iters: 40,
        ..ProptestConfig::default()
    })]

    #[test]
    fn redb_backend_behaves_as_the_model(operations in prop::collection::vec(operation(), 1..30)) {
        run(EngineKind::Redb, &operations);
    }

    #[test]
    fn sled_backend_behaves_as_the_model(operations in prop::collection::vec(operation(), 1..30)) {
        run(EngineKind::Sled, &operations);
    }
}

#[test]
fn a_fixed_history_survives_everything_on_every_engine() {
    let records: Vec<_> = (0..200u16).map(|at| (at % 50, 100 + at as usize)).collect();
    let commit = Operation::Commit {
        records,
        is_one_revision: false,
        rows: vec![(0, 1, true)],
    };
    let large = Operation::Commit {
        records: vec![(1, 2_000_000), (2, 31_000), (3, 10)],
        is_one_revision: true,
        rows: vec![(1, 200, true), (0, 1, false)],
    };
    let all = [
        commit.clone(),
        Operation::Checkpoint,
        large,
        Operation::Pin,
        Operation::Checkpoint,
        Operation::Compact(200),
        Operation::Checkpoint,
        commit.clone(),
        Operation::Crash,
        commit,
        Operation::Compact(255),
        Operation::Defragment,
        Operation::Close,
        Operation::Transfer(1000),
        Operation::Checkpoint,
        Operation::Crash,
    ];
    for kind in KINDS {
        run(kind, &all);
    }
}
