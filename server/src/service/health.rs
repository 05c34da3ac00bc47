//! `grpc.health.v1.Health`: the server as a whole serves as soon as it
//! accepts requests, whether or not there is a leader. Source: etcd 3.7.

use std::{collections::HashMap, pin::Pin};

use futures_util::{Stream, StreamExt, stream};
use quoin_proto::{
    grpc::health::v1::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
    },
    server::health::health_server::Health,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::status;

/// Answers for the service name "" only.
#[derive(Debug)]
pub(crate) struct HealthService {
    closing: CancellationToken,
}

impl HealthService {
    /// The service; its streams end with `closing`.
    pub(crate) fn new(closing: CancellationToken) -> Self {
        Self { closing }
    }
}

const SERVING: HealthCheckResponse = HealthCheckResponse {
    status: ServingStatus::Serving as i32,
};

fn check(request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
    if request.service.is_empty() {
        Ok(SERVING)
    } else {
        Err(status::unknown_service())
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        check(request.get_ref()).map(Response::new)
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = HashMap::from([(String::new(), SERVING)]);
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = check(request.get_ref()).unwrap_or(HealthCheckResponse {
            status: ServingStatus::ServiceUnknown as i32,
        });
        // The status does not change while the server runs; the stream stays
        // open until the client leaves or the server stops.
        let forever = stream::once(std::future::ready(Ok(first))).chain(stream::pending());
        let closing = self.closing.clone().cancelled_owned();
        Ok(Response::new(Box::pin(forever.take_until(closing))))
    }
}
