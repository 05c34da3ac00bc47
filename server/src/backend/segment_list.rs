//! The segments of one view, in revision order.
//!
//! Immutable but for the growth of its last segment, so a clone is one
//! reference. Readers bound every look-up by the revision of their view, which
//! hides what the last segment got after the view was made.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::error::Error;
use super::segment::{HotRecord, Segment};
use crate::base::revision::Revision;

/// Segments in revision order, no two overlapping.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentList {
    segments: Arc<Vec<Arc<Segment>>>,
}

impl SegmentList {
    /// The list with one more segment at its end.
    pub(super) fn with(&self, segment: Arc<Segment>) -> Self {
        let mut segments = Vec::clone(&self.segments);
        segments.push(segment);
        Self {
            segments: Arc::new(segments),
        }
    }

    /// The list without segments that end at or before `checkpointed`.
    ///
    /// The last segment stays: the writer still appends to it, and the newest
    /// records are the ones most read.
    pub(super) fn without_checkpointed(&self, checkpointed: Revision) -> Self {
        let Some((last, older)) = self.segments.split_last() else {
            return self.clone();
        };
        let is_kept = |segment: &&Arc<Segment>| segment.last() > Some(checkpointed);
        let mut segments: Vec<_> = older.iter().filter(is_kept).cloned().collect();
        segments.push(Arc::clone(last));
        Self {
            segments: Arc::new(segments),
        }
    }

    /// The segment that still grows.
    pub(super) fn last(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// Revision of the oldest record in memory.
    pub(super) fn first_revision(&self) -> Option<Revision> {
        self.segments.first().map(|segment| segment.first())
    }

    /// Memory of all records.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes()).sum()
    }

    /// The record named `revision`.
    pub(super) fn record(&self, revision: Revision) -> Option<Bytes> {
        let after = self
            .segments
            .partition_point(|segment| segment.first() <= revision);
        self.segments.get(after.checked_sub(1)?)?.record(revision)
    }

    /// Calls `f` for every record after `after` and not after `to`, in order.
    ///
    /// # Errors
    ///
    /// The first one that `f` returned.
    pub(super) fn for_each_after(
        &self,
        after: Revision,
        to: Revision,
        f: &mut dyn FnMut(&HotRecord) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
        let mut position = after;
        let from = self
            .segments
            .partition_point(|segment| segment.last() <= Some(after));
        for segment in self.segments.iter().skip(from) {
            loop {
                chunk.clear();
                segment.records_after(position, to, CHUNK_RECORDS, &mut chunk);
                let Some(last) = chunk.last() else { break };
                position = last.revision;
                for record in &chunk {
                    if f(record)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Records taken out of a segment per lock.
const CHUNK_RECORDS: usize = 128;
