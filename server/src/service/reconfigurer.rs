//! Changes of the membership as the leader makes them: one at a time, each
//! checked against the members it finds.
//!
//! A leader that is to be removed hands its leadership over first and lets the
//! next leader remove it, so that the cluster is never without one for longer
//! than that takes.

use std::{sync::Arc, time::Duration};

use quoin_raft::{MembershipChange, MembershipError, Node};
use tokio::sync::{Mutex, MutexGuard};

use super::reconfigure_call::{ReconfigureCall, Reconfigured};
use crate::cluster::{Candidate, Cluster, Reconfiguration, ReconfigurationError, Rules, View};

/// Makes changes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reconfigurer {
    node: Node,
    cluster: Cluster,
    rules: Rules,
    /// A member that is silent for longer is not active.
    silence_max: Duration,
    /// Held over check and change: what was checked must still hold.
    turn: Arc<Mutex<()>>,
}

/// The right to check and make one change.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    reconfigurer: &'a Reconfigurer,
    _guard: MutexGuard<'a, ()>,
}

impl Reconfigurer {
    /// Changes the membership of `node` by `rules`.
    pub(crate) fn new(
        node: Node,
        cluster: Cluster,
        rules: Rules,
        election_timeout: Duration,
    ) -> Self {
        Self {
            node,
            cluster,
            rules,
            silence_max: election_timeout,
            turn: Arc::default(),
        }
    }

    /// Waits until no other change is under way. Take it before the proof that this
    /// member leads: from then on nobody else changes what the check will see.
    ///
    /// # Errors
    /// That takes too long: ask again. Nobody waits without end, so that no change
    /// is made long after its client went away.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, String> {
        let guard = tokio::time::timeout(TURN_WAIT_MAX, self.turn.lock()).await;
        let guard = guard.map_err(|_elapsed| "another change of the members is under way");
        Ok(Turn {
            reconfigurer: self,
            _guard: guard?,
        })
    }
}

impl Turn<'_> {
    /// Makes a change, or says why not.
    ///
    /// # Errors
    /// It is not known whether the change was made, or another member has to be
    /// asked: ask again.
    pub(super) async fn reconfigure(self, call: ReconfigureCall) -> Result<Reconfigured, String> {
        self.reconfigurer.reconfigure(call).await
    }
}

impl Reconfigurer {
    async fn reconfigure(&self, call: ReconfigureCall) -> Result<Reconfigured, String> {
        let view = self.view();
        if call.is_repeated && call.change.is_done(&view) {
            return Ok(Ok(self.members()));
        }
        if let Err(refused) = self.check(&call.change, &view) {
            tracing::warn!(change = ?call.change, reason = %refused, "refused a member change");
            return Ok(Err(refused));
        }
        if call.change == Reconfiguration::Remove(self.node.status().member_id) {
            self.hand_over().await?;
        }
        let result = self
            .node
            .change_membership(self.planned(&call.change))
            .await;
        Ok(match result {
            Ok(()) => {
                tracing::info!(change = ?call.change, "changed the members");
                Ok(self.members())
            }
            Err(MembershipError::NotFound(_)) => Err(ReconfigurationError::NotFound),
            Err(MembershipError::Exists(_)) => Err(ReconfigurationError::IdInUse),
            Err(MembershipError::NotReady(_)) => Err(ReconfigurationError::LearnerNotReady),
            Err(error) => return Err(error.to_string()),
        })
    }

    fn check(&self, change: &Reconfiguration, view: &View) -> Result<(), ReconfigurationError> {
        change.check(view, self.rules)?;
        // Ids are never used again. Source: etcd 3.7, which says so in these words.
        match change {
            Reconfiguration::Add { id, .. } if self.cluster.is_removed(*id) => {
                Err(ReconfigurationError::NotFound)
            }
            _ => Ok(()),
        }
    }

    fn view(&self) -> View {
        let members = self.members().into_iter().map(|member| Candidate {
            id: member.id,
            peer_urls: member.peer_urls,
            is_learner: member.is_learner,
            is_started: !member.name.is_empty(),
        });
        View {
            members: members.collect(),
            active: self
                .node
                .members_heard(self.silence_max)
                .into_iter()
                .collect(),
            removed: self.cluster.removed().into_iter().collect(),
        }
    }

    fn members(&self) -> Vec<quoin_proto::etcdserverpb::Member> {
        self.cluster.members(self.node.membership())
    }

    fn planned(&self, change: &Reconfiguration) -> MembershipChange {
        let member = |id, peer_urls: &Vec<String>, is_learner| quoin_raft::Member {
            id,
            name: String::new(),
            peer_urls: peer_urls.clone(),
            is_learner,
        };
        match change {
            Reconfiguration::Add {
                id,
                peer_urls,
                is_learner,
            } => MembershipChange::Add(member(*id, peer_urls, *is_learner)),
            Reconfiguration::Remove(id) => MembershipChange::Remove(*id),
            Reconfiguration::Update { id, peer_urls } => {
                MembershipChange::Update(member(*id, peer_urls, false))
            }
            Reconfiguration::Promote(id) => MembershipChange::Promote(*id),
        }
    }

    /// # Errors
    /// Another member leads now.
    async fn hand_over(&self) -> Result<(), String> {
        let moved = self.node.transfer_leadership(None, HAND_OVER_MAX).await;
        match moved {
            Ok(()) => Err("leadership was handed over: ask the new leader".to_owned()),
            Err(error) => {
                tracing::warn!(%error, "the leader is removed while it leads");
                Ok(())
            }
        }
    }
}

/// Longest wait for another change: shorter than its client waits for both.
const TURN_WAIT_MAX: Duration = Duration::from_secs(3);
/// Longest wait for a new leader before the removal goes on without.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
