//! Members of the cluster.

use quoin_proto::etcdserverpb::cluster_client::ClusterClient;
use quoin_proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse,
};

use super::call::{calls, send};

calls! { ClusterClient:
    /// Adds a member, which then has to be started.
    IfNotExecuted member_add = member_add(MemberAddRequest) -> MemberAddResponse;
    /// Removes a member.
    IfNotExecuted member_remove = member_remove(MemberRemoveRequest) -> MemberRemoveResponse;
    /// Changes the peer addresses of a member.
    IfNotExecuted member_update = member_update(MemberUpdateRequest) -> MemberUpdateResponse;
    /// Makes a learner a voter.
    IfNotExecuted member_promote = member_promote(MemberPromoteRequest) -> MemberPromoteResponse;
    /// Lists the members.
    Always member_list = member_list(MemberListRequest) -> MemberListResponse;
}
