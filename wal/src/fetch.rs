//! Reads entries: from the tail in memory, else from segments by `pread`.
//!
//! What to read is decided under the log's lock, the reading happens outside of
//! it. The plan holds the segments open, so that purge cannot recycle them
//! meanwhile. Neighbouring records are read with one call and share its buffer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::Entry;
use crate::error::Error;
use crate::metrics::{Metrics, add};
use crate::record::{Kind, RECORD_HEADER_BYTES, decode_record, record_bytes, verify_record};
use crate::segment::Segment;
use crate::state::State;
use crate::table::{Location, Table};

/// Entries to read: some from segments, then some that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    spans: Vec<Span>,
    entries: Vec<Entry>,
}

/// Neighbouring records of one segment.
#[derive(Debug)]
struct Span {
    segment: Arc<Segment>,
    first_index: u64,
    locations: Vec<Location>,
}

impl Plan {
    /// Plans to read entries from the start of `range`, at least one, and no
    /// more than fit in `bytes_max` of payload.
    pub(crate) fn new(state: &State, range: &Range<u64>, bytes_max: usize) -> Result<Self, Error> {
        let (first, next) = (state.first, state.next.unwrap_or(state.first));
        if range.start < first || range.end > next {
            let Range { start, end } = *range;
            return Err(Error::OutOfRange {
                start,
                end,
                first,
                next,
            });
        }
        let mut plan = Self::default();
        let mut budget = Budget {
            left: bytes_max,
            is_first: true,
        };
        let tail_first = state.tail.first().unwrap_or(next);
        for index in range.start..range.end.min(tail_first) {
            let missing = || Error::OutOfRange {
                start: index,
                end: index + 1,
                first,
                next,
            };
            let location = state.table.location(index).ok_or_else(missing)?;
            if !budget.admits(location.length as usize) {
                return Ok(plan);
            }
            let segment = state.segments.get(&location.sequence).ok_or_else(missing)?;
            plan.add(index, location, segment);
        }
        let start = range.start.max(tail_first);
        for entry in state
            .tail
            .from(start)
            .take_while(|entry| entry.index < range.end)
        {
            if !budget.admits(entry.payload.len()) {
                break;
            }
            plan.entries.push(entry.clone());
        }
        Ok(plan)
    }

    /// Plans to read entries of a log that is not open, under the same rules.
    pub(crate) fn of_segments(
        table: &Table,
        segments: &BTreeMap<u64, Arc<Segment>>,
        range: &Range<u64>,
        bytes_max: usize,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut budget = Budget {
            left: bytes_max,
            is_first: true,
        };
        for index in range.clone() {
            let place = table.location(index).and_then(|location| {
                let segment = segments.get(&location.sequence)?;
                Some((location, segment))
            });
            let (location, segment) = place.ok_or_else(|| Error::OutOfRange {
                start: range.start,
                end: range.end,
                first: table.first().unwrap_or_default(),
                next: table.next().unwrap_or_default(),
            })?;
            if !budget.admits(location.length as usize) {
                break;
            }
            plan.add(index, location, segment);
        }
        Ok(plan)
    }

    fn add(&mut self, index: u64, location: Location, segment: &Arc<Segment>) {
        if let Some(span) = self.spans.last_mut().filter(|span| span.accepts(location)) {
            span.locations.push(location);
            return;
        }
        let segment = Arc::clone(segment);
        self.spans.push(Span {
            segment,
            first_index: index,
            locations: vec![location],
        });
    }

    /// Does the reading.
    pub(crate) fn execute(mut self, metrics: &Metrics) -> Result<Vec<Entry>, Error> {
        add(&metrics.tail_reads, self.entries.len() as u64);
        if self.spans.is_empty() {
            return Ok(self.entries);
        }
        let mut entries = Vec::new();
        for span in &self.spans {
            span.read(&mut entries)?;
        }
        add(&metrics.segment_reads, entries.len() as u64);
        entries.append(&mut self.entries);
        Ok(entries)
    }
}

impl Span {
    fn accepts(&self, location: Location) -> bool {
        let Some(first) = self.locations.first() else {
            return false;
        };
        first.sequence == location.sequence
            && end_of(location).saturating_sub(u64::from(first.offset)) <= SPAN_BYTES_MAX
    }

    fn read(&self, entries: &mut Vec<Entry>) -> Result<(), Error> {
        let (Some(first), Some(last)) = (self.locations.first(), self.locations.last()) else {
            return Ok(());
        };
        let start = u64::from(first.offset);
        let length = end_of(*last).saturating_sub(start);
        let path = &self.segment.path;
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
        let count = self.segment.file.read_at(start, &mut buffer);
        let count = count.map_err(|source| Error::io("read", path, source))?;
        buffer.truncate(count);
        let buffer = Bytes::from(buffer);
        for (location, index) in self.locations.iter().zip(self.first_index..) {
            let offset = usize::try_from(u64::from(location.offset) - start).unwrap_or(usize::MAX);
            let entry = decode_entry(&buffer, offset, index, location.term);
            let damaged = || {
                let what = "entry is not what was written";
                Error::corruption(path, u64::from(location.offset), what)
            };
            entries.push(entry.ok_or_else(damaged)?);
        }
        Ok(())
    }
}

/// The verified entry whose record starts at `offset`.
fn decode_entry(buffer: &Bytes, offset: usize, index: u64, term: u64) -> Option<Entry> {
    let record = decode_record(buffer, offset)?;
    let header = record.header;
    if header.kind != Kind::Entry || header.index != index || header.term != term {
        return None;
    }
    if !verify_record(buffer.get(record.offset..)?, record.payload) {
        return None;
    }
    let start = record.offset + RECORD_HEADER_BYTES;
    let payload = buffer.slice(start..start + record.payload.len());
    Some(Entry {
        index,
        term,
        kind: header.tag,
        payload,
    })
}

fn end_of(location: Location) -> u64 {
    u64::from(location.offset) + record_bytes(location.length as usize) as u64
}

/// Bytes of payload that may still be read.
struct Budget {
    left: usize,
    is_first: bool,
}

impl Budget {
    fn admits(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left || self.is_first;
        self.is_first = false;
        self.left = self.left.saturating_sub(bytes);
        fits
    }
}

/// Bytes read with one call, and kept alive together, unless one record is
/// larger.
const SPAN_BYTES_MAX: u64 = 1 << 20;
