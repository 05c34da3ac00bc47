//! A log that begins behind a state which did not come about through it.
//!
//! A member made from a snapshot file, or from what a lost cluster left, has a
//! state but no entries. Its log is as if the snapshot had been received: all up
//! to the state's position is purged. The vote is of that term too, because a
//! candidate of an earlier one would write entries older than the state.

use bytes::Bytes;
use openraft::impls::leader_id_std::LeaderId;
use std::collections::{BTreeMap, BTreeSet};

use super::{LogStore, entry_codec};
use crate::config::{Config, Member};
use crate::error::Error;
use crate::state_machine::{Applied, LogId};
use crate::types::{Membership, PeerNode, StoredMembership, Vote, hidden};

impl LogStore {
    /// Creates the log of a state that ends at `position`; durable when it
    /// returns. Blocks.
    ///
    /// # Errors
    /// The directory cannot be used or holds a log already, or `position` is none.
    pub fn create_behind(config: &Config, position: LogId) -> Result<(), Error> {
        let upto = hidden(&position).ok_or_else(no_position)?;
        let log = Self::open(config)?;
        if !log.is_new() {
            let directory = config.wal.directory.display();
            return Err(Error::Config(format!("{directory} holds a log already")));
        }
        let vote = Vote {
            leader_id: LeaderId {
                term: position.term,
                voted_for: config.member_id,
            },
            committed: false,
        };
        // A failure of the write is what closing answers with.
        let vote = entry_codec::encode_vote(&vote);
        log.shared.wal.save_vote(vote, Box::new(drop));
        log.purge_to(upto);
        log.close()
    }
}

impl Applied {
    /// A state at `position` of a cluster with these members: voters, except
    /// for learners.
    ///
    /// # Errors
    /// `position` is none, or there is no voter.
    pub fn founding(position: LogId, members: &[Member]) -> Result<Self, Error> {
        let at = hidden(&position).ok_or_else(no_position)?;
        let voters = members.iter().filter(|member| !member.is_learner);
        let voters: BTreeSet<u64> = voters.map(|member| member.id).collect();
        if voters.is_empty() {
            return Err(Error::Config("a cluster needs a voter".to_owned()));
        }
        let node = |member: &Member| (member.id, PeerNode::from(member.clone()));
        let nodes: BTreeMap<u64, PeerNode> = members.iter().map(node).collect();
        let membership = Membership::new(vec![voters], nodes)
            .map_err(|error| Error::Config(error.to_string()))?;
        let stored = StoredMembership::new(Some(at), membership);
        let membership: Bytes = entry_codec::encode_stored_membership(&stored);
        Ok(Self {
            log_id: Some(position),
            membership: Some(membership),
        })
    }
}

fn no_position() -> Error {
    Error::Config("log indexes begin at 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WalConfig;

    #[test]
    fn a_log_behind_a_state_keeps_its_position_and_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let wal = WalConfig::new(directory.path().join("wal"));
        let config = Config::new(7, 9, vec![], wal);
        let position = LogId { term: 3, index: 12 };
        LogStore::create_behind(&config, position).unwrap();
        let log = LogStore::open(&config).unwrap();
        assert!(!log.is_new());
        {
            let state = log.shared.state.lock();
            assert_eq!(
                (state.purged, state.last),
                (hidden(&position), hidden(&position))
            );
            assert_eq!(state.first, 12);
            assert_eq!(state.vote.unwrap().leader_id.term, 3);
        }
        log.close().unwrap();
        assert!(LogStore::create_behind(&config, position).is_err());
        let nowhere = LogId { term: 3, index: 0 };
        assert!(LogStore::create_behind(&config, nowhere).is_err());
    }
}
