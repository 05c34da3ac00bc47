//! A member tells the cluster its name and client URLs, and the leader
//! decides the feature level.

use std::time::Duration;

use quoin_proto::quoinpb::{ClusterVersion, MemberAttributes, command::Request};
use tokio::sync::watch;

use crate::{
    base::version,
    cluster::Cluster,
    proposal::{LeaderView, Proposer},
};

/// Pause after a proposal that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Publishes `attributes` until they are applied here. Returns at once where
/// they are known already and need not change.
pub(crate) async fn publish_attributes(
    proposer: &Proposer,
    cluster: &Cluster,
    attributes: MemberAttributes,
) {
    while !cluster.has(&attributes) {
        let request = Request::MemberAttributes(attributes.clone());
        if let Err(error) = proposer.propose(request).await {
            tracing::warn!(%error, "failed to publish local member to cluster through raft");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    tracing::info!(
        "local-member-id" = format!("{:x}", attributes.member_id),
        "published local member to cluster through raft"
    );
}

/// Whenever this member leads a cluster without a feature level, decides it.
/// Runs until dropped.
pub(crate) async fn decide_version(
    member_id: u64,
    proposer: Proposer,
    cluster: Cluster,
    mut leader: watch::Receiver<LeaderView>,
) {
    loop {
        let leads = leader.borrow_and_update().leader == Some(member_id);
        if leads && cluster.version().is_none() {
            let version = ClusterVersion {
                version: version::CLUSTER.to_owned(),
            };
            match proposer.propose(Request::ClusterVersion(version)).await {
                Ok(_) => tracing::info!("cluster-version" = "3.7", "set initial cluster version"),
                Err(error) => {
                    tracing::warn!(%error, "failed to set cluster version");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            }
        }
        if leader.changed().await.is_err() {
            return;
        }
    }
}
