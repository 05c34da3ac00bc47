//! Adding, promoting, removing, moving the leadership.

use std::time::Duration;

use super::harness::{Cluster, Net, until, within};
use crate::{Config, MembershipChange, MembershipError, StopReason, TransferError};

fn quick(config: &mut Config) {
    config.heartbeat_interval = Duration::from_millis(50);
    config.election_timeout = Duration::from_millis(400);
}

/// Members 1 to 3 run; member 4 joins later and initializes nothing.
async fn three_and_a_spare() -> Cluster {
    let mut cluster = Cluster::new(&Net::Tcp, 4, quick);
    let first: Vec<_> = cluster.members[0].config.members[..3].to_vec();
    for member in &mut cluster.members[..3] {
        member.config.members = first.clone();
        member.start().await;
    }
    cluster
}

#[tokio::test]
async fn leadership_moves_on_request() {
    let cluster = Cluster::start(&Net::Tcp, 3, quick).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, "a=1").await;
    let follower = cluster.members[(leader + 1) % 3].node();
    let limit = Duration::from_secs(5);
    let refused = within(follower.transfer_leadership(None, limit)).await;
    assert_eq!(refused, Err(TransferError::NotLeader));
    let target = follower.status().member_id;
    let id_of = |member: usize| cluster.members[member].config.member_id;
    within(async {
        loop {
            let leader = cluster.leader().await;
            if id_of(leader) == target {
                break;
            }
            // Refused while a busy machine is late with a heartbeat.
            let node = cluster.members[leader].node();
            let _ = node.transfer_leadership(Some(target), limit).await;
        }
    })
    .await;
    cluster.propose(leader, "a=2").await;
    let nobody = within(follower.transfer_leadership(Some(99), limit)).await;
    assert_eq!(nobody, Err(TransferError::NoTarget));
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_joins_gets_its_vote_and_is_removed() {
    let mut cluster = three_and_a_spare().await;
    let leader = cluster.leader().await;
    cluster.propose(leader, "a=1").await;
    let joining = cluster.members[3].config.members[3].clone();
    let node = cluster.members[leader].node().clone();
    let add = MembershipChange::Add(joining.clone());
    // Added before it is started, as etcdctl does: answers at once.
    within(node.change_membership(add.clone())).await.unwrap();
    let again = within(node.change_membership(add)).await;
    assert_eq!(again, Err(MembershipError::Exists(4)));
    cluster.propose(leader, "a=2").await;

    cluster.members[3].config.members = Vec::new();
    cluster.members[3].start().await;
    assert_eq!(cluster.members[3].read("a").await.as_deref(), Some("2"));
    let spare = cluster.members[3].node().clone();
    until(|| spare.membership().len() == 4 && !spare.status().is_learner).await;

    within(node.change_membership(MembershipChange::Remove(4)))
        .await
        .unwrap();
    let reason = within(spare.stopped()).await;
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    cluster.propose(leader, "a=3").await;
    assert_eq!(node.membership().len(), 3);
    cluster.stop().await;
}

#[tokio::test]
async fn a_learner_stays_one_until_it_is_promoted() {
    let mut cluster = three_and_a_spare().await;
    let leader = cluster.leader().await;
    let node = cluster.members[leader].node().clone();
    let mut joining = cluster.members[3].config.members[3].clone();
    joining.is_learner = true;
    within(node.change_membership(MembershipChange::Add(joining)))
        .await
        .unwrap();
    let early = within(node.change_membership(MembershipChange::Promote(4))).await;
    assert_eq!(early, Err(MembershipError::NotReady(4)));
    let unknown = within(node.change_membership(MembershipChange::Promote(5))).await;
    assert_eq!(unknown, Err(MembershipError::NotFound(5)));

    cluster.members[3].config.members = Vec::new();
    cluster.members[3].start().await;
    cluster.propose(leader, "a=1").await;
    assert_eq!(cluster.members[3].read("a").await.as_deref(), Some("1"));
    assert!(cluster.members[3].node().status().is_learner);
    assert!(
        node.membership()
            .iter()
            .any(|member| member.id == 4 && member.is_learner)
    );
    let promote = async {
        while node
            .change_membership(MembershipChange::Promote(4))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    within(promote).await;
    let learner = cluster.members[3].node().clone();
    until(|| !learner.status().is_learner).await;

    let follower = cluster.members[(leader + 1) % 3].node();
    let refused = within(follower.change_membership(MembershipChange::Remove(4))).await;
    assert!(matches!(
        refused,
        Err(MembershipError::NotLeader { leader: Some(_) })
    ));
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_removes_itself_stops_and_another_one_leads() {
    let cluster = Cluster::start(&Net::Tcp, 3, quick).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, "a=1").await;
    let node = cluster.members[leader].node();
    let id = node.status().member_id;
    within(node.change_membership(MembershipChange::Remove(id)))
        .await
        .unwrap();
    let reason = within(node.stopped()).await;
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    let other = (leader + 1) % 3;
    cluster.propose(other, "a=2").await;
    let left = cluster.members[other].node();
    assert!(left.is_removed(id) && left.membership().len() == 2);
    cluster.stop().await;
}

#[tokio::test]
async fn a_new_address_is_used_from_the_change_on() {
    let mut cluster = three_and_a_spare().await;
    let leader = cluster.leader().await;
    let node = cluster.members[leader].node().clone();
    let moved = (leader + 1) % 3;
    cluster.members[moved].stop().await;
    // The spare address becomes that of the member that moves.
    let address = cluster.members[3].address.clone();
    let mut member = cluster.members[moved].config.members[moved].clone();
    member.peer_urls = vec![format!("http://{address}")];
    within(node.change_membership(MembershipChange::Update(member.clone())))
        .await
        .unwrap();
    cluster.members[moved].address = address;
    cluster.members[moved].listener = cluster.members[3].listener.take();
    cluster.members[moved].start().await;
    cluster.propose(leader, "a=2").await;
    until(|| cluster.members[moved].value("a").as_deref() == Some("2")).await;
    let known = cluster.members[moved].node().membership();
    assert!(known.contains(&member), "{known:?}");
    cluster.stop().await;
}
