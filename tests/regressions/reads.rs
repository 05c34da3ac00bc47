//! Linearizable reads while processes stand still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quoin_proto::etcdserverpb::{
    Compare, RangeRequest, RequestOp, TxnRequest, compare, kv_client::KvClient, request_op::Request,
};
use quoin_tests::{
    cluster::{self, Cluster, Options},
    wait,
};
use tokio::{task::JoinSet, time::timeout};

use crate::support::put_request;

/// Patience of a caller: longer than a pause, so that reads begun before one are
/// still there when it ends.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// Patience of the writer.
const WRITE_DEADLINE: Duration = Duration::from_secs(1);

/// Readers per member.
const READERS_COUNT: usize = 4;

/// A register that is only ever counted up.
#[derive(Default)]
struct Register {
    /// The largest number whose put was acknowledged.
    acknowledged: AtomicU64,
    reads_count: AtomicU64,
    stop: AtomicBool,
}

/// Puts a number where the one before it is: a put that was given up and arrives
/// late changes nothing.
fn count_up(number: u64) -> TxnRequest {
    let before = Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Version.into(),
        key: "register".into(),
        target_union: Some(compare::TargetUnion::Version(
            i64::try_from(number).unwrap() - 1,
        )),
        ..Compare::default()
    };
    let put = Request::RequestPut(put_request("register", &number.to_string()));
    TxnRequest {
        compare: vec![before],
        success: vec![RequestOp { request: Some(put) }],
        ..TxnRequest::default()
    }
}

/// Counts up, through whoever answers.
async fn write(register: Arc<Register>, urls: Vec<String>) {
    let mut member = 0;
    for number in 1_u64.. {
        loop {
            if register.stop.load(Ordering::Relaxed) {
                return;
            }
            let mut kv = KvClient::new(cluster::channel(&urls[member % urls.len()]).unwrap());
            // Where the comparison fails an earlier try has succeeded.
            if let Ok(Ok(_)) = timeout(WRITE_DEADLINE, kv.txn(count_up(number))).await {
                break;
            }
            member += 1;
        }
        register.acknowledged.store(number, Ordering::SeqCst);
    }
}

/// Reads through one member; what it finds is not older than what was
/// acknowledged before it asked.
async fn read(register: Arc<Register>, url: String) {
    let mut kv = KvClient::new(cluster::channel(&url).unwrap());
    let request = RangeRequest {
        key: "register".into(),
        ..RangeRequest::default()
    };
    while !register.stop.load(Ordering::Relaxed) {
        let before = register.acknowledged.load(Ordering::SeqCst);
        let reply = timeout(READ_DEADLINE, kv.range(request.clone())).await;
        let Ok(Ok(reply)) = reply else { continue };
        let found = reply.get_ref().kvs.first();
        let found = found.map_or(0, |pair| {
            String::from_utf8_lossy(&pair.value).parse().unwrap()
        });
        assert!(
            found >= before,
            "read {found}, {before} was acknowledged before"
        );
        register.reads_count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until a counter is `count` further.
async fn advance(what: &str, counter: &AtomicU64, count: u64) {
    let goal = counter.load(Ordering::SeqCst) + count;
    wait::until_true(what, wait::DEADLINE, || {
        counter.load(Ordering::SeqCst) >= goal
    })
    .await
    .unwrap();
}

/// etcd issue 20418: a leader that was paused in the middle of read-index rounds,
/// and replaced meanwhile, answered reads from its own state when it went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_20418_a_pause_during_read_index_rounds_gives_no_stale_read() {
    let flags = ["--heartbeat-interval=50", "--election-timeout=400"];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let register = Arc::new(Register::default());
    let mut clients = JoinSet::new();
    clients.spawn(write(Arc::clone(&register), cluster.urls()));
    for url in cluster.urls() {
        for _ in 0..READERS_COUNT {
            clients.spawn(read(Arc::clone(&register), url.clone()));
        }
    }
    for round in 0..5 {
        advance("writes", &register.acknowledged, 20).await;
        advance("reads", &register.reads_count, 100).await;
        let leader = cluster.wait_leader().await.unwrap();
        // The leader, or one of those it asks.
        let paused = if round % 3 == 2 {
            (leader + 1) % 3
        } else {
            leader
        };
        cluster.process(paused).unwrap().pause().unwrap();
        // A new leader has taken writes that the old one does not have.
        advance("writes", &register.acknowledged, 20).await;
        cluster.process(paused).unwrap().resume().unwrap();
        advance("reads", &register.reads_count, 100).await;
    }
    register.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}
