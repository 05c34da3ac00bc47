//! What a backend should answer, by applied index.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::backend::{Backend, ReadTransaction, RecordInfo, Table};
use crate::base::revision::Revision;

/// The state after one Raft entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) index: u64,
    pub(super) revision: i64,
    /// Records that no compaction superseded.
    pub(super) live: BTreeMap<Revision, Record>,
    /// Records that may or may not be there any more.
    pub(super) dead: BTreeMap<Revision, Record>,
    pub(super) rows: BTreeMap<(Table, Bytes), Bytes>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) info: RecordInfo,
    pub(super) value: Bytes,
}

impl State {
    /// Sets the value of a key, or deletes it, at the next main revision.
    pub(super) fn put(&mut self, sub: i64, key: u16, value_len: usize) -> Record {
        let revision = Revision::new(self.revision.max(1) + 1, sub);
        let is_delete = value_len.is_multiple_of(7);
        let info = RecordInfo {
            revision,
            key: Bytes::from(format!("key-{key:05}")),
            create_revision: if is_delete { 0 } else { revision.main },
            version: i64::from(!is_delete),
            lease: 0,
            tombstone: is_delete,
        };
        let seed = revision.main as u8 ^ sub as u8;
        let value = (0..value_len)
            .map(|at| seed.wrapping_add((at % 251) as u8))
            .collect();
        let record = Record { info, value };
        self.live.insert(revision, record.clone());
        record
    }

    /// The records a compaction at `compacted` supersedes; they become dead.
    pub(super) fn compact(&mut self, compacted: i64) -> Vec<Revision> {
        let mut newest: BTreeMap<&Bytes, Revision> = BTreeMap::new();
        for (revision, record) in self.live.range(..=Revision::new(compacted, i64::MAX)) {
            newest.insert(&record.info.key, *revision);
        }
        let is_dead = |revision: &Revision, record: &Record| {
            revision.main <= compacted
                && (newest.get(&record.info.key) != Some(revision) || record.info.tombstone)
        };
        let dead: Vec<_> = self
            .live
            .iter()
            .filter(|(revision, record)| is_dead(revision, record))
            .map(|(revision, _)| *revision)
            .collect();
        for revision in &dead {
            let record = self.live.remove(revision).unwrap();
            self.dead.insert(*revision, record);
        }
        dead
    }

    /// Checks everything a reader can ask at this state.
    pub(super) fn check(&self, read: &ReadTransaction) {
        assert_eq!(read.revision(), self.revision);
        assert_eq!(
            read.applied().map_or(0, |applied| applied.index),
            self.index
        );
        for (revision, record) in &self.live {
            let found = read.record(*revision).unwrap();
            assert_eq!(found.as_ref(), Some(&record.value), "{revision}");
        }
        let mut asked: Vec<_> = self.live.keys().rev().copied().collect();
        asked.push(Revision::new(self.revision + 1, 0));
        let found = read.records(&asked).unwrap();
        for (revision, found) in asked.iter().zip(found) {
            assert_eq!(
                found.as_ref(),
                self.live.get(revision).map(|record| &record.value)
            );
        }
        for from in [0, self.revision / 2] {
            self.check_scan(read, from);
        }
        for table in Table::ALL {
            let expected: Vec<_> = self
                .rows
                .iter()
                .filter(|((of, _), _)| *of == table)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(read.rows(table), expected);
        }
    }

    /// Checks the infos, of a backend whose newest state this is.
    pub(super) fn check_infos(&self, backend: &Backend) {
        let mut infos = Vec::new();
        backend
            .for_each_record_info(&mut |info| infos.push(info))
            .unwrap();
        assert!(infos.is_sorted_by_key(|info| info.revision));
        let mut live = self.live.clone();
        for info in infos {
            let known = live.remove(&info.revision);
            let known = known.or_else(|| self.dead.get(&info.revision).cloned());
            assert_eq!(Some(info), known.map(|record| record.info));
        }
        assert!(live.is_empty(), "infos missing: {:?}", live.keys());
    }

    fn check_scan(&self, read: &ReadTransaction, from: i64) {
        let mut live = self.live.range(Revision::new(from, 0)..).peekable();
        let mut last = Revision::ZERO;
        read.scan(from..=i64::MAX, &mut |revision, value| {
            assert!(revision > last && revision.main >= from);
            last = revision;
            match live.peek() {
                Some((expected, record)) if **expected == revision => {
                    assert_eq!(&record.value, value);
                    live.next();
                }
                _ => assert_eq!(
                    self.dead.get(&revision).map(|dead| &dead.value),
                    Some(value)
                ),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(live.next(), None);
    }
}
