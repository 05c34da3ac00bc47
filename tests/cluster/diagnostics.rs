//! What a member says about its own speed: lines about slow requests.

use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
};
use serde_json::Value;

use crate::support::{CALM, get, put_once};

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
