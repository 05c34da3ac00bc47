//! Disks that do not answer while the network does.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quoin_wal::storage::Loss;

use super::harness::{Cluster, Net, until, within};
use crate::Config;
use crate::transport::memory::MemoryNetwork;

fn quick(config: &mut Config) {
    config.heartbeat_interval = Duration::from_millis(50);
    config.election_timeout = Duration::from_millis(400);
}

/// etcd issue 14370: a cluster of one answered before its own sync, and power loss
/// took what it had acknowledged.
#[tokio::test]
async fn issue_14370_a_single_member_acknowledges_after_its_own_sync() {
    let mut cluster = Cluster::start_on_faulty_disks(&Net::Tcp, 1, quick).await;
    cluster.propose(0, "before=1").await;
    let disk = cluster.members[0].storage.clone().unwrap();
    disk.hang(true);
    let node = cluster.members[0].node().clone();
    let proposing = node.clone();
    let pending = tokio::spawn(async move { proposing.propose(Bytes::from("k=1")).await });
    // The watchdog has seen it hang: time enough for a wrong answer.
    until(|| node.metrics().disk_stalls.value() == 1).await;
    assert!(!pending.is_finished(), "acknowledged without a sync");
    assert_eq!(
        cluster.members[0].value("k"),
        None,
        "applied without a sync"
    );
    // Nobody could take over.
    assert!(node.watch_leader().borrow().is_leader);
    disk.hang(false);
    within(pending).await.unwrap().unwrap();
    let after = disk.after_crash(Loss::Drop);
    cluster.members[0].stop().await;
    cluster.members[0].storage = Some(after);
    cluster.members[0].start().await;
    for name in ["before", "k"] {
        assert_eq!(cluster.members[0].read(name).await.as_deref(), Some("1"));
    }
    cluster.stop().await;
}

/// A leader whose disk hangs loses the leadership, says so, and serves nothing
/// stale; the cluster goes on. The bound: the stall is seen within one and a
/// quarter election timeouts, handing over takes the round of an election.
#[tokio::test]
async fn a_leader_with_a_hanging_disk_is_replaced_and_says_so() {
    let net = Net::Memory(MemoryNetwork::new());
    let cluster = Cluster::start_on_faulty_disks(&net, 3, quick).await;
    let old = cluster.leader().await;
    cluster.propose(old, "a=1").await;
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    let disk = cluster.members[old].storage.clone().unwrap();
    let node = cluster.members[old].node().clone();
    disk.hang(true);
    let begun = Instant::now();
    // The others commit it: the leader's own disk is not needed for that.
    cluster.propose(old, "a=2").await;
    let leads = |place: &usize| {
        let node = cluster.members[*place].node();
        node.watch_leader().borrow().is_leader
    };
    until(|| others.iter().any(leads)).await;
    let replaced = begun.elapsed();
    let bound = 4 * cluster.members[old].config.election_timeout;
    assert!(replaced < bound, "replaced after {replaced:?}");
    until(|| !node.watch_leader().borrow().is_leader).await;
    assert_eq!(node.metrics().disk_stalls.value(), 1);
    let reading = node.clone();
    let read = tokio::spawn(async move { reading.read_index(1).await });
    for number in 3..20 {
        cluster
            .propose(others[number % 2], &format!("a={number}"))
            .await;
    }
    disk.hang(false);
    let index = within(read).await.unwrap().unwrap();
    assert!(index > 1, "{index}");
    assert_eq!(cluster.members[old].read("a").await.as_deref(), Some("19"));
    cluster.propose(old, "a=20").await;
    for place in 0..3 {
        assert_eq!(
            cluster.members[place].read("a").await.as_deref(),
            Some("20")
        );
    }
    cluster.stop().await;
}
