//! What other members ask of this one: one session per accepted connection.
//!
//! Append streams and snapshots have a task each, fed through bounded queues
//! in order; everything else is answered by a short task of its own, of which
//! a bounded number runs. A forwarded request is served only if this member
//! leads: it is never sent on, so two members cannot bounce it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use openraft::Snapshot;
use tokio::sync::{Semaphore, mpsc};

use crate::applier::SnapshotData;
use crate::core::Core;
use crate::repair;
use crate::rpc::{self, AppendRequest, Forwarded, SnapshotBegin, SnapshotReply};
use crate::snapshot::{Receiver, WINDOW_CHUNKS_MAX};
use crate::state_machine::StateMachine;
use crate::transport::frame::{Frame, Kind, OutFrame};
use crate::transport::{Outbox, Service, Session};
use crate::types::{SnapshotMeta, Vote, shown};

/// Makes sessions.
pub(crate) struct Incoming<S: StateMachine> {
    core: Arc<Core<S>>,
}

impl<S: StateMachine> Incoming<S> {
    pub(crate) fn new(core: Arc<Core<S>>) -> Self {
        Self { core }
    }
}

impl<S: StateMachine> Clone for Incoming<S> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<S: StateMachine> Service for Incoming<S> {
    type Session = PeerSession<S>;

    fn session(&self, peer: u64, outbox: Outbox) -> PeerSession<S> {
        PeerSession {
            core: Arc::clone(&self.core),
            peer,
            outbox,
            streams: HashMap::new(),
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }
}

/// One accepted connection.
pub(crate) struct PeerSession<S: StateMachine> {
    core: Arc<Core<S>>,
    peer: u64,
    outbox: Outbox,
    streams: HashMap<u64, Feed>,
    slots: Arc<Semaphore>,
}

/// Where the frames of a stream go.
enum Feed {
    Append(mpsc::Sender<AppendRequest>),
    Snapshot(mpsc::Sender<Frame>),
}

impl<S: StateMachine> Session for PeerSession<S> {
    async fn handle(&mut self, frame: Frame) -> Result<(), String> {
        if self.core.shared.is_removed(self.peer) {
            // Its next connection is refused with the reason.
            return Err(format!("member {:x} was removed", self.peer));
        }
        if matches!(
            frame.kind,
            Kind::Append | Kind::Heartbeat | Kind::SnapshotChunk
        ) {
            self.core.contact.note(self.peer);
        }
        match frame.kind {
            Kind::Append => self.append(frame).await,
            Kind::SnapshotBegin | Kind::SnapshotChunk | Kind::SnapshotEnd => {
                self.snapshot(frame).await
            }
            Kind::StreamEnd => {
                self.streams.remove(&frame.id);
                Ok(())
            }
            Kind::Heartbeat
            | Kind::Vote
            | Kind::PreVote
            | Kind::Transfer
            | Kind::Propose
            | Kind::ReadIndex
            | Kind::Request
            | Kind::AskSnapshot => self.request(frame).await,
            other => Err(format!("unexpected {other:?} from member {:x}", self.peer)),
        }
    }
}

impl<S: StateMachine> PeerSession<S> {
    async fn append(&mut self, frame: Frame) -> Result<(), String> {
        let request = rpc::decode_append(frame.payload).map_err(|error| error.to_string())?;
        if !self.streams.contains_key(&frame.id) {
            self.check_streams()?;
            let (feed, requests) = mpsc::channel(STREAM_REQUESTS_MAX);
            self.streams.insert(frame.id, Feed::Append(feed));
            let (core, outbox) = (Arc::clone(&self.core), self.outbox.clone());
            tokio::spawn(async move { append_stream(&core, frame.id, requests, outbox).await });
        }
        if let Some(Feed::Append(feed)) = self.streams.get(&frame.id) {
            // A stream that has ended refuses; its end is on the way already.
            let _ = feed.send(request).await;
        }
        Ok(())
    }

