//! Who this member is: ids computed from the static initial cluster.

use crate::config::{InitialMember, ServerConfig, cluster_id, member_id};

/// Ids of the cluster and its first members.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    /// The first membership, used on first boot only.
    pub(super) members: Vec<quoin_raft::Member>,
}

/// The initial cluster does not describe this member.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// `--name` is missing in `--initial-cluster`.
    #[error("couldn't find local name \"{name}\" in the initial cluster configuration")]
    NameMissing {
        /// The local name.
        name: String,
    },
    /// Two members share a peer URL.
    #[error("initial cluster {cluster} has duplicate url")]
    DuplicateUrl {
        /// The initial cluster as given.
        cluster: String,
    },
}

impl Identity {
    /// Computes the ids. Source: etcd 3.7, member and cluster ids.
    pub(super) fn of(config: &ServerConfig) -> Result<Self, IdentityError> {
        let members: Vec<_> = config
            .initial_cluster
            .iter()
            .map(|m| member(config, m))
            .collect();
        let local = members.iter().find(|member| member.name == config.name);
        let local = local.ok_or_else(|| IdentityError::NameMissing {
            name: config.name.clone(),
        })?;
        let mut urls: Vec<_> = members
            .iter()
            .flat_map(|member| &member.peer_urls)
            .collect();
        let total = urls.len();
        urls.sort_unstable();
        urls.dedup();
        if urls.len() != total {
            return Err(IdentityError::DuplicateUrl {
                cluster: describe(&members),
            });
        }
        let ids: Vec<_> = members.iter().map(|member| member.id).collect();
        Ok(Self {
            cluster_id: cluster_id(&ids),
            member_id: local.id,
            members: members.clone(),
        })
    }
}

fn member(config: &ServerConfig, initial: &InitialMember) -> quoin_raft::Member {
    let peer_urls = initial.peer_url_texts();
    quoin_raft::Member {
        id: member_id(&peer_urls, &config.initial_cluster_token, None),
        name: initial.name.clone(),
        peer_urls,
        is_learner: false,
    }
}

fn describe(members: &[quoin_raft::Member]) -> String {
    let pairs = members.iter().flat_map(|member| {
        member
            .peer_urls
            .iter()
            .map(move |url| format!("{}={url}", member.name))
    });
    pairs.collect::<Vec<_>>().join(",")
}
