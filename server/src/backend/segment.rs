//! Records in memory: the arenas they are written to and the lists that hold them.
//!
//! The one writer encodes each record, followed by its info, into a 1 MiB arena
//! and takes a shared slice of it; nothing is copied again until a reply or a
//! block is built. A segment is a list of such slices in revision order. Only
//! the last segment of a list grows; readers take its lock for a binary search.
//!
//! An arena is reused once no slice of it is left. A slice held for long (a slow
//! watcher) pins its 1 MiB, which is why arenas are not larger.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;

use super::record::RecordInfo;
use crate::base::revision::Revision;

/// One record and its info, sharing one slice of an arena.
#[derive(Debug, Clone)]
pub(super) struct HotRecord {
    pub(super) revision: Revision,
    /// Length of the record; the rest of `data` is the info.
    record_len: usize,
    data: Bytes,
}

impl HotRecord {
    /// The encoded record.
    pub(super) fn record(&self) -> Bytes {
        self.data.slice(..self.record_len)
    }

    /// The byte form of the record's info.
    pub(super) fn info(&self) -> Bytes {
        self.data.slice(self.record_len..)
    }

    /// The encoded record, borrowed.
    pub(super) fn record_bytes(&self) -> &[u8] {
        &self.data[..self.record_len]
    }

    /// The byte form of the record's info, borrowed.
    pub(super) fn info_bytes(&self) -> &[u8] {
        &self.data[self.record_len..]
    }

    /// Memory taken, bookkeeping included.
    pub(super) fn memory_bytes(&self) -> usize {
        self.data.len() + size_of::<Self>()
    }
}

/// Records in revision order; grows only while it is the last of its list.
#[derive(Debug)]
pub(super) struct Segment {
    /// Revision of the first record.
    first: Revision,
    records: RwLock<Records>,
}

#[derive(Debug, Default)]
struct Records {
    list: Vec<HotRecord>,
    /// Sum of `memory_bytes` of the list.
    bytes: usize,
}

impl Segment {
    /// A segment whose first record will be `first`.
    pub(super) fn new(first: Revision) -> Self {
        Self {
            first,
            records: RwLock::default(),
        }
    }

    /// Appends records that follow all present ones.
    pub(super) fn append(&self, records: impl Iterator<Item = HotRecord>) {
        let mut guard = self.records.write();
        for record in records {
            debug_assert!(
                guard
                    .list
                    .last()
                    .is_none_or(|last| last.revision < record.revision)
            );
            guard.bytes += record.memory_bytes();
            guard.list.push(record);
        }
    }

    /// Revision of the first record.
    pub(super) fn first(&self) -> Revision {
        self.first
    }

    /// Revision of the last record so far.
    pub(super) fn last(&self) -> Option<Revision> {
        self.records
            .read()
            .list
            .last()
            .map(|record| record.revision)
    }

    /// Memory of all records so far.
    pub(super) fn bytes(&self) -> usize {
        self.records.read().bytes
    }

    /// The record named `revision`.
    pub(super) fn record(&self, revision: Revision) -> Option<Bytes> {
        let guard = self.records.read();
        let at = guard
            .list
            .binary_search_by_key(&revision, |record| record.revision)
            .ok()?;
        guard.list.get(at).map(HotRecord::record)
    }

    /// Copies up to `count_max` records after `after` and not after `to` to `out`.
    ///
    /// The copy costs one reference each; the lock is not held while they are used.
    pub(super) fn records_after(
        &self,
        after: Revision,
        to: Revision,
        count_max: usize,
        out: &mut Vec<HotRecord>,
    ) {
        let guard = self.records.read();
        let from = guard
            .list
            .partition_point(|record| record.revision <= after);
        let rest = guard.list.get(from..).unwrap_or_default();
        let wanted = rest
            .iter()
            .take_while(|record| record.revision <= to)
            .take(count_max);
        out.extend(wanted.cloned());
    }
}

/// Where the writer encodes records; reuses arenas that nobody reads any more.
#[derive(Debug, Default)]
pub(super) struct Arena {
    current: BytesMut,
    /// Tails of full arenas, oldest first, kept to get their memory back.
    retired: VecDeque<BytesMut>,
}

impl Arena {
    /// Lets `encode` write a record of exactly `record_len` bytes and appends its info.
    pub(super) fn write(
        &mut self,
        info: &RecordInfo,
        record_len: usize,
        encode: impl FnOnce(&mut BytesMut),
    ) -> HotRecord {
        let needed = record_len + info.encoded_len();
        let data = if needed > ARENA_BYTES / 4 {
            let mut own = BytesMut::with_capacity(needed);
            Self::fill(&mut own, info, encode)
        } else {
            if self.current.capacity() < needed {
                self.replace_current();
            }
            Self::fill(&mut self.current, info, encode)
        };
        debug_assert_eq!(data.len(), needed);
        HotRecord {
            revision: info.revision,
            record_len,
            data,
        }
    }

    fn fill(buffer: &mut BytesMut, info: &RecordInfo, encode: impl FnOnce(&mut BytesMut)) -> Bytes {
        encode(buffer);
        info.encode(buffer);
        buffer.split().freeze()
    }

    fn replace_current(&mut self) {
        let reclaimed = self
            .retired
            .front_mut()
            .is_some_and(|oldest| oldest.try_reclaim(ARENA_BYTES));
        let reclaimed = if reclaimed {
            self.retired.pop_front()
        } else {
            None
        };
        let mut next = reclaimed.unwrap_or_else(|| BytesMut::with_capacity(ARENA_BYTES));
        std::mem::swap(&mut self.current, &mut next);
        if self.retired.len() == RETIRED_ARENAS_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back(next);
    }
}

/// Size of an arena: see the file header.
const ARENA_BYTES: usize = 1 << 20;
/// A checkpoint's worth of arenas, so that steady load allocates none.
const RETIRED_ARENAS_MAX: usize = 40;
/// A segment is full at this size; it can go when all of it is checkpointed.
pub(super) const SEGMENT_BYTES: usize = 1 << 20;
