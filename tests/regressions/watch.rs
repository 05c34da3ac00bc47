//! Every event once, in order, whatever happens to the member or the stream.

use std::collections::BTreeSet;

use quoin_proto::etcdserverpb::{
    RequestOp, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    request_op::Request, watch_request::RequestUnion,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
    workload::{Load, PREFIX},
};

use crate::support::{CALM, Watch, get, put, put_request, revision};

/// Watches everything with a prefix.
fn prefix(prefix: &str) -> WatchCreateRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    WatchCreateRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        ..WatchCreateRequest::default()
    }
}

/// Checks of one watch what no watch may break.
#[derive(Default)]
struct Checker {
    /// No later event may be at or below it.
    told_up_to: i64,
    keys: BTreeSet<(i64, Vec<u8>)>,
    progress_count: usize,
}

impl Checker {
    fn see(&mut self, message: &WatchResponse) {
        assert!(!message.canceled, "{message:?}");
        let header = message.header.as_ref().unwrap().revision;
        if message.events.is_empty() {
            self.progress_count += 1;
        }
        for event in &message.events {
            let pair = event.kv.as_ref().unwrap();
            assert!(
                pair.mod_revision > self.told_up_to,
                "an event of revision {} after progress up to {}",
                pair.mod_revision,
                self.told_up_to
            );
            assert!(pair.mod_revision <= header, "an event ahead of its header");
            let event = (pair.mod_revision, pair.key.to_vec());
            assert!(self.keys.insert(event), "told twice: {pair:?}");
        }
        if message.events.is_empty() {
            self.told_up_to = header;
        } else {
            let last = message.events.last().unwrap().kv.as_ref().unwrap();
            // More of the same revision may follow in fragments only.
            self.told_up_to = self.told_up_to.max(last.mod_revision);
        }
    }
}

/// etcd issue 15220: a progress notification could overtake events of earlier
/// revisions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_15220_progress_is_never_ahead_of_events() {
    let flags = ["--watch-progress-notify-interval=100ms"];
    let options = Options::new(3).flags(CALM).flags(flags);
    let cluster = Cluster::start(options).await.unwrap();
    let member = (cluster.wait_leader().await.unwrap() + 1) % 3;
    let load = Load::start(&cluster.urls()).unwrap();
    let create = WatchCreateRequest {
        progress_notify: true,
        start_revision: 1,
        ..prefix(PREFIX)
    };
    let mut watch = Watch::open(&cluster, member, create).await;
    let mut checker = Checker::default();
    while checker.keys.len() < 1_500 || checker.progress_count < 100 {
        let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
        let request = WatchRequest {
            request_union: Some(progress),
        };
        // One for each message, or fewer: a flood would be refused.
        let _ = watch.requests.try_send(request);
        checker.see(&watch.next().await.unwrap());
    }
    let history = load.stop().await;
    // All that is there is told, once; a linearizable read first, so that the
    // member has it.
    revision(&cluster, member).await;
    let expected = quoin_tests::workload::found(&cluster, member)
        .await
        .unwrap();
    assert!(expected.len() >= history.acknowledged_count());
    while checker.keys.len() < expected.len() {
        checker.see(&watch.next().await.unwrap());
    }
}

/// etcd issue 15271: after a partition a watch told old revisions again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_15271_a_watch_across_a_partition_tells_nothing_twice() {
    let options = Options::new(3).flags(CALM).wired();
    let cluster = Cluster::start(options).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let member = (leader + 1) % 3;
    let mut watch = Watch::open(&cluster, member, prefix("w/")).await;
    let mut checker = Checker::default();
    for round in 0..3 {
        for number in 0..10 {
            put(&cluster, leader, &format!("w/{round}/{number}"), "near").await;
        }
        cluster.wires().unwrap().isolate(member, 0..3);
        for number in 10..40 {
            put(&cluster, leader, &format!("w/{round}/{number}"), "far").await;
        }
        cluster.wires().unwrap().mend();
        while checker.keys.len() < 40 * (round + 1) {
            checker.see(&watch.next().await.unwrap());
        }
    }
    let revisions: Vec<_> = checker.keys.iter().map(|(revision, _)| *revision).collect();
    let first = revisions[0];
    let expected: Vec<_> = (first..).take(revisions.len()).collect();
    assert_eq!(revisions, expected);
}

