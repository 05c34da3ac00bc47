//! What the log of a member that does not run says, read without changing it.
//!
//! A damaged log is read up to the damage. Indexes begin at 1, as everywhere
//! outside this crate.

use std::path::Path;
use std::sync::Arc;

use quoin_wal::Position;

use super::{entry_codec, stored};
use crate::applier::committed;
use crate::config::Member;
use crate::error::Error;
use crate::shared::members_of;
use crate::state_machine::{Applied, Committed, LogId};
use crate::types::{Membership, log_id, shown};

/// A log as far as it can be read. While it lives no member can open it.
#[derive(Debug)]
pub struct LogExamination {
    wal: quoin_wal::Examination,
    term: u64,
    committed: Option<LogId>,
    damage: Option<String>,
}

impl LogExamination {
    /// Reads the log in `directory`; without segments it is empty.
    ///
    /// # Errors
    /// The directory cannot be read, or a member has it open.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let wal = quoin_wal::Examination::open(directory)?;
        let recovery = wal.recovery();
        let mut damage = wal.damage().map(ToString::to_string);
        let mut note = |error: Error| damage.get_or_insert(error.to_string()).len();
        let vote = stored("vote", recovery.vote.as_ref().map(entry_codec::decode_vote));
        let vote = vote.unwrap_or_else(|error| {
            note(error);
            None
        });
        let mark = recovery.committed.as_ref();
        let mark = stored("commit mark", mark.map(entry_codec::decode_committed));
        let mark = mark.unwrap_or_else(|error| {
            note(error);
            None
        });
        Ok(Self {
            term: vote.map_or(0, |vote| vote.leader_id.term),
            committed: mark.flatten().as_ref().map(shown),
            wal,
            damage,
        })
    }

    /// Cluster and member it was written for, if any segment says so.
    pub fn identity(&self) -> Option<(u64, u64)> {
        let identity = self.wal.identity()?;
        Some((identity.cluster_id, identity.member_id))
    }

    /// Term of the last vote; 0 before the first.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The last entry; where there is none, the last purged one.
    pub fn last(&self) -> Option<LogId> {
        let recovery = self.wal.recovery();
        recovery.last.or(recovery.purged).map(position)
    }

    /// Index of the oldest entry held, or where the next one would go.
    pub fn first_index(&self) -> u64 {
        let recovery = self.wal.recovery();
        let after_purged = recovery.purged.map_or(0, |purged| purged.index + 1);
        recovery.first_index.unwrap_or(after_purged) + 1
    }

    /// Last entry that is known to be committed; there may be more.
    pub fn committed(&self) -> Option<LogId> {
        self.committed
    }

    /// Term of the entry `index`, if it is held.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.wal.term_at(index.checked_sub(1)?)
    }

    /// Where the log is damaged; it counts up to there. `None` for a sound one.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// An unfinished last write, which was not acknowledged: file and offset.
    pub fn torn_tail(&self) -> Option<String> {
        let torn = self.wal.recovery().torn_tail.as_ref()?;
        Some(format!("{} at offset {}", torn.path.display(), torn.offset))
    }

    /// Whether the log went another way than what `applied` is of. So it is after a
    /// crash between the installation of a snapshot and the removal of the entries
    /// that the snapshot overrules: none of those that follow was ever committed.
    pub fn contradicts(&self, applied: &Applied) -> bool {
        let term = |at: LogId| Some((self.term_at(at.index)?, at.term));
        let terms = applied.log_id.and_then(term);
        terms.is_some_and(|(held, applied)| held != applied)
    }

    /// The entries behind a state, in order, committed or not; none if the log
    /// [contradicts](Self::contradicts) it.
    ///
    /// # Errors
    /// There is a hole between the state and the log, or the state's membership
    /// does not decode. Each entry may fail too; nothing follows then.
    pub fn entries_after(&self, applied: &Applied) -> Result<Entries<'_>, Error> {
        let before = applied.membership.as_ref().map(Quorums::decode);
        let before = before.transpose()?.map(|quorums| quorums.membership);
        let is_overruled = self.contradicts(applied);
        let applied = applied.log_id.map_or(0, |at| at.index);
        let last = self.last().filter(|_| !is_overruled);
        let next = last.map_or(0, |last| last.index);
        if applied < next && self.first_index() > applied + 1 {
            return Err(Error::Corrupt {
                what: "state",
                reason: format!(
                    "it ends at entry {applied}, the log begins at entry {}",
                    self.first_index()
                ),
            });
        }
        Ok(Entries {
            log: self,
            next: applied,
            end: next,
            chunk: Vec::new().into_iter(),
            membership: before.unwrap_or_default(),
        })
    }
}

/// Entries of a log, see [`LogExamination::entries_after`].
#[derive(Debug)]
pub struct Entries<'a> {
    log: &'a LogExamination,
    /// In the log's own count, from 0.
    next: u64,
    end: u64,
    chunk: std::vec::IntoIter<quoin_wal::Entry>,
    membership: Arc<Membership>,
}

impl Entries<'_> {
    /// How many are still to come.
    pub fn remaining_count(&self) -> u64 {
        self.end.saturating_sub(self.next) + self.chunk.len() as u64
    }

    fn read(&mut self) -> Result<Option<Committed>, Error> {
        if self.chunk.len() == 0 && self.next < self.end {
            let end = self.end.min(self.next.saturating_add(CHUNK_ENTRIES_MAX));
            let chunk = self.log.wal.read(self.next..end, CHUNK_BYTES_MAX)?;
            self.next += chunk.len() as u64;
            self.chunk = chunk.into_iter();
        }
        let Some(entry) = self.chunk.next() else {
            return Ok(None);
        };
        let entry = entry_codec::from_wal(entry).map_err(|error| Error::Corrupt {
            what: "entry",
            reason: error.to_string(),
        })?;
        Ok(Some(committed(&entry, &mut self.membership)))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Committed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.next = self.end;
            self.chunk = Vec::new().into_iter();
        }
        read.transpose()
    }
}

/// Who decides in a cluster, as a membership says.
#[derive(Clone, Debug)]
pub struct Quorums {
    /// The sets of voters; two while a change is under way. What is committed
    /// has a majority in each of them.
    pub voters: Vec<Vec<u64>>,
    /// All members.
    pub members: Vec<Member>,
    membership: Arc<Membership>,
}

impl Quorums {
    /// Reads the `encoded` of a [`crate::Payload::Membership`], or what
    /// [`Applied`] keeps of it.
    ///
    /// # Errors
    /// It does not decode.
    pub fn decode(encoded: &bytes::Bytes) -> Result<Self, Error> {
        let stored = entry_codec::decode_stored_membership(encoded);
        let stored = stored.map_err(|error| Error::Corrupt {
            what: "membership",
            reason: error.to_string(),
        })?;
        let membership = stored.membership().clone();
        let sets = membership.get_joint_config().iter();
        Ok(Self {
            voters: sets.map(|set| set.iter().copied().collect()).collect(),
            members: members_of(&membership),
            membership: Arc::new(membership),
        })
    }
}

fn position(at: Position) -> LogId {
    shown(&log_id(at.term, at.index))
}

/// Entries read at once.
const CHUNK_ENTRIES_MAX: u64 = 1024;
/// Bytes read at once.
const CHUNK_BYTES_MAX: usize = 4 << 20;
