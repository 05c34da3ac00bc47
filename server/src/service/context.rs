//! What the services stand on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quoin_proto::{
    etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, Member, alarm_request::AlarmAction},
    quoinpb::command::Request as CommandRequest,
};
use quoin_raft::Node;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{HeaderSource, LeaseIds, SlowLog, leader_calls::LeaderCall, status};
use crate::{
    agreement::{Agreement, Quarantine, Ring},
    alarm::Alarms,
    apply::{Brief, CompactionWatch},
    backend::Backend,
    cluster::Cluster,
    lease::Lessor,
    mvcc::Store,
    proposal::{LeaderView, Outcome, ProposalError, Proposer, ReadGate},
    telemetry::metrics::{Metrics, OutcomeDurations},
};

/// Pause before a member looks for the leader again. Source: etcd 3.7.
const LEADER_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Limits on requests, from the flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    /// `--max-request-bytes`.
    pub(crate) request_bytes_max: usize,
    /// `--max-txn-ops`.
    pub(crate) txn_operations_max: usize,
    /// `--quota-backend-bytes` with its default resolved; `None` for no quota.
    pub(crate) quota_bytes: Option<u64>,
    /// How long a request may wait for a quorum.
    pub(crate) timeout: Duration,
}

/// The parts of a running member that answer requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) header: HeaderSource,
    pub(crate) limits: RequestLimits,
    pub(crate) store: Store,
    pub(crate) backend: Backend,
    pub(crate) lessor: Lessor,
    pub(crate) cluster: Cluster,
    pub(crate) alarms: Alarms,
    pub(crate) agreement: Agreement,
    pub(crate) quarantine: Quarantine,
    pub(crate) proposer: Proposer,
    pub(crate) gate: ReadGate,
    pub(crate) node: Node,
    pub(crate) leader: watch::Receiver<LeaderView>,
    pub(crate) compaction: CompactionWatch,
    pub(crate) lease_ids: Arc<LeaseIds>,
    pub(crate) metrics: Arc<Metrics>,
    /// Says which requests took too long.
    pub(crate) slow: Arc<SlowLog>,
    /// Cancelled when the member stops: streams without an end of their own
    /// end then.
    pub(crate) closing: CancellationToken,
}

impl Context {
    /// Waits until a local read is linearizable.
    ///
    /// # Errors
    /// No quorum in time, or leadership moved.
    pub(crate) async fn linearize(&self) -> Result<(), Status> {
        match tokio::time::timeout(self.limits.timeout, self.gate.pass()).await {
            Ok(result) => result.map_err(status::read)?,
            Err(_elapsed) => return Err(status::timed_out()),
        }
        self.check_sound()
    }

    /// Refuses whatever would come from a state that is known to be wrong.
    ///
    /// # Errors
    /// This member is in quarantine.
    pub(crate) fn check_sound(&self) -> Result<(), Status> {
        if self.quarantine.is_active() {
            return Err(status::quarantined(self.quarantine.divergence()));
        }
        Ok(())
    }

    /// Sends a command through the log and waits for its outcome here.
    ///
    /// # Errors
    /// See [`crate::proposal::ProposalError`].
    pub(crate) async fn propose(&self, request: CommandRequest) -> Result<Outcome, Status> {
        let result = self.proposer.propose(request).await;
        result.map_err(|error| self.not_proposed(&error))
    }

    fn not_proposed(&self, error: &ProposalError) -> Status {
        if matches!(
            error,
            ProposalError::NoLeader | ProposalError::TimedOut { .. }
        ) {
            self.metrics.server.proposals_failed_total.inc();
        }
        status::proposal(error)
    }

