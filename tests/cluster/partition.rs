//! Members that are up and cannot reach each other.

use std::time::Duration;

use quoin_proto::etcdserverpb::RangeRequest;
use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
    workload::Load,
};
use tokio::time::{Instant, timeout};

use crate::support::{assert_members_agree, get, local, put, put_request};

/// Upper bound of the election timeout of these members.
const ELECTION: Duration = Duration::from_millis(600);

const FLAGS: [&str; 2] = ["--heartbeat-interval=60", "--election-timeout=600"];

async fn start() -> Cluster {
    let options = Options::new(3).flags(FLAGS).wired();
    Cluster::start(options).await.unwrap()
}

/// Leader, as an id or 0, and term as one member sees them.
async fn view(cluster: &Cluster, member: usize) -> (u64, u64) {
    let status = cluster.status(member).await.unwrap();
    (status.leader, status.raft_term)
}

/// Waits until a member knows no leader; returns how long that took.
async fn without_leader(cluster: &Cluster, member: usize) -> Duration {
    let begun = Instant::now();
    wait::until("no leader", wait::DEADLINE, async || {
        let (leader, _) = view(cluster, member).await;
        (leader == 0).then_some(()).ok_or(leader)
    })
    .await
    .unwrap();
    begun.elapsed()
}

/// A member that comes back has asked for votes all the while. It must not have
/// counted up terms meanwhile, and must follow the leader that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_back_from_a_partition_leaves_a_healthy_leader_alone() {
    let cluster = start().await;
    let leader = cluster.wait_leader().await.unwrap();
    let before = view(&cluster, leader).await;
    let away = (leader + 1) % 3;
    let load = Load::start(&[cluster.url(leader), cluster.url((leader + 2) % 3)]).unwrap();
    cluster.wires().unwrap().isolate(away, 0..3);
    let begun = Instant::now();
    without_leader(&cluster, away).await;
    // Time for some rounds of elections, with writes going on.
    while begun.elapsed() < 5 * ELECTION {
        load.wait_acknowledged(20).await.unwrap();
    }
    assert_eq!(
        view(&cluster, away).await,
        (0, before.1),
        "it counted up terms"
    );
    cluster.wires().unwrap().mend();
    let found = wait::until("the member to follow", wait::DEADLINE, async || {
        let found = view(&cluster, away).await;
        if found.0 == 0 { Err("none") } else { Ok(found) }
    });
    assert_eq!(found.await.unwrap(), before);
    load.wait_acknowledged(50).await.unwrap();
    load.stop().await;
    assert_members_agree(&cluster).await;
    for member in 0..3 {
        assert_eq!(view(&cluster, member).await, before, "member {member}");
    }
}

/// A leader that reaches nobody says so within two election timeouts, and then
/// answers no linearizable read; what it holds itself it still shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_quorum_steps_down_and_serves_only_serializable_reads() {
    let cluster = start().await;
    let old = cluster.wait_leader().await.unwrap();
    put(&cluster, old, "k", "before").await;
    let (_, term) = view(&cluster, old).await;
    cluster.wires().unwrap().isolate(old, 0..3);
    let took = without_leader(&cluster, old).await;
    // Of this the looks of a busy machine are a part.
    assert!(took < 3 * ELECTION, "knew after {took:?} only");
    let other = (old + 1) % 3;
    put(&cluster, other, "k", "after").await;
    let linearizable = RangeRequest {
        key: "k".into(),
        ..RangeRequest::default()
    };
    let mut kv = cluster.kv(old).unwrap();
    let answer = timeout(2 * ELECTION, kv.range(linearizable)).await;
    assert!(!matches!(answer, Ok(Ok(_))), "answered {answer:?}");
    let write = timeout(2 * ELECTION, kv.put(put_request("k", "lost"))).await;
    assert!(!matches!(write, Ok(Ok(_))), "answered {write:?}");
    assert_eq!(local(&cluster, old, "k").await["k"], "before");
    assert!(view(&cluster, other).await.1 > term);
    cluster.wires().unwrap().mend();
    let found = get(&cluster, old, "k").await;
    // The put that got no answer may have been passed on.
    assert!(
        matches!(found.as_deref(), Some("after" | "lost")),
        "{found:?}"
    );
    assert_members_agree(&cluster).await;
}

/// Two members that do not reach each other, and a third that reaches both: the
/// leader stays, whichever of them it is, and writes go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_while_two_of_three_do_not_reach_each_other() {
    let cluster = start().await;
    let leader = cluster.wait_leader().await.unwrap();
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.wires().unwrap().cut(one, other);
    let (_, term) = view(&cluster, leader).await;
    for number in 0..30 {
        put(&cluster, number % 3, &format!("key/{number}"), "v").await;
    }
    assert_eq!(view(&cluster, leader).await.1, term);
    // The leader reaches one of them only, the other one hears of that one that
    // there is a leader: nobody is elected.
    cluster.wires().unwrap().mend();
    cluster.wires().unwrap().cut(leader, one);
    for number in 30..60 {
        let member = if number % 2 == 0 { leader } else { other };
        put(&cluster, member, &format!("key/{number}"), "v").await;
    }
    assert_eq!(view(&cluster, leader).await.1, term);
    cluster.wires().unwrap().mend();
    assert_members_agree(&cluster).await;
    assert_eq!(local(&cluster, one, "key/").await.len(), 60);
}
