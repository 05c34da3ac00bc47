//! Voters, learners, promotion and the transfer of leadership.
//!
//! A new member joins as a learner first, whatever it is to become: a voter
//! that is not up yet would stall every write. The node's `is_learner` flag
//! says what was asked for; whoever leads promotes nodes without it once they
//! have caught up, and finishes a joint configuration an earlier leader left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::{ChangeMembers, Instant, RaftMetrics};

use crate::config::Member;
use crate::core::Core;
use crate::error::{MembershipError, StopReason, TransferError};
use crate::node::MembershipChange;
use crate::state_machine::StateMachine;
use crate::transport::Class;
use crate::transport::frame::Kind;
use crate::types::{Membership, PeerNode, TypeConfig};

type Change = ChangeMembers<u64, PeerNode>;

/// Changes the membership; only on the leader.
pub(crate) async fn change<S: StateMachine>(
    core: &Core<S>,
    change: MembershipChange,
) -> Result<(), MembershipError> {
    let leadership = core.leadership();
    if !leadership.is_leader {
        return Err(MembershipError::NotLeader {
            leader: leadership.leader,
        });
    }
    let mut attempts = 0;
    loop {
        let metrics = core.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        if !may_change(core.shared.member_id, membership) {
            return Err(MembershipError::NotLeader { leader: None });
        }
        let (planned, retain) = plan(change.clone(), membership, &metrics)?;
        match submit(core, planned, retain).await {
            // An earlier change, ours or a promotion, is about to be committed.
            Err(Submit::InProgress(_)) if attempts < IN_PROGRESS_ATTEMPTS_MAX => {
                attempts += 1;
                TypeConfig::sleep(IN_PROGRESS_PAUSE).await;
            }
            result => return result.map_err(MembershipError::from),
        }
    }
}

/// A leader that was removed leads on for a moment, and openraft takes no further
/// change from it: the next leader makes it.
fn may_change(own: u64, membership: &Membership) -> bool {
    membership.get_node(&own).is_some()
}

/// Moves leadership to `target` or to the best voter.
pub(crate) async fn transfer<S: StateMachine>(
    core: &Core<S>,
    target: Option<u64>,
    timeout: Duration,
) -> Result<(), TransferError> {
    let own = core.shared.member_id;
    let mut leadership = core.shared.leadership.subscribe();
    if !leadership.borrow_and_update().is_leader {
        return Err(TransferError::NotLeader);
    }
    if target == Some(own) {
        return Ok(());
    }
    hand_over(core, target).await?;
    let moved = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != own));
    match TypeConfig::timeout(timeout, moved).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(TransferError::Stopped),
        Err(_) => Err(TransferError::Timeout),
    }
}

/// Tells `target`, or the best voter, to take over. Returns before it does.
pub(crate) async fn hand_over<S: StateMachine>(
    core: &Core<S>,
    target: Option<u64>,
) -> Result<u64, TransferError> {
    let metrics = core.raft.metrics().borrow_watched().clone();
    let own = core.shared.member_id;
    let is_fit = |member| !core.handler.is_unfit(member);
    let target = best_target(&metrics, target, own, core.config.election_timeout, is_fit)
        .ok_or(TransferError::NoTarget)?;
    let told = core.raft.trigger().transfer_leader(target).await;
    told.map_err(|_| TransferError::Stopped)?;
    Ok(target)
}

/// While this member leads: promotes who has caught up, finishes what an
/// earlier leader left half done.
pub(crate) async fn upkeep_loop<S: StateMachine>(core: Arc<Core<S>>) {
    let own = core.shared.member_id;
    let mut server = core.raft.server_metrics();
    loop {
        let needed = server.wait_until(|server| {
            let membership = server.membership_config.membership();
            server.state.is_leader() && may_change(own, membership) && needs_upkeep(membership)
        });
        if needed.await.is_err() {
            return;
        }
        let metrics = core.raft.metrics().borrow_watched().clone();
        if let Some(change) = upkeep(metrics.membership_config.membership(), &metrics)
            && let Err(error) = submit(&core, change, false).await
        {
            tracing::debug!(?error, "membership upkeep has to be tried again");
        }
        TypeConfig::sleep(core.config.heartbeat_interval).await;
    }
}

