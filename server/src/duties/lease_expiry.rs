//! The leader revokes leases that ran out, and checkpoints long ones.
//!
//! Source: etcd 3.7: expired leases are looked for every 500 ms, at most 500
//! per look, 16 revocations in flight; checkpoints every five minutes.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use quoin_proto::{
    etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest},
    quoinpb::command::Request,
};
use tokio::sync::watch;

use crate::{
    lease::Lessor,
    proposal::{ApplyError, LeaderView, ProposalError, Proposer},
};

/// Pause between two looks for expired leases.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Leases revoked per look.
const REVOKE_COUNT_MAX: usize = 500;
/// Revocations in flight.
const IN_FLIGHT_COUNT_MAX: usize = 16;
/// Checkpoints in one proposal.
const CHECKPOINT_COUNT_MAX: usize = 1000;

/// Follows leadership and does the leader's part. Runs until dropped.
///
/// A new leader gives every lease a fresh start of `election_timeout` plus its
/// time to live, since it cannot know what was renewed with its predecessor.
pub(crate) async fn run(
    member_id: u64,
    lessor: Lessor,
    proposer: Proposer,
    mut leader: watch::Receiver<LeaderView>,
    election_timeout: Duration,
    checkpoints: bool,
) {
    loop {
        let leads = leader.borrow_and_update().leader == Some(member_id);
        if leads && !lessor.is_leader() {
            lessor.promote(Instant::now(), election_timeout);
        } else if !leads && lessor.is_leader() {
            lessor.demote();
        }
        if leads {
            revoke_expired(&lessor, &proposer).await;
            if checkpoints {
                checkpoint_due(&lessor, &proposer).await;
            }
        }
        let changed = if leads {
            match tokio::time::timeout(LOOK_INTERVAL, leader.changed()).await {
                Ok(changed) => changed,
                Err(_elapsed) => Ok(()),
            }
        } else {
            leader.changed().await
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn revoke_expired(lessor: &Lessor, proposer: &Proposer) {
    let expired = lessor.expired(Instant::now(), REVOKE_COUNT_MAX);
    stream::iter(expired)
        .for_each_concurrent(IN_FLIGHT_COUNT_MAX, |id| revoke(proposer, id))
        .await;
}

async fn revoke(proposer: &Proposer, id: i64) {
    match proposer
        .propose(Request::LeaseRevoke(LeaseRevokeRequest { id }))
        .await
    {
        Ok(_) => {}
        // Its client was quicker.
        Err(ProposalError::Apply(ApplyError::LeaseNotFound)) => {}
        Err(error) => {
            // The lease is found again by a later look.
            tracing::warn!(lease_id = format!("{id:016x}"), %error, "failed to revoke lease");
        }
    }
}

async fn checkpoint_due(lessor: &Lessor, proposer: &Proposer) {
    let due = lessor.due_checkpoints(Instant::now(), CHECKPOINT_COUNT_MAX);
    if due.is_empty() {
        return;
    }
    let checkpoints = due
        .into_iter()
        .map(|due| LeaseCheckpoint {
            id: due.id,
            remaining_ttl: due.remaining_ttl,
        })
        .collect();
    let request = Request::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints });
    if let Err(error) = proposer.propose(request).await {
        tracing::warn!(%error, "failed to checkpoint leases");
    }
}
