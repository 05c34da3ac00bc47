//! What one client asked and what it was told.

use std::collections::BTreeMap;

/// A key, by number: histories are large, and judges only compare.
pub type Key = u32;

/// A value, by number. Every write of a history writes another one, so that a
/// value that is read names the write it came from.
pub type Value = u64;

/// A pair as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Its value.
    pub value: Value,
    /// Revision of the write it came from.
    pub mod_revision: i64,
    /// Changes since the key was created, 1 for the first.
    pub version: i64,
}

/// A change of one key: the new value, or `None` for a deletion.
pub type Change = (Key, Option<Value>);

/// One request, as far as judges care. A put, a delete, a read and a transaction
/// differ only in what is filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Who asked; a client asks one thing at a time.
    pub client: u32,
    /// When it was asked, in nanoseconds of the one clock of the history.
    pub called: u64,
    /// When the answer came; `None` if it never came, or left open whether the
    /// request had an effect.
    pub answered: Option<u64>,
    /// Keys that must be at these modification revisions (0: absent) for the
    /// changes to be made; else nothing is changed.
    pub conditions: BTreeMap<Key, i64>,
    /// What it changes if the conditions hold. A deletion of a key that is absent
    /// changes nothing.
    pub changes: Vec<Change>,
    /// What was answered.
    pub answer: Option<Answer>,
}

/// What a client was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Revision of the store when the request was carried out: after its changes,
    /// if it made any.
    pub revision: i64,
    /// The conditions held.
    pub succeeded: bool,
    /// The keys that were read, before the changes.
    pub read: BTreeMap<Key, Option<Pair>>,
    /// Whether it was a serializable read, which may be of any older revision.
    pub is_serializable: bool,
}

impl Operation {
    /// The outcome is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.answered.is_none()
    }

    /// It asks for nothing but deletions.
    #[must_use]
    pub fn deletes_only(&self) -> bool {
        self.changes.iter().all(|(_, value)| value.is_none())
    }

    /// It may have made its changes: nobody said that it has not.
    #[must_use]
    pub fn may_change(&self) -> bool {
        !self.changes.is_empty() && self.answer.as_ref().is_none_or(|answer| answer.succeeded)
    }
}
