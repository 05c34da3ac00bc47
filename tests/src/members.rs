//! Members that come and go while a cluster runs.
//!
//! Positions are never used again: a removed member keeps its own, without a
//! process.

use std::result;

use quoin_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    cluster_client::ClusterClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    Error, Result,
    cluster::{Cluster, refused},
    wait,
};

impl Cluster {
    /// Cluster calls to one member.
    ///
    /// # Errors
    /// As [`Cluster::channel`].
    pub fn cluster(&self, position: usize) -> Result<ClusterClient<Channel>> {
        Ok(ClusterClient::new(self.channel(position)?))
    }

    /// Adds a member by a call to the one at `through`, and starts nothing;
    /// returns its position.
    ///
    /// # Errors
    /// The call is refused, or the cluster does not become healthy.
    pub async fn add_member(&mut self, through: usize, is_learner: bool) -> Result<usize> {
        let position = self.prepare_member()?;
        let request = MemberAddRequest {
            peer_urls: vec![self.member(position)?.peer_url()],
            is_learner,
        };
        let added = patiently("a member to be added", async || {
            self.client(through)?.member_add(request.clone()).await
        });
        let members = added.await?.members;
        let names = members.iter().flat_map(|member| &member.peer_urls);
        let named = names.map(|url| format!("{}={url}", self.name_at(url)));
        let initial_cluster = named.collect::<Vec<_>>().join(",");
        self.member_mut(position)?.joins = Some(initial_cluster);
        Ok(position)
    }

    /// Adds a member and starts it; returns its position once it serves.
    ///
    /// # Errors
    /// As [`Self::add_member`], or it does not start.
    pub async fn grow(&mut self, through: usize) -> Result<usize> {
        let position = self.add_member(through, false).await?;
        self.start_member(position)?;
        self.wait_member_ready(position).await?;
        Ok(position)
    }

    /// Removes a member by a call to the one at `through`.
    ///
    /// # Errors
    /// The call is refused, or the cluster does not become healthy.
    pub async fn remove_member(&self, through: usize, position: usize) -> Result<Vec<Member>> {
        let id = self.member_id(through, position).await?;
        let removed = patiently("a member to be removed", async || {
            let request = MemberRemoveRequest { id };
            self.client(through)?.member_remove(request).await
        });
        Ok(removed.await?.members)
    }

    /// Gives a learner a vote by a call to the member at `through`, once it has
    /// caught up.
    ///
    /// # Errors
    /// The call is refused for another reason than that it is behind.
    pub async fn promote_member(&self, through: usize, position: usize) -> Result<Vec<Member>> {
        let id = self.member_id(through, position).await?;
        let promoted = patiently("a learner to be promoted", async || {
            let request = MemberPromoteRequest { id };
            self.client(through)?.member_promote(request).await
        });
        Ok(promoted.await?.members)
    }

    /// The members as the one at `through` lists them.
    ///
    /// # Errors
    /// The call fails.
    pub async fn members(&self, through: usize) -> Result<Vec<Member>> {
        let listed = patiently("the members", async || {
            let request = MemberListRequest { linearizable: true };
            self.client(through)?.member_list(request).await
        });
        Ok(listed.await?.members)
    }

    /// The id of a member, whether it has started or not.
    ///
    /// # Errors
    /// The cluster has no such member.
    pub async fn member_id(&self, through: usize, position: usize) -> Result<u64> {
        let url = self.member(position)?.peer_url();
        let members = self.members(through).await?;
        let found = members
            .iter()
            .find(|member| member.peer_urls.contains(&url));
        found
            .map(|member| member.id)
            .ok_or_else(|| Error::malformed("cluster", format!("no member at {url}")))
    }

    fn client(&self, position: usize) -> result::Result<ClusterClient<Channel>, Status> {
        self.cluster(position)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn name_at(&self, url: &str) -> String {
        let positions = 0..self.members_count();
        let mut members = positions.filter_map(|position| self.member(position).ok());
        let found = members.find(|member| member.peer_url() == url);
        found.map_or_else(String::new, |member| member.name.clone())
    }
}

/// Repeats a call while the cluster is not healthy enough for it, or a learner
/// not close enough.
async fn patiently<T>(
    what: &str,
    mut call: impl AsyncFnMut() -> result::Result<tonic::Response<T>, Status>,
) -> Result<T> {
    let reply = wait::until(what, wait::DEADLINE, async || match call().await {
        Err(status) if is_passing(&status) => Err(status.to_string()),
        reply => Ok(reply),
    });
    reply
        .await?
        .map(tonic::Response::into_inner)
        .map_err(refused(what))
}

fn is_passing(status: &Status) -> bool {
    let message = status.message();
    status.code() == Code::Unavailable
        || message.contains("not enough started members")
        || message.contains("in sync with leader")
}
