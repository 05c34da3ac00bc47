//! Snapshots whose connection, sender or receiver does not last, and the log
//! that is kept meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::faults::{leave_one_behind, short_log};
use super::harness::{Cluster, Net, TestMember, until, within};
use crate::transport::memory::MemoryNetwork;
use crate::{Config, Metrics};

/// 420 values of this length are about sixty chunks.
const VALUE_BYTES: usize = 40_000;

/// Elections are not what is tested, on a machine that may be busy.
fn steady(config: &mut Config) {
    short_log(config);
    config.heartbeat_interval = Duration::from_millis(100);
    config.election_timeout = Duration::from_millis(1500);
}

/// Three members on a network, one of which needs a snapshot once it is started.
async fn one_behind(tune: impl Fn(&mut Config)) -> (MemoryNetwork, Cluster, usize) {
    let network = MemoryNetwork::new();
    let mut cluster = Cluster::start(&Net::Memory(network.clone()), 3, tune).await;
    let laggard = leave_one_behind(&mut cluster, &"v".repeat(VALUE_BYTES)).await;
    (network, cluster, laggard)
}

fn total(cluster: &Cluster, count: impl Fn(&Metrics) -> u64) -> u64 {
    let running = cluster
        .members
        .iter()
        .filter_map(|member| member.node.as_ref());
    running.map(|node| count(node.metrics())).sum()
}

fn chunks_sent(cluster: &Cluster) -> u64 {
    total(cluster, |metrics| metrics.snapshot_chunks_sent.value())
}

async fn assert_caught_up(member: &TestMember) {
    assert!(member.read("m119").await.is_some());
    assert!(member.node().metrics().snapshots_received.value() >= 1);
    assert_eq!(member.disk.live.lock().values.len(), 420);
}

