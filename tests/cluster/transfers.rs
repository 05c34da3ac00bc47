//! Snapshots between members that are disturbed on the way: by the network, by
//! the end of a process, by work on the same data. The member catches up.

use std::{sync::Arc, time::Duration};

use quoin_proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, maintenance_client::MaintenanceClient,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    http::metric,
    noise::Noise,
    wait,
};

use crate::support::{assert_members_agree, local, put, revision};

/// A log that is cut soon, so that a late member needs a snapshot.
const FLAGS: [&str; 3] = [
    "--snapshot-count=10",
    "--snapshot-catchup-entries=5",
    "--election-timeout=3000",
];

/// A snapshot of this many values of this length is some 80 chunks.
const VALUES_COUNT: usize = 40;
const VALUE_BYTES: usize = 500_000;

/// Holds 64 KiB back for this long: the snapshot takes seconds.
const DELAY: Duration = Duration::from_millis(8);

/// The member that is late, on a bad network.
const LATE: usize = 2;

/// Three members, one of which has not started and needs a snapshot.
async fn prepared(engine: &str) -> Cluster {
    let engine = format!("--backend-engine={engine}");
    let flags = FLAGS.into_iter().chain([engine.as_str()]);
    let mut cluster = Cluster::prepare(Options::new(3).flags(flags).wired()).unwrap();
    cluster.start_member(0).unwrap();
    cluster.start_member(1).unwrap();
    cluster.wait_ready().await.unwrap();
    // Twice, so that there is something to compact.
    for round in 0..2 {
        for number in 0..VALUES_COUNT / 2 {
            let value = value(number * 7 + round);
            put(&cluster, 0, &format!("key/{number}"), &value).await;
        }
    }
    for number in VALUES_COUNT / 2..VALUES_COUNT {
        put(&cluster, 0, &format!("key/{number}"), &value(number)).await;
    }
    noise(&cluster).delay(DELAY);
    cluster
}

fn noise(cluster: &Cluster) -> Arc<Noise> {
    cluster.wires().unwrap().noise(LATE)
}

/// What hardly compresses, so that blocks and chunks have their size.
fn value(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + (state >> 57) as u8 % 90)
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

/// Waits until so many bytes have gone to the late member.
async fn wait_passed(cluster: &Cluster, bytes: u64) {
    let noise = noise(cluster);
    let passed = || noise.passed_bytes() >= bytes;
    wait::until_true("a part of the snapshot to be sent", wait::DEADLINE, passed)
        .await
        .unwrap();
}

async fn assert_caught_up(cluster: &mut Cluster) {
    noise(cluster).delay(Duration::ZERO);
    cluster.wait_ready().await.unwrap();
    assert_members_agree(cluster).await;
    assert_eq!(local(cluster, LATE, "key/").await.len(), VALUES_COUNT);
    let port = cluster.member(LATE).unwrap().client_port;
    let received = metric(port, "quoin_raft_snapshots_received_total").await;
    assert!(received.unwrap() >= 1.0);
    put(cluster, LATE, "key/own", "of the late member").await;
    assert_members_agree(cluster).await;
}

async fn sum_of(cluster: &Cluster, name: &str) -> f64 {
    let mut sum = 0.0;
    for position in cluster.running() {
        let port = cluster.member(position).unwrap().client_port;
        sum += metric(port, name).await.unwrap_or(0.0);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_on_after_breaks_and_a_flipped_bit() {
    let mut cluster = prepared("sled").await;
    let before = noise(&cluster).passed_bytes();
    cluster.start_member(LATE).unwrap();
    for step in 1..=3 {
        wait_passed(&cluster, before + step * 3_500_000).await;
        noise(&cluster).break_connections();
    }
    wait_passed(&cluster, before + 4 * 3_500_000).await;
    noise(&cluster).flip_next();
    wait_passed(&cluster, before + 5 * 3_500_000).await;
    assert!(noise(&cluster).has_flipped());
    assert_caught_up(&mut cluster).await;
    let resumed = sum_of(&cluster, "quoin_raft_snapshots_resumed_total").await;
    assert!(resumed >= 3.0, "{resumed}");
    // All of it was not sent again each time.
    let passed = noise(&cluster).passed_bytes() - before;
    assert!(passed < 40_000_000, "{passed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_killed_midway_catches_up() {
    let mut cluster = prepared("redb").await;
    for _ in 0..2 {
        let before = noise(&cluster).passed_bytes();
        cluster.start_member(LATE).unwrap();
        wait_passed(&cluster, before + 6_000_000).await;
        cluster.kill(LATE).unwrap();
    }
    cluster.start_member(LATE).unwrap();
    assert_caught_up(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_midway_is_replaced_as_sender_too() {
    let mut cluster = prepared("sled").await;
    let leader = cluster.wait_leader().await.unwrap();
    let before = noise(&cluster).passed_bytes();
    cluster.start_member(LATE).unwrap();
    wait_passed(&cluster, before + 6_000_000).await;
    cluster.kill(leader).unwrap();
    noise(&cluster).delay(Duration::ZERO);
    cluster.wait_ready().await.unwrap();
    put(&cluster, LATE, "key/0", "by the other two").await;
    cluster.start_member(leader).unwrap();
    assert_caught_up(&mut cluster).await;
}

/// Source: etcd issue 20271, a defragmentation while a snapshot is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_and_defragmentation_disturb_no_snapshot() {
    for engine in ["sled", "redb"] {
        let mut cluster = prepared(engine).await;
        let before = noise(&cluster).passed_bytes();
        cluster.start_member(LATE).unwrap();
        wait_passed(&cluster, before + 3_500_000).await;
        let compaction = CompactionRequest {
            revision: revision(&cluster, 0).await,
            physical: true,
        };
        cluster.kv(0).unwrap().compact(compaction).await.unwrap();
        for step in 2..=4 {
            for position in 0..2 {
                let channel = cluster.channel(position).unwrap();
                let mut maintenance = MaintenanceClient::new(channel);
                maintenance.defragment(DefragmentRequest {}).await.unwrap();
            }
            put(&cluster, 0, "key/1", &format!("put at {step}")).await;
            wait_passed(&cluster, before + step * 3_500_000).await;
        }
        assert_caught_up(&mut cluster).await;
    }
}
