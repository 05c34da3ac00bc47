//! What the hub needs to know about the past.
//!
//! Two implementations: the MVCC store, and a list in memory for the tests.
//! Calls may read from disk; the hub makes them on blocking threads, except the
//! two revisions, which must be plain loads.

use bytes::Bytes;

use crate::base::key_range::KeyRangeUnion;
use crate::mvcc::{self, ChangesQuery};

/// Changes by revision. Implementations are shared by all threads.
pub trait History: Send + Sync + 'static {
    /// Revision of the last change visible to readers.
    fn revision(&self) -> i64;

    /// Revision of the last compaction, -1 before the first. Never decreases.
    fn compact_revision(&self) -> i64;

    /// The changes of the keys in `keys`, from revision `from` up to and
    /// including `to`, oldest first.
    ///
    /// May stop early, after about as much as `limits` say, but never inside a
    /// revision and never without having moved on.
    ///
    /// # Errors
    ///
    /// `Compacted` where `from` is below the compact revision.
    fn changes(
        &self,
        from: i64,
        to: i64,
        keys: &KeyRangeUnion,
        limits: ChangesLimits,
    ) -> Result<Changes, HistoryError>;

    /// The encoded pair of `key` as of `revision`, if it existed.
    ///
    /// # Errors
    ///
    /// `Compacted` where `revision` is no longer readable.
    fn key_value(&self, key: &[u8], revision: i64) -> Result<Option<Bytes>, HistoryError>;
}

/// How much one call of [`History::changes`] may return.
#[derive(Clone, Copy, Debug)]
pub struct ChangesLimits {
    /// Revisions with wanted changes.
    pub revisions_max: usize,
    /// Bytes of their records.
    pub bytes_max: usize,
}

/// An answer of [`History::changes`].
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything wanted below this revision is in `revisions`; above `from`.
    pub next: i64,
    /// The events of each revision that has any, oldest first.
    pub revisions: Vec<(i64, Vec<mvcc::Event>)>,
}

/// Why the past cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The revision was compacted away.
    #[error("revision was compacted")]
    Compacted,
    /// The store failed to read.
    #[error("history cannot be read: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl History for mvcc::Store {
    fn revision(&self) -> i64 {
        self.revision()
    }

    fn compact_revision(&self) -> i64 {
        self.compact_revision()
    }

    fn changes(
        &self,
        from: i64,
        to: i64,
        keys: &KeyRangeUnion,
        limits: ChangesLimits,
    ) -> Result<Changes, HistoryError> {
        let Some(range) = keys.hull() else {
            return Ok(Changes {
                next: to + 1,
                revisions: Vec::new(),
            });
        };
        let query = ChangesQuery {
            from,
            to,
            range: &range,
            wanted: &|key| keys.contains(key),
            revisions_max: limits.revisions_max,
            bytes_max: limits.bytes_max,
        };
        let found = self.read().changes(&query)?;
        Ok(Changes {
            next: found.next,
            revisions: found.revisions,
        })
    }

    fn key_value(&self, key: &[u8], revision: i64) -> Result<Option<Bytes>, HistoryError> {
        Ok(self.read().key_value(key, revision)?)
    }
}

impl From<mvcc::Error> for HistoryError {
    fn from(error: mvcc::Error) -> Self {
        match error {
            mvcc::Error::Compacted { .. } => Self::Compacted,
            other => Self::Failed(Box::new(other)),
        }
    }
}
