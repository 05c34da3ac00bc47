//! Members that come and go while the cluster serves.

use std::sync::atomic::{AtomicUsize, Ordering};

use quoin_proto::etcdserverpb::{
    MemberAddRequest, MemberPromoteRequest, MemberUpdateRequest, RangeRequest,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
    workload::{Load, PREFIX},
};
use tonic::{Code, Status};

use crate::support::{assert_members_agree, get, local, put};

/// Elections that do not make the suite long, and logs that are cut soon.
const QUICK: [&str; 4] = [
    "--heartbeat-interval=50",
    "--election-timeout=500",
    "--snapshot-count=50",
    "--snapshot-catchup-entries=5",
];

/// Writes between two changes.
const WRITES_COUNT: usize = 20;

fn urls(cluster: &Cluster) -> Vec<String> {
    let running = cluster.running();
    running
        .iter()
        .map(|position| cluster.url(*position))
        .collect()
}

/// Removes a member through another one and waits until it has stopped.
async fn shrink(cluster: &mut Cluster, load: &Load, position: usize) {
    let others: Vec<_> = cluster.running();
    let others: Vec<_> = others
        .into_iter()
        .filter(|other| *other != position)
        .collect();
    let kept: Vec<_> = others.iter().map(|other| cluster.url(*other)).collect();
    load.follow(&kept).unwrap();
    cluster.remove_member(others[0], position).await.unwrap();
    let process = cluster.process(position).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
    cluster.kill(position).unwrap();
    load.wait_acknowledged(WRITES_COUNT).await.unwrap();
}

async fn grow(cluster: &mut Cluster, load: &Load) {
    let through = cluster.running()[0];
    cluster.grow(through).await.unwrap();
    load.follow(&urls(cluster)).unwrap();
    load.wait_acknowledged(WRITES_COUNT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_shrinks_and_is_replaced_under_load() {
    let mut cluster = Cluster::start(Options::new(1).flags(QUICK)).await.unwrap();
    let mut load = Load::start(&urls(&cluster)).unwrap();
    let reads = load.read_along();
    load.wait_acknowledged(WRITES_COUNT).await.unwrap();
    for _ in 0..4 {
        grow(&mut cluster, &load).await;
    }
    assert_eq!(cluster.members(0).await.unwrap().len(), 5);
    for position in [1, 3] {
        shrink(&mut cluster, &load, position).await;
    }
    let old = cluster.running();
    for _ in 0..old.len() {
        grow(&mut cluster, &load).await;
        // The leader goes first whenever it is one of the old ones.
        let leader = cluster.wait_leader().await.unwrap();
        let left: Vec<_> = old
            .iter()
            .copied()
            .filter(|one| cluster.running().contains(one))
            .collect();
        let next = if left.contains(&leader) {
            leader
        } else {
            left[0]
        };
        shrink(&mut cluster, &load, next).await;
    }
    let history = load.stop().await;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&reads.failed_count), 0, "{reads:?}");
    assert_eq!(count(&reads.stale_count), 0, "{reads:?}");
    assert!(count(&reads.answered_count) > WRITES_COUNT, "{reads:?}");
    assert!(
        cluster
            .running()
            .iter()
            .all(|position| !old.contains(position))
    );
    assert_members_agree(&cluster).await;
    for position in cluster.running() {
        let found = local(&cluster, position, PREFIX).await;
        assert_eq!(history.broken_promises(&found), Vec::<String>::new());
    }
    let members = cluster.members(cluster.running()[0]).await.unwrap();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| !member.name.is_empty()));
}

#[tokio::test]
async fn a_new_member_joins_by_snapshot() {
    let mut cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    for number in 0..200 {
        put(&cluster, 0, &format!("key/{number}"), "v").await;
    }
    let leader = cluster.wait_leader().await.unwrap();
    let joined = cluster.grow((leader + 1) % 3).await.unwrap();
    let log = cluster.process(joined).unwrap().output();
    assert!(log.contains("applied snapshot"), "{log}");
    assert_members_agree(&cluster).await;
    assert_eq!(local(&cluster, joined, "key/").await.len(), 200);
    put(&cluster, joined, "key/own", "of the new member").await;
    // It comes back under the same identity.
    cluster.kill(joined).unwrap();
    cluster.start_member(joined).unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
}

