//! openraft's network on our links: what this member asks of others.
//!
//! A client only names a link; connecting happens when something is sent, so
//! making one never waits. Replication is pipelined: a bounded number of
//! append requests travel unanswered. Heartbeats and votes use the control
//! connection and never wait behind entries.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream as FuturesStream, StreamExt};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesResponse, SnapshotResponse, StreamAppendError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::TypeConfigExt;
use tokio::sync::mpsc;

use crate::acknowledged::Acknowledged;
use crate::applier::SnapshotData;
use crate::rpc::{self, AppendRequest, AppendResult};
use crate::shared::Shared;
use crate::snapshot::Transfers;
use crate::transport::frame::{Frame, Kind};
use crate::transport::{Class, Link, LinkError, Peers, Stream};
use crate::types::{PeerNode, TypeConfig, Vote};

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

/// Makes a [`Client`] per peer and purpose.
pub(crate) struct Network {
    peers: Peers,
    transfers: Arc<Transfers>,
    shared: Arc<Shared>,
    acknowledged: Arc<Acknowledged>,
}

impl Network {
    pub(crate) fn new(peers: Peers, transfers: Arc<Transfers>, shared: Arc<Shared>) -> Self {
        Self {
            peers,
            transfers,
            shared,
            acknowledged: Arc::default(),
        }
    }

