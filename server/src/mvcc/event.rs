//! One change of one key, as watchers see it.
//!
//! Built once when the change is applied (or once per catch-up scan) and then
//! shared. `record` and `key` point into the stored record: keeping an event
//! keeps that piece of storage in memory, so long-lived owners copy the key.

use bytes::Bytes;

use crate::base::revision::Revision;

use super::{Error, record::Record};

/// Whether the key was written or removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// A new version of the key.
    Put,
    /// The end of the key's life.
    Delete,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Put or delete.
    pub kind: EventKind,
    /// The key, sharing the memory of `record`.
    pub key: Bytes,
    /// Encoded `mvccpb.KeyValue`: all of it for a put, key and `mod_revision`
    /// for a delete.
    pub record: Bytes,
    /// When, and in which place inside the request.
    pub revision: Revision,
    /// Revision of the put that began this life of the key; 0 for a delete.
    pub create_revision: i64,
    /// Puts since creation; 0 for a delete.
    pub version: i64,
    /// Lease of the new version, 0 for none.
    pub lease: i64,
    /// Lease of the version replaced, 0 for none. Known only to events that a
    /// commit returns; events read back by [`changes`] have 0.
    ///
    /// [`changes`]: super::ReadTransaction::changes
    pub previous_lease: i64,
}

impl Event {
    /// Whether this put began the life of its key.
    pub fn is_creation(&self) -> bool {
        self.kind == EventKind::Put && self.version == 1
    }

    /// Rebuilds the event from a stored record.
    pub(super) fn from_record(revision: Revision, encoded: Bytes) -> Result<Self, Error> {
        let record = Record::decode(encoded)?;
        let kind = if record.is_tombstone() {
            EventKind::Delete
        } else {
            EventKind::Put
        };
        Ok(Self {
            kind,
            key: record.key(),
            revision,
            create_revision: record.create_revision(),
            version: record.version(),
            lease: record.lease(),
            previous_lease: 0,
            record: record.encoded().clone(),
        })
    }
}

/// What one request changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Commit {
    /// Revision of the store after the request: a new one if anything changed.
    pub revision: i64,
    /// The changes in execution order; empty if nothing changed.
    pub events: Vec<Event>,
}
