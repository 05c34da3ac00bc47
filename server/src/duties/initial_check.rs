//! Before a member serves: whether what it has stored is what the leader has.
//!
//! With gate InitialCorruptCheck, after a restart only. Source: etcd 3.7, whose
//! member asks each peer for a hash and exits where one differs. Here all members
//! hash at the same entry, and one that is found wrong by a majority goes into
//! quarantine, from which it can be repaired; it does not exit. Without an answer
//! in time the member serves, as etcd's does.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use quoin_proto::quoinpb::{StateHashBegin, command::Request};
use quoin_raft::Node;

use crate::{
    agreement::{Agreement, Quarantine, Subject, Vote},
    proposal::{Proposer, ReadGate},
};

/// Asks the leader for its hash at an index; `None` while it has none.
pub(crate) type LeadersHash =
    Arc<dyn Fn(u64) -> BoxFuture<'static, Result<Option<u128>, String>> + Send + Sync>;

/// Longest time that a start is held up. Hashing reads everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two questions to a leader that is still hashing.
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// How long a dispute may take before the member serves all the same.
const DISPUTE_PATIENCE: Duration = Duration::from_secs(15);

/// What the check works with.
pub(crate) struct InitialCheck {
    pub(crate) member_id: u64,
    pub(crate) agreement: Agreement,
    pub(crate) quarantine: Quarantine,
    pub(crate) proposer: Proposer,
    pub(crate) gate: ReadGate,
    pub(crate) node: Node,
    pub(crate) leaders_hash: LeadersHash,
}

impl InitialCheck {
    /// Resolves when the member may serve, or knows that it must not.
    pub(crate) async fn run(self) {
        if self.quarantine.is_active() || self.node.membership().len() <= 1 {
            return;
        }
        tracing::info!(timeout = ?PATIENCE, "starting initial corruption check");
        match tokio::time::timeout(PATIENCE, self.compare()).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                tracing::warn!(reason, "initial corruption check could not be made");
            }
            Err(_elapsed) => tracing::warn!("initial corruption check got no answer in time"),
        }
    }

    async fn compare(&self) -> Result<(), String> {
        let passed = self.gate.pass().await;
        passed.map_err(|error| error.to_string())?;
        let begin = Request::StateHashBegin(StateHashBegin {});
        let hashed = self.agreement.hash_now(self.proposer.propose(begin)).await;
        let (index, own) = hashed.map_err(|error| error.to_string())?;
        if self.node.status().leader == Some(self.member_id) {
            // The others compare theirs with this one.
            return self.say(index, own).await;
        }
        let theirs = loop {
            if let Some(theirs) = (self.leaders_hash)(index).await? {
                break theirs;
            }
            tokio::time::sleep(ASK_PAUSE).await;
        };
        if own == theirs {
            tracing::info!(index, "initial corruption checking passed; no corruption");
            return Ok(());
        }
        tracing::error!(
            index,
            "found data inconsistency with the leader; asking all members"
        );
        self.say(index, own).await?;
        let found = self.quarantine.active();
        // It may be the leader that is wrong.
        let _ = tokio::time::timeout(DISPUTE_PATIENCE, found).await;
        Ok(())
    }

    async fn say(&self, index: u64, value: u128) -> Result<(), String> {
        let own = Vote::of_hash(self.member_id, index, value);
        let said = self.proposer.propose(own.to_request(Subject::Hash)).await;
        said.map(drop).map_err(|error| error.to_string())
    }
}
