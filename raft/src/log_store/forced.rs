//! A cluster of one out of a member that lost the others.
//!
//! Done before consensus starts, by one entry at the end of the log: a membership
//! in which this member votes alone. Its term is a new one, for which this member
//! has voted, as if it had been elected. All else is what always happens: alone
//! it elects itself, and everything that is in the log becomes committed. That
//! keeps what a quorum may have acknowledged, also where this member does not know
//! it to be committed.
//!
//! A crash leaves the log with the entry or without it; asked again, nothing is
//! added to a log in which the member votes alone already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use openraft::impls::leader_id_std::LeaderId;

use super::{LogStore, entry_codec};
use crate::error::Error;
use crate::state_machine::Applied;
use crate::types::{Entry, EntryBody, Membership, PeerNode, Tag, Vote, hidden, log_id};

impl LogStore {
    /// Makes `own` the only member of what the log and the state at `applied` say
    /// is its cluster; durable when it returns. Returns who was a member beside it
    /// and is not any more. Blocks.
    ///
    /// # Errors
    /// The log failed, or `own` is not a member.
    pub fn force_alone(&self, applied: &Applied, own: u64) -> Result<Vec<u64>, Error> {
        let position = applied.log_id.as_ref().and_then(hidden);
        if let Some(position) = position {
            self.agree_with(position)?;
        }
        let before = applied_membership(applied)?;
        let written = self.written_membership(position.map(|at| at.index))?;
        let membership = written.as_ref().unwrap_or(&before);
        let node = membership.get_node(&own).cloned().ok_or_else(|| {
            Error::Config("this member is not in the last membership of its data".to_owned())
        })?;
        let nodes = membership.nodes().chain(before.nodes());
        // Also those whom an earlier run removed, while that is not applied.
        let others: BTreeSet<u64> = nodes.map(|(id, _)| *id).filter(|id| *id != own).collect();
        let is_alone = membership.get_joint_config() == &[BTreeSet::from([own])]
            && membership.nodes().count() == 1;
        if !is_alone {
            self.append_alone(own, node)?;
        }
        Ok(others.into_iter().collect())
    }

    /// The last membership in the log behind the applied entry `position`.
    fn written_membership(&self, position: Option<u64>) -> Result<Option<Membership>, Error> {
        let (first, last) = {
            let state = self.shared.state.lock();
            (state.first, state.last.map_or(0, |last| last.index + 1))
        };
        let mut next = position.map_or(first, |index| index.saturating_add(1).max(first));
        let mut found = None;
        while next < last {
            let entries = self.shared.wal.read(next..last, READ_BYTES_MAX)?;
            next += entries.len() as u64;
            let is_membership =
                |entry: &quoin_wal::Entry| Tag::from_byte(entry.kind) == Some(Tag::Membership);
            if let Some(entry) = entries.into_iter().rev().find(is_membership) {
                found = Some(entry_codec::decode_membership(&entry.payload).map_err(corrupt)?);
            }
        }
        Ok(found)
    }

    fn append_alone(&self, own: u64, node: PeerNode) -> Result<(), Error> {
        let node = PeerNode {
            is_learner: false,
            ..node
        };
        let alone = Membership::new(vec![BTreeSet::from([own])], BTreeMap::from([(own, node)]));
        let alone = alone.map_err(|error| Error::Config(error.to_string()))?;
        let mut state = self.shared.state.lock();
        let last_term = state.last.map_or(0, |last| last.leader_id.term);
        let voted_term = state.vote.map_or(0, |vote| vote.leader_id.term);
        let term = last_term.max(voted_term).saturating_add(1);
        let vote = Vote {
            leader_id: LeaderId {
                term,
                voted_for: own,
            },
            committed: false,
        };
        let index = state.last.map_or(state.first, |last| last.index + 1);
        let entry = Entry {
            log_id: log_id(term, index),
            body: EntryBody::new(Tag::Membership, entry_codec::encode_membership(&alone)),
        };
        let wal = &self.shared.wal;
        // One stream: an entry on disk has its vote before it.
        wal.save_vote(entry_codec::encode_vote(&vote), Box::new(drop));
        let (done, durable) = mpsc::sync_channel(1);
        let told = move |result| {
            let _ = done.send(result);
        };
        wal.append(&[entry_codec::to_wal(&entry)], Box::new(told));
        let ended = |_| quoin_wal::Error::WriterPanicked;
        durable.recv().map_err(ended).flatten()?;
        state.vote = Some(vote);
        state.last = Some(entry.log_id);
        Ok(())
    }
}

/// The membership that the state keeps.
fn applied_membership(applied: &Applied) -> Result<Membership, Error> {
    let stored = applied.membership.as_ref();
    let stored = stored.map(entry_codec::decode_stored_membership);
    let stored = stored.transpose().map_err(corrupt)?;
    Ok(stored.map_or_else(Membership::default, |stored| stored.membership().clone()))
}

fn corrupt(error: entry_codec::CodecError) -> Error {
    Error::Corrupt {
        what: "membership",
        reason: error.to_string(),
    }
}

/// Bytes of entries looked at together.
const READ_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Member, WalConfig};
    use crate::log_store::LogExamination;
    use crate::state_machine::LogId;
    use crate::{Payload, Quorums};

    #[test]
    fn a_member_of_three_is_alone_after_it_and_once_is_enough() {
        let directory = tempfile::tempdir().unwrap();
        let wal = WalConfig::new(directory.path().join("wal"));
        let config = Config::new(2, 9, vec![], wal);
        let position = LogId { term: 3, index: 12 };
        LogStore::create_behind(&config, position).unwrap();
        let member = |id| Member {
            id,
            is_learner: id == 3,
            ..Member::default()
        };
        let applied = Applied::founding(position, &[member(1), member(2), member(3)]).unwrap();
        for _ in 0..3 {
            let log = LogStore::open(&config).unwrap();
            let stranger = log.force_alone(&applied, 8).unwrap_err();
            assert!(stranger.to_string().contains("not in the last membership"));
            let removed = log.force_alone(&applied, 2).unwrap();
            assert_eq!(removed, [1, 3]);
            log.close().unwrap();
            let log = LogExamination::open(&config.wal.directory).unwrap();
            assert_eq!(
                (log.term(), log.last()),
                (4, Some(LogId { term: 4, index: 13 }))
            );
            let entry = log
                .entries_after(&applied)
                .unwrap()
                .next()
                .unwrap()
                .unwrap();
            let Payload::Membership {
                encoded, removed, ..
            } = entry.payload
            else {
                unreachable!("the last entry is the membership")
            };
            assert_eq!(removed, [1, 3]);
            assert_eq!(Quorums::decode(&encoded).unwrap().voters, [[2]]);
        }
    }
}
