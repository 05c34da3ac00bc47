//! The leader's state in place of one's own, with log and vote kept.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::faults::{leave_one_behind, quick, short_log};
use super::harness::{Cluster, Net, until, within};
use crate::transport::memory::MemoryNetwork;
use crate::{Config, Node, ReplaceError};

/// Checkpoints and purges all the time.
fn busy(config: &mut Config) {
    config.heartbeat_interval = Duration::from_millis(50);
    config.election_timeout = Duration::from_millis(400);
    config.snapshot_count = 20;
    config.kept_entries_count = 5;
}

/// Changes the state of a member behind the log's back.
fn plant(cluster: &Cluster, place: usize) {
    let mut live = cluster.members[place].disk.live.lock();
    live.values.insert("planted".into(), "yes".into());
}

/// Proposes `count` values, many at a time.
async fn write(node: Node, count: usize) {
    let all: Vec<_> = (0..count).collect();
    for some in all.chunks(50) {
        let proposed = some
            .iter()
            .map(|number| node.propose(Bytes::from(format!("k{number}=v"))));
        let results = within(futures_util::future::join_all(proposed)).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

/// The register behind `place` asserts that entries come in order and once.
async fn replaced_while_writing(net: Net) {
    let mut cluster = Cluster::start(&net, 3, busy).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.propose(leader, "before=1").await;
    let writer = tokio::spawn(write(cluster.members[leader].node().clone(), 1500));
    for _ in 0..5 {
        plant(&cluster, follower);
        let before = cluster.members[follower].node().status();
        let index = within(cluster.members[follower].node().replace_state()).await;
        assert!(index.unwrap() >= before.applied_index);
        assert_eq!(cluster.members[follower].value("planted"), None);
    }
    within(writer).await.unwrap();
    cluster.propose(leader, "after=1").await;
    for member in &cluster.members {
        assert_eq!(member.read("after").await.as_deref(), Some("1"));
        assert_eq!(member.disk.live.lock().values.len(), 1502);
    }
    // Its log is what a restart goes on from, and its vote makes the quorum.
    cluster.members[follower].stop().await;
    cluster.members[follower].start().await;
    cluster.members[(leader + 2) % 3].stop().await;
    cluster.propose(follower, "alone=1").await;
    assert_eq!(cluster.members[follower].value("planted"), None);
    assert_eq!(
        cluster.members[follower].read("alone").await.as_deref(),
        Some("1")
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_state_is_replaced_under_writes_over_memory() {
    replaced_while_writing(Net::Memory(MemoryNetwork::new())).await;
}

#[tokio::test]
async fn a_state_is_replaced_under_writes_over_tcp() {
    replaced_while_writing(Net::Tcp).await;
}

#[tokio::test]
async fn what_cannot_be_replaced_stays_as_it_is() {
    let mut cluster = Cluster::start(&Net::Tcp, 3, busy).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let refused = within(cluster.members[leader].node().replace_state()).await;
    assert_eq!(refused, Err(ReplaceError::Leads));
    cluster.propose(follower, "a=1").await;
    assert_eq!(
        cluster.members[follower].read("a").await.as_deref(),
        Some("1")
    );
    // A leader whose own state is in doubt has none to give.
    cluster.members[leader].node().set_standing(false).await;
    plant(&cluster, follower);
    let refused = within(cluster.members[follower].node().replace_state()).await;
    assert!(
        matches!(refused, Err(ReplaceError::Transfer(_))),
        "{refused:?}"
    );
    assert_eq!(
        cluster.members[follower].value("planted").as_deref(),
        Some("yes")
    );
    // Apply goes on all the same.
    cluster.propose(follower, "b=1").await;
    assert_eq!(
        cluster.members[follower].read("b").await.as_deref(),
        Some("1")
    );
    for place in [leader, (leader + 2) % 3] {
        cluster.members[place].stop().await;
    }
    until(|| cluster.members[follower].node().status().leader.is_none()).await;
    let refused = within(cluster.members[follower].node().replace_state()).await;
    assert_eq!(refused, Err(ReplaceError::NoLeader));
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_that_does_not_stand_votes_and_is_not_elected() {
    let mut cluster = Cluster::start(&Net::Tcp, 3, busy).await;
    let leader = cluster.leader().await;
    let unfit = (leader + 1) % 3;
    let unfit_id = cluster.members[unfit].config.member_id;
    cluster.members[unfit].node().set_standing(false).await;
    let target = Some(unfit_id);
    let node = cluster.members[leader].node().clone();
    let moved = within(node.transfer_leadership(target, Duration::from_millis(500))).await;
    assert!(moved.is_err());
    let leader = cluster.leader().await;
    assert_ne!(leader, unfit);
    cluster.members[leader].stop().await;
    // Only its vote can have elected the one that is left.
    let left = (0..3).find(|place| *place != leader && *place != unfit);
    let left = left.unwrap();
    let elected = || cluster.members[left].node.as_ref().map(Node::status);
    until(|| elected().is_some_and(|status| status.leader == Some(status.member_id))).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_appends_however_long_the_new_state_takes_to_arrive() {
    let net = Net::Memory(MemoryNetwork::new());
    // In memory, for the sender waits for the receiver only so long.
    let cluster = Cluster::start_on_faulty_disks(&net, 3, quick).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.propose(leader, "before=1").await;
    let disk = cluster.members[follower].disk.clone();
    disk.holds_snapshots.store(true, Ordering::Release);
    let node = cluster.members[follower].node().clone();
    let replaced = tokio::spawn(async move { node.replace_state().await });
    until(|| disk.gate.is_reached.load(Ordering::Acquire)).await;
    // Each is committed by itself; openraft's own bound is 1024.
    for number in 0..1200 {
        cluster.propose(leader, &format!("k{number}=v")).await;
    }
    let last = cluster.members[leader].node().status().last_log_index;
    let behind = cluster.members[follower].node().clone();
    until(|| behind.status().committed_index >= last - 1).await;
    assert!(!replaced.is_finished() && behind.status().applied_index < 100);
    disk.gate.open();
    within(replaced).await.unwrap().unwrap();
    assert_eq!(
        cluster.members[follower].read("k1199").await.as_deref(),
        Some("v")
    );
    cluster.stop().await;
}

#[tokio::test]
async fn the_log_of_a_member_that_does_not_stand_is_not_lost_with_the_leader() {
    let network = MemoryNetwork::new();
    let net = Net::Memory(network.clone());
    let mut cluster = Cluster::start(&net, 3, quick).await;
    cluster.propose(0, "before=1").await;
    let leader = cluster.leader().await;
    let (unfit, laggard) = ((leader + 1) % 3, (leader + 2) % 3);
    let unfit_node = cluster.members[unfit].node().clone();
    unfit_node.set_standing(false).await;
    let address = |place: usize| cluster.members[place].address.clone();
    network.cut(&address(laggard), &address(leader));
    network.cut(&address(laggard), &address(unfit));
    // Acknowledged by the leader and the one that does not stand.
    cluster.propose(leader, "ahead=1").await;
    cluster.members[leader].stop().await;
    network.heal();
    until(|| unfit_node.status().leader == Some(unfit_node.status().member_id)).await;
    let moved = async {
        while unfit_node
            .transfer_leadership(None, Duration::from_millis(500))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(moved).await;
    assert_eq!(cluster.leader().await, laggard);
    assert_eq!(
        cluster.members[laggard].read("ahead").await.as_deref(),
        Some("1")
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_in_doubt_of_its_state_gives_it_to_nobody() {
    let mut cluster = Cluster::start(&Net::Tcp, 3, short_log).await;
    let laggard = leave_one_behind(&mut cluster, "v").await;
    let leader = cluster.leader().await;
    let node = cluster.members[leader].node().clone();
    node.set_standing(false).await;
    cluster.members[laggard].start().await;
    until(|| node.metrics().snapshots_send_failed.value() >= 1).await;
    assert_eq!(node.metrics().snapshots_sent.value(), 0);
    node.set_standing(true).await;
    assert_eq!(
        cluster.members[laggard].read("m119").await.as_deref(),
        Some("v")
    );
    cluster.stop().await;
}
