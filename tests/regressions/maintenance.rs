//! Compaction, defragmentation and snapshots, cut off and in each other's way.

use quoin_proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, maintenance_client::MaintenanceClient,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    http, wait,
    workload::Load,
};
use tonic::Code;

use crate::{
    churn::Churn,
    support::{Watch, assert_members_agree, key, local, put, revision},
};

/// Makes a log so short that a member that was away needs a snapshot.
const SHORT_LOG: [&str; 3] = [
    "--snapshot-count=20",
    "--snapshot-catchup-entries=1",
    "--election-timeout=3000",
];

/// The value of a metric without labels.
pub(crate) async fn metric(cluster: &Cluster, member: usize, name: &str) -> f64 {
    let port = cluster.member(member).unwrap().client_port;
    let (_, text) = http::get(port, "/metrics").await.unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(found, _)| *found == name).unwrap();
    value.parse().unwrap()
}

async fn delete(cluster: &Cluster, member: usize, key: &str) -> i64 {
    let request = DeleteRangeRequest {
        key: key.to_owned().into(),
        ..DeleteRangeRequest::default()
    };
    let mut kv = cluster.kv(member).unwrap();
    let reply = kv.delete_range(request).await.unwrap();
    reply.into_inner().header.unwrap().revision
}

async fn compact(cluster: &Cluster, member: usize, revision: i64, physical: bool) {
    let request = CompactionRequest { revision, physical };
    let mut kv = cluster.kv(member).unwrap();
    kv.compact(request).await.unwrap();
}

/// etcd issue 6567: after a delete, a compaction of the head and a restart the
/// revision went back below the compacted one. Issue 17780: a kill between two
/// batches of a compaction did the same. Issue 18089: the delete at the compact
/// revision was no longer told to watchers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_6567_a_kill_during_a_compaction_of_the_head_loses_no_revision() {
    // One revision at a time, so that the kill meets an unfinished one.
    let flags = [
        "--compaction-batch-limit=1",
        "--compaction-sleep-interval=2ms",
    ];
    let mut cluster = Cluster::start(Options::new(1).flags(flags)).await.unwrap();
    for round in 0_usize..6 {
        for number in 0..20 {
            put(&cluster, 0, &format!("k{}", number % 4), "v").await;
        }
        let head = delete(&cluster, 0, "k3").await;
        // Of a finished one nothing is left to do but to remember.
        compact(&cluster, 0, head, round % 3 == 2).await;
        cluster.kill(0).unwrap();
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
        assert_eq!(revision(&cluster, 0).await, head, "round {round}");
        assert_eq!(local(&cluster, 0, "k").await.len(), 3);
        let again = CompactionRequest {
            revision: head,
            physical: false,
        };
        let refused = cluster.kv(0).unwrap().compact(again).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "forgot the compaction");
        let mut from_head = key("k3");
        from_head.start_revision = head;
        let mut watch = Watch::open(&cluster, 0, from_head).await;
        let event = watch.next().await.unwrap().events.remove(0);
        let told = (event.r#type, event.kv.unwrap().mod_revision);
        assert_eq!(told, (1, head), "the delete at the edge");
        assert_eq!(put(&cluster, 0, "k3", "again").await, head + 1);
    }
}

/// etcd issue 14685: a crash during a defragmentation made a member apply entries
/// twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_14685_a_kill_during_a_defragmentation_applies_nothing_twice() {
    let flags = ["--snapshot-count=50", "--election-timeout=500"];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let churn = Churn::start(&cluster);
    for round in 0..4 {
        churn.load.wait_acknowledged(80).await.unwrap();
        let victim = round % 3;
        let mut client = MaintenanceClient::new(cluster.channel(victim).unwrap());
        let call = tokio::spawn(async move { client.defragment(DefragmentRequest {}).await });
        churn.load.wait_acknowledged(1).await.unwrap();
        cluster.kill(victim).unwrap();
        // Answered before the kill, or broken off by it.
        let _ = call.await.unwrap();
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
    }
    churn.finish(&cluster).await;
}

