//! `etcdserverpb.Lease`: grant and revoke through the log, renewal off it.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
        LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
        LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    },
    quoinpb::command::Request as CommandRequest,
    server::etcdserverpb::lease_server::Lease,
};
use tonic::{Request, Response, Status, Streaming};

use super::{Context, leader_calls::LeaderCall, quota, status};
use crate::{lease, proposal::Outcome};

/// Leases of this cluster.
#[derive(Debug)]
pub(crate) struct LeaseService {
    context: Context,
}

impl LeaseService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Lease.LeaseKeepAlive: one reply per request, in order; the first error ends
    /// the stream.
    pub(super) fn keep_alive<R>(
        &self,
        requests: R,
    ) -> impl Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send + use<R>
    where
        R: Stream<Item = Result<LeaseKeepAliveRequest, Status>> + Send + Unpin,
    {
        let state = Some((requests, self.context.clone()));
        stream::unfold(state, |state| async move {
            let (mut requests, context) = state?;
            let request = tokio::select! {
                biased;
                () = context.closing.cancelled() => Err(status::stopped()),
                request = requests.next() => request?,
            };
            let result = match request {
                Ok(request) => renew(&context, request).await,
                Err(status) => Err(status),
            };
            let next = result.is_ok().then_some((requests, context));
            Some((result, next))
        })
    }
}

#[tonic::async_trait]
impl Lease for LeaseService {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let mut request = request.into_inner();
        if request.ttl > lease::TTL_SECONDS_MAX {
            return Err(status::lease_ttl_too_large());
        }
        request.ttl = self.context.lessor.proposed_ttl(request.ttl);
        self.context.check_quota(quota::LEASE_COST).await?;
        while request.id == 0 {
            request.id = self.context.new_lease_id();
        }
        let durations = &self.context.metrics.server.request_durations.lease_grant;
        match self
            .context
            .propose_timed(CommandRequest::LeaseGrant(request), durations)
            .await?
        {
            Outcome::LeaseGrant { id, ttl, revision } => {
                let header = Some(self.context.header.with_revision(revision));
                Ok(Response::new(LeaseGrantResponse {
                    header,
                    id,
                    ttl,
                    error: String::new(),
                }))
            }
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let request = request.into_inner();
        let durations = &self.context.metrics.server.request_durations.lease_revoke;
        match self
            .context
            .propose_timed(CommandRequest::LeaseRevoke(request), durations)
            .await?
        {
            Outcome::LeaseRevoke { revision } => {
                let header = Some(self.context.header.with_revision(revision));
                Ok(Response::new(LeaseRevokeResponse { header }))
            }
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send + 'static>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let replies = self.keep_alive(request.into_inner());
        Ok(Response::new(Box::pin(replies)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let call = LeaderCall::TimeToLive(request.into_inner());
        let reply = self.context.ask_leader(&call).await?;
        let mut response =
            LeaseTimeToLiveResponse::decode(reply).map_err(|error| status::internal(&error))?;
        response.header = Some(self.context.current_header());
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let leases = self
            .context
            .lessor
            .ids()
            .into_iter()
            .map(|id| LeaseStatus { id })
            .collect();
        Ok(Response::new(LeaseLeasesResponse {
            header: Some(self.context.current_header()),
            leases,
        }))
    }
}

/// The revision in the header is taken before the renewal, so that it can
/// never be newer. Source: etcd 3.7.
async fn renew(
    context: &Context,
    request: LeaseKeepAliveRequest,
) -> Result<LeaseKeepAliveResponse, Status> {
    context.check_sound()?;
    let header = Some(context.current_header());
    let reply = context.ask_leader(&LeaderCall::KeepAlive(request)).await?;
    let mut response =
        LeaseKeepAliveResponse::decode(reply).map_err(|error| status::internal(&error))?;
    response.header = header;
    Ok(response)
}
