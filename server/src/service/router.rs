//! Finds the service of a gRPC request and checks what holds for every call.
//!
//! Paths are matched by hand: there are ten services, and a request must not
//! pay for a general router. The frequent unary calls go straight to their
//! method, the others through the generated services. The checks run in etcd's
//! order: whether a learner serves the call, client API version, then whether a
//! leader is known where the client insists on one.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as HttpBody;
use prost::Message;
use quoin_proto::etcdserverpb::RangeRequest;
use quoin_proto::server::{
    etcdserverpb::{
        cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer,
        maintenance_server::MaintenanceServer,
    },
    health::health_server::HealthServer,
    quoinrepairpb::repair_server::RepairServer,
};
use tonic::{Code, Status, Streaming, body::Body, codec::Codec};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::telemetry::metrics::Metrics;

use super::{
    Context, cluster::ClusterService, health::HealthService, kv::KvService, lease::LeaseService,
    maintenance::MaintenanceService, repair::RepairService, reply::ReplyBody, status, streaming,
    unary, watch::WatchService,
};

/// Room on top of `--max-request-bytes` that a message may take on the wire.
/// Source: etcd 3.7.
const MESSAGE_OVERHEAD_BYTES: usize = 512 * 1024;
/// Services of the API that this version does not offer.
const NOT_OFFERED: [&str; 3] = [
    "etcdserverpb.Auth",
    "v3lockpb.Lock",
    "v3electionpb.Election",
];

/// Calls that a learner serves, of Range only serializable ones. Source: etcd 3.7.
const LEARNER_SERVES: [&str; 5] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.Maintenance/Status",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Calls that a member in quarantine serves: they tell of it, or end it. Of
/// MemberList only what is not linearizable.
const QUARANTINE_SERVES: [&str; 7] = [
    "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Status",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/quoinrepairpb.Repair/Repair",
];

/// The reply of a generated service.
type Generated = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// All services behind one entry. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    services: Arc<Services>,
}

#[derive(Debug)]
struct Services {
    /// The same service as `kv`, for calls past the generated one.
    kv_calls: Arc<KvService>,
    kv: KvServer<KvService>,
    watch: WatchService,
    /// The same service as `lease`.
    lease_calls: Arc<LeaseService>,
    lease: LeaseServer<LeaseService>,
    cluster: ClusterServer<ClusterService>,
    maintenance: MaintenanceServer<MaintenanceService>,
    health: HealthServer<HealthService>,
    repair: RepairServer<RepairService>,
    context: Context,
    /// Largest message taken from a client, bytes.
    message_bytes_max: usize,
    metrics: Arc<Metrics>,
}

impl Router {
    /// Services over `context`.
    pub(crate) fn new(context: Context, watch: WatchService, metrics: Arc<Metrics>) -> Self {
        let limit = context.limits.request_bytes_max + MESSAGE_OVERHEAD_BYTES;
        let kv_calls = Arc::new(KvService::new(context.clone()));
        let lease_calls = Arc::new(LeaseService::new(context.clone()));
        let services = Services {
            kv: KvServer::from_arc(Arc::clone(&kv_calls))
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            watch,
            lease: LeaseServer::from_arc(Arc::clone(&lease_calls))
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(ClusterService::new(context.clone())),
            maintenance: MaintenanceServer::new(MaintenanceService::new(context.clone())),
            health: HealthServer::new(HealthService::new(
                context.closing.clone(),
                context.quarantine.clone(),
            )),
            repair: RepairServer::new(RepairService::new(context.clone())),
            kv_calls,
            lease_calls,
            context,
            message_bytes_max: limit,
            metrics,
        };
        Self {
            services: Arc::new(services),
        }
    }

    /// Answers one request.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> Response<ReplyBody>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let services = &*self.services;
        if let Err(status) = check_content_type(request.headers()) {
            let mut response = unary::refusal(status);
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let counters = services.metrics.grpc.method(request.uri().path());
        if let Some(counters) = counters {
            counters.started();
        }
        let response = match services.dispatch(request).await {
            Ok(response) => response,
            Err(status) => unary::refusal(status),
        };
        if let Some(counters) = counters {
            counters.handled(refusal_code(&response));
        }
        response
    }
}

