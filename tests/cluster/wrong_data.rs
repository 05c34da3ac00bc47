//! Members that are started on data that is not theirs, or not their latest.

use std::{fs, path::Path};

use quoin_tests::{
    cluster::{Cluster, Options, files_under},
    wait,
};

use crate::support::{CALM, assert_members_agree, get, put};

fn copy(from: &Path, to: &Path) {
    for path in files_under(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

fn log(cluster: &Cluster, position: usize) -> String {
    fs::read_to_string(&cluster.member(position).unwrap().log).unwrap()
}

/// Expects a member to end by itself, with one line that holds all of `texts`.
async fn assert_refused(cluster: &mut Cluster, position: usize, texts: &[&str]) {
    cluster.start_member(position).unwrap();
    let process = cluster.process(position).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    let output = process.output();
    assert!(!status.success(), "ended with {status}:\n{output}");
    let is_it = |line: &str| texts.iter().all(|text| line.contains(text));
    assert!(
        output.lines().any(is_it),
        "no line with {texts:?}:\n{}",
        process.output_end(20)
    );
    cluster.kill(position).unwrap();
}

/// An old copy of a follower's directory is put back while the cluster runs.
async fn an_old_copy_is_repaired(flags: &[&str], writes: usize) {
    let options = Options::new(3).flags(CALM).flags(flags);
    let mut cluster = Cluster::start(options).await.unwrap();
    put(&cluster, 0, "first", "written").await;
    let leader = cluster.wait_leader().await.unwrap();
    let follower = (leader + 1) % 3;
    let data = cluster.member(follower).unwrap().data.clone();
    let old = tempfile::tempdir().unwrap();
    cluster.terminate(follower).await.unwrap();
    copy(&data, old.path());
    cluster.start_member(follower).unwrap();
    cluster.wait_member_ready(follower).await.unwrap();
    for number in 0..writes {
        put(&cluster, leader, &format!("later/{number}"), "written").await;
    }
    let index = cluster.status(leader).await.unwrap().raft_index;
    cluster.wait_applied(follower, index).await.unwrap();
    cluster.kill(follower).unwrap();
    replace(old.path(), &data);
    cluster.start_member(follower).unwrap();
    cluster.wait_member_ready(follower).await.unwrap();
    put(&cluster, follower, "last", "written").await;
    // The leader survives that its follower forgot, says so in one line, and sends
    // everything again.
    assert_eq!(cluster.wait_leader().await.unwrap(), leader);
    assert_members_agree(&cluster).await;
    let told = "lacks entries that it had acknowledged";
    let lines = log(&cluster, leader)
        .lines()
        .filter(|line| line.contains(told))
        .count();
    assert_eq!(lines, 1, "{}", log(&cluster, leader));
    for key in ["first", "later/0", "last"] {
        assert_eq!(
            get(&cluster, follower, key).await.as_deref(),
            Some("written")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_a_followers_data_is_repaired_from_the_log() {
    an_old_copy_is_repaired(&[], 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_a_followers_data_is_repaired_by_a_snapshot() {
    let flags = ["--snapshot-count=50", "--snapshot-catchup-entries=5"];
    an_old_copy_is_repaired(&flags, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_another_member_is_refused_by_name() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "key", "written").await;
    let data = |cluster: &Cluster, position: usize| cluster.member(position).unwrap().data.clone();
    // Once before the first checkpoint and once after it.
    for ends_in_order in [false, true] {
        for position in [0, 1] {
            if ends_in_order {
                cluster.terminate(position).await.unwrap();
            } else {
                cluster.kill(position).unwrap();
            }
        }
        let (own, others) = (data(&cluster, 0), data(&cluster, 1));
        let kept = tempfile::tempdir().unwrap();
        copy(&own, kept.path());
        replace(&others, &own);
        let texts = [
            "is the data of member m1",
            "those of member m0",
            "its own data directory",
        ];
        assert_refused(&mut cluster, 0, &texts).await;
        // Identity and log of different members.
        replace(kept.path(), &own);
        fs::copy(
            others.join("member/identity.json"),
            own.join("member/identity.json"),
        )
        .unwrap();
        let texts = ["0000000000000001.wal", "belongs to member"];
        assert_refused(&mut cluster, 0, &texts).await;
        replace(kept.path(), &own);
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
    }
    assert_eq!(get(&cluster, 0, "key").await.as_deref(), Some("written"));
    assert_members_agree(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_another_cluster_is_kept_apart() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "key", "written").await;
    let mut other = Cluster::start(Options::new(3)).await.unwrap();
    put(&other, 0, "key", "of another cluster").await;
    other.terminate(0).await.unwrap();
    cluster.terminate(0).await.unwrap();
    let data = cluster.member(0).unwrap().data.clone();
    let kept = tempfile::tempdir().unwrap();
    copy(&data, kept.path());
    replace(&other.member(0).unwrap().data, &data);
    cluster.start_member(0).unwrap();
    // Nobody mixes the two: who meets it says that it is of another cluster.
    let told = wait::until("a line about the cluster", wait::DEADLINE, async || {
        let met = (0..3).any(|position| {
            let log = log(&cluster, position);
            log.lines()
                .any(|line| line.contains("refused") && line.contains("cluster"))
        });
        if met { Ok(()) } else { Err(log(&cluster, 1)) }
    });
    told.await.unwrap();
    put(&cluster, 1, "key", "written again").await;
    cluster.kill(0).unwrap();
    replace(kept.path(), &data);
    cluster.start_member(0).unwrap();
    cluster.wait_member_ready(0).await.unwrap();
    assert_eq!(
        get(&cluster, 0, "key").await.as_deref(),
        Some("written again")
    );
    assert_members_agree(&cluster).await;
}
