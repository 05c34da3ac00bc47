//! Three members.

use bytes::Bytes;

use super::harness::{Cluster, Net, until, within};
use crate::transport::memory::MemoryNetwork;
use crate::{Histogram, Metrics};

async fn elects_proposes_and_reads_everywhere(net: Net) {
    let cluster = Cluster::start(&net, 3, |_| {}).await;
    let leader = cluster.leader().await;
    for place in 0..3 {
        cluster.propose(place, &format!("from{place}=1")).await;
    }
    for member in &cluster.members {
        for place in 0..3 {
            assert_eq!(
                member.read(&format!("from{place}")).await.as_deref(),
                Some("1")
            );
        }
        let answer = within(member.node().request_leader(Bytes::from("abc"))).await;
        assert_eq!(answer.unwrap(), "ABC");
        assert_eq!(member.node().membership().len(), 3);
    }
    let status = cluster.members[leader].node().status();
    assert!(status.committed_index >= 5);
    each_proposal_is_timed(&cluster).await;
    cluster.stop().await;
}

/// Three proposals passed every stage on whoever led, forwarded or not.
async fn each_proposal_is_timed(cluster: &Cluster) {
    let count = |stage: fn(&Metrics) -> &Histogram| {
        let members = cluster.members.iter();
        let counts = members.map(|member| stage(member.node().metrics()).count());
        counts.sum::<u64>()
    };
    assert!(count(|metrics| &metrics.propose_duration) >= 3);
    assert!(count(|metrics| &metrics.replicate_duration) >= 3);
    // The leader's disk may be the last of a quorum.
    until(|| count(|metrics| &metrics.fsync_duration) >= 3).await;
}

#[tokio::test]
async fn three_members_agree_over_memory() {
    elects_proposes_and_reads_everywhere(Net::Memory(MemoryNetwork::new())).await;
}

#[tokio::test]
async fn three_members_agree_over_tcp() {
    elects_proposes_and_reads_everywhere(Net::Tcp).await;
}
