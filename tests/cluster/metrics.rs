//! Exact samples after known requests, as dashboards and alerts count on them.
//! Source: the same requests sent to etcd 3.7.

use quoin_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, request_op::Request,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    http,
};

use crate::support::{CALM, get, put_once};

#[tokio::test]
async fn operations_are_counted_as_etcd_counts_them() {
    let cluster = Cluster::start(Options::new(1).flags(CALM)).await.unwrap();
    let port = cluster.member(0).unwrap().client_port;
    let (_, boot) = http::get(port, "/metrics").await.unwrap();
    for sample in ["etcd_mvcc_put_total 0", "etcd_mvcc_txn_total 0"] {
        assert!(boot.lines().any(|line| line == sample), "no {sample}");
    }
    let ranges = http::metric(port, "etcd_mvcc_range_total").await.unwrap();
    for (key, value) in [("k", "v1"), ("k", "v2"), ("k2", "v3")] {
        put_once(&cluster, 0, key, value).await;
    }
    assert!(get(&cluster, 0, "k").await.is_some());
    write_in_other_ways(&cluster).await;
    // One range, one for the pair before, one compared, one in the transaction.
    let ranges_after = http::metric(port, "etcd_mvcc_range_total").await.unwrap();
    assert_eq!(ranges_after - ranges, 4.0);
    let (_, text) = http::get(port, "/metrics").await.unwrap();
    for sample in [
        // Three puts, one that asks for the pair before, two in a transaction.
        "etcd_mvcc_put_total 6",
        "etcd_debugging_mvcc_total_put_size_in_bytes 18",
        "etcd_mvcc_delete_total 1",
        "etcd_mvcc_txn_total 2",
        "etcd_debugging_mvcc_keys_total 3",
        "etcd_debugging_lease_granted_total 1",
        "etcd_debugging_lease_revoked_total 1",
        "etcd_debugging_lease_ttl_total_sum 100",
        "etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"true\",version=\"v3\"} 4",
        "etcd_server_apply_duration_seconds_count{op=\"Txn\",success=\"true\",version=\"v3\"} 1",
        "etcd_server_request_duration_seconds_count{success=\"true\",type=\"Put\"} 4",
        "etcd_server_slow_apply_total 0",
        "etcd_server_proposals_failed_total 0",
    ] {
        assert!(text.lines().any(|line| line == sample), "no {sample}");
    }
}

#[tokio::test]
async fn every_stage_of_a_write_is_timed_once_per_entry() {
    let cluster = Cluster::start(Options::new(1).flags(CALM)).await.unwrap();
    let port = cluster.member(0).unwrap().client_port;
    let count = async |stage: &str, part: &str| {
        let name = format!("quoin_proposal_stage_duration_seconds_{part}{{stage=\"{stage}\"}}");
        http::sample(port, &name).await.unwrap()
    };
    let stages = ["queue", "propose", "fsync", "replicate", "apply", "reply"];
    let mut before = Vec::new();
    for stage in stages {
        before.push(count(stage, "count").await);
    }
    for number in 0..5 {
        put_once(&cluster, 0, &format!("k{number}"), "v").await;
    }
    for (stage, before) in stages.into_iter().zip(before) {
        // One after the other, each put is an entry; the member's own
        // proposals may come in between.
        let counted = count(stage, "count").await - before;
        assert!((5.0..50.0).contains(&counted), "{stage}: {counted}");
        let seconds = count(stage, "sum").await;
        assert!(seconds > 0.0 && seconds < 60.0, "{stage}: {seconds} s");
    }
}

async fn write_in_other_ways(cluster: &Cluster) {
    let mut kv = cluster.kv(0).unwrap();
    let put = |key: &'static str, value: &'static str, prev_kv| PutRequest {
        key: key.into(),
        value: value.into(),
        prev_kv,
        ..Default::default()
    };
    let delete = DeleteRangeRequest {
        key: "k".into(),
        ..Default::default()
    };
    kv.delete_range(delete).await.unwrap();
    kv.put(put("k2", "zz", true)).await.unwrap();
    let range = RangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    let operation = |request| RequestOp {
        request: Some(request),
    };
    let txn = TxnRequest {
        compare: vec![Compare {
            key: "absent".into(),
            ..Default::default()
        }],
        success: vec![
            operation(Request::RequestPut(put("a", "1", false))),
            operation(Request::RequestPut(put("b", "2", false))),
            operation(Request::RequestRange(range)),
        ],
        failure: Vec::new(),
    };
    assert!(kv.txn(txn).await.unwrap().into_inner().succeeded);
    let mut lease = cluster.lease(0).unwrap();
    let grant = LeaseGrantRequest { ttl: 100, id: 77 };
    lease.lease_grant(grant).await.unwrap();
    let revoke = LeaseRevokeRequest { id: 77 };
    lease.lease_revoke(revoke).await.unwrap();
}