/// etcd issue 20271: a defragmentation at the time when a snapshot is applied ended
/// in a page that was freed twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_20271_a_defragmentation_beside_a_snapshot_harms_neither() {
    let mut cluster = Cluster::start(Options::new(3).flags(SHORT_LOG))
        .await
        .unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let away = (leader + 1) % 3;
    for round in 0..3 {
        cluster.kill(away).unwrap();
        for number in 0..300 {
            let value = "x".repeat(20_000);
            put(&cluster, leader, &format!("key/{round}/{number}"), &value).await;
        }
        cluster.start_member(away).unwrap();
        let index = cluster.status(leader).await.unwrap().raft_applied_index;
        let caught_up = wait::until("the member to catch up", wait::DEADLINE, async || {
            let mut client = MaintenanceClient::new(cluster.channel(away).unwrap());
            // Before the member serves this fails.
            let defragmented = client.defragment(DefragmentRequest {}).await;
            defragmented.map_err(|status| status.to_string())?;
            let status = cluster.status(away).await;
            let status = status.map_err(|error| error.to_string())?;
            let applied = status.raft_applied_index;
            (applied >= index).then_some(()).ok_or(applied.to_string())
        });
        caught_up.await.unwrap();
        let received = metric(&cluster, away, "quoin_raft_snapshots_received_total").await;
        assert!(received >= 1.0, "no snapshot in round {round}");
        assert_members_agree(&cluster).await;
    }
}

/// etcd issue 18055: two snapshots in quick succession made a follower panic. The
/// follower misses so much so often that one snapshot follows on the other while
/// the log behind them is cut again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_18055_snapshots_in_quick_succession_are_survived() {
    let flags = [
        "--snapshot-count=10",
        "--snapshot-catchup-entries=1",
        "--heartbeat-interval=50",
        "--election-timeout=500",
    ];
    let options = Options::new(3).flags(flags).wired();
    let mut cluster = Cluster::start(options).await.unwrap();
    let load = Load::start(&cluster.urls()).unwrap();
    let laggard = (cluster.wait_leader().await.unwrap() + 1) % 3;
    let received = async || metric(&cluster, laggard, "quoin_raft_snapshots_received_total").await;
    let failures = async || {
        let mut sum = 0.0;
        for other in (0..3).filter(|member| *member != laggard) {
            sum += metric(&cluster, other, "etcd_server_heartbeat_send_failures_total").await;
        }
        sum
    };
    for _ in 0..10 {
        let before = received().await;
        if before >= 3.0 {
            break;
        }
        cluster.wires().unwrap().isolate(laggard, 0..3);
        // Until the connections are given up too: then the log is no longer kept
        // for it.
        let goal = failures().await + 30.0;
        wait::until("lost connections", wait::DEADLINE, async || {
            let found = failures().await;
            (found >= goal).then_some(()).ok_or(found)
        })
        .await
        .unwrap();
        load.wait_acknowledged(150).await.unwrap();
        let other = (laggard + 1) % 3;
        let index = cluster.status(other).await.unwrap().raft_applied_index;
        cluster.wires().unwrap().mend();
        // By a snapshot, or by the log if that was kept after all. Then it falls
        // behind again at once.
        wait::until("the member to catch up", wait::DEADLINE, async || {
            let applied = cluster
                .status(laggard)
                .await
                .map(|status| status.raft_applied_index);
            let caught_up = applied.is_ok_and(|applied| applied >= index);
            let found = received().await;
            (caught_up || found > before).then_some(()).ok_or(found)
        })
        .await
        .unwrap();
    }
    assert!(received().await >= 3.0, "too few snapshots");
    load.stop().await;
    assert_members_agree(&cluster).await;
    cluster.kill(laggard).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
}
