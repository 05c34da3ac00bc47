//! A cluster of one.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::harness::{Cluster, Net, until, within};

#[tokio::test]
async fn one_member_elects_itself_at_once_and_keeps_its_state() {
    let begin = Instant::now();
    let mut cluster = Cluster::start(&Net::Tcp, 1, |_| {}).await;
    cluster.propose(0, "a=1").await;
    // Far below the election timeout of a second, whatever the machine does.
    assert!(
        begin.elapsed() < Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    println!("first proposal after {:?}", begin.elapsed());
    assert_eq!(cluster.members[0].read("a").await.as_deref(), Some("1"));
    let status = cluster.members[0].node().status();
    assert_eq!(
        (status.leader, status.is_learner, status.running),
        (Some(1), false, true)
    );
    assert!(
        status.applied_index >= 3,
        "bootstrap, blank, proposal: {status:?}"
    );
    let upper = within(cluster.members[0].node().request_leader(Bytes::from("abc"))).await;
    assert_eq!(upper.unwrap(), "ABC");

    cluster.members[0].stop().await;
    let begin = Instant::now();
    cluster.members[0].start().await;
    assert_eq!(cluster.members[0].read("a").await.as_deref(), Some("1"));
    println!("restart to first read {:?}", begin.elapsed());
    cluster.propose(0, "a=2").await;
    assert_eq!(cluster.members[0].read("a").await.as_deref(), Some("2"));
    cluster.stop().await;
}

#[tokio::test]
async fn the_log_is_purged_behind_checkpoints_and_the_member_restarts_from_one() {
    let mut cluster = Cluster::start(&Net::Tcp, 1, |config| {
        config.snapshot_count = 50;
        config.kept_entries_count = 10;
        config.cache_bytes_max = 1000;
    })
    .await;
    for number in 0..300 {
        cluster
            .propose(0, &format!("k{}={number}", number % 7))
            .await;
    }
    let checkpoint = cluster.members[0].disk.checkpoint.clone();
    until(|| {
        checkpoint
            .lock()
            .applied
            .log_id
            .is_some_and(|id| id.index > 200)
    })
    .await;
    assert!(cluster.members[0].node().metrics().checkpoints.value() >= 4);
    cluster.members[0].stop().await;
    cluster.members[0].start().await;
    assert_eq!(cluster.members[0].read("k5").await.as_deref(), Some("299"));
    cluster.stop().await;
}

#[tokio::test]
async fn many_proposals_at_once_are_all_applied() {
    let cluster = Cluster::start(&Net::Tcp, 1, |_| {}).await;
    let node = cluster.members[0].node();
    let proposals = (0..2000).map(|number| {
        let mut buffer = node.entry_pool().get(32);
        buffer
            .bytes_mut()
            .extend_from_slice(format!("k{number}=x").as_bytes());
        node.propose(buffer.freeze())
    });
    let results = within(futures_util::future::join_all(proposals)).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(cluster.members[0].disk.live.lock().values.len(), 2000);
    let reads = (0..500).map(|_| node.read_index(1));
    assert!(
        within(futures_util::future::join_all(reads))
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert!(
        node.metrics().read_index_rounds.value() < 100,
        "reads share rounds"
    );
    cluster.stop().await;
}
