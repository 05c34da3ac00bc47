//! Knows what must hold, and looks at every step.
//!
//! - At most one member leads in a term.
//! - A member that leads has every entry that was applied anywhere in earlier terms.
//! - Two logs that hold an entry of one index and term hold the same there and before.
//! - What is applied at an index is the same on every member, for ever, without
//!   holes, and leads to the same state.
//! - A write that was acknowledged is applied; a read sees every operation that was
//!   answered before it was asked, and what was written at that point of the log.
//!
//! The order of writes is known here, from what is applied. So every answer can be
//! judged when it is given, and linearizability needs no search.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quoin_raft::{Applied, LogId};

use super::random::mix;
use super::record::Record;

/// Key of a register.
pub(super) type Key = u32;
/// A write by its number, which is the value it writes; 0: none.
pub(super) type Write = u64;

/// The state of all registers and a digest of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) values: BTreeMap<Key, Write>,
    pub(super) digest: u64,
}

impl Registers {
    pub(super) fn set(&mut self, key: Key, value: Write) {
        let old = self.values.insert(key, value);
        self.digest ^= old.map_or(0, |old| digest(key, old)) ^ digest(key, value);
    }

    pub(super) fn get(&self, key: Key) -> Write {
        self.values.get(&key).copied().unwrap_or(0)
    }
}

fn digest(key: Key, value: Write) -> u64 {
    mix(mix(u64::from(key)) ^ value)
}

/// Where a member has a state from that it did not reach by applying.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// Its own, after a restart.
    Checkpoint,
    /// That of the leader.
    Snapshot,
}

/// Watches a cluster. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    record: Record,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// What was applied, from index 1 on: term and hash of the content.
    applied: Vec<(u64, u64)>,
    /// The state, and its digest after each entry.
    registers: Registers,
    digests: Vec<u64>,
    /// Writes by key: where, and which.
    history: BTreeMap<Key, Vec<(u64, Write)>>,
    /// Where a write was applied.
    places: BTreeMap<Write, u64>,
    leaders: BTreeMap<u64, u64>,
    /// Entries seen in logs by index and term: hash, and the term before.
    logged: BTreeMap<(u64, u64), (u64, Option<u64>)>,
    /// Every operation that was answered is at or before this index.
    answered: u64,
}

impl Oracle {
    pub(super) fn new(record: Record) -> Self {
        Self {
            record,
            known: Arc::default(),
        }
    }

    /// A member has applied an entry and is now in the state of `digest`.
    pub(super) fn applied(
        &self,
        member: u64,
        at: LogId,
        content: u64,
        write: Option<(Key, Write)>,
        digest: u64,
    ) {
        self.record
            .note("apply", &[member, at.index, at.term, content]);
        let mut known = self.known.lock();
        let place = place(at.index);
        if place == known.applied.len() {
            known.apply(at, content, write);
        }
        let expected = known.applied.get(place).copied();
        let state = known.digests.get(place).copied();
        drop(known);
        if expected != Some((at.term, content)) {
            self.record.violated(|| {
                format!(
                    "state machine safety: member {member} applied {at:?} with content \
                     {content:x}, others (term, content) {expected:x?}"
                )
            });
        } else if state != Some(digest) {
            self.record
                .violated(|| format!("member {member} is in another state after entry {at:?}"));
        }
    }

    /// A member goes on from a state that it did not reach by applying.
    pub(super) fn resumed(&self, member: u64, how: How, applied: &Applied, digest: u64) {
        let index = applied.log_id.map_or(0, |id| id.index);
        let kind = match how {
            How::Checkpoint => "resume",
            How::Snapshot => "install",
        };
        self.record.note(kind, &[member, index, digest]);
        let Some(at) = applied.log_id else {
            if digest != 0 {
                self.record
                    .violated(|| format!("member {member}, from a {how:?}: a state of no entry"));
            }
            return;
        };
        let known = self.known.lock();
        let place = place(at.index);
        let term = known.applied.get(place).map(|(term, _)| *term);
        let state = known.digests.get(place).copied();
        drop(known);
        if (term, state) != (Some(at.term), Some(digest)) {
            self.record.violated(|| {
                format!("member {member}, from a {how:?}: its state is not that of entry {at:?}")
            });
        }
    }

