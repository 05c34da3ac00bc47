//! Members in this process.
//!
//! A [`Cluster`] is the state that its members share; a [`Member`] is a listener
//! on loopback that serves it. Members lose connections or replies when told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tower_service::Service;

use quoin_proto::etcdserverpb as pb;
use quoin_proto::mvccpb::{Event, KeyValue};
use quoin_proto::raw;
use quoin_proto::server::etcdserverpb::kv_server::{Kv, KvServer};
use quoin_proto::server::etcdserverpb::lease_server::{Lease, LeaseServer};
use quoin_proto::server::etcdserverpb::watch_server::{Watch, WatchServer};

/// State shared by members.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) state: Mutex<State>,
    /// Carries the revision; changes wake watchers.
    revision: watch::Sender<i64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// One put per revision, from revision 2 on.
    history: Vec<KeyValue>,
    /// Watch starts below it are refused.
    pub(super) compact_revision: i64,
    /// The next calls execute, but their connection breaks before the reply.
    pub(super) replies_lost_count: usize,
    /// The next calls are refused with this.
    pub(super) refusal: Option<Status>,
    /// Renewals that succeed before the lease is gone.
    pub(super) renewals_left_count: usize,
    /// Reads executed.
    pub(super) reads_count: usize,
    /// Start revisions of the watch streams opened so far.
    pub(super) watch_starts: Vec<i64>,
    /// Metadata `hasleader` of the last call.
    pub(super) leader_required: bool,
}

impl Cluster {
    pub(super) fn new() -> Arc<Self> {
        let (revision, _) = watch::channel(1);
        Arc::new(Self {
            state: Mutex::default(),
            revision,
        })
    }

    /// Writes one key; returns the revision.
    pub(super) fn put(&self, key: &str, value: impl Into<Bytes>) -> i64 {
        let mut state = self.state.lock().unwrap();
        let revision = state.history.len() as i64 + 2;
        state.history.push(KeyValue {
            key: key.to_owned().into(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        });
        self.revision.send_replace(revision);
        revision
    }

    pub(super) fn writes_count(&self) -> usize {
        self.state.lock().unwrap().history.len()
    }

    fn header(&self) -> Option<pb::ResponseHeader> {
        let revision = *self.revision.borrow();
        Some(pb::ResponseHeader {
            revision,
            ..pb::ResponseHeader::default()
        })
    }

    /// What every call begins with.
    fn enter<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut state = self.state.lock().unwrap();
        state.leader_required = request.metadata().get("hasleader").is_some();
        state.refusal.take().map_or(Ok(()), Err)
    }

    fn loses_reply(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let lost = state.replies_lost_count > 0;
        state.replies_lost_count -= usize::from(lost);
        lost
    }
}

/// A listener that serves a cluster.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    /// A change breaks every connection that is open.
    breaker: watch::Sender<()>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

impl Member {
    pub(super) async fn start(cluster: &Arc<Cluster>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (breaker, _) = watch::channel(());
        let service = FakeService {
            cluster: cluster.clone(),
            breaker: breaker.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, service));
        Self {
            address,
            breaker,
            _tasks: tasks,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Loses every connection that is open.
    pub(super) fn break_connections(&self) {
        self.breaker.send_replace(());
    }
}

/// An address where nobody listens.
pub(super) async fn closed_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn accept(listener: TcpListener, service: FakeService) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, service.clone()));
    }
}

async fn serve(stream: TcpStream, service: FakeService) {
    let mut broken = service.breaker.subscribe();
    let handler = hyper::service::service_fn(move |request| route(service.clone(), request));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), handler);
    tokio::select! {
        // How a connection ends is the client's business.
        _ = connection => {}
        _ = broken.changed() => {}
    }
}

async fn route(
    service: FakeService,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    match request.uri().path().split('/').nth(1) {
        Some("etcdserverpb.KV") => KvServer::new(service).call(request).await,
        Some("etcdserverpb.Lease") => LeaseServer::new(service).call(request).await,
        _ => WatchServer::new(service).call(request).await,
    }
}

#[derive(Clone, Debug)]
struct FakeService {
    cluster: Arc<Cluster>,
    breaker: watch::Sender<()>,
}