    async fn snapshot(&mut self, frame: Frame) -> Result<(), String> {
        if frame.kind == Kind::SnapshotBegin {
            self.check_streams()?;
            let (feed, frames) = mpsc::channel(WINDOW_CHUNKS_MAX + 2);
            let (core, outbox) = (Arc::clone(&self.core), self.outbox.clone());
            let (id, peer) = (frame.id, self.peer);
            self.streams.insert(id, Feed::Snapshot(feed));
            tokio::spawn(async move {
                let reply = match receive(&core, peer, frame, frames, &outbox).await {
                    Ok(reply) => reply,
                    Err(reason) => {
                        core.metrics().snapshots_receive_failed.add(1);
                        tracing::warn!(peer, reason, "gave up receiving a snapshot");
                        SnapshotReply::Rejected(reason)
                    }
                };
                send(&outbox, Kind::SnapshotReply, id, reply.encode()).await;
            });
            return Ok(());
        }
        if let Some(Feed::Snapshot(feed)) = self.streams.get(&frame.id) {
            let _ = feed.send(frame).await;
        }
        Ok(())
    }

    fn check_streams(&mut self) -> Result<(), String> {
        self.streams.retain(|_, feed| match feed {
            Feed::Append(feed) => !feed.is_closed(),
            Feed::Snapshot(feed) => !feed.is_closed(),
        });
        if self.streams.len() >= STREAMS_MAX {
            return Err(format!("member {:x} has too many open streams", self.peer));
        }
        Ok(())
    }

    async fn request(&mut self, frame: Frame) -> Result<(), String> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|error| error.to_string())?;
        let (core, outbox, id) = (Arc::clone(&self.core), self.outbox.clone(), frame.id);
        let peer = self.peer;
        tokio::spawn(async move {
            let (kind, head) = match answer(&core, peer, frame).await {
                Ok(answer) => answer,
                Err(reason) => (Kind::Failed, rpc::encode_text(&reason)),
            };
            send(&outbox, kind, id, head).await;
            drop(slot);
        });
        Ok(())
    }
}

pub(crate) async fn send(outbox: &Outbox, kind: Kind, id: u64, head: Bytes) {
    // Nobody is left to tell when the connection is gone.
    let _ = outbox.send(OutFrame::new(kind, id, head)).await;
}

async fn append_stream<S: StateMachine>(
    core: &Core<S>,
    id: u64,
    requests: mpsc::Receiver<AppendRequest>,
    outbox: Outbox,
) {
    let input = stream::unfold(requests, |mut requests| async move {
        requests.recv().await.map(|request| (request, requests))
    });
    // Polling openraft's stream after its end panics.
    let mut results = Box::pin(core.raft.stream_append(input).fuse());
    let mut reason = "stream ended".to_owned();
    while let Some(result) = results.next().await {
        match result {
            Ok(result) => {
                let head = rpc::encode_append_result(&result);
                send(&outbox, Kind::AppendReply, id, head).await;
            }
            Err(fatal) => {
                reason = fatal.to_string();
                break;
            }
        }
    }
    send(&outbox, Kind::StreamEnd, id, rpc::encode_text(&reason)).await;
}

async fn answer<S: StateMachine>(
    core: &Arc<Core<S>>,
    peer: u64,
    frame: Frame,
) -> Result<(Kind, Bytes), String> {
    let payload = frame.payload;
    let text = |error: &dyn std::fmt::Display| error.to_string();
    match frame.kind {
        Kind::Heartbeat => {
            let request = rpc::decode_append(payload).map_err(|error| text(&error))?;
            let input = stream::iter([request]);
            let mut results = Box::pin(core.raft.stream_append(input).fuse());
            let result = results.next().await.ok_or("stopped")?;
            let result = result.map_err(|error| text(&error))?;
            Ok((Kind::HeartbeatReply, rpc::encode_append_result(&result)))
        }
        Kind::Vote | Kind::PreVote => {
            let request = rpc::decode_vote_request(payload).map_err(|error| text(&error))?;
            let response = if frame.kind == Kind::Vote {
                core.raft.vote(request).await
            } else {
                core.raft.pre_vote(request).await
            };
            let response = response.map_err(|error| text(&error))?;
            Ok((Kind::VoteReply, rpc::encode_vote_response(&response)))
        }
        Kind::Transfer => {
            let request = rpc::decode_transfer(payload).map_err(|error| text(&error))?;
            if *request.to_node_id() == core.shared.member_id && !core.shared.stands() {
                return Err("does not stand for election".into());
            }
            let response = core.raft.handle_transfer_leader(request).await;
            let response = response.map_err(|error| text(&error))?;
            Ok((
                Kind::TransferReply,
                rpc::encode_transfer_response(&response),
            ))
        }
        Kind::Propose => Ok((
            Kind::ProposeReply,
            core.propose_here(payload).await.encode(),
        )),
        Kind::ReadIndex => Ok((
            Kind::ReadIndexReply,
            core.read_index_here(payload).await.encode(),
        )),
        Kind::Request => Ok((
            Kind::RequestReply,
            request_here(core, payload).await.encode(),
        )),
        Kind::AskSnapshot => Ok((
            Kind::AskSnapshotReply,
            repair::send_snapshot(core, peer, payload).await.encode(),
        )),
        other => Err(format!("unexpected {other:?}")),
    }
}