impl Services {
    async fn dispatch<B>(&self, request: Request<B>) -> Result<Response<ReplyBody>, Status>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        self.check(request.uri().path(), request.headers())?;
        let kv = &self.kv_calls;
        match request.uri().path() {
            "/etcdserverpb.KV/Range" => {
                let message: RangeRequest = self.receive(request).await?;
                if !message.serializable && self.context.node.is_learner() {
                    return Err(status::not_supported_for_learner());
                }
                Ok(unary::range_reply(kv.range(message).await?))
            }
            "/etcdserverpb.KV/Put" => self.unary(request, |message| kv.put(message)).await,
            "/etcdserverpb.KV/DeleteRange" => {
                self.unary(request, |message| kv.delete_range(message))
                    .await
            }
            "/etcdserverpb.KV/Txn" => self.unary(request, |message| kv.txn(message)).await,
            "/etcdserverpb.Watch/Watch" => Ok(self.watch(request)),
            "/etcdserverpb.Lease/LeaseKeepAlive" => Ok(self.keep_alive(request)),
            _ => {
                let Ok(response) = self.route(request)?.await;
                match translate_transport_error(&response, self.message_bytes_max) {
                    Some(status) => Err(status),
                    None => Ok(response.map(ReplyBody::Streamed)),
                }
            }
        }
    }

    async fn unary<B, M, R, F>(
        &self,
        request: Request<B>,
        call: impl FnOnce(M) -> F,
    ) -> Result<Response<ReplyBody>, Status>
    where
        B: HttpBody<Data = Bytes>,
        M: Message + Default,
        R: Message,
        F: Future<Output = Result<R, Status>>,
    {
        let message = self.receive(request).await?;
        Ok(unary::reply(&call(message).await?))
    }

    async fn receive<B, M>(&self, request: Request<B>) -> Result<M, Status>
    where
        B: HttpBody<Data = Bytes>,
        M: Message + Default,
    {
        let (head, body) = request.into_parts();
        unary::receive(&head.headers, body, self.message_bytes_max).await
    }

    fn watch<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let (head, requests) = self.receive_stream(request);
        streaming::reply(self.watch.open(head.headers, head.extensions, requests))
    }

    fn keep_alive<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let (_head, requests) = self.receive_stream(request);
        streaming::reply(self.lease_calls.keep_alive(requests))
    }

    /// The head of a call, and its messages as they come.
    fn receive_stream<B, M>(
        &self,
        request: Request<B>,
    ) -> (
        Parts,
        impl Stream<Item = Result<M, Status>> + Send + Unpin + use<B, M>,
    )
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
        M: Message + Default + 'static,
    {
        let (head, body) = request.into_parts();
        let decoder = ProstCodec::<M, M>::default().decoder();
        let limit = self.message_bytes_max;
        let requests = Streaming::new_request(decoder, body, None, Some(limit));
        let encoding = head.headers.get("grpc-encoding").cloned();
        let translate = move |error| encoding_error(error, encoding.as_ref());
        (head, requests.map_err(translate))
    }

    fn route<B>(&self, request: Request<B>) -> Result<Generated, Status>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        Ok(match service.map(|(service, _method)| service) {
            Some("etcdserverpb.KV") => self.kv.clone().call(request),
            Some("etcdserverpb.Lease") => self.lease.clone().call(request),
            Some("etcdserverpb.Cluster") => self.cluster.clone().call(request),
            Some("etcdserverpb.Maintenance") => self.maintenance.clone().call(request),
            Some("grpc.health.v1.Health") => self.health.clone().call(request),
            Some("quoinrepairpb.Repair") => self.repair.clone().call(request),
            Some(watch @ "etcdserverpb.Watch") => {
                let method = service.map_or("", |(_service, method)| method);
                return Err(Status::unimplemented(format!(
                    "unknown method {method} for service {watch}"
                )));
            }
            Some(known) if NOT_OFFERED.contains(&known) => return Err(status::not_offered(path)),
            Some(unknown) => {
                return Err(Status::unimplemented(format!("unknown service {unknown}")));
            }
            None => {
                return Err(Status::unimplemented(format!(
                    "malformed method name: {path:?}"
                )));
            }
        })
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Status> {
        if self.context.node.is_learner() && !LEARNER_SERVES.contains(&path) {
            return Err(status::not_supported_for_learner());
        }
        if !QUARANTINE_SERVES.contains(&path) {
            self.context.check_sound()?;
        }
        let version = headers.get("client-api-version");
        if version.is_some_and(|text| std::str::from_utf8(text.as_bytes()).is_err()) {
            return Err(status::invalid_client_api_version());
        }
        if requires_leader(headers) && !self.context.has_leader() {
            return Err(status::no_leader());
        }
        Ok(())
    }
}

/// gRPC has one content type, perhaps with a codec or parameters behind it.
fn check_content_type(headers: &HeaderMap) -> Result<(), Status> {
    let found = headers.get(header::CONTENT_TYPE);
    let found = found.map_or(&[][..], HeaderValue::as_bytes);
    match found.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';', ..]) => Ok(()),
        _ => Err(status::content_type(found)),
    }
}

/// The client wants to be refused where no leader is known.
pub(crate) fn requires_leader(headers: &HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

/// The status code of a reply that is refused at once; what is not has its
/// status in trailers, and counts as answered.
fn refusal_code(response: &Response<ReplyBody>) -> usize {
    let code = response.headers().get(Status::GRPC_STATUS);
    code.and_then(|code| code.to_str().ok()?.parse().ok())
        .unwrap_or(Code::Ok as usize)
}

/// tonic reports a compressed message in words of its own.
fn encoding_error(error: Status, encoding: Option<&HeaderValue>) -> Status {
    if error.message().contains("compressed-flag") {
        status::message_encoding(1, encoding)
    } else {
        error
    }
}

/// tonic reports a message above the limit in words of its own; clients of
/// etcd know those of grpc-go.
fn translate_transport_error(response: &Response<Body>, limit: usize) -> Option<Status> {
    let code = response.headers().get(Status::GRPC_STATUS)?;
    let too_large = HeaderValue::from(Code::OutOfRange as i32);
    if code != too_large {
        return None;
    }
    let status = Status::from_header_map(response.headers())?;
    let found = status
        .message()
        .strip_prefix("Error, decoded message length too large: found ")?;
    let found = found.split(' ').next()?.parse().ok()?;
    Some(status::message_too_large(found, limit))
}
