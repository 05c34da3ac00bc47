//! The log's state under its one lock: the logical log as callers see it, the
//! groups waiting for the writer, and the table of what is written.
//!
//! Two clocks meet here. `first`, `next`, `purged` and the tail follow the calls
//! at once; the table follows the writer. An entry outside of the tail is
//! durable, hence in the table, so every logical index is readable. A truncation
//! lowers `durable_end` and the promise of every group still under way, so a
//! late write never declares dropped entries durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer_pool::BufferPool;
use crate::entry::{Entry, Position};
use crate::error::Error;
use crate::group::{Effect, Group, Shell};
use crate::record::{Kind, RecordHeader, encode_record, record_bytes};
use crate::recovery::Recovered;
use crate::segment::Segment;
use crate::table::{Location, Table};
use crate::tail::Tail;

/// Everything the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    /// Index of the first entry, or where it would be; meaningful with `next`.
    pub(crate) first: u64,
    /// Index of the next entry; `None`: the next append decides.
    pub(crate) next: Option<u64>,
    pub(crate) purged: Option<Position>,
    pub(crate) tail: Tail,
    /// Commit mark to ride with the next group.
    pub(crate) committed: Option<Bytes>,
    /// Groups in order; the last one is being filled.
    pub(crate) pending: VecDeque<Group>,
    /// Bytes of pending groups and of the one in flight.
    pub(crate) pending_bytes: usize,
    /// Entries below this index are durable.
    pub(crate) durable_end: u64,
    /// The group in flight must not declare more than this durable.
    in_flight_limit: u64,
    /// Written entries, and the open segments that hold them.
    pub(crate) table: Table,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    /// The writer waits for work.
    pub(crate) writer_idle: bool,
    pub(crate) closing: bool,
    /// What later calls are told.
    pub(crate) failure: Option<Error>,
    pool: Arc<BufferPool>,
    group_bytes_max: usize,
    tail_bytes_max: usize,
    /// Bytes of the last group: the next one starts in the same class.
    capacity_hint: usize,
    shells: Vec<Shell>,
}

impl State {
    pub(crate) fn new(
        recovered: &mut Recovered,
        pool: Arc<BufferPool>,
        group_bytes_max: usize,
        tail_bytes_max: usize,
    ) -> Self {
        let table = std::mem::take(&mut recovered.table);
        Self {
            first: recovered.state.first,
            next: table.next(),
            purged: recovered.state.purged,
            tail: Tail::default(),
            committed: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            durable_end: table.next().unwrap_or(0),
            in_flight_limit: u64::MAX,
            table,
            segments: std::mem::take(&mut recovered.segments),
            writer_idle: false,
            closing: false,
            failure: None,
            pool,
            group_bytes_max,
            tail_bytes_max,
            capacity_hint: 0,
            shells: Vec::new(),
        }
    }

    /// Appends an entry to the log and to the newest group.
    pub(crate) fn push_entry(&mut self, entry: &Entry) {
        assert!(
            self.next.is_none_or(|next| next == entry.index),
            "append of entry {} where {:?} is next",
            entry.index,
            self.next
        );
        if self.next.is_none() {
            self.first = entry.index;
        }
        self.next = Some(entry.index + 1);
        self.tail.push(entry.clone());
        let header = RecordHeader {
            kind: Kind::Entry,
            tag: entry.kind,
            index: entry.index,
            term: entry.term,
        };
        let offset = self.push_record(header, &entry.payload);
        let length = u32::try_from(entry.payload.len()).unwrap_or(u32::MAX);
        let group = self.group();
        group.effects.push(Effect::Entry {
            index: entry.index,
            term: entry.term,
            offset,
            length,
        });
        group.durable_end = entry.index + 1;
    }

    /// Adds the vote to the newest group.
    pub(crate) fn push_vote(&mut self, vote: Bytes) {
        self.push_record(RecordHeader::plain(Kind::Vote), &vote);
        self.group().effects.push(Effect::Vote(vote));
    }

    /// Drops entries from `end` on; `None`: all. False if there are none.
    pub(crate) fn truncate(&mut self, end: Option<u64>) -> bool {
        let end = end.or(self.purged.map(|purged| purged.index + 1));
        let Some(next) = self.next.filter(|next| end.is_none_or(|end| end < *next)) else {
            return false;
        };
        assert!(
            end.is_none_or(|end| end >= self.first),
            "truncation of purged entries"
        );
        debug_assert!(end.is_none_or(|end| end < next));
        let limit = end.unwrap_or(0);
        self.next = end;
        self.tail.truncate(limit);
        self.durable_end = self.durable_end.min(limit);
        self.in_flight_limit = self.in_flight_limit.min(limit);
        for group in &mut self.pending {
            group.durable_end = group.durable_end.min(limit);
        }
        let tag = u8::from(end.is_none());
        let header = RecordHeader {
            kind: Kind::Truncate,
            tag,
            index: limit,
            term: 0,
        };
        self.push_record(header, &[]);
        self.group().effects.push(Effect::Truncate { end });
        true
    }

