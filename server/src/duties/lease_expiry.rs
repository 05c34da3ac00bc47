//! The leader revokes leases that ran out, and checkpoints long ones.
//!
//! Source: etcd 3.7: expired leases are looked for every 500 ms, at most 500
//! per look, 16 revocations in flight; checkpoints every five minutes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use quoin_proto::{
    etcdserverpb::LeaseCheckpoint,
    quoinpb::{LeaseCheckpoints, LeaseExpiry, command::Request},
};
use tokio::sync::watch;

use crate::{
    lease::Lessor,
    proposal::{ApplyError, LeaderView, ProposalError, Proposer},
    telemetry::metrics::Metrics,
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
/// So does one that leads again, whether or not it noticed the leader between.
pub(crate) async fn run(
    member_id: u64,
    lessor: Lessor,
    proposer: Proposer,
    mut leader: watch::Receiver<LeaderView>,
    election_timeout: Duration,
    checkpoints: bool,
    metrics: Arc<Metrics>,
) {
    loop {
        let LeaderView {
            leader: now, term, ..
        } = *leader.borrow_and_update();
        let moved = leader.wait_for(|view| (view.leader, view.term) != (now, term));
        let moved = if now == Some(member_id) {
            lessor.promote(Instant::now(), election_timeout);
            tokio::select! {
                biased;
                moved = moved => moved.is_ok(),
                // Dropped half way where leadership ends: what it proposed
                // counts in its own term only.
                () = keep_time(&lessor, &proposer, term, checkpoints, &metrics) => true,
            }
        } else {
            lessor.demote();
            moved.await.is_ok()
        };
        if !moved {
            return;
        }
    }
}

/// The leader's part in one term.
async fn keep_time(
    lessor: &Lessor,
    proposer: &Proposer,
    term: u64,
    checkpoints: bool,
    metrics: &Metrics,
) {
    loop {
        revoke_expired(lessor, proposer, term, metrics).await;
        if checkpoints {
            checkpoint_due(lessor, proposer, term).await;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn revoke_expired(lessor: &Lessor, proposer: &Proposer, term: u64, metrics: &Metrics) {
    let expired = lessor.expired(Instant::now(), REVOKE_COUNT_MAX);
    stream::iter(expired)
        .for_each_concurrent(IN_FLIGHT_COUNT_MAX, |id| {
            revoke(proposer, id, term, metrics)
        })
        .await;
}

async fn revoke(proposer: &Proposer, id: i64, term: u64, metrics: &Metrics) {
    match proposer
        .propose(Request::LeaseExpiry(LeaseExpiry { id, term }))
        .await
    {
        Ok(_) => metrics.lease.expired_total.inc(),
        // Its client was quicker.
        Err(ProposalError::Apply(ApplyError::LeaseNotFound)) => {}
        Err(error) => {
            // The lease is found again by a later look.
            tracing::warn!(lease_id = format!("{id:016x}"), %error, "failed to revoke lease");
        }
    }
}

async fn checkpoint_due(lessor: &Lessor, proposer: &Proposer, term: u64) {
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
    let request = Request::LeaseCheckpoint(LeaseCheckpoints { checkpoints, term });
    if let Err(error) = proposer.propose(request).await {
        tracing::warn!(%error, "failed to checkpoint leases");
    }
}

#[cfg(test)]
mod tests {
    use quoin_raft::EntryPool;

    use super::*;
    use crate::{
        lease::Config,
        proposal::{Limits, Registry},
    };

    const OWN: u64 = 7;

    fn view(leader: u64, term: u64) -> LeaderView {
        LeaderView {
            leader: Some(leader),
            term,
            changed: None,
        }
    }

    /// A proposer whose proposals never come to an end.
    fn proposer(leader: watch::Receiver<LeaderView>) -> Proposer {
        let limits = Limits {
            request_bytes_max: 1 << 20,
            timeout: Duration::from_secs(3600),
            election_timeout: Duration::from_secs(1),
        };
        let pool = EntryPool::new(quoin_raft::Metrics::shared());
        let propose = Arc::new(|_| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(std::future::pending())
        });
        let (proposer, task) = Proposer::new(
            Registry::new(OWN, 1, Duration::MAX),
            pool,
            propose,
            leader,
            limits,
        );
        tokio::spawn(task);
        proposer
    }

    async fn until(condition: impl Fn() -> bool) {
        let poll = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), poll)
            .await
            .expect("did not happen in time");
    }

    #[tokio::test]
    async fn leading_again_starts_every_lease_afresh() {
        let lessor = Lessor::new(Config::new(Duration::from_secs(1)));
        lessor.grant(1, 1000).unwrap();
        lessor.grant(2, 2).unwrap();
        let (leader, leader_view) = watch::channel(view(OWN, 1));
        let extend = Duration::from_secs(500);
        let proposer = proposer(leader_view.clone());
        tokio::spawn(run(
            OWN,
            lessor.clone(),
            proposer,
            leader_view,
            extend,
            false,
            Arc::new(Metrics::new(false).unwrap()),
        ));
        let left = || lessor.remaining(1, Instant::now()).map(|left| left.seconds);
        until(|| left().is_ok_and(|seconds| seconds > 1400)).await;
        // Without what a new leader adds; and the other one is being revoked.
        lessor.renew(1, Instant::now()).unwrap();
        assert!(left().unwrap() <= 1000);
        // Another leader came and went before anybody looked.
        leader.send_replace(view(OWN, 3));
        until(|| left().is_ok_and(|seconds| seconds > 1400)).await;
        leader.send_replace(view(OWN + 1, 4));
        until(|| !lessor.is_leader()).await;
    }
}
