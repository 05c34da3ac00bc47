//! `etcdserverpb.Cluster`: who the members are.

use quoin_proto::{
    etcdserverpb::{
        MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
        MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
        MemberUpdateRequest, MemberUpdateResponse,
    },
    server::etcdserverpb::cluster_server::Cluster,
};
use tonic::{Request, Response, Status};

use super::{Context, status};

/// Lists members; changing them is not offered by this version.
#[derive(Debug)]
pub(crate) struct ClusterService {
    context: Context,
}

impl ClusterService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        if request.get_ref().linearizable {
            self.context.linearize().await?;
        }
        // Source: etcd 3.7, whose Cluster replies have revision 0.
        let header = Some(self.context.header.with_revision(0));
        Ok(Response::new(MemberListResponse {
            header,
            members: self.context.members(),
        }))
    }

    async fn member_add(
        &self,
        _request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        Err(status::not_offered("Cluster/MemberAdd"))
    }

    async fn member_remove(
        &self,
        _request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(status::not_offered("Cluster/MemberRemove"))
    }

    async fn member_update(
        &self,
        _request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(status::not_offered("Cluster/MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(status::not_offered("Cluster/MemberPromote"))
    }
}