/// Stops this member once it has applied its own removal. One that leads goes on
/// for a moment: the others learn from it that the change is committed, and one
/// of them takes over.
pub(crate) async fn leave<S: StateMachine>(core: Arc<Core<S>>) {
    let mut left = core.shared.left.subscribe();
    if left.wait_for(|left| *left).await.is_err() {
        return;
    }
    let mut leadership = core.shared.leadership.subscribe();
    let led_by_others = leadership.wait_for(|now| !now.is_leader);
    let _ = TypeConfig::timeout(core.config.election_timeout, led_by_others).await;
    core.stop(StopReason::Removed);
}

/// A member without a vote starts no election in which it would find out that it
/// was removed. So while it hears of no leader it asks the others now and then:
/// one that knows of the removal refuses the connection, and that stops this one.
pub(crate) async fn ask_around<S: StateMachine>(core: Arc<Core<S>>) {
    let own = core.shared.member_id;
    let pause = core.config.election_timeout;
    let mut leadership = core.shared.leadership.subscribe();
    while leadership
        .wait_for(|now| now.leader.is_none())
        .await
        .is_ok()
    {
        TypeConfig::sleep(pause).await;
        if core.shared.stop.borrow().is_some() {
            return;
        }
        let membership = Arc::clone(&core.shared.membership.read());
        if leadership.borrow().leader.is_some() || membership.voter_ids().any(|id| id == own) {
            continue;
        }
        for (other, _) in membership.nodes().filter(|(id, _)| **id != own) {
            // Who leads may answer, but does not replicate to this member.
            let link = core.link(*other, Class::Control);
            let readers_count = 0_u32.to_le_bytes().to_vec();
            let asked = link.call(Kind::ReadIndex, readers_count, Vec::new());
            let _ = TypeConfig::timeout(pause, asked).await;
        }
    }
}

async fn submit<S: StateMachine>(
    core: &Core<S>,
    change: Change,
    retain: bool,
) -> Result<(), Submit> {
    match core.raft.change_membership(change, retain).await {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
            error @ ChangeMembershipError::InProgress(_),
        ))) => Err(Submit::InProgress(error.to_string())),
        Err(RaftError::Fatal(_)) => Err(Submit::Failed(MembershipError::Stopped)),
        Err(RaftError::APIError(error)) => Err(Submit::Failed(match error {
            ClientWriteError::ForwardToLeader(forward) => MembershipError::NotLeader {
                leader: forward.leader_id,
            },
            error @ ClientWriteError::LogEntryDiscarded(_) => {
                MembershipError::Unknown(error.to_string())
            }
            error => MembershipError::Refused(error.to_string()),
        })),
    }
}

/// Why openraft did not take a change.
#[derive(Debug)]
enum Submit {
    /// Another one is not committed yet.
    InProgress(String),
    Failed(MembershipError),
}

impl From<Submit> for MembershipError {
    fn from(submit: Submit) -> Self {
        match submit {
            Submit::InProgress(text) => Self::Refused(text),
            Submit::Failed(error) => error,
        }
    }
}

/// The change as openraft wants it, after our own checks.
fn plan(
    change: MembershipChange,
    membership: &Membership,
    metrics: &RaftMetrics<TypeConfig>,
) -> Result<(Change, bool), MembershipError> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let known = |id: u64| {
        membership
            .get_node(&id)
            .ok_or(MembershipError::NotFound(id))
    };
    match change {
        MembershipChange::Add(member) => {
            if membership.get_node(&member.id).is_some() {
                return Err(MembershipError::Exists(member.id));
            }
            Ok((ChangeMembers::AddNodes(node_of(member)), true))
        }
        MembershipChange::Promote(id) => {
            known(id)?;
            if voters.contains(&id) {
                return Err(MembershipError::Refused(format!(
                    "member {id:x} is no learner"
                )));
            }
            if !has_caught_up(metrics, id) {
                return Err(MembershipError::NotReady(id));
            }
            Ok((ChangeMembers::AddVoterIds(BTreeSet::from([id])), true))
        }
        MembershipChange::Remove(id) => {
            known(id)?;
            let ids = BTreeSet::from([id]);
            if !voters.contains(&id) {
                return Ok((ChangeMembers::RemoveNodes(ids), false));
            }
            Ok((ChangeMembers::RemoveVoters(ids), false))
        }
        MembershipChange::Update(member) => {
            let is_learner = known(member.id)?.is_learner;
            Ok((
                ChangeMembers::SetNodes(node_of(Member {
                    is_learner,
                    ..member
                })),
                true,
            ))
        }
    }
}

