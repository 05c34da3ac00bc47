//! Members that missed much are brought up to date by snapshot.

use quoin_tests::cluster::{Cluster, Options};

use crate::support::{assert_members_agree, local, put};

/// Entries after which the log is cut, so that a late member needs more than
/// the log.
const FLAGS: [&str; 2] = ["--snapshot-count=50", "--snapshot-catchup-entries=5"];

/// Writes that a late member misses: several times the above.
const WRITES_COUNT: usize = 300;

#[tokio::test]
async fn a_member_that_missed_everything_catches_up() {
    let mut cluster = Cluster::prepare(Options::new(3).flags(FLAGS)).unwrap();
    cluster.start_member(0).unwrap();
    cluster.start_member(1).unwrap();
    cluster.wait_ready().await.unwrap();
    for number in 0..WRITES_COUNT {
        put(
            &cluster,
            number % 2,
            &format!("key/{number}"),
            &number.to_string(),
        )
        .await;
    }
    cluster.start_member(2).unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
    assert_eq!(local(&cluster, 2, "key/").await.len(), WRITES_COUNT);
    put(&cluster, 2, "key/own", "of the late member").await;
    assert_members_agree(&cluster).await;
}

#[tokio::test]
async fn a_member_that_was_away_catches_up_and_restarts() {
    let mut cluster = Cluster::start(Options::new(3).flags(FLAGS)).await.unwrap();
    put(&cluster, 0, "key/first", "1").await;
    let leader = cluster.wait_leader().await.unwrap();
    let away = (leader + 1) % 3;
    cluster.kill(away).unwrap();
    for number in 0..WRITES_COUNT {
        put(
            &cluster,
            leader,
            &format!("key/{number}"),
            &number.to_string(),
        )
        .await;
    }
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
    let expected = local(&cluster, leader, "key/").await;
    assert_eq!(local(&cluster, away, "key/").await, expected);
    cluster.kill(away).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
    assert_eq!(local(&cluster, away, "key/").await, expected);
}
