//! Joining a running cluster: who its members are, and which of them is this one.
//!
//! The peers of `--initial-cluster` are asked in turn until the answer of one has
//! this member in it: a peer that is behind may not have heard of it yet. Members
//! are matched by their peer URLs, names do not count; the ids are the cluster's.
//! Rules and texts about them are etcd's. Source: etcd 3.7.

use std::{collections::BTreeSet, time::Duration};

use quoin_raft::{Roster, RosterError};

use crate::config::ServerConfig;

/// How long one peer may take to answer. Source: etcd 3.7.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Why a cluster cannot be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The initial cluster names nobody else.
    #[error(
        "--initial-cluster names no other member to ask for the cluster; list the existing \
         members and their peer URLs too"
    )]
    Alone,
    /// Nobody answers.
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from \
         the given URLs ({reason})"
    )]
    NoPeer {
        /// What became of the last question.
        reason: String,
    },
    /// Peers belong to different clusters.
    #[error(
        "peers of --initial-cluster belong to different clusters: {one} to {first:x}, {other} to \
         {second:x}; list the members of one cluster only"
    )]
    DifferentClusters {
        /// A peer.
        one: String,
        /// Its cluster.
        first: u64,
        /// Another peer.
        other: String,
        /// Its cluster.
        second: u64,
    },
    /// This member has run in this cluster before, and its data is gone: it has
    /// forgotten its votes. Text: etcd 3.7, which says so of a new cluster only.
    #[error("member {member_id:x} has already been bootstrapped")]
    Bootstrapped {
        /// Its id.
        member_id: u64,
    },
    /// The cluster has other members than the initial cluster names.
    #[error(
        "error validating peerURLs {roster}: {problem}; --initial-cluster must name the members \
         of cluster {cluster:x} and this one, which `member add` has to have added"
    )]
    Mismatch {
        /// The members as the cluster knows them.
        roster: String,
        /// What does not match.
        problem: String,
        /// The cluster.
        cluster: u64,
    },
}

/// What a new member learns from its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
}

/// Asks the peers of `config` for the cluster and this member's place in it.
///
/// # Errors
/// See [`JoinError`].
pub(super) async fn join(config: &ServerConfig) -> Result<Joined, JoinError> {
    let own: BTreeSet<&str> = config
        .advertise_peer_urls
        .iter()
        .map(|url| url.as_str())
        .collect();
    let urls = config.other_peer_urls();
    let urls: Vec<&str> = urls
        .iter()
        .map(String::as_str)
        .filter(|url| !own.contains(url))
        .collect();
    let mut answers = Vec::new();
    for url in &urls {
        answers.push((*url, quoin_raft::ask_roster(url, ASK_MAX).await));
        if let Some(decided) = decide(config, &answers) {
            return decided;
        }
    }
    Err(refusal(config, &answers))
}

type Answer<'a> = (&'a str, Result<Roster, RosterError>);

/// What the answers so far decide, if they do.
fn decide(config: &ServerConfig, answers: &[Answer<'_>]) -> Option<Result<Joined, JoinError>> {
    let mut told = answers
        .iter()
        .filter_map(|(url, answer)| Some((url, answer.as_ref().ok()?)));
    let (one, first) = told.next()?;
    let (last, roster) = answers
        .last()
        .and_then(|(url, answer)| Some((url, answer.as_ref().ok()?)))?;
    if roster.cluster_id != first.cluster_id {
        return Some(Err(JoinError::DifferentClusters {
            one: (*one).to_owned(),
            first: first.cluster_id,
            other: (*last).to_owned(),
            second: roster.cluster_id,
        }));
    }
    place(config, roster).ok().map(Ok)
}

/// Why none of the answers was of use.
fn refusal(config: &ServerConfig, answers: &[Answer<'_>]) -> JoinError {
    let mut told = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    // The longest list is the newest.
    let newest = told.clone().max_by_key(|roster| roster.members.len());
    if let Some(Err(error)) = newest.map(|roster| place(config, roster)) {
        return error;
    }
    debug_assert!(
        told.next().is_none(),
        "an answer that places this member decides"
    );
    match answers.last() {
        Some((url, Err(error))) => JoinError::NoPeer {
            reason: format!("{url}: {error}"),
        },
        _ => JoinError::Alone,
    }
}

/// Finds this member by its peer URLs; all others have to match too.
fn place(config: &ServerConfig, roster: &Roster) -> Result<Joined, JoinError> {
    let mismatch = |problem: String| JoinError::Mismatch {
        roster: describe(roster),
        problem,
        cluster: roster.cluster_id,
    };
    if roster.members.len() != config.initial_cluster.len() {
        return Err(mismatch(format!(
            "member count is unequal: {} in --initial-cluster, {} in the cluster",
            config.initial_cluster.len(),
            roster.members.len()
        )));
    }
    let mut own = None;
    for member in &config.initial_cluster {
        let urls = member.peer_url_texts();
        let is_it = |known: &&quoin_raft::Member| {
            let mut known = known.peer_urls.clone();
            known.sort_unstable();
            known == urls
        };
        let known = roster.members.iter().find(is_it).ok_or_else(|| {
            mismatch(format!(
                "PeerURLs: no match found for {}={}",
                member.name,
                urls.join(",")
            ))
        })?;
        if member.name == config.name {
            own = Some(known);
        }
    }
    let own = own.ok_or_else(|| mismatch("this member is not in it".to_owned()))?;
    let member_id = own.id;
    if !own.name.is_empty() {
        return Err(JoinError::Bootstrapped { member_id });
    }
    Ok(Joined {
        cluster_id: roster.cluster_id,
        member_id,
    })
}

/// The members in one line.
fn describe(roster: &Roster) -> String {
    let members = roster.members.iter().map(|member| {
        let name = if member.name.is_empty() {
            "unstarted"
        } else {
            &member.name
        };
        format!("{:x} ({name}) {}", member.id, member.peer_urls.join(","))
    });
    let members = members.collect::<Vec<_>>().join("; ");
    let removed = roster.removed.iter().map(|id| format!("{id:x}"));
    let removed = removed.collect::<Vec<_>>().join(" ");
    format!(
        "{{ClusterID:{:x} Members:[{members}] RemovedMemberIDs:[{removed}]}}",
        roster.cluster_id
    )
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
