//! Who is a member, after everything that may change it.

use quoin_proto::etcdserverpb::MemberListRequest;
use quoin_tests::cluster::{Cluster, Options};

use crate::support::{assert_members_agree, put};

/// A short log, so that members restart from checkpoints and join by snapshot.
const FLAGS: [&str; 3] = [
    "--election-timeout=500",
    "--snapshot-count=20",
    "--snapshot-catchup-entries=2",
];

/// Ids with their vote as one member lists them by itself.
async fn listed(cluster: &Cluster, member: usize) -> Vec<(u64, bool)> {
    let request = MemberListRequest {
        linearizable: false,
    };
    let mut client = cluster.cluster(member).unwrap();
    let reply = client.member_list(request).await.unwrap().into_inner();
    let members = reply.members.iter();
    let mut found: Vec<_> = members
        .map(|member| (member.id, member.is_learner))
        .collect();
    found.sort_unstable();
    found
}

async fn write_past_a_checkpoint(cluster: &Cluster, member: usize) {
    for number in 0..60 {
        put(cluster, member, &format!("key/{}", number % 7), "v").await;
    }
}

/// etcd issues 13196 and 13466: members that were removed came back after a
/// restart, from a second store of the membership. Issue 20967: the same after an
/// upgrade. Issue 19557: a promotion reached one of the stores only, and voters
/// became learners again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_20967_no_removed_member_returns_and_no_voter_turns_learner() {
    let mut cluster = Cluster::start(Options::new(3).flags(FLAGS)).await.unwrap();
    let learner = cluster.add_member(0, true).await.unwrap();
    cluster.start_member(learner).unwrap();
    cluster.promote_member(0, learner).await.unwrap();
    let gone = (cluster.wait_leader().await.unwrap() + 1) % 3;
    let kept = (gone + 1) % 3;
    let removed = cluster.member_id(kept, gone).await.unwrap();
    cluster.remove_member(kept, gone).await.unwrap();
    cluster.kill(gone).unwrap();
    write_past_a_checkpoint(&cluster, kept).await;
    let expected = listed(&cluster, kept).await;
    assert_eq!(expected.len(), 3);
    assert!(
        expected
            .iter()
            .all(|(id, is_learner)| *id != removed && !is_learner)
    );
    let running = cluster.running();
    for _ in 0..2 {
        cluster.kill_all().unwrap();
        for member in &running {
            cluster.start_member(*member).unwrap();
        }
        cluster.wait_ready().await.unwrap();
        assert_members_agree(&cluster).await;
        for member in &running {
            assert_eq!(listed(&cluster, *member).await, expected, "member {member}");
        }
        write_past_a_checkpoint(&cluster, kept).await;
    }
    // Whoever learns it from a snapshot learns the same.
    let joined = cluster.grow(kept).await.unwrap();
    assert_members_agree(&cluster).await;
    let mut found = listed(&cluster, joined).await;
    let own = cluster.member_id(kept, joined).await.unwrap();
    found.retain(|(id, _)| *id != own);
    assert_eq!(found, expected);
}
