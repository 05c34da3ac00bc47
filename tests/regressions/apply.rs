//! What is applied: everything once, on every member the same.

use quoin_proto::etcdserverpb::{
    CompactionRequest, RangeRequest, RequestOp, TxnRequest, request_op::Request,
};
use quoin_tests::cluster::{Cluster, Options};
use tonic::{Code, Status};

use crate::{
    churn::Churn,
    support::{CALM, assert_members_agree, put, put_request, revision},
};

/// Acknowledged writes between two kills.
const WRITES_BETWEEN: usize = 150;

/// etcd issues 13514, 13654 and 13766: the applied index became durable before the
/// data, so a member killed under load skipped entries when it came back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_13766_a_kill_at_high_load_skips_no_entry() {
    let flags = [
        "--snapshot-count=100",
        "--snapshot-catchup-entries=20",
        "--election-timeout=500",
    ];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let churn = Churn::start(&cluster);
    for round in 0..4 {
        churn.load.wait_acknowledged(WRITES_BETWEEN).await.unwrap();
        match round {
            0 | 2 => cluster.kill_all().unwrap(),
            one => cluster.kill(one % 3).unwrap(),
        }
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
    }
    churn.load.wait_acknowledged(WRITES_BETWEEN).await.unwrap();
    churn.finish(&cluster).await;
}

/// Applies on all members: a put, then a read.
fn put_and_read(key: &str, revision: i64) -> TxnRequest {
    let put = Request::RequestPut(put_request(key, "written"));
    let read = Request::RequestRange(RangeRequest {
        key: "k".into(),
        revision,
        ..RangeRequest::default()
    });
    let success = [put, read].map(|request| RequestOp {
        request: Some(request),
    });
    TxnRequest {
        success: success.into(),
        ..TxnRequest::default()
    }
}

/// etcd issue 18667: reads were left out of a transaction on the members that its
/// client is not connected to, so that one whose read fails wrote on some members
/// and not on others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_18667_a_transaction_whose_read_fails_writes_nowhere() {
    let mut cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    for number in 0..10 {
        put(&cluster, 0, "k", &number.to_string()).await;
    }
    let compact = CompactionRequest {
        revision: 8,
        physical: true,
    };
    cluster.kv(0).unwrap().compact(compact).await.unwrap();
    let before = revision(&cluster, 0).await;
    for member in 0..3 {
        let mut kv = cluster.kv(member).unwrap();
        for (wrong, message) in [
            (3, "etcdserver: mvcc: required revision has been compacted"),
            (
                999,
                "etcdserver: mvcc: required revision is a future revision",
            ),
        ] {
            let refused = kv.txn(put_and_read("x", wrong)).await;
            let told = |status: Status| (status.code(), status.message().to_owned());
            assert_eq!(
                refused.map_err(told).err(),
                Some((Code::OutOfRange, message.to_owned())),
                "member {member}"
            );
        }
        // The same with a read that succeeds: answered in full by each member.
        let done = kv.txn(put_and_read(&format!("by/{member}"), 0)).await;
        assert_eq!(done.unwrap().into_inner().responses.len(), 2);
    }
    assert_eq!(revision(&cluster, 1).await, before + 3);
    assert_members_agree(&cluster).await;
    // Replayed from the log they do the same.
    cluster.kill_all().unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(revision(&cluster, 2).await, before + 3);
    assert_members_agree(&cluster).await;
}

/// etcd pull request 8127: the index in memory was wrong after a snapshot was
/// restored. Every revision that can be read is compared with a member that built
/// its index by applying.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_8127_the_index_after_a_snapshot_is_that_of_the_live_store() {
    let flags = ["--snapshot-count=40", "--snapshot-catchup-entries=5"];
    let mut cluster = Cluster::start(Options::new(3).flags(CALM).flags(flags))
        .await
        .unwrap();
    let away = (cluster.wait_leader().await.unwrap() + 1) % 3;
    let here = (away + 1) % 3;
    cluster.kill(away).unwrap();
    for number in 0..150 {
        let key = format!("k{:02}", number % 9);
        if number % 7 == 3 {
            let delete = quoin_proto::etcdserverpb::DeleteRangeRequest {
                key: key.into(),
                ..<_>::default()
            };
            let mut kv = cluster.kv(here).unwrap();
            kv.delete_range(delete).await.unwrap();
        } else {
            put(&cluster, here, &key, &number.to_string()).await;
        }
    }
    let head = revision(&cluster, here).await;
    let first = head - 60;
    let compact = CompactionRequest {
        revision: first,
        physical: true,
    };
    cluster.kv(here).unwrap().compact(compact).await.unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    let metric = "quoin_raft_snapshots_received_total";
    assert!(crate::maintenance::metric(&cluster, away, metric).await >= 1.0);
    for restarted in [false, true] {
        if restarted {
            cluster.kill(away).unwrap();
            cluster.start_all().unwrap();
            cluster.wait_ready().await.unwrap();
        }
        assert_members_agree(&cluster).await;
        for revision in first..=head {
            let pairs = [here, away].map(|member| all_at(&cluster, member, revision));
            let [expected, found] = pairs;
            assert_eq!(found.await, expected.await, "at revision {revision}");
        }
    }
}

/// Everything at a revision, with all its numbers, as one member holds it.
async fn all_at(
    cluster: &Cluster,
    member: usize,
    revision: i64,
) -> Vec<quoin_proto::mvccpb::KeyValue> {
    let request = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        serializable: true,
        ..RangeRequest::default()
    };
    let reply = cluster.kv(member).unwrap().range(request).await.unwrap();
    reply.into_inner().kvs
}
