//! Proposals, reads and requests: done here when this member leads, sent to
//! the leader when it does not, held back while nobody does.
//!
//! A proposal is sent on or tried again only while it certainly is in no log;
//! once that is open it ends as `Unknown`. Waiting is bounded by the caller:
//! it drops its future, which closes the reply channel, which ends the wait.
//! Reads are answered in rounds: everything that waits shares one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::type_config::TypeConfigExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::core::{Command, Core};
use crate::error::{ForwardError, ProposeError, ReadIndexError};
use crate::log_store::entry_codec::Reader;
use crate::membership;
use crate::rpc::Forwarded;
use crate::state_machine::StateMachine;
use crate::transport::frame::Kind;
use crate::transport::{Class, LinkError};
use crate::types::{Callback, Data, TypeConfig};

/// A proposal on its way.
pub(crate) struct Proposal {
    pub(crate) payload: Bytes,
    pub(crate) reply: oneshot::Sender<Result<(), ProposeError>>,
    /// Its place among the pending ones; given back when it is dropped.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A read that waits for its index.
pub(crate) struct ReadRequest {
    pub(crate) reply: oneshot::Sender<Result<u64, ReadIndexError>>,
    /// Came from another member: serve it here or refuse it.
    pub(crate) is_forwarded: bool,
}

/// How an attempt to propose ended.
enum Attempt {
    Done(Result<(), ProposeError>),
    /// Certainly in no log.
    Retry(String),
}

impl<S: StateMachine> Core<S> {
    /// Takes proposals off the queue, many at a time.
    pub(crate) async fn propose_loop(self: Arc<Self>, mut queue: mpsc::Receiver<Proposal>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            for proposal in batch.drain(..) {
                if proposal.reply.is_closed() {
                    continue;
                }
                if self.is_leader() {
                    self.write(proposal).await;
                } else {
                    tokio::spawn(Arc::clone(&self).chase(proposal));
                }
            }
        }
    }

    /// Appends locally without a task of its own; falls back to `chase`.
    async fn write(self: &Arc<Self>, proposal: Proposal) {
        let core = Arc::clone(self);
        let data = Data(proposal.payload.clone());
        let responder = Callback::new(move |result| match attempt_of(result) {
            Attempt::Done(result) => core.settle(proposal, result),
            Attempt::Retry(_) => drop(tokio::spawn(core.chase(proposal))),
        });
        // On a fatal error the responder is dropped, and the reply with it:
        // the caller learns that the outcome is unknown.
        let _ = self.raft.client_write_ff(data, Some(responder)).await;
    }

    fn settle(&self, proposal: Proposal, result: Result<(), ProposeError>) {
        if result.is_err() {
            self.metrics().proposals_failed.add(1);
        }
        // The caller may have given up.
        let _ = proposal.reply.send(result);
        drop(proposal.permit);
    }

