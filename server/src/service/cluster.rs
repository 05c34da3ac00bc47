//! `etcdserverpb.Cluster`: who the members are, and changes of that.
//!
//! Any member takes a change and asks the leader for it; once the leader has made
//! it, this member waits until it sees it too, and answers.

use std::time::{Duration, SystemTime};

use quoin_proto::{
    etcdserverpb::{
        Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
        MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
        MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
    },
    server::etcdserverpb::cluster_server::Cluster,
};
use tonic::{Request, Response, Status};

use super::{
    Context,
    leader_calls::LeaderCall,
    reconfigure_call::{ReconfigureCall, decode_answer},
    status, validate,
};
use crate::{cluster::Reconfiguration, config::member_id};

/// How long a change waits for a leader before the cluster counts as unhealthy:
/// longer than an election, shorter than etcdctl waits.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(3);

/// Lists and changes members.
#[derive(Debug)]
pub(crate) struct ClusterService {
    context: Context,
}

impl ClusterService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Source: etcd 3.7, whose Cluster replies have revision 0.
    fn header(&self) -> Option<ResponseHeader> {
        Some(self.context.header.with_revision(0))
    }

    /// Has the leader make a change; returns the members after it.
    async fn reconfigure(&self, change: Reconfiguration) -> Result<Vec<Member>, Status> {
        self.wait_for_leader(&change).await?;
        let leaves = change == Reconfiguration::Remove(self.context.header.member_id);
        let call = LeaderCall::Reconfigure(ReconfigureCall {
            change,
            is_repeated: false,
        });
        let answer = self.context.ask_leader(&call).await?;
        let answer = decode_answer(answer).map_err(status::malformed_answer)?;
        let members = answer.map_err(status::reconfiguration)?;
        if !leaves {
            // Made it is, even if this member does not see it in time.
            let _ = self.context.linearize().await;
        }
        Ok(members)
    }

    async fn wait_for_leader(&self, change: &Reconfiguration) -> Result<(), Status> {
        let mut leader = self.context.leader.clone();
        let led = leader.wait_for(|view| view.leader.is_some());
        if tokio::time::timeout(LEADER_WAIT_MAX, led).await.is_ok() {
            return Ok(());
        }
        Err(match change {
            Reconfiguration::Add { .. } | Reconfiguration::Remove(_) => status::unhealthy_cluster(),
            Reconfiguration::Update { .. } | Reconfiguration::Promote(_) => status::no_leader(),
        })
    }

    /// An id that no member ever had: of the same URLs, that of the next second.
    fn new_member_id(&self, peer_urls: &[String]) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut ids = (now..).map(|second| member_id(peer_urls, "", Some(second)));
        let is_new = |id: &u64| !self.context.cluster.is_removed(*id);
        ids.find(is_new).unwrap_or_default()
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
        Ok(Response::new(MemberListResponse {
            header: self.header(),
            members: self.context.members(),
        }))
    }

    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let MemberAddRequest {
            peer_urls,
            is_learner,
        } = request.into_inner();
        let peer_urls = validate::peer_urls(&peer_urls)?;
        let id = self.new_member_id(&peer_urls);
        let change = Reconfiguration::Add {
            id,
            peer_urls,
            is_learner,
        };
        let members = self.reconfigure(change).await?;
        Ok(Response::new(MemberAddResponse {
            header: self.header(),
            member: members.iter().find(|member| member.id == id).cloned(),
            members,
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let change = Reconfiguration::Remove(request.get_ref().id);
        let members = self.reconfigure(change).await?;
        Ok(Response::new(MemberRemoveResponse {
            header: self.header(),
            members,
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let MemberUpdateRequest { id, peer_urls } = request.into_inner();
        // etcd leaves this check to its clients; others could make a member one
        // that nobody can dial. That it is unknown comes first, as with etcd.
        let peer_urls = validate::peer_urls(&peer_urls).map_err(|invalid| {
            let members = self.context.members();
            let is_known = members.iter().any(|member| member.id == id);
            if is_known {
                invalid
            } else {
                status::member_not_found()
            }
        })?;
        let change = Reconfiguration::Update { id, peer_urls };
        let members = self.reconfigure(change).await?;
        Ok(Response::new(MemberUpdateResponse {
            header: self.header(),
            members,
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let change = Reconfiguration::Promote(request.get_ref().id);
        let members = self.reconfigure(change).await?;
        Ok(Response::new(MemberPromoteResponse {
            header: self.header(),
            members,
        }))
    }
}
