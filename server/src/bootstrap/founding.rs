//! Whether a cluster that is to be founded runs already.
//!
//! A member whose data is gone has forgotten its votes and what it acknowledged.
//! With `--initial-cluster-state new` it would get its old id again and could help
//! to elect a leader that lacks what it had promised to keep. So it asks its peers
//! before anything is stored: if one lists it under a published name, it has run
//! before. Peers that do not answer prevent nothing. Source: etcd 3.7.

use std::{net::TcpListener, time::Duration};

use futures_util::future::join_all;
use quoin_raft::Roster;

use crate::config::ServerConfig;

/// How long a peer may take to answer. Source: etcd 3.7.
const ASK_MAX: Duration = Duration::from_secs(1);

/// Whether a peer says that this member has run before. `listeners` answer
/// meanwhile: the peers may be asking the same.
pub(super) async fn has_run_before(
    config: &ServerConfig,
    listeners: &[TcpListener],
    cluster_id: u64,
    member_id: u64,
) -> bool {
    let urls = config.other_peer_urls();
    if urls.is_empty() {
        return false;
    }
    let questions = urls.iter().map(|url| quoin_raft::ask_roster(url, ASK_MAX));
    let asked = join_all(questions);
    let answers = quoin_raft::answer_during(listeners, cluster_id, member_id, asked).await;
    answers
        .iter()
        .flatten()
        .any(|roster| lists(roster, cluster_id, member_id))
}

fn lists(roster: &Roster, cluster_id: u64, member_id: u64) -> bool {
    let mut members = roster.members.iter();
    roster.cluster_id == cluster_id
        && members.any(|member| member.id == member_id && !member.name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_published_name_tells_that_a_member_has_run() {
        let member = |id: u64, name: &str| quoin_raft::Member {
            id,
            name: name.to_owned(),
            ..quoin_raft::Member::default()
        };
        let roster = Roster {
            cluster_id: 7,
            member_id: 1,
            members: vec![member(1, "a"), member(2, "b"), member(3, "")],
            removed: vec![4],
        };
        assert!(lists(&roster, 7, 2));
        // Founded without it, which is about to start for the first time.
        assert!(!lists(&roster, 7, 3));
        // Removed; or another cluster, which the handshake will refuse.
        assert!(!lists(&roster, 7, 4) && !lists(&roster, 8, 2));
    }
}
