//! Proposals and requests: done here when this member leads, sent to the leader
//! when it does not, held back while nobody does. Reads: see `read_index`.
//!
//! A proposal is sent on or tried again only while it certainly is in no log;
//! once that is open it ends as `Unknown`. Waiting is bounded by the caller:
//! it drops its future, which closes the reply channel, which ends the wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::type_config::TypeConfigExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::core::{Command, Core};
use crate::error::{ForwardError, ProposeError};
use crate::membership;
use crate::repair;
use crate::rpc::Forwarded;
use crate::stages::Trace;
use crate::state_machine::StateMachine;
use crate::transport::frame::Kind;
use crate::transport::{Class, LinkError};
use crate::types::{Callback, Data, TypeConfig};

/// A proposal on its way.
pub(crate) struct Proposal {
    pub(crate) payload: Bytes,
    pub(crate) trace: Trace,
    pub(crate) reply: oneshot::Sender<Result<(), ProposeError>>,
    /// Its place among the pending ones; given back when it is dropped.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Proposal {
    fn data(&self) -> Data {
        Data {
            bytes: self.payload.clone(),
            trace: self.trace.clone(),
        }
    }
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
        let data = proposal.data();
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
                attempt = self.attempt(proposal.data()) => attempt,
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

    async fn attempt(&self, data: Data) -> Attempt {
        let leadership = self.leadership();
        if leadership.is_leader {
            return self.write_and_wait(data).await;
        }
        let Some(leader) = leadership
            .leader
            .filter(|leader| *leader != self.shared.member_id)
        else {
            return Attempt::Retry("no leader".into());
        };
        let link = self.link(leader, Class::Bulk);
        match link
            .call(Kind::Propose, Bytes::new(), vec![data.bytes])
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

    async fn write_and_wait(&self, data: Data) -> Attempt {
        let (sender, result) = oneshot::channel();
        let responder = Callback::new(move |result| drop(sender.send(attempt_of(result))));
        let offered = self.raft.client_write_ff(data, Some(responder)).await;
        if let Err(error) = offered {
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
        let data = Data {
            bytes: payload,
            trace: Trace::start(),
        };
        match self.write_and_wait(data).await {
            Attempt::Done(Ok(())) => Forwarded::Done(Bytes::new()),
            Attempt::Done(Err(error)) => Forwarded::Failed(error.to_string()),
            Attempt::Retry(reason) => Forwarded::Refused(reason),
        }
    }

    /// Waits until the leader changes, but no longer than `limit`.
    pub(crate) async fn leader_change(&self, limit: Duration) {
        let mut leadership = self.shared.leadership.subscribe();
        let before = *leadership.borrow_and_update();
        let changed = leadership.wait_for(|now| now.leader.is_some() && *now != before);
        let _ = TypeConfig::timeout(limit, changed).await;
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
                    Command::Standing(stands) => core.raft.runtime_config().elect(stands),
                    Command::Replace { reply } => {
                        // Detached for the same reason.
                        let _ = reply.send(repair::replace_state(&core).await);
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
/// First wait after a refusal: the first write after an election is refused
/// until a quorum has answered the new leader once.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(1);
/// Longest wait between two attempts; a change of the leader ends it early.
pub(crate) const RETRY_MAX: Duration = Duration::from_millis(50);
