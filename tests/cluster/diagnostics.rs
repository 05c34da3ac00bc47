//! What a member says about its own speed: lines about slow requests, and
//! profiles.

use quoin_tests::{
    cluster::{Cluster, Options},
    http, wait,
};
use serde_json::Value;

use crate::support::{CALM, Watch, get, key, put_once};

/// The first log line of a member with this message and this text in it.
async fn line(cluster: &mut Cluster, member: usize, message: &str, text: &str) -> Value {
    let process = cluster.process(member).unwrap();
    let found = wait::until(message, wait::DEADLINE, async || {
        let output = process.output();
        let mut lines = output.lines().filter(|line| line.contains(text));
        let mut parsed = lines.find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["msg"] == message).then_some(line)
        });
        parsed.take().ok_or("no such line")
    });
    found.await.unwrap()
}

fn names(line: &Value) -> Vec<&str> {
    let fields = line.as_object().unwrap().keys();
    fields.map(String::as_str).collect()
}

fn holds(line: &Value, fields: &[&str]) {
    for field in fields {
        assert!(names(line).contains(field), "no {field:?} in {line}");
    }
}

#[tokio::test]
async fn slow_requests_say_where_their_time_went() {
    let flags = [
        CALM[0],
        "--warning-apply-duration=1ns",
        "--warning-unary-request-duration=1us",
    ];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let follower = (leader + 1) % 3;
    put_once(&cluster, leader, "led", "a secret value").await;
    put_once(&cluster, follower, "followed", "a secret value").await;
    assert!(get(&cluster, follower, "followed").await.is_some());

    let stats = line(&mut cluster, leader, "request stats", "\\\"led\\\"").await;
    assert_eq!(stats["level"], "warn");
    assert_eq!(stats["response type"], "/etcdserverpb.KV/Put");
    assert_eq!(stats["request content"], "put key:\"led\" value_size:14");
    assert_eq!(
        (&stats["request count"], &stats["request size"]),
        (&1.into(), &21.into())
    );
    holds(
        &stats,
        &[
            "start time",
            "time spent",
            "response count",
            "response size",
        ],
    );
    holds(
        &stats,
        &["queue", "propose", "replicate", "commit", "apply", "reply"],
    );

    // The leader's stages are not known elsewhere, the way there and back is.
    let stats = line(&mut cluster, follower, "request stats", "\\\"followed\\\"").await;
    holds(&stats, &["queue", "commit", "apply", "reply"]);
    assert!(!names(&stats).contains(&"propose"), "{stats}");

    let apply = "apply request took too long";
    let slow = line(&mut cluster, leader, apply, "put key:\\\"led\\\"").await;
    holds(
        &slow,
        &["took", "expected-duration", "prefix", "request", "response"],
    );
    holds(&slow, &["propose", "replicate", "apply-wait"]);
    let slow = line(&mut cluster, follower, apply, "read-only range ").await;
    holds(
        &slow,
        &[
            "took",
            "expected-duration",
            "request",
            "read-index",
            "range",
        ],
    );
    let output = cluster.process(leader).unwrap().output();
    assert!(
        !output.contains("a secret value"),
        "values stay out of the log"
    );
}

#[tokio::test]
async fn a_profile_shows_the_work_of_a_member() {
    let flags = [CALM[0], "--enable-pprof", "--rpc-threads=1"];
    let cluster = Cluster::start(Options::new(1).flags(flags)).await.unwrap();
    let port = cluster.member(0).unwrap().client_port;
    let watch = Watch::open(&cluster, 0, key("k")).await;
    let (status, tasks) = http::get(port, "/debug/pprof/goroutine?debug=1")
        .await
        .unwrap();
    assert_eq!(status, 200, "{tasks}");
    for text in ["quoin-rpc", "raft-", "1 coalescer", "1 watchers"] {
        assert!(tasks.contains(text), "no {text:?} in {tasks}");
    }
    drop(watch);

    let (status, heap) = http::get(port, "/debug/pprof/heap?debug=1").await.unwrap();
    assert_eq!(status, 200, "{heap}");
    let committed = heap
        .lines()
        .find_map(|line| line.strip_prefix("committed "));
    let committed: u64 = committed.unwrap().parse().unwrap();
    assert!(committed > 1 << 20, "{heap}");

    let profile = http::get(port, "/debug/pprof/profile?seconds=2&debug=1");
    let (status, folded) = while_it_works(&cluster, profile).await.unwrap();
    assert_eq!(status, 200, "{folded}");
    let of_runtime = folded.lines().filter(|line| line.starts_with("quoin-rpc;"));
    assert!(of_runtime.count() > 0, "{folded}");
    assert!(folded.contains("quoin_server::"), "{folded}");

    let file = http::get(port, "/debug/pprof/profile?seconds=1");
    let second = http::get(port, "/debug/pprof/profile?seconds=1");
    let both = async { tokio::join!(file, second) };
    let (file, second) = while_it_works(&cluster, both).await;
    let mut answers = [file.unwrap(), second.unwrap()];
    answers.sort_by_key(|(status, _)| *status);
    let [(200, file), (500, second)] = answers else {
        panic!("one is served, one refused: {answers:?}");
    };
    assert!(file.contains("nanoseconds"), "a string of the file's table");
    assert_eq!(
        second,
        "Could not enable CPU profiling: cpu profiling already in use\n"
    );
}

/// Keeps a member busy until `ends` does.
async fn while_it_works<T>(cluster: &Cluster, ends: impl Future<Output = T>) -> T {
    let work = async {
        loop {
            put_once(cluster, 0, "k", "v").await;
        }
    };
    tokio::select! {
        ended = ends => ended,
        () = work => unreachable!("it never ends"),
    }
}
