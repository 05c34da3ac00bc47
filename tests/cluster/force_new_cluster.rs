//! `--force-new-cluster`: one survivor goes on alone with its ids and its data.

use std::time::Duration;

use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
    workload::{Load, PREFIX},
};

use crate::support::{assert_members_agree, get, local, put};

const FORCED: &str = "--force-new-cluster";

/// The member ids as the only one that runs lists them, and the cluster's id.
async fn ids(cluster: &Cluster, position: usize) -> (Vec<u64>, u64) {
    let members = cluster.members(position).await.unwrap();
    let status = cluster.status(position).await.unwrap();
    let cluster_id = status.header.unwrap().cluster_id;
    (members.iter().map(|member| member.id).collect(), cluster_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_survivor_goes_on_alone_and_keeps_its_whole_log() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    for number in 0..20 {
        put(&cluster, number % 3, &format!("early/{number}"), "kept").await;
    }
    let (_, cluster_id) = ids(&cluster, 0).await;
    let survivor = cluster.wait_leader().await.unwrap();
    let own = cluster.member_id(survivor, survivor).await.unwrap();
    let load = Load::start(&cluster.urls()).unwrap();
    load.wait_acknowledged(200).await.unwrap();
    cluster.kill_all().unwrap();
    let history = load.stop().await;

    // Killed at any moment of such a start, it is simply started so again.
    cluster.set_flags(survivor, &[FORCED]).unwrap();
    for pause_ms in [0, 20, 60, 120, 250] {
        cluster.start_member(survivor).unwrap();
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        cluster.kill(survivor).unwrap();
    }
    for flags in [&[FORCED][..], &[], &[FORCED]] {
        cluster.set_flags(survivor, flags).unwrap();
        cluster.start_member(survivor).unwrap();
        cluster.wait_member_ready(survivor).await.unwrap();
        assert_eq!(ids(&cluster, survivor).await, (vec![own], cluster_id));
        for number in 0..20 {
            let found = get(&cluster, survivor, &format!("early/{number}")).await;
            assert_eq!(found.as_deref(), Some("kept"));
        }
        // A leader may lack what its followers acknowledged without its disk; what it
        // does lack, is missing from the end.
        let found = local(&cluster, survivor, PREFIX).await;
        for promise in history.broken_promises(&found) {
            let (key, _) = promise.split_once(' ').unwrap();
            let (writer, _) = key.rsplit_once('/').unwrap();
            let mut own = found.keys().filter(|other| other.starts_with(writer));
            assert!(
                own.all(|other| **other < *key),
                "{promise}, not from the end"
            );
        }
        put(&cluster, survivor, "alone", "written").await;
        cluster.kill(survivor).unwrap();
    }

    // Whoever was left behind is refused, and says so.
    cluster.set_flags(survivor, &[]).unwrap();
    cluster.start_member(survivor).unwrap();
    cluster.wait_member_ready(survivor).await.unwrap();
    let old = (survivor + 1) % 3;
    cluster.start_member(old).unwrap();
    let process = cluster.process(old).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert!(status.success(), "{}", process.output_end(20));
    assert!(
        process
            .output()
            .contains("permanently removed from the cluster")
    );

    // And the cluster grows again.
    cluster.kill(old).unwrap();
    let joined = cluster.grow(survivor).await.unwrap();
    put(&cluster, joined, "joined", "written").await;
    assert_members_agree(&cluster).await;
    let list = ids(&cluster, survivor).await.0;
    assert_eq!(list.len(), 2);
}

#[tokio::test]
async fn on_an_empty_directory_it_changes_nothing() {
    let cluster = Cluster::start(Options::new(3).flags([FORCED]))
        .await
        .unwrap();
    assert_eq!(ids(&cluster, 0).await.0.len(), 3);
}