    /// Drops entries up to `position`. False if they are gone already.
    pub(crate) fn purge(&mut self, position: Position) -> bool {
        if self
            .purged
            .is_some_and(|purged| purged.index >= position.index)
        {
            return false;
        }
        let end = position.index + 1;
        self.purged = Some(position);
        self.first = if self.next.is_some() {
            self.first.max(end)
        } else {
            end
        };
        self.next = Some(self.next.map_or(end, |next| next.max(end)));
        self.tail.purge(end);
        let header = RecordHeader {
            kind: Kind::Purge,
            tag: 0,
            index: position.index,
            term: position.term,
        };
        self.push_record(header, &[]);
        let group = self.group();
        group.effects.push(Effect::Purge(position));
        group.durable_end = group.durable_end.max(end);
        true
    }

    /// The newest group, begun if there is none.
    pub(crate) fn group(&mut self) -> &mut Group {
        if self.pending.is_empty() {
            self.begin_group(0);
        }
        self.pending.back_mut().expect("a group was begun above")
    }

    /// The oldest group, for the writer. The commit mark joins the newest one.
    pub(crate) fn take_group(&mut self) -> Option<Group> {
        if (self.closing || !self.pending.is_empty())
            && let Some(committed) = self.committed.take()
        {
            self.push_record(RecordHeader::plain(Kind::Committed), &committed);
            self.group().effects.push(Effect::Committed(committed));
        }
        self.in_flight_limit = u64::MAX;
        self.pending.pop_front()
    }

    /// Takes over what the group in flight made durable. The effects' offsets
    /// count from `base` in segment `sequence`.
    pub(crate) fn finish_group(&mut self, group: &Group, sequence: u64, base: u32) {
        for effect in &group.effects {
            match effect {
                Effect::Entry {
                    index,
                    term,
                    offset,
                    length,
                } => {
                    let (offset, length, term) = (base + offset, *length, *term);
                    let pushed = self.table.push(
                        *index,
                        Location {
                            sequence,
                            offset,
                            length,
                            term,
                        },
                    );
                    assert!(pushed, "entry {index} does not follow the written log");
                }
                Effect::Truncate { end } => self.table.truncate(*end),
                Effect::Purge(position) => self.table.purge(*position),
                Effect::Vote(_) | Effect::Committed(_) => {}
            }
        }
        self.durable_end = self
            .durable_end
            .max(group.durable_end.min(self.in_flight_limit));
        self.in_flight_limit = u64::MAX;
        self.pending_bytes = self.pending_bytes.saturating_sub(group.buffer.len());
        self.tail.shrink(self.tail_bytes_max, self.durable_end);
        self.check_invariants();
    }

    /// Keeps a finished group's vectors for the next one.
    pub(crate) fn reuse(&mut self, group: Group) {
        self.capacity_hint = group.buffer.len().min(self.group_bytes_max);
        let shell = group.into_shell();
        if self.shells.len() < SHELLS_COUNT_MAX && shell.capacity() <= SHELL_EFFECTS_MAX {
            self.shells.push(shell);
        }
    }

    /// Segments no entry is left in, removed from the map; never `current`.
    pub(crate) fn release_segments(&mut self, current: u64) -> Vec<Arc<Segment>> {
        let kept_from = self.table.first_sequence().unwrap_or(current).min(current);
        let kept = self.segments.split_off(&kept_from);
        std::mem::replace(&mut self.segments, kept)
            .into_values()
            .collect()
    }

    fn push_record(&mut self, header: RecordHeader, payload: &[u8]) -> u32 {
        assert!(
            payload.len() <= PAYLOAD_BYTES_MAX,
            "payload of {} bytes",
            payload.len()
        );
        let length = record_bytes(payload.len());
        let full =
            |group: &Group, max: usize| group.has_records() && group.buffer.len() + length > max;
        if self
            .pending
            .back()
            .is_none_or(|group| full(group, self.group_bytes_max))
        {
            self.begin_group(length);
        }
        let group = self.pending.back_mut().expect("a group was begun above");
        group.buffer.reserve(length);
        let offset = u32::try_from(group.buffer.len()).expect("a group is far below 4 GiB");
        encode_record(&mut group.buffer, header, payload);
        self.pending_bytes += length;
        offset
    }

    fn begin_group(&mut self, record_length: usize) {
        let capacity = self
            .capacity_hint
            .max(record_length + crate::record::FRAME_HEADER_BYTES);
        let shell = self.shells.pop().unwrap_or_default();
        let group = Group::new(self.pool.take(capacity), shell);
        self.pending_bytes += group.buffer.len();
        self.pending.push_back(group);
    }

    fn check_invariants(&self) {
        debug_assert!(self.next.is_none_or(|next| self.first <= next));
        debug_assert!(self.durable_end <= self.next.unwrap_or(0));
        debug_assert!(self.tail.first().is_none_or(|first| first >= self.first));
        debug_assert!(self.purged.is_none_or(|purged| purged.index < self.first));
    }
}

/// Longest payload of one record; far above any request limit.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 256 << 20;
/// Emptied groups kept: one filling, one in flight, some for bursts.
const SHELLS_COUNT_MAX: usize = 8;
/// A group of more records gives its vectors back to the allocator.
const SHELL_EFFECTS_MAX: usize = 64 << 10;