impl FakeService {
    /// Breaks the connections if the reply is to be lost.
    async fn reply<T>(&self, reply: T) -> Result<Response<T>, Status> {
        if self.cluster.loses_reply() {
            self.breaker.send_replace(());
            std::future::pending::<()>().await;
        }
        Ok(Response::new(reply))
    }
}

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Kv for FakeService {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<raw::RangeResponse>, Status> {
        self.cluster.enter(&request)?;
        let key = request.into_inner().key;
        let found = {
            let mut state = self.cluster.state.lock().unwrap();
            state.reads_count += 1;
            state
                .history
                .iter()
                .rev()
                .find(|pair| pair.key == key)
                .cloned()
        };
        let kvs: Vec<Bytes> = found
            .iter()
            .map(|pair| pair.encode_to_vec().into())
            .collect();
        let count = kvs.len() as i64;
        let header = self.cluster.header();
        self.reply(raw::RangeResponse {
            header,
            kvs,
            more: false,
            count,
        })
        .await
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<raw::PutResponse>, Status> {
        self.cluster.enter(&request)?;
        let request = request.into_inner();
        let key = String::from_utf8_lossy(&request.key).into_owned();
        self.cluster.put(&key, request.value);
        let header = self.cluster.header();
        self.reply(raw::PutResponse {
            header,
            prev_kv: None,
        })
        .await
    }

    type RangeStreamStream = Stream<raw::RangeStreamResponse>;

    async fn range_stream(
        &self,
        _: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn delete_range(
        &self,
        _: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<raw::DeleteRangeResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn txn(&self, _: Request<pb::TxnRequest>) -> Result<Response<raw::TxnResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn compact(
        &self,
        _: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }
}

#[tonic::async_trait]
impl Watch for FakeService {
    type WatchStream = Stream<raw::WatchResponse>;

    async fn watch(
        &self,
        request: Request<tonic::Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.cluster.enter(&request)?;
        let mut requests = request.into_inner();
        let first = requests
            .message()
            .await?
            .and_then(|request| request.request_union);
        let Some(pb::watch_request::RequestUnion::CreateRequest(create)) = first else {
            return Err(Status::invalid_argument("a create request comes first"));
        };
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(feed(self.clone(), requests, create.start_revision, tx));
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }
}

/// Sends history and then what comes, one response per revision.
async fn feed(
    service: FakeService,
    mut requests: tonic::Streaming<pb::WatchRequest>,
    start: i64,
    tx: mpsc::Sender<Result<raw::WatchResponse, Status>>,
) {
    let cluster = &service.cluster;
    let mut changed = cluster.revision.subscribe();
    let header = cluster.header();
    let mut next = if start == 0 {
        header.map_or(0, |h| h.revision) + 1
    } else {
        start
    };
    let compact_revision = {
        let mut state = cluster.state.lock().unwrap();
        state.watch_starts.push(start);
        state.compact_revision
    };
    let created = raw::WatchResponse {
        header,
        created: true,
        ..raw::WatchResponse::default()
    };
    if tx.send(Ok(created)).await.is_err() {
        return;
    }
    if start != 0 && start < compact_revision {
        let canceled = true;
        let cancel = raw::WatchResponse {
            canceled,
            compact_revision,
            ..raw::WatchResponse::default()
        };
        let _ = tx.send(Ok(cancel)).await;
        return;
    }
    loop {
        let due = {
            let state = cluster.state.lock().unwrap();
            state
                .history
                .iter()
                .find(|pair| pair.mod_revision >= next)
                .cloned()
        };
        if let Some(pair) = due {
            next = pair.mod_revision + 1;
            if tx.send(Ok(event(pair))).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            _ = changed.changed() => {}
            request = requests.message() => {
                let Ok(Some(_)) = request else { return };
                let progress = raw::WatchResponse {
                    header: cluster.header(),
                    watch_id: -1,
                    ..raw::WatchResponse::default()
                };
                if tx.send(Ok(progress)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn event(pair: KeyValue) -> raw::WatchResponse {
    let revision = pair.mod_revision;
    let event = Event {
        kv: Some(pair),
        ..Event::default()
    };
    raw::WatchResponse {
        header: Some(pb::ResponseHeader {
            revision,
            ..pb::ResponseHeader::default()
        }),
        events: vec![event.encode_to_vec().into()],
        ..raw::WatchResponse::default()
    }
}

#[tonic::async_trait]
impl Lease for FakeService {
    type LeaseKeepAliveStream = Stream<pb::LeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<tonic::Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.cluster.enter(&request)?;
        let first = request.into_inner().message().await?.unwrap_or_default();
        let ttl = {
            let mut state = self.cluster.state.lock().unwrap();
            let alive = state.renewals_left_count > 0;
            state.renewals_left_count -= usize::from(alive);
            i64::from(alive)
        };
        let reply = pb::LeaseKeepAliveResponse {
            header: None,
            id: first.id,
            ttl,
        };
        let stream: Self::LeaseKeepAliveStream = Box::pin(tokio_stream::once(Ok(reply)));
        self.reply(stream).await
    }

    async fn lease_grant(
        &self,
        _: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn lease_revoke(
        &self,
        _: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn lease_time_to_live(
        &self,
        _: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }
}
