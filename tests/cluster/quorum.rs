//! What a member answers that knows no leader.

use quoin_proto::etcdserverpb::{
    Compare, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, MemberListRequest,
    RangeRequest, RequestOp, TxnRequest, cluster_client::ClusterClient, request_op,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    http, wait,
};
use tonic::{Code, Request, Status};

use crate::support::{Watch, get, key, put, put_request};

fn range(serializable: bool) -> RangeRequest {
    RangeRequest {
        key: "k".into(),
        serializable,
        ..RangeRequest::default()
    }
}

fn told<T>(reply: Result<T, Status>) -> (Code, String) {
    reply.map_or_else(
        |status| (status.code(), status.message().to_owned()),
        |_| (Code::Ok, String::new()),
    )
}

fn unavailable(message: &str) -> (Code, String) {
    (Code::Unavailable, format!("etcdserver: {message}"))
}

/// Three members of which two are dead; the survivor followed one of them.
async fn survivor() -> (Cluster, usize) {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    let grant = LeaseGrantRequest { ttl: 600, id: 9 };
    cluster.lease(0).unwrap().lease_grant(grant).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let survivor = (leader + 1) % 3;
    // So that the survivor has applied all of the above.
    assert_eq!(get(&cluster, survivor, "k").await.as_deref(), Some("v"));
    (0..3)
        .filter(|member| *member != survivor)
        .for_each(|member| cluster.kill(member).unwrap());
    wait::until("no leader", wait::DEADLINE, async || {
        let status = cluster
            .status(survivor)
            .await
            .map_err(|error| error.to_string())?;
        if status.leader == 0 {
            Ok(())
        } else {
            Err(status.leader.to_string())
        }
    })
    .await
    .unwrap();
    (cluster, survivor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_local_reads_work_and_the_rest_is_refused() {
    let (cluster, member) = survivor().await;
    let port = cluster.member(member).unwrap().client_port;
    local_calls(&cluster, member).await;
    let mut hasleader = Request::new(range(true));
    hasleader
        .metadata_mut()
        .insert("hasleader", "true".parse().unwrap());
    let reply = cluster.kv(member).unwrap().range(hasleader).await;
    assert_eq!(told(reply), unavailable("no leader"));
    let watch = Watch::open_with(&cluster, member, key("k"), &[("hasleader", "true")]).await;
    assert_eq!(
        watch.err().map(|status| status.code()),
        Some(Code::Unavailable)
    );
    assert_eq!(
        http::get(port, "/health").await.unwrap(),
        (
            503,
            "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n".to_owned()
        ),
    );
    let (status, _) = http::get(port, "/health?serializable=true").await.unwrap();
    assert_eq!(status, 200);
    refused_calls(&cluster, member).await;
}

/// Calls that a member answers from its own state.
async fn local_calls(cluster: &Cluster, member: usize) {
    let mut kv = cluster.kv(member).unwrap();
    let reply = kv.range(range(true)).await.unwrap().into_inner();
    assert_eq!(&reply.kvs[0].value[..], b"v");
    let read = request_op::Request::RequestRange(range(true));
    let serializable = TxnRequest {
        success: vec![RequestOp {
            request: Some(read),
        }],
        ..TxnRequest::default()
    };
    assert_eq!(
        kv.txn(serializable)
            .await
            .unwrap()
            .into_inner()
            .responses
            .len(),
        1
    );
    let compare = Compare {
        key: "k".into(),
        ..Compare::default()
    };
    let compare_only = TxnRequest {
        compare: vec![compare],
        ..TxnRequest::default()
    };
    assert!(!kv.txn(compare_only).await.unwrap().into_inner().succeeded);
    let status = cluster.status(member).await.unwrap();
    assert_eq!(
        (status.leader, status.errors),
        (0, vec!["etcdserver: no leader".to_owned()])
    );
    let mut members = ClusterClient::new(cluster.channel(member).unwrap());
    let list = members
        .member_list(MemberListRequest {
            linearizable: false,
        })
        .await
        .unwrap();
    assert_eq!(list.into_inner().members.len(), 3);
    let mut lease = cluster.lease(member).unwrap();
    let leases = lease
        .lease_leases(LeaseLeasesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(leases.leases.len(), 1);
}

/// Calls that need a leader; each takes the server's request timeout, so they
/// are made at the same time.
async fn refused_calls(cluster: &Cluster, member: usize) {
    let mut kv = [(); 3].map(|()| cluster.kv(member).unwrap());
    let [reader, writer, granter] = &mut kv;
    let read = request_op::Request::RequestRange(range(false));
    let read = vec![RequestOp {
        request: Some(read),
    }];
    let linearizable = TxnRequest {
        success: read,
        ..TxnRequest::default()
    };
    let mut lease = cluster.lease(member).unwrap();
    let mut renewer = cluster.lease(member).unwrap();
    let renewed = async {
        let renew = tokio_stream::once(LeaseKeepAliveRequest { id: 9 });
        renewer
            .lease_keep_alive(renew)
            .await?
            .into_inner()
            .message()
            .await
    };
    let (range, put, txn, grant, renewed) = tokio::join!(
        reader.range(range(false)),
        writer.put(put_request("k", "w")),
        granter.txn(linearizable),
        lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 10 }),
        renewed,
    );
    let deadline = (
        Code::DeadlineExceeded,
        "context deadline exceeded".to_owned(),
    );
    assert_eq!(
        told(range),
        unavailable("request timed out"),
        "linearizable range"
    );
    assert_eq!(
        told(txn),
        unavailable("request timed out"),
        "linearizable txn"
    );
    assert_eq!(told(put), deadline, "put");
    assert_eq!(told(grant), deadline, "lease grant");
    assert_eq!(told(renewed), unavailable("no leader"), "keep alive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_need_a_leader_end_without_one_and_others_go_on() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let member = (leader + 1) % 3;
    let metadata = [("hasleader", "true")];
    let mut needs = Watch::open_with(&cluster, member, key("k"), &metadata)
        .await
        .unwrap();
    let mut patient = Watch::open(&cluster, member, key("k")).await;
    (0..3)
        .filter(|other| *other != member)
        .for_each(|other| cluster.kill(other).unwrap());
    assert_eq!(told(needs.next().await), unavailable("no leader"));
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    put(&cluster, leader, "k", "later").await;
    assert_eq!(patient.values(1).await, ["later"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lost_its_followers_acknowledges_nothing() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    (0..3)
        .filter(|other| *other != leader)
        .for_each(|other| cluster.kill(other).unwrap());
    let reply = cluster
        .kv(leader)
        .unwrap()
        .put(put_request("k", "lost?"))
        .await;
    let (code, message) = told(reply);
    let refused = matches!(code, Code::Unavailable | Code::DeadlineExceeded);
    assert!(refused, "{code:?} {message}");
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    put(&cluster, leader, "k", "kept").await;
    assert_eq!(
        get(&cluster, (leader + 1) % 3, "k").await.as_deref(),
        Some("kept")
    );
}
