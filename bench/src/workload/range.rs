//! Reads: one key, the first rows of the space, or all of it.

use bytes::Bytes;
use quoin_proto::etcdserverpb::RangeRequest;

use crate::{
    connection::{Call, Frames},
    random::Random,
    workload::{
        keys::{Keys, PREFIX_END, name},
        unary::Requests,
    },
};

/// Reads from a space that was filled before.
#[derive(Clone, Debug)]
pub struct Ranges {
    keys: Keys,
    /// Rows of each reply; 1 reads a single key.
    rows_count: u64,
    serializable: bool,
}

impl Ranges {
    /// Reads of `rows_count` rows from a random key on.
    #[must_use]
    pub fn new(keys: Keys, rows_count: u64, serializable: bool) -> Self {
        Self {
            keys,
            rows_count,
            serializable,
        }
    }
}

impl Requests for Ranges {
    fn call(&self) -> Call {
        Call::Range
    }

    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes> {
        let (key, range_end) = if self.rows_count <= 1 {
            (self.keys.random(random), Bytes::new())
        } else {
            // A start that leaves as many rows as are asked for.
            let starts = self.keys.keys_count.saturating_sub(self.rows_count);
            let start = random.below(starts + 1);
            (name(start), Bytes::from_static(PREFIX_END))
        };
        let limit = if self.rows_count <= 1 {
            0
        } else {
            i64::try_from(self.rows_count).unwrap_or(i64::MAX)
        };
        let key = frames.bytes(&key);
        Some(frames.frame(&RangeRequest {
            key,
            range_end,
            limit,
            serializable: self.serializable,
            ..RangeRequest::default()
        }))
    }
}