fn node_of(member: Member) -> BTreeMap<u64, PeerNode> {
    BTreeMap::from([(member.id, PeerNode::from(member))])
}

fn needs_upkeep(membership: &Membership) -> bool {
    membership.get_joint_config().len() > 1 || waiting_voters(membership).next().is_some()
}

/// Nodes that are to vote but do not yet.
fn waiting_voters(membership: &Membership) -> impl Iterator<Item = u64> + '_ {
    membership
        .learner_ids()
        .filter(|id| membership.get_node(id).is_some_and(|node| !node.is_learner))
}

fn upkeep(membership: &Membership, metrics: &RaftMetrics<TypeConfig>) -> Option<Change> {
    let configs = membership.get_joint_config();
    if configs.len() > 1 {
        return configs.last().cloned().map(ChangeMembers::ReplaceAllVoters);
    }
    let ready = waiting_voters(membership).find(|id| has_caught_up(metrics, *id))?;
    Some(ChangeMembers::AddVoterIds(BTreeSet::from([ready])))
}

/// Within a tenth of the log, as etcd asks, or a small absolute distance.
/// Source: etcd 3.7, learner readiness is 90 % of the leader's progress.
fn has_caught_up(metrics: &RaftMetrics<TypeConfig>, member: u64) -> bool {
    let matched = metrics
        .replication
        .as_ref()
        .and_then(|replication| replication.get(&member));
    let Some(Some(matched)) = matched else {
        return false;
    };
    let last = metrics.last_log_index.unwrap_or(0);
    let lag = last.saturating_sub(matched.index);
    lag <= CAUGHT_UP_ENTRIES || lag <= last / 10
}

/// The voter that has the whole log and was heard of lately.
fn best_target(
    metrics: &RaftMetrics<TypeConfig>,
    wanted: Option<u64>,
    own: u64,
    recent: Duration,
    is_fit: impl Fn(u64) -> bool,
) -> Option<u64> {
    let voters = metrics
        .membership_config
        .voter_ids()
        .collect::<BTreeSet<_>>();
    let matched = |id: &u64| {
        let matched = metrics.replication.as_ref()?.get(id).copied().flatten();
        matched.map(|id| id.index)
    };
    let is_recent = |id: &u64| {
        let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id));
        heard.is_some_and(|at| at.as_ref().is_some_and(|at| at.elapsed() < recent))
    };
    let candidates = voters.into_iter().filter(|id| *id != own && is_recent(id));
    let candidates = candidates.filter(|id| wanted.is_none_or(|wanted| wanted == *id));
    let candidates = candidates.filter(|id| is_fit(*id));
    let best = candidates.max_by_key(|id| (matched(id), std::cmp::Reverse(*id)))?;
    // openraft waits for the rest of the log itself; a far laggard would
    // leave the cluster without a leader meanwhile.
    let lag = metrics
        .last_log_index
        .unwrap_or(0)
        .saturating_sub(matched(&best)?);
    (lag <= CAUGHT_UP_ENTRIES).then_some(best)
}

/// Entries a follower may lack and still count as caught up: under load it is
/// always a few rounds behind.
const CAUGHT_UP_ENTRIES: u64 = 1000;
/// Pause before a change is tried again behind an uncommitted one.
const IN_PROGRESS_PAUSE: Duration = Duration::from_millis(20);
/// Five seconds of such pauses; then the caller is told.
const IN_PROGRESS_ATTEMPTS_MAX: u32 = 250;