    fn client(&self, target: u64, node: &PeerNode, is_heartbeat: bool) -> Client {
        Client {
            peers: self.peers.clone(),
            transfers: Arc::clone(&self.transfers),
            shared: Arc::clone(&self.shared),
            acknowledged: Arc::clone(&self.acknowledged),
            target,
            urls: node.peer_urls.clone(),
            is_heartbeat,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> Client {
        self.client(target, node, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &PeerNode) -> Client {
        self.client(target, node, true)
    }
}

/// Asks one peer.
pub(crate) struct Client {
    peers: Peers,
    transfers: Arc<Transfers>,
    shared: Arc<Shared>,
    acknowledged: Arc<Acknowledged>,
    target: u64,
    urls: Arc<[String]>,
    is_heartbeat: bool,
}

impl Client {
    fn link(&self, class: Class) -> Link {
        self.peers.link(self.target, class, &self.urls)
    }

    async fn ask(
        &self,
        kind: Kind,
        head: bytes::Bytes,
        option: &RPCOption,
        action: RPCTypes,
    ) -> Rpc<Frame> {
        let link = self.link(Class::Control);
        let limit = option.hard_ttl();
        match TypeConfig::timeout(limit, link.call(kind, head, Vec::new())).await {
            Ok(answer) => expect_answer(answer.map_err(unreachable)?),
            Err(_) => Err(RPCError::Timeout(Timeout {
                action,
                id: self.peers.shared().own.member_id,
                target: self.target,
                timeout: limit,
            })),
        }
    }

    async fn heartbeat(&self, request: &AppendRequest, option: &RPCOption) -> Rpc<AppendResult> {
        let (head, body) = rpc::encode_append(request);
        let link = self.link(Class::Control);
        let limit = option.hard_ttl();
        let result = match TypeConfig::timeout(limit, link.call(Kind::Heartbeat, head, body)).await
        {
            Ok(Ok(frame)) => expect_answer(frame).and_then(|frame| {
                rpc::decode_append_result(frame.payload).map_err(|error| malformed(&error))
            }),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(malformed(&LinkError::Lost(format!(
                "no answer within {limit:?}"
            )))),
        };
        let metrics = &self.peers.shared().metrics;
        match &result {
            Ok(answer) => {
                let term = request.vote.leader_id.term;
                self.acknowledged.note(self.target, term, answer, metrics);
            }
            Err(_) => metrics.heartbeat_failures.add(1),
        }
        result
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendRequest,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let last = request
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(request.prev_log_id);
        Ok(match self.heartbeat(&request, &option).await? {
            Ok(matched) if matched == last => AppendEntriesResponse::Success,
            Ok(matched) => AppendEntriesResponse::PartialSuccess(matched),
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, T>(
        &'s mut self,
        input: T,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<AppendResult>>>>
    where
        T: FuturesStream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        if self.is_heartbeat {
            let client = &*self;
            let results = input.then(move |request| {
                let option = option.clone();
                async move { client.heartbeat(&request, &option).await }
            });
            return async move { Ok(results.boxed()) }.boxed();
        }
        let link = self.link(Class::Bulk);
        let (acknowledged, target) = (Arc::clone(&self.acknowledged), self.target);
        let metrics = Arc::clone(&self.peers.shared().metrics);
        // All requests of one stream are of one leader.
        let term = Arc::new(AtomicU64::new(0));
        let asking = Arc::clone(&term);
        let input = input.inspect(move |request| {
            asking.store(request.vote.leader_id.term, Ordering::Relaxed);
        });
        async move {
            let (stream, answers) = link.stream(WINDOW_REQUESTS_MAX + 2);
            let pipeline = Pipeline {
                stream,
                answers,
                input: Some(input),
                unanswered: VecDeque::new(),
                unanswered_bytes: 0,
            };
            let results = stream::unfold(Some(pipeline), Pipeline::next);
            let noted = results.inspect(move |result| {
                if let Ok(answer) = result {
                    acknowledged.note(target, term.load(Ordering::Relaxed), answer, &metrics);
                }
            });
            Ok(noted.boxed())
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let head = rpc::encode_vote_request(&request);
        let frame = self.ask(Kind::Vote, head, &option, RPCTypes::Vote).await?;
        rpc::decode_vote_response(frame.payload).map_err(|error| malformed(&error))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let head = rpc::encode_vote_request(&request);
        let frame = self
            .ask(Kind::PreVote, head, &option, RPCTypes::Vote)
            .await?;
        rpc::decode_vote_response(frame.payload).map_err(|error| malformed(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let metrics = Arc::clone(&self.peers.shared().metrics);
        let SnapshotData::Outgoing(pinned) = snapshot.snapshot else {
            return Err(NetworkError::from_string("a checkpoint cannot be sent").into());
        };
        if !self.shared.stands() {
            metrics.snapshots_send_failed.add(1);
            let reason = "the state here is in doubt; only the log is given on";
            return Err(Unreachable::from_string(reason).into());
        }
        let link = self.link(Class::Snapshot);
        let sent = tokio::select! {
            sent = self.transfers.send(self.target, &link, vote, pinned) => sent,
            closed = cancel => return Err(closed.into()),
        };
        match sent {
            Ok(vote) => {
                metrics.snapshots_sent.add(1);
                Ok(SnapshotResponse::new(vote))
            }
            Err(error) => {
                metrics.snapshots_send_failed.add(1);
                Err(Unreachable::new(&error).into())
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let head = rpc::encode_transfer(&request);
        let frame = self
            .ask(Kind::Transfer, head, &option, RPCTypes::TransferLeader)
            .await?;
        rpc::decode_transfer_response(frame.payload).map_err(|error| malformed(&error))
    }

    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

/// Append requests on their way to one follower.
struct Pipeline<T> {
    stream: Stream,
    answers: mpsc::Receiver<Result<Frame, LinkError>>,
    input: Option<T>,
    /// Bytes of each unanswered request.
    unanswered: VecDeque<usize>,
    unanswered_bytes: usize,
}

impl<T> Pipeline<T>
where
    T: FuturesStream<Item = AppendRequest> + Send + Unpin + 'static,
{
    /// Sends what there is until the next answer comes.
    async fn next(state: Option<Self>) -> Option<(Rpc<AppendResult>, Option<Self>)> {
        let mut pipeline = state?;
        loop {
            let has_room = pipeline.unanswered.len() < WINDOW_REQUESTS_MAX
                && pipeline.unanswered_bytes < WINDOW_BYTES_MAX;
            let is_waiting = !pipeline.unanswered.is_empty();
            let input = pipeline.input.as_mut().filter(|_| has_room);
            if input.is_none() && !is_waiting {
                return None;
            }
            let next_request = async {
                match input {
                    Some(input) => input.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = pipeline.answers.recv(), if is_waiting => {
                    let bytes = pipeline.unanswered.pop_front().unwrap_or(0);
                    pipeline.unanswered_bytes -= bytes;
                    return Some(pipeline.settle(answer));
                }
                request = next_request => match request {
                    Some(request) => {
                        if let Err(error) = pipeline.send(&request).await {
                            return Some((Err(unreachable(error)), None));
                        }
                    }
                    None => pipeline.input = None,
                },
            }
        }
    }

    async fn send(&mut self, request: &AppendRequest) -> Result<(), LinkError> {
        let (head, body) = rpc::encode_append(request);
        let bytes = head.len() + body.iter().map(bytes::Bytes::len).sum::<usize>();
        self.unanswered.push_back(bytes);
        self.unanswered_bytes += bytes;
        self.stream.send(Kind::Append, head, body).await
    }

    fn settle(self, answer: Option<Result<Frame, LinkError>>) -> (Rpc<AppendResult>, Option<Self>) {
        let frame = match answer {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return (Err(unreachable(error)), None),
            None => {
                let lost = LinkError::Lost("the link closed the stream".into());
                return (Err(unreachable(lost)), None);
            }
        };
        match frame.kind {
            Kind::AppendReply => match rpc::decode_append_result(frame.payload) {
                Ok(Ok(matched)) => (Ok(Ok(matched)), Some(self)),
                Ok(Err(refused)) => (Ok(Err(refused)), None),
                Err(error) => (Err(malformed(&error)), None),
            },
            _ => {
                let reason = LinkError::Lost(rpc::decode_text(frame.payload));
                (Err(malformed(&reason)), None)
            }
        }
    }
}

fn expect_answer(frame: Frame) -> Rpc<Frame> {
    if matches!(frame.kind, Kind::Failed | Kind::StreamEnd) {
        let text = rpc::decode_text(frame.payload);
        return Err(RPCError::Network(NetworkError::from_string(text)));
    }
    Ok(frame)
}

/// A peer that cannot be reached: openraft backs off.
fn unreachable(error: LinkError) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&error))
}

fn malformed<E: std::error::Error + 'static>(error: &E) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

/// Unanswered append requests per follower (openraft's server holds 64).
const WINDOW_REQUESTS_MAX: usize = 32;
/// Unanswered bytes per follower.
const WINDOW_BYTES_MAX: usize = 16 << 20;
