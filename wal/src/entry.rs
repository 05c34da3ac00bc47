//! What the log stores: an entry is an opaque payload at a (index, term).
//!
//! `Entry` is cheap to clone: its payload is a shared buffer, the same one that
//! goes to peers and to apply. The log never looks into it.

use bytes::Bytes;

/// One log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log. Indexes are contiguous; the first may be any number.
    pub index: u64,
    /// Term in which the entry was proposed; never decreases along the log.
    pub term: u64,
    /// Opaque tag of the caller, kept beside the payload.
    pub kind: u8,
    /// Opaque bytes.
    pub payload: Bytes,
}

/// Index and term of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Index of the entry.
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

impl Entry {
    /// Where the entry stands.
    pub fn position(&self) -> Position {
        Position {
            index: self.index,
            term: self.term,
        }
    }
}