    /// A member leads, with its log ending at `last` and, of the entries from
    /// `from` on, these terms and hashes.
    pub(super) fn leads(&self, member: u64, term: u64, last: Option<LogId>) {
        let mut known = self.known.lock();
        let other = *known.leaders.entry(term).or_insert(member);
        let newest = known.applied.len() as u64;
        let newest_term = known.applied.last().map_or(0, |(term, _)| *term);
        drop(known);
        if other != member {
            self.record.violated(|| {
                format!("election safety: members {other} and {member} lead in term {term}")
            });
        }
        let end = last.unwrap_or_default();
        if newest_term < term && end.index < newest {
            self.record.violated(|| {
                format!(
                    "leader completeness: member {member} leads in term {term} with a log \
                     up to {end:?}, entry {newest} of term {newest_term} was applied"
                )
            });
        }
    }

    /// Entries of one log, in order; `before` is the term of the entry before them.
    pub(super) fn logged(&self, member: u64, before: Option<u64>, entries: &[(LogId, u64)]) {
        let mut known = self.known.lock();
        let mut before = before;
        for (at, content) in entries {
            let seen = known.logged.entry((at.index, at.term));
            let (other, other_before) = *seen.or_insert((*content, before));
            let is_same = other == *content;
            let follows_same = before.is_none() || other_before.is_none() || before == other_before;
            if !is_same || !follows_same {
                self.record.violated(|| {
                    format!("log matching: the log of member {member} differs at {at:?}")
                });
            }
            before = Some(at.term);
        }
    }

    /// Forgets what can no longer differ.
    pub(super) fn forget_below(&self, index: u64) {
        let mut known = self.known.lock();
        known.logged = known.logged.split_off(&(index, 0));
    }

    /// An operation begins: what it must not be before.
    pub(super) fn called(&self) -> u64 {
        self.known.lock().answered
    }

    /// A write was acknowledged.
    pub(super) fn acknowledged(&self, write: Write, called: u64) {
        let mut known = self.known.lock();
        let place = known.places.get(&write).copied();
        known.answered = known.answered.max(place.unwrap_or(0));
        drop(known);
        if place.is_none_or(|place| place <= called) {
            self.record.violated(|| {
                format!(
                    "write {write:x} was acknowledged, called after entry {called}, and is \
                     applied at {place:?}"
                )
            });
        }
    }

    /// A linearizable read was answered from the state after entry `index`.
    pub(super) fn was_read(&self, key: Key, value: Write, index: u64, called: u64) {
        let mut known = self.known.lock();
        known.answered = known.answered.max(index);
        let writes = known.history.get(&key).map_or(&[][..], Vec::as_slice);
        let count = writes.partition_point(|(place, _)| *place <= index);
        let expected = count
            .checked_sub(1)
            .and_then(|last| writes.get(last))
            .map_or(0, |(_, write)| *write);
        drop(known);
        if index < called || expected != value {
            self.record.violated(|| {
                format!(
                    "a linearizable read of key {key}, called after entry {called}, was \
                     answered from entry {index} with write {value:x}, which holds {expected:x}"
                )
            });
        }
    }

    /// The last entry that was applied anywhere, and the state after it.
    pub(super) fn newest(&self) -> (u64, u64) {
        let known = self.known.lock();
        (known.applied.len() as u64, known.registers.digest)
    }
}

impl Known {
    fn apply(&mut self, at: LogId, content: u64, write: Option<(Key, Write)>) {
        self.applied.push((at.term, content));
        if let Some((key, write)) = write {
            self.registers.set(key, write);
            self.history.entry(key).or_default().push((at.index, write));
            self.places.insert(write, at.index);
        }
        self.digests.push(self.registers.digest);
    }
}

fn place(index: u64) -> usize {
    usize::try_from(index.saturating_sub(1)).unwrap_or(usize::MAX)
}
