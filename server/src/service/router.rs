//! Finds the service of a gRPC request and checks what holds for every call.
//!
//! Paths are matched by hand: there are nine services, and a request must not
//! pay for a general router. The checks run in etcd's order: client API
//! version, then whether a leader is known where the client insists on one.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, Request, Response};
use http_body::Body as HttpBody;
use quoin_proto::server::{
    etcdserverpb::{
        cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer,
        maintenance_server::MaintenanceServer, watch_server::WatchServer,
    },
    health::health_server::HealthServer,
};
use tonic::{Code, Status, body::Body};
use tower_service::Service;

use crate::telemetry::metrics::Metrics;

use super::{
    Context, cluster::ClusterService, health::HealthService, kv::KvService, lease::LeaseService,
    maintenance::MaintenanceService, status, watch::WatchService,
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

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// All services behind one entry. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    services: Arc<Services>,
}

#[derive(Debug)]
struct Services {
    kv: KvServer<KvService>,
    watch: WatchServer<WatchService>,
    lease: LeaseServer<LeaseService>,
    cluster: ClusterServer<ClusterService>,
    maintenance: MaintenanceServer<MaintenanceService>,
    health: HealthServer<HealthService>,
    context: Context,
    /// Largest message taken from a client, bytes.
    message_bytes_max: usize,
    metrics: Arc<Metrics>,
}

impl Router {
    /// Services over `context`.
    pub(crate) fn new(context: Context, watch: WatchService, metrics: Arc<Metrics>) -> Self {
        let limit = context.limits.request_bytes_max + MESSAGE_OVERHEAD_BYTES;
        let services = Services {
            kv: KvServer::new(KvService::new(context.clone()))
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            watch: WatchServer::new(watch)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            lease: LeaseServer::new(LeaseService::new(context.clone()))
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(ClusterService::new(context.clone())),
            maintenance: MaintenanceServer::new(MaintenanceService::new(context.clone())),
            health: HealthServer::new(HealthService::new(context.closing.clone())),
            context,
            message_bytes_max: limit,
            metrics,
        };
        Self {
            services: Arc::new(services),
        }
    }

    fn route<B>(&self, request: Request<B>) -> Result<ResponseFuture, Status>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let services = &self.services;
        services.check(request.headers())?;
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        Ok(match service.map(|(service, _method)| service) {
            Some("etcdserverpb.KV") => services.kv.clone().call(request),
            Some("etcdserverpb.Watch") => services.watch.clone().call(request),
            Some("etcdserverpb.Lease") => services.lease.clone().call(request),
            Some("etcdserverpb.Cluster") => services.cluster.clone().call(request),
            Some("etcdserverpb.Maintenance") => services.maintenance.clone().call(request),
            Some("grpc.health.v1.Health") => services.health.clone().call(request),
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
}

impl Services {
    fn check(&self, headers: &http::HeaderMap) -> Result<(), Status> {
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

/// The client wants to be refused where no leader is known.
pub(crate) fn requires_leader(headers: &http::HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

impl<B> Service<Request<B>> for Router
where
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let counters = self
            .services
            .metrics
            .grpc
            .method(request.uri().path())
            .cloned();
        if let Some(counters) = &counters {
            counters.started();
        }
        let routed = self.route(request);
        let limit = self.services.message_bytes_max;
        Box::pin(async move {
            let response = match routed {
                Ok(response) => {
                    let Ok(response) = response.await;
                    match translate_transport_error(&response, limit) {
                        Some(status) => status.into_http(),
                        None => response,
                    }
                }
                Err(status) => status.into_http(),
            };
            if let Some(counters) = &counters {
                counters.handled(refusal_code(&response));
            }
            Ok(response)
        })
    }
}

/// The status code of a reply that is refused at once; what is not has its
/// status in trailers, and counts as answered.
fn refusal_code(response: &Response<Body>) -> usize {
    let code = response.headers().get(Status::GRPC_STATUS);
    code.and_then(|code| code.to_str().ok()?.parse().ok())
        .unwrap_or(Code::Ok as usize)
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