/// Starts the laggard and waits until a part of the snapshot has been sent.
async fn begin_slowly(network: &MemoryNetwork, cluster: &mut Cluster, laggard: usize) {
    network.delay(Duration::from_millis(10));
    cluster.members[laggard].start().await;
    until(|| chunks_sent(cluster) >= 20).await;
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_was() {
    let (network, mut cluster, laggard) = one_behind(steady).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    let address = cluster.members[laggard].address.clone();
    for goal in [20, 40] {
        until(|| chunks_sent(&cluster) >= goal).await;
        network.break_connections(&address);
    }
    until(|| total(&cluster, |metrics| metrics.snapshots_resumed.value()) >= 2).await;
    network.delay(Duration::ZERO);
    assert_caught_up(&cluster.members[laggard]).await;
    assert_eq!(
        total(&cluster, |metrics| metrics.snapshots_received.value()),
        1
    );
    // All values once, and what was under way when it broke, twice.
    let whole = (420 * (VALUE_BYTES + 10)).div_ceil(256 << 10) as u64;
    let sent = chunks_sent(&cluster);
    // Each read of fifty values ends in a chunk that is not full.
    assert!(sent <= whole + 420 / 50 + 1 + 2 * 8, "{sent} of {whole}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_costs_a_few_chunks() {
    let (network, mut cluster, laggard) = one_behind(steady).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    network.corrupt_next(&cluster.members[laggard].address, 30_000);
    until(|| total(&cluster, |metrics| metrics.snapshots_resumed.value()) >= 1).await;
    network.delay(Duration::ZERO);
    assert_caught_up(&cluster.members[laggard]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_bit_that_flips_at_the_source_is_found_and_the_snapshot_sent_again() {
    let (_network, mut cluster, laggard) = one_behind(steady).await;
    let leader = cluster.leader().await;
    let damages = Arc::clone(&cluster.members[leader].disk.damages_next);
    damages.store(true, Ordering::Release);
    cluster.members[laggard].start().await;
    assert_caught_up(&cluster.members[laggard]).await;
    assert!(!damages.load(Ordering::Acquire), "nothing was damaged");
    let failed = |metrics: &Metrics| metrics.snapshots_receive_failed.value();
    assert!(failed(cluster.members[laggard].node().metrics()) >= 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_receiver_that_restarts_midway_catches_up() {
    let (network, mut cluster, laggard) = one_behind(steady).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    cluster.members[laggard].stop().await;
    network.delay(Duration::ZERO);
    cluster.members[laggard].start().await;
    assert_caught_up(&cluster.members[laggard]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_next_leader_serves_who_the_last_one_left_midway() {
    let (network, mut cluster, laggard) = one_behind(steady).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    let sending = |member: &TestMember| member.node().metrics().snapshot_chunks_sent.value() > 0;
    let leader = (0..3)
        .find(|place| sending(&cluster.members[*place]))
        .unwrap();
    cluster.members[leader].stop().await;
    network.delay(Duration::ZERO);
    assert_caught_up(&cluster.members[laggard]).await;
    cluster.members[leader].start().await;
    cluster.propose(leader, "after=1").await;
    let read = cluster.members[laggard].read("after").await;
    assert_eq!(read.as_deref(), Some("1"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_hands_over_midway_is_followed_by_the_next() {
    let (network, mut cluster, laggard) = one_behind(steady).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    let leader = cluster.leader().await;
    let limit = Duration::from_secs(10);
    let moved = cluster.members[leader]
        .node()
        .transfer_leadership(None, limit);
    within(moved).await.unwrap();
    network.delay(Duration::ZERO);
    assert_caught_up(&cluster.members[laggard]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn what_a_broken_transfer_keeps_is_let_go() {
    let tune = |config: &mut Config| {
        steady(config);
        config.snapshot_kept = Duration::from_millis(300);
    };
    let (network, mut cluster, laggard) = one_behind(tune).await;
    begin_slowly(&network, &mut cluster, laggard).await;
    let leader = cluster.leader().await;
    let sources = Arc::clone(&cluster.members[leader].disk.sources);
    let held = || sources.load(Ordering::Acquire) > 0;
    assert!(held(), "the snapshot is pinned while it is sent");
    cluster.members[laggard].stop().await;
    until(|| !held()).await;
    network.delay(Duration::ZERO);
    cluster.members[laggard].start().await;
    assert_caught_up(&cluster.members[laggard]).await;
    until(|| !held()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn no_more_than_the_set_number_is_sent_at_once() {
    let network = MemoryNetwork::new();
    let tune = |config: &mut Config| {
        steady(config);
        config.snapshots_at_once = 1;
    };
    let mut cluster = Cluster::start(&Net::Memory(network.clone()), 5, tune).await;
    let leader = cluster.leader().await;
    let behind = [(leader + 1) % 5, (leader + 2) % 5];
    for place in behind {
        cluster.members[place].stop().await;
    }
    let value = "v".repeat(VALUE_BYTES);
    for number in 0..420 {
        cluster.propose(leader, &format!("m{number}={value}")).await;
    }
    network.delay(Duration::from_millis(10));
    for place in behind {
        cluster.members[place].start().await;
    }
    let metrics = Arc::clone(cluster.members[leader].node().metrics());
    let sources = Arc::clone(&cluster.members[leader].disk.sources);
    let mut has_waited = false;
    let is_done = || {
        assert!(metrics.snapshots_sending.value() <= 1);
        has_waited |= metrics.snapshots_waiting.value() >= 1;
        // One state for both.
        assert!(sources.load(Ordering::Acquire) <= 3);
        metrics.snapshots_sent.value() >= 2
    };
    until(is_done).await;
    assert!(has_waited, "the second one did not wait");
    network.delay(Duration::ZERO);
    for place in behind {
        assert_eq!(
            cluster.members[place].read("m419").await,
            Some(value.clone())
        );
    }
    until(|| metrics.snapshots_sending.value() + metrics.snapshots_waiting.value() == 0).await;
    cluster.stop().await;
}

/// The bound of 2 MiB, what a checkpoint waits for, and the segments that are
/// written, prepared, spare, and purged at this moment.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the files of a member's log.
fn log_bytes(member: &TestMember) -> u64 {
    let entries = std::fs::read_dir(&member.config.wal.directory).unwrap();
    let lengths = entries.map(|entry| entry.unwrap().metadata().map_or(0, |of| of.len()));
    lengths.sum()
}

#[tokio::test]
async fn a_follower_that_is_cut_off_does_not_make_the_log_grow() {
    let network = MemoryNetwork::new();
    let tune = |config: &mut Config| {
        steady(config);
        // Neither bound on entries is met here: bytes alone have to do.
        (config.snapshot_count, config.kept_entries_count) = (10_000, 5_000);
        config.kept_bytes_max = 2 << 20;
        config.wal.segment_bytes = 1 << 20;
    };
    let mut cluster = Cluster::start(&Net::Memory(network.clone()), 3, tune).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    let address = |place: usize| cluster.members[place].address.clone();
    // Nothing is reset: it just falls silent, with entries on their way.
    network.cut(&address(away), &address(leader));
    network.cut(&address(away), &address(other));
    let value = "v".repeat(VALUE_BYTES);
    let mut number = 0;
    let mut write = async |count| {
        let node = cluster.members[leader].node();
        let payloads = (number..number + count).map(|at| format!("m{at}={value}").into());
        number += count;
        let results = within(futures_util::future::join_all(
            payloads.map(|payload: Bytes| node.propose(payload)),
        ));
        let results = results.await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        log_bytes(&cluster.members[leader])
    };
    // As long as it may still answer, entries that are on their way are kept.
    let leading = Arc::clone(cluster.members[leader].node().metrics());
    while leading.snapshots_sending.value() + leading.snapshots_send_failed.value() == 0 {
        write(20).await;
    }
    while write(20).await > LOG_BYTES_MAX {}
    // From then on nothing is, whatever is written.
    for _ in 0..50 {
        let bytes = write(20).await;
        assert!(bytes < LOG_BYTES_MAX, "{bytes}");
    }
    let last = format!("m{}", number - 1);
    network.heal();
    let read = cluster.members[away].read(&last).await;
    assert_eq!(read.as_deref(), Some(value.as_str()));
    let metrics = Arc::clone(cluster.members[away].node().metrics());
    assert!(metrics.snapshots_received.value() >= 1);
    assert_eq!(cluster.members[away].disk.live.lock().values.len(), number);
    // Two in quick succession: it is cut off again as soon as it is back.
    network.cut(&address(away), &address(leader));
    network.cut(&address(away), &address(other));
    for number in 0..200 {
        cluster
            .propose(leader, &format!("again{number}={value}"))
            .await;
    }
    network.heal();
    assert!(cluster.members[away].read("again199").await.is_some());
    assert!(metrics.snapshots_received.value() >= 2);
    let member = &mut cluster.members[away];
    member.stop().await;
    member.start().await;
    assert!(cluster.members[away].read("again199").await.is_some());
    cluster.stop().await;
}
