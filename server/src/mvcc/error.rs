//! What can go wrong in the store.
//!
//! Refusals that a client caused (`Compacted`, `FutureRevision`) are kept
//! apart from damage (`Corrupt`, `MissingRecord`) and from failures of the
//! backend: after the last three the member must stop.

use crate::{backend, base::revision::Revision};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision asked for is below the compact revision.
    #[error("revision {requested} is compacted (compact revision {compact_revision})")]
    Compacted {
        /// Revision asked for.
        requested: i64,
        /// The lowest revision that can still be read.
        compact_revision: i64,
    },
    /// The revision asked for does not exist yet.
    #[error("revision {requested} is in the future (current revision {current})")]
    FutureRevision {
        /// Revision asked for.
        requested: i64,
        /// The newest revision.
        current: i64,
    },
    /// A stored record or row does not decode.
    #[error("stored record is damaged: {0}")]
    Corrupt(&'static str),
    /// The index names a record that the backend does not have.
    #[error("record {0:?} is missing in the backend")]
    MissingRecord(Revision),
    /// The backend failed.
    #[error("backend: {0}")]
    Backend(#[from] backend::Error),
}

impl Error {
    /// A read that must not wait for the disk would have to.
    pub fn is_not_in_memory(&self) -> bool {
        matches!(self, Self::Backend(backend::Error::NotInMemory))
    }
}