fn told<T>(reply: Result<T, Status>) -> (Code, String) {
    let refused = reply.err();
    refused.map_or((Code::Ok, String::new()), |status| {
        (status.code(), status.message().to_owned())
    })
}

#[tokio::test]
async fn a_learner_serves_little_and_votes_once_promoted() {
    let mut cluster = Cluster::start(Options::new(1).flags(QUICK)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    let learner = cluster.add_member(0, true).await.unwrap();
    let id = cluster.member_id(0, learner).await.unwrap();
    let mut client = cluster.cluster(0).unwrap();
    let early = client.member_promote(MemberPromoteRequest { id }).await;
    let not_ready = "etcdserver: can only promote a learner member which is in sync with leader";
    let not_ready = (Code::FailedPrecondition, not_ready.to_owned());
    assert_eq!(told(early), not_ready);
    let second = cluster.add_member(0, true).await.unwrap_err().to_string();
    assert!(second.contains("too many learner members"), "{second}");

    cluster.start_member(learner).unwrap();
    let read = |serializable| RangeRequest {
        key: "k".into(),
        serializable,
        ..RangeRequest::default()
    };
    wait::until("the learner to serve", wait::DEADLINE, async || {
        let reply = cluster.kv(learner).unwrap().range(read(true)).await;
        reply.map(drop).map_err(|status| status.to_string())
    })
    .await
    .unwrap();
    assert!(cluster.status(learner).await.unwrap().is_learner);
    let refused = cluster.kv(learner).unwrap().range(read(false)).await;
    let text = "etcdserver: rpc not supported for learner".to_owned();
    assert_eq!(told(refused), (Code::FailedPrecondition, text));

    let members = cluster.promote_member(0, learner).await.unwrap();
    assert!(members.iter().all(|member| !member.is_learner));
    cluster.wait_member_ready(learner).await.unwrap();
    assert_eq!(get(&cluster, learner, "k").await.as_deref(), Some("v"));
    let again = client.member_promote(MemberPromoteRequest { id }).await;
    let text = "etcdserver: can only promote a learner member".to_owned();
    assert_eq!(told(again), (Code::FailedPrecondition, text));
}

#[tokio::test]
async fn a_removed_member_stops_and_does_not_come_back() {
    let mut cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    let leader = cluster.wait_leader().await.unwrap();
    // The leader is asked to remove itself.
    cluster.remove_member(leader, leader).await.unwrap();
    let process = cluster.process(leader).unwrap();
    let said = "the member has been permanently removed from the cluster";
    process.wait_output(said, wait::DEADLINE).await.unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
    let other = (leader + 1) % 3;
    put(&cluster, other, "k", "w").await;

    cluster.kill(leader).unwrap();
    cluster.start_member(leader).unwrap();
    let process = cluster.process(leader).unwrap();
    let line = "data-dir used by this member must be removed";
    process.wait_output(line, wait::DEADLINE).await.unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
}

/// etcd issues 13196 and 13466: members that were removed came back when the others
/// restarted.
#[tokio::test]
async fn peers_that_restarted_refuse_whoever_was_removed_before() {
    let mut cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    let leader = cluster.wait_leader().await.unwrap();
    let (gone, other) = ((leader + 1) % 3, (leader + 2) % 3);
    // It never hears of its removal itself.
    cluster.kill(gone).unwrap();
    cluster.remove_member(leader, gone).await.unwrap();
    // The logs of the others are cut behind the removal.
    for number in 0..200 {
        put(&cluster, leader, &format!("key/{number}"), "v").await;
    }
    for kept in [leader, other] {
        cluster.terminate(kept).await.unwrap();
    }
    for kept in [leader, other] {
        cluster.start_member(kept).unwrap();
    }
    for kept in [leader, other] {
        cluster.wait_member_ready(kept).await.unwrap();
    }

    cluster.start_member(gone).unwrap();
    let process = cluster.process(gone).unwrap();
    let said = "the member has been permanently removed from the cluster";
    process.wait_output(said, wait::DEADLINE).await.unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(cluster.members(leader).await.unwrap().len(), 2);
}

#[tokio::test]
async fn changes_at_the_same_time_are_made_one_after_the_other() {
    let cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    cluster.members(0).await.unwrap();
    let add = |position: usize, port: u16| {
        let mut client = cluster.cluster(position).unwrap();
        let request = MemberAddRequest {
            peer_urls: vec![format!("http://127.0.0.1:{port}")],
            is_learner: true,
        };
        async move { told(client.member_add(request).await).1 }
    };
    // One learner is allowed: whoever comes second must see the first.
    let (a, b, c) = tokio::join!(add(0, 1), add(1, 2), add(2, 3));
    let answers = [a, b, c];
    let refused = "etcdserver: too many learner members in cluster";
    let counted = |text: &str| answers.iter().filter(|answer| *answer == text).count();
    assert_eq!((counted(""), counted(refused)), (1, 2), "{answers:?}");
    assert_eq!(cluster.members(1).await.unwrap().len(), 4);
}

#[tokio::test]
async fn addresses_that_cannot_be_one_are_refused() {
    let cluster = Cluster::start(Options::new(1).flags(QUICK)).await.unwrap();
    let id = cluster.member_id(0, 0).await.unwrap();
    let mut client = cluster.cluster(0).unwrap();
    let request = |id, peer_urls: &Vec<String>| MemberUpdateRequest {
        id,
        peer_urls: peer_urls.clone(),
    };
    let invalid = "etcdserver: given member URLs are invalid".to_owned();
    let unknown = "etcdserver: member not found".to_owned();
    // More than a membership can hold.
    let many: Vec<_> = vec!["http://a:1".to_owned(); 70_000];
    for peer_urls in [Vec::new(), vec!["nonsense".to_owned()], many] {
        let known = told(client.member_update(request(id, &peer_urls)).await);
        assert_eq!(known, (Code::InvalidArgument, invalid.clone()));
        let other = told(client.member_update(request(4242, &peer_urls)).await);
        assert_eq!(other, (Code::NotFound, unknown.clone()));
    }
    put(&cluster, 0, "k", "v").await;
}

#[tokio::test]
async fn a_member_that_lost_its_data_does_not_found_its_cluster_again() {
    let mut cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    let lost = (cluster.wait_leader().await.unwrap() + 1) % 3;
    let id = cluster.member_id(lost, lost).await.unwrap();
    assert_does_not_come_back_empty(&mut cluster, lost, id).await;
    put(&cluster, (lost + 1) % 3, "k", "w").await;
}

#[tokio::test]
async fn a_member_that_lost_its_data_does_not_join_again() {
    let mut cluster = Cluster::start(Options::new(3).flags(QUICK)).await.unwrap();
    let lost = cluster.grow(0).await.unwrap();
    let id = cluster.member_id(0, lost).await.unwrap();
    assert_does_not_come_back_empty(&mut cluster, lost, id).await;
    put(&cluster, 0, "k", "v").await;
    // Under a new id it may.
    cluster.kill(lost).unwrap();
    cluster.remove_member(0, lost).await.unwrap();
    cluster.grow(0).await.unwrap();
    assert_members_agree(&cluster).await;
}

async fn assert_does_not_come_back_empty(cluster: &mut Cluster, lost: usize, id: u64) {
    cluster.kill(lost).unwrap();
    let data = cluster.member(lost).unwrap().data.clone();
    std::fs::remove_dir_all(data).unwrap();
    cluster.start_member(lost).unwrap();
    let process = cluster.process(lost).unwrap();
    let line = process.wait_output("discovery failed", wait::DEADLINE);
    let line = line.await.unwrap();
    let said = format!("member {id:x} has already been bootstrapped");
    assert!(line.contains(&said), "{line}");
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(1));
}
