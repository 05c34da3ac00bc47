//! `grpc.health.v1.Health`: the server as a whole serves as soon as it
//! accepts requests, whether or not there is a leader. Source: etcd 3.7. A member
//! in quarantine does not serve.

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
use crate::agreement::Quarantine;

/// Answers for the service name "" only.
#[derive(Debug)]
pub(crate) struct HealthService {
    closing: CancellationToken,
    quarantine: Quarantine,
}

impl HealthService {
    /// The service; its streams end with `closing`.
    pub(crate) fn new(closing: CancellationToken, quarantine: Quarantine) -> Self {
        Self {
            closing,
            quarantine,
        }
    }

    fn of_server(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
        if request.service.is_empty() {
            Ok(response(self.quarantine.is_active()))
        } else {
            Err(status::unknown_service())
        }
    }
}

fn response(is_quarantined: bool) -> HealthCheckResponse {
    let status = if is_quarantined {
        ServingStatus::NotServing
    } else {
        ServingStatus::Serving
    };
    HealthCheckResponse {
        status: status as i32,
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.of_server(request.get_ref()).map(Response::new)
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let server = response(self.quarantine.is_active());
        let statuses = HashMap::from([(String::new(), server)]);
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let closing = self.closing.clone().cancelled_owned();
        if !request.get_ref().service.is_empty() {
            let unknown = HealthCheckResponse {
                status: ServingStatus::ServiceUnknown as i32,
            };
            let forever = stream::once(std::future::ready(Ok(unknown))).chain(stream::pending());
            return Ok(Response::new(Box::pin(forever.take_until(closing))));
        }
        // The stream stays open until the client leaves or the server stops.
        let changes = stream::unfold(
            (self.quarantine.subscribe(), None),
            |(mut changes, told)| async move {
                // Ended with the member.
                let now = changes.wait_for(|now| told != Some(now.is_some())).await;
                let now = now.ok()?.is_some();
                Some((Ok(response(now)), (changes, Some(now))))
            },
        );
        Ok(Response::new(Box::pin(changes.take_until(closing))))
    }
}