    /// Follows the leader until the proposal is settled or nobody waits.
    async fn chase(self: Arc<Self>, mut proposal: Proposal) {
        let mut wait = RETRY_MIN;
        loop {
            let attempt = tokio::select! {
                attempt = self.attempt(&proposal.payload) => attempt,
                () = proposal.reply.closed() => return,
            };
            match attempt {
                Attempt::Done(result) => return self.settle(proposal, result),
                Attempt::Retry(reason) => tracing::trace!(reason, "proposal waits for a leader"),
            }
            tokio::select! {
                () = self.leader_change(wait) => {}
                () = proposal.reply.closed() => return,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn attempt(&self, payload: &Bytes) -> Attempt {
        let leadership = self.leadership();
        if leadership.is_leader {
            return self.write_and_wait(payload.clone()).await;
        }
        let Some(leader) = leadership
            .leader
            .filter(|leader| *leader != self.shared.member_id)
        else {
            return Attempt::Retry("no leader".into());
        };
        let link = self.link(leader, Class::Bulk);
        match link
            .call(Kind::Propose, Bytes::new(), vec![payload.clone()])
            .await
        {
            Ok(frame) if frame.kind == Kind::ProposeReply => {
                match Forwarded::decode(frame.payload) {
                    Ok(Forwarded::Done(_)) => Attempt::Done(Ok(())),
                    Ok(Forwarded::Refused(reason)) => Attempt::Retry(reason),
                    Ok(Forwarded::Failed(reason)) => unknown(reason),
                    Err(error) => unknown(error.to_string()),
                }
            }
            Ok(frame) => unknown(format!("the leader answered {:?}", frame.kind)),
            Err(LinkError::NotSent(reason)) => Attempt::Retry(reason),
            Err(LinkError::Lost(reason)) => unknown(reason),
        }
    }

    async fn write_and_wait(&self, payload: Bytes) -> Attempt {
        let (sender, result) = oneshot::channel();
        let responder = Callback::new(move |result| drop(sender.send(attempt_of(result))));
        if let Err(error) = self
            .raft
            .client_write_ff(Data(payload), Some(responder))
            .await
        {
            return unknown(error.to_string());
        }
        result
            .await
            .unwrap_or_else(|_| unknown("consensus stopped".into()))
    }

    /// Serves a proposal another member sent on.
    pub(crate) async fn propose_here(&self, payload: Bytes) -> Forwarded {
        if !self.is_leader() {
            return Forwarded::Refused("not the leader".into());
        }
        match self.write_and_wait(payload).await {
            Attempt::Done(Ok(())) => Forwarded::Done(Bytes::new()),
            Attempt::Done(Err(error)) => Forwarded::Failed(error.to_string()),
            Attempt::Retry(reason) => Forwarded::Refused(reason),
        }
    }

    /// Waits until the leader changes, but no longer than `limit`.
    async fn leader_change(&self, limit: Duration) {
        let mut leadership = self.shared.leadership.subscribe();
        let before = *leadership.borrow_and_update();
        let changed = leadership.wait_for(|now| now.leader.is_some() && *now != before);
        let _ = TypeConfig::timeout(limit, changed).await;
    }

    /// Serves reads in rounds.
    pub(crate) async fn read_loop(self: Arc<Self>, mut queue: mpsc::Receiver<ReadRequest>) {
        let mut waiting: Vec<ReadRequest> = Vec::new();
        let mut wait = RETRY_MIN;
        loop {
            if waiting.is_empty() {
                wait = RETRY_MIN;
                if queue.recv_many(&mut waiting, READS_MAX).await == 0 {
                    return;
                }
            } else {
                while waiting.len() < READS_MAX {
                    let Ok(request) = queue.try_recv() else { break };
                    waiting.push(request);
                }
            }
            waiting.retain(|request| !request.reply.is_closed());
            if waiting.is_empty() {
                continue;
            }
            match self.read_round().await {
                Ok(index) => {
                    self.metrics().read_index_served.add(waiting.len() as u64);
                    for request in waiting.drain(..) {
                        let _ = request.reply.send(Ok(index));
                    }
                }
                Err(reason) => {
                    self.metrics().read_index_failures.add(1);
                    for request in waiting.extract_if(.., |request| request.is_forwarded) {
                        let refused = ReadIndexError::Refused(reason.clone());
                        let _ = request.reply.send(Err(refused));
                    }
                    self.leader_change(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// One quorum round, here or at the leader: the shown index to wait for.
    async fn read_round(&self) -> Result<u64, String> {
        self.metrics().read_index_rounds.add(1);
        let leadership = self.leadership();
        if leadership.is_leader {
            let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
            let linearizer = linearizer.map_err(|error| error.to_string())?;
            return Ok(linearizer.read_log_id().index() + 1);
        }
        let leader = leadership
            .leader
            .filter(|leader| *leader != self.shared.member_id);
        let leader = leader.ok_or("no leader")?;
        let link = self.link(leader, Class::Control);
        let call = link.call(Kind::ReadIndex, Bytes::new(), Vec::new());
        let answer = TypeConfig::timeout(self.config.election_timeout * 2, call).await;
        let frame = answer.map_err(|_| "the leader did not answer")?;
        let frame = frame.map_err(|error| error.to_string())?;
        if frame.kind != Kind::ReadIndexReply {
            return Err(format!("the leader answered {:?}", frame.kind));
        }
        match Forwarded::decode(frame.payload).map_err(|error| error.to_string())? {
            Forwarded::Done(bytes) => Reader::new(bytes).long().map_err(|error| error.to_string()),
            Forwarded::Refused(reason) | Forwarded::Failed(reason) => Err(reason),
        }
    }

    /// Serves a read another member sent on, in the round of our own reads.
    pub(crate) async fn read_index_here(&self) -> Forwarded {
        if !self.is_leader() {
            return Forwarded::Refused("not the leader".into());
        }
        let (reply, index) = oneshot::channel();
        let request = ReadRequest {
            reply,
            is_forwarded: true,
        };
        if self.reads.send(request).await.is_err() {
            return Forwarded::Refused("stopped".into());
        }
        match index.await {
            Ok(Ok(index)) => Forwarded::Done(Bytes::copy_from_slice(&index.to_le_bytes())),
            Ok(Err(error)) => Forwarded::Refused(error.to_string()),
            Err(_) => Forwarded::Refused("stopped".into()),
        }
    }

    /// Runs rare requests, each in its own task.
    pub(crate) async fn command_loop(self: Arc<Self>, mut queue: mpsc::Receiver<Command>) {
        while let Some(command) = queue.recv().await {
            let core = Arc::clone(&self);
            tokio::spawn(async move {
                match command {
                    Command::Request { payload, reply } => core.request(payload, reply).await,
                    Command::Membership { change, reply } => {
                        // Detached from the caller: a change must not be left
                        // half done because nobody waits any more.
                        let _ = reply.send(membership::change(&core, change).await);
                    }
                    Command::Transfer {
                        target,
                        timeout,
                        reply,
                    } => {
                        let _ = reply.send(membership::transfer(&core, target, timeout).await);
                    }
                }
            });
        }
    }

    async fn request(
        &self,
        payload: Bytes,
        mut reply: oneshot::Sender<Result<Bytes, ForwardError>>,
    ) {
        let mut wait = RETRY_MIN;
        loop {
            let attempt = tokio::select! {
                attempt = self.request_once(payload.clone()) => attempt,
                () = reply.closed() => return,
            };
            if let Some(result) = attempt {
                let _ = reply.send(result);
                return;
            }
            tokio::select! {
                () = self.leader_change(wait) => {}
                () = reply.closed() => return,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// `None`: certainly not run, try again.
    async fn request_once(&self, payload: Bytes) -> Option<Result<Bytes, ForwardError>> {
        let leadership = self.leadership();
        if leadership.is_leader {
            return Some(
                self.handler
                    .handle(payload)
                    .await
                    .map_err(ForwardError::Handler),
            );
        }
        let leader = leadership
            .leader
            .filter(|leader| *leader != self.shared.member_id)?;
        let link = self.link(leader, Class::Control);
        match link.call(Kind::Request, Bytes::new(), vec![payload]).await {
            Ok(frame) if frame.kind == Kind::RequestReply => {
                match Forwarded::decode(frame.payload) {
                    Ok(Forwarded::Done(bytes)) => Some(Ok(bytes)),
                    Ok(Forwarded::Refused(_)) => None,
                    Ok(Forwarded::Failed(text)) => Some(Err(ForwardError::Handler(text))),
                    Err(error) => Some(Err(ForwardError::Unavailable(error.to_string()))),
                }
            }
            Ok(frame) => {
                let text = format!("the leader answered {:?}", frame.kind);
                Some(Err(ForwardError::Unavailable(text)))
            }
            Err(LinkError::NotSent(_)) => None,
            Err(LinkError::Lost(reason)) => Some(Err(ForwardError::Unavailable(reason))),
        }
    }
}

fn attempt_of(result: ClientWriteResult<TypeConfig>) -> Attempt {
    match result {
        Ok(_) => Attempt::Done(Ok(())),
        Err(ClientWriteError::ForwardToLeader(forward)) => Attempt::Retry(forward.to_string()),
        Err(error @ ClientWriteError::LogEntryDiscarded(_)) => unknown(error.to_string()),
        Err(error) => Attempt::Done(Err(ProposeError::NotAppended(error.to_string()))),
    }
}

fn unknown(reason: String) -> Attempt {
    Attempt::Done(Err(ProposeError::Unknown(reason)))
}

/// Proposals taken off the queue at once.
const BATCH_MAX: usize = 1024;
/// Reads answered by one round.
const READS_MAX: usize = 64 << 10;
/// First wait after a refusal: the first write after an election is refused
/// until a quorum has answered the new leader once.
const RETRY_MIN: Duration = Duration::from_millis(1);
/// Longest wait between two attempts; a change of the leader ends it early.
const RETRY_MAX: Duration = Duration::from_millis(50);
