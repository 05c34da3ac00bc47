//! What comparisons need of a key, without its value.

use super::Error;
use super::generation::Change;
use super::range::RecordSource;
use super::record::Record;

/// Revisions, version and lease of a live key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyInfo {
    /// Revision of the put that created the key.
    pub create_revision: i64,
    /// Revision of the last put.
    pub mod_revision: i64,
    /// Puts since creation.
    pub version: i64,
    /// Attached lease, 0 for none.
    pub lease: i64,
}

impl KeyInfo {
    /// Everything but the lease is in the index.
    pub(super) fn of(change: Change, source: &impl RecordSource) -> Result<Self, Error> {
        let lease = if change.is_leased() {
            Record::decode(source.record(change.revision())?)?.lease()
        } else {
            0
        };
        Ok(Self {
            create_revision: change.create_revision(),
            mod_revision: change.main(),
            version: change.version(),
            lease,
        })
    }
}
