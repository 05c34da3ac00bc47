//! Members killed with SIGKILL under load: no acknowledged write is lost.

use std::env;

use quoin_tests::{
    cluster::{Cluster, Options},
    workload::{Load, PREFIX},
};

use crate::support::{assert_members_agree, get, local, put};

/// Acknowledged writes between two kills: some batches, well under a second.
const WRITES_BETWEEN: usize = 100;

/// Rounds of each kill test: `QUOIN_ROUNDS`, else 3.
fn rounds() -> usize {
    env::var("QUOIN_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(3)
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    /// Some member that does not lead.
    Follower,
    Leader,
    All,
}

async fn kill_under_load(flags: &[&str], victims: &[Victim]) {
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let load = Load::start(&cluster.urls()).unwrap();
    for round in 0..rounds() {
        for victim in victims {
            load.wait_acknowledged(WRITES_BETWEEN).await.unwrap();
            let leader = cluster.wait_leader().await.unwrap();
            match victim {
                Victim::Follower => cluster.kill((leader + 1 + round % 2) % 3).unwrap(),
                Victim::Leader => cluster.kill(leader).unwrap(),
                Victim::All => cluster.kill_all().unwrap(),
            }
            if !matches!(victim, Victim::All) {
                load.wait_acknowledged(WRITES_BETWEEN).await.unwrap();
            }
            cluster.start_all().unwrap();
            cluster.wait_ready().await.unwrap();
        }
    }
    load.wait_acknowledged(WRITES_BETWEEN).await.unwrap();
    let history = load.stop().await;
    assert_members_agree(&cluster).await;
    for member in 0..3 {
        let broken = history.broken_promises(&local(&cluster, member, PREFIX).await);
        assert!(
            broken.is_empty(),
            "member {member}, {} writes acknowledged:\n{}",
            history.acknowledged_count(),
            broken.join("\n"),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_one_member_is_killed() {
    kill_under_load(&[], &[Victim::Follower, Victim::Leader]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_all_members_are_killed() {
    kill_under_load(&[], &[Victim::All]).await;
}

/// etcd issue 13766 with snapshots: an applied index that is durable before its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_while_snapshots_are_taken() {
    let flags = ["--snapshot-count=200", "--snapshot-catchup-entries=20"];
    kill_under_load(&flags, &[Victim::Follower, Victim::All]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_with_the_second_engine() {
    // Raft on a thread of its own, whatever the machine has.
    let flags = [
        "--backend-engine=redb",
        "--snapshot-count=200",
        "--rpc-threads=2",
    ];
    kill_under_load(&flags, &[Victim::Leader, Victim::All]).await;
}

#[tokio::test]
async fn a_restarted_member_has_its_data() {
    let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
    for number in 0..50 {
        put(&cluster, 0, &format!("key/{number}"), &number.to_string()).await;
    }
    let before = local(&cluster, 0, "key/").await;
    assert_eq!(before.len(), 50);
    for graceful in [true, false, true] {
        if graceful {
            cluster.terminate(0).await.unwrap();
        } else {
            cluster.kill(0).unwrap();
        }
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
        assert_eq!(local(&cluster, 0, "key/").await, before);
        let revision = put(&cluster, 0, "more", "x").await;
        assert!(revision > 51, "revisions go on after a restart: {revision}");
        assert_eq!(get(&cluster, 0, "more").await.as_deref(), Some("x"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_loses_its_place_and_comes_back() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let other = (leader + 1) % 3;
    put(&cluster, leader, "k", "before").await;
    cluster.process(leader).unwrap().pause().unwrap();
    let next = new_leader(&cluster, leader).await;
    assert_ne!(next, leader);
    put(&cluster, other, "k", "while paused").await;
    cluster.process(leader).unwrap().resume().unwrap();
    // Linearizable: the old leader must not answer from its own state.
    assert_eq!(
        get(&cluster, leader, "k").await.as_deref(),
        Some("while paused")
    );
    assert_members_agree(&cluster).await;
}

/// Waits until the members other than `paused` follow one of themselves.
async fn new_leader(cluster: &Cluster, paused: usize) -> usize {
    let old = cluster.member(paused).unwrap().name.clone();
    let others: Vec<_> = (0..3).filter(|member| *member != paused).collect();
    let what = format!("a leader other than {old}");
    let found = quoin_tests::wait::until(&what, quoin_tests::wait::DEADLINE, async || {
        for member in &others {
            let status = cluster
                .status(*member)
                .await
                .map_err(|error| error.to_string())?;
            let own = status.header.map_or(0, |header| header.member_id);
            if status.leader == own {
                return Ok(*member);
            }
        }
        Err("none".to_owned())
    });
    found.await.unwrap()
}