    /// Sends a command through the log and notes how long its client waited,
    /// and at what if that was long. A refusal at apply counts as success.
    /// Source: etcd 3.7.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub(crate) async fn propose_timed(
        &self,
        request: CommandRequest,
        durations: &OutcomeDurations,
    ) -> Result<Outcome, Status> {
        let (started, brief) = (std::time::Instant::now(), Brief::of(&request));
        let answer = self.proposer.propose_timed(request).await;
        let (result, times) = match answer {
            Ok((reply, times)) => (reply.map_err(ProposalError::Apply), times),
            Err(error) => (Err(error), None),
        };
        let result = result.map_err(|error| self.not_proposed(&error));
        let unanswered =
            |status: &Status| matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
        durations.observe(!result.as_ref().is_err_and(unanswered), started.elapsed());
        self.slow.command(&brief, started, result.as_ref(), &times);
        result
    }

    /// Refuses what would go over the quota, and raises the alarm.
    ///
    /// # Errors
    /// The database is full.
    pub(crate) async fn check_quota(&self, cost: usize) -> Result<(), Status> {
        let Some(quota) = self.limits.quota_bytes else {
            return Ok(());
        };
        if cost == 0 || self.backend.sizes().allocated_bytes + (cost as u64) < quota {
            return Ok(());
        }
        tracing::warn!(
            quota_bytes = quota,
            "message exceeded backend quota; raising alarm"
        );
        let raise = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: self.header.member_id,
            alarm: AlarmType::Nospace as i32,
        };
        // The client is refused whether or not the alarm could be raised.
        let _ = self.propose(CommandRequest::Alarm(raise)).await;
        Err(status::no_space())
    }

    /// Calls the leader, and looks for it again while it moves.
    ///
    /// # Errors
    /// No leader answered in time.
    pub(crate) async fn ask_leader(&self, call: &LeaderCall) -> Result<Bytes, Status> {
        let deadline = Instant::now() + self.limits.timeout;
        let mut payload = call.encode();
        loop {
            let attempt = self.node.request_leader(payload.clone());
            match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "call to the leader failed; trying again");
                }
                Err(_elapsed) => return Err(self.leader_call_failed()),
            }
            if Instant::now() + LEADER_RETRY_PAUSE >= deadline {
                return Err(self.leader_call_failed());
            }
            tokio::time::sleep(LEADER_RETRY_PAUSE).await;
            payload = call.repeated().encode();
        }
    }

    /// The recent digests of the leader.
    ///
    /// # Errors
    /// As [`Self::ask_leader`], or the answer makes no sense.
    pub(crate) async fn leaders_ring(&self) -> Result<Ring, Status> {
        let answer = self.ask_leader(&LeaderCall::Digests).await?;
        Ring::decode(answer).map_err(|reason| status::malformed_answer(reason.to_owned()))
    }

    /// The leader's hash of everything stored as of an entry; `None` if it has none.
    ///
    /// # Errors
    /// As [`Self::ask_leader`], or the answer makes no sense.
    pub(crate) async fn leaders_hash(&self, index: u64) -> Result<Option<u128>, Status> {
        let answer = self.ask_leader(&LeaderCall::Hash(index)).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let hash = <[u8; 16]>::try_from(&answer[..]);
        let hash = hash.map_err(|_| status::malformed_answer("no hash".to_owned()))?;
        Ok(Some(u128::from_le_bytes(hash)))
    }

    fn leader_call_failed(&self) -> Status {
        if self.has_leader() {
            status::timed_out()
        } else {
            status::no_leader()
        }
    }

    /// Waits until this member has removed what compaction at `revision`
    /// left behind.
    ///
    /// # Errors
    /// It took longer than a request may wait.
    pub(crate) async fn compacted_physically(&self, revision: i64) -> Result<(), Status> {
        let finished = self.compaction.finished(revision);
        tokio::time::timeout(self.limits.timeout, finished)
            .await
            .map_err(|_elapsed| status::timed_out())
    }

    /// This member knows a leader.
    pub(crate) fn has_leader(&self) -> bool {
        self.leader.borrow().leader.is_some()
    }

    /// A header with the current revision.
    pub(crate) fn current_header(&self) -> quoin_proto::etcdserverpb::ResponseHeader {
        self.header.with_revision(self.store.revision())
    }

    /// The members as clients see them.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.cluster.members(self.node.membership())
    }

    /// Active alarms in words.
    pub(crate) fn alarm_texts(&self) -> Vec<String> {
        let alarms: Vec<AlarmMember> = self.alarms.list(AlarmType::None as i32);
        alarms.iter().map(crate::alarm::describe).collect()
    }

    /// An id for a lease whose client left the choice to us.
    pub(crate) fn new_lease_id(&self) -> i64 {
        self.lease_ids.next_id()
    }
}
