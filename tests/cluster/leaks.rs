//! Clients that vanish leave nothing behind in the server.

use quoin_proto::etcdserverpb::watch_request::RequestUnion;
use quoin_proto::etcdserverpb::{RangeRequest, WatchCreateRequest, WatchRequest};
use quoin_tests::{
    cluster::{Cluster, Options},
    http, wait,
};

use crate::support::{Watch, key, put};

/// Streams, each on a connection of its own.
const STREAMS_COUNT: usize = 40;

/// Watchers of each stream.
const WATCHERS_COUNT: usize = 5;

async fn wait_metric(port: u16, name: &str, expected: f64) {
    let what = format!("{name} to be {expected}");
    wait::until(&what, wait::DEADLINE, async || {
        let found = http::metric(port, name)
            .await
            .map_err(|error| error.to_string())?;
        if (found - expected).abs() < 0.5 {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_vanished_clients_are_removed() {
    let cluster = Cluster::start(Options::new(1)).await.unwrap();
    let port = cluster.member(0).unwrap().client_port;
    let mut streams = Vec::new();
    for stream in 0..STREAMS_COUNT {
        let watch = Watch::open(&cluster, 0, key(&format!("k{stream}"))).await;
        for watcher in 1..WATCHERS_COUNT {
            let create = WatchCreateRequest {
                key: format!("k{watcher}").into(),
                range_end: "z".into(),
                prev_kv: true,
                ..WatchCreateRequest::default()
            };
            let union = Some(RequestUnion::CreateRequest(create));
            watch
                .requests
                .send(WatchRequest {
                    request_union: union,
                })
                .await
                .unwrap();
        }
        streams.push(watch);
    }
    let watchers = (STREAMS_COUNT * WATCHERS_COUNT) as f64;
    wait_metric(port, "etcd_debugging_mvcc_watcher_total", watchers).await;
    wait_metric(
        port,
        "etcd_debugging_mvcc_watch_stream_total",
        STREAMS_COUNT as f64,
    )
    .await;
    for number in 0..20 {
        put(&cluster, 0, "k5", &number.to_string()).await;
    }
    drop(streams);
    wait_metric(port, "etcd_debugging_mvcc_watcher_total", 0.0).await;
    wait_metric(port, "etcd_debugging_mvcc_watch_stream_total", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_left_in_its_middle_frees_what_it_held() {
    let cluster = Cluster::start(Options::new(1)).await.unwrap();
    let port = cluster.member(0).unwrap().client_port;
    let large = "x".repeat(100_000);
    for number in 0..100 {
        put(&cluster, 0, &format!("k/{number}"), &large).await;
    }
    let before = http::metric(port, "process_open_fds").await.unwrap();
    for _ in 0..STREAMS_COUNT {
        let range = RangeRequest {
            key: "k".into(),
            range_end: "l".into(),
            ..<_>::default()
        };
        let mut stream = cluster
            .kv(0)
            .unwrap()
            .range_stream(range)
            .await
            .unwrap()
            .into_inner();
        assert!(stream.message().await.unwrap().is_some());
        drop(stream);
        let history = WatchCreateRequest {
            range_end: "l".into(),
            start_revision: 1,
            ..key("k")
        };
        drop(Watch::open(&cluster, 0, history).await);
    }
    wait_metric(port, "etcd_debugging_mvcc_watch_stream_total", 0.0).await;
    wait::until("connections to be closed", wait::DEADLINE, async || {
        let now = http::metric(port, "process_open_fds")
            .await
            .map_err(|error| error.to_string())?;
        if now <= before + 3.0 {
            Ok(())
        } else {
            Err(format!("{now}, before {before}"))
        }
    })
    .await
    .unwrap();
}