async fn request_here<S: StateMachine>(core: &Core<S>, payload: Bytes) -> Forwarded {
    if !core.is_leader() {
        return Forwarded::Refused("not the leader".into());
    }
    match core.handler.handle(payload).await {
        Ok(bytes) => Forwarded::Done(bytes),
        Err(text) => Forwarded::Failed(text),
    }
}

async fn receive<S: StateMachine>(
    core: &Arc<Core<S>>,
    peer: u64,
    begin: Frame,
    mut frames: mpsc::Receiver<Frame>,
    outbox: &Outbox,
) -> Result<SnapshotReply, String> {
    let stream = begin.id;
    let SnapshotBegin { vote, id, meta } =
        SnapshotBegin::decode(begin.payload).map_err(|error| error.to_string())?;
    if meta
        .last_log_id
        .is_some_and(|last| last.leader_id.term > vote.leader_id.term)
    {
        return Err("the snapshot is newer than its sender's vote".into());
    }
    if let Some(place) = core.repair.take_place(peer) {
        let blocking = core.config.blocking.clone();
        let receiver = Receiver::new(vote, meta, place.sink, blocking);
        return repair::receive(receiver, place.arrived, stream, frames, outbox).await;
    }
    let mut attempt = core.stages.attempt().await;
    if let Some(vote) = vote_if_applied(core, &meta).await? {
        return Ok(SnapshotReply::Done(vote));
    }
    let mut receiver = match attempt.take(peer, id) {
        Some(receiver) => receiver.under(vote),
        None => {
            let sink = core.receive_snapshot().await?;
            Receiver::new(vote, meta, sink, core.config.blocking.clone())
        }
    };
    let accepted = SnapshotReply::Accepted(receiver.next()).encode();
    send(outbox, Kind::SnapshotReply, stream, accepted).await;
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            () = attempt.superseded() => None,
        };
        let Some(frame) = frame else {
            let next = receiver.next();
            attempt.leave(peer, id, receiver);
            return Err(format!("the sender went away, kept up to chunk {next}"));
        };
        match frame.kind {
            Kind::SnapshotChunk => {
                let sequence = receiver.write(frame.payload).await?;
                let reply = SnapshotReply::Written(sequence);
                send(outbox, Kind::SnapshotReply, stream, reply.encode()).await;
            }
            Kind::SnapshotEnd => {
                let (vote, meta, sink) = receiver.finish(frame.payload)?;
                let snapshot = Snapshot {
                    meta,
                    snapshot: SnapshotData::Incoming(sink),
                };
                let installed = core.raft.install_full_snapshot(vote, snapshot).await;
                let response = installed.map_err(|error| error.to_string())?;
                return Ok(SnapshotReply::Done(response.vote));
            }
            other => return Err(format!("unexpected {other:?}")),
        }
    }
}

/// The vote of this member if it has applied what the snapshot holds: the answer
/// of an earlier attempt was lost.
async fn vote_if_applied<S: StateMachine>(
    core: &Core<S>,
    meta: &SnapshotMeta,
) -> Result<Option<Vote>, String> {
    let last = meta.last_log_id.as_ref().map_or(0, |id| shown(id).index);
    if core.shared.applied.load(Ordering::Acquire) < last {
        return Ok(None);
    }
    let vote = core.raft.with_raft_state(|state| *state.vote_ref()).await;
    vote.map(Some).map_err(|error| error.to_string())
}

/// Append requests of a stream between reading and openraft.
const STREAM_REQUESTS_MAX: usize = 64;
/// Open streams per connection: one per term and leader, with room for a
/// burst of elections.
const STREAMS_MAX: usize = 64;
/// Requests per connection being answered; reading waits above it.
const REQUESTS_MAX: usize = 4096;