/// etcd issues 17247 and 17529: a stream that was starved lost events or got some
/// twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_17529_a_slow_reader_gets_every_event_once() {
    const TRANSACTIONS_COUNT: usize = 60;
    const KEYS_COUNT: usize = 100;
    let cluster = Cluster::start(Options::new(1)).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let fragments = WatchCreateRequest {
            fragment: true,
            ..prefix("s/")
        };
        slow.push(Watch::open(&cluster, 0, fragments).await);
    }
    let mut kv = cluster.kv(0).unwrap();
    for transaction in 0..TRANSACTIONS_COUNT {
        let puts = (0..KEYS_COUNT).map(|number| {
            let put = put_request(&format!("s/{number:03}"), &"x".repeat(900));
            RequestOp {
                request: Some(Request::RequestPut(put)),
            }
        });
        let txn = TxnRequest {
            success: puts.collect(),
            ..TxnRequest::default()
        };
        kv.txn(txn).await.unwrap();
        // Nobody reads: 5 MB pile up behind each stream's window.
        assert!(transaction < TRANSACTIONS_COUNT);
    }
    for watch in &mut slow {
        let mut seen = BTreeSet::new();
        let mut last = (0, Vec::new());
        while seen.len() < TRANSACTIONS_COUNT * KEYS_COUNT {
            for event in watch.next().await.unwrap().events {
                let pair = event.kv.unwrap();
                let event = (pair.mod_revision, pair.key.to_vec());
                assert!(event > last, "{event:?} after {last:?}");
                last = event.clone();
                seen.insert(event);
            }
        }
    }
}

/// etcd issue 20221: a watch from a revision that is yet to come got older events
/// after a fail-over, from a member that was behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_20221_a_watch_of_the_future_gets_nothing_older() {
    let mut cluster = Cluster::start(Options::new(3).wired()).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let (behind, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let now = put(&cluster, leader, "f/first", "v").await;
    let from = |revision| WatchCreateRequest {
        start_revision: revision,
        ..prefix("f/")
    };
    let mut across = Watch::open(&cluster, other, from(now + 21)).await;
    // One member misses writes; a client that saw them comes to it.
    assert_eq!(get(&cluster, behind, "f/first").await.as_deref(), Some("v"));
    cluster.wires().unwrap().isolate(behind, 0..3);
    let mut seen = now;
    for number in 0..10 {
        seen = put(&cluster, leader, &format!("f/a{number}"), "v").await;
    }
    let mut moved = Watch::open(&cluster, behind, from(seen + 1)).await;
    cluster.wires().unwrap().mend();
    assert!(get(&cluster, behind, "f/a9").await.is_some());
    // The leader goes.
    cluster.kill(leader).unwrap();
    let next = wait::until("a leader", wait::DEADLINE, async || {
        let status = cluster.status(other).await;
        let status = status.map_err(|error| error.to_string())?;
        (status.leader != 0).then_some(()).ok_or("none".to_owned())
    });
    next.await.unwrap();
    let mut last = seen;
    while last < now + 30 {
        last = put(&cluster, other, &format!("f/b{last}"), "v").await;
    }
    assert_eq!(revision(&cluster, behind).await, last);
    for (watch, first) in [(&mut across, now + 21), (&mut moved, seen + 1)] {
        let mut expected = first;
        while expected <= last {
            for event in watch.next().await.unwrap().events {
                assert_eq!(event.kv.unwrap().mod_revision, expected);
                expected += 1;
            }
        }
    }
}
