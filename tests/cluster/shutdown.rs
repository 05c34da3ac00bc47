//! Ending on purpose: leadership handed over, nothing left behind.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use quoin_tests::{
    binaries,
    cluster::{Cluster, Options},
    wait,
};

use crate::support::{Watch, get, key, put};

/// Far longer than a handover takes: without one nobody leads before this.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_terminated_leader_hands_over_before_it_ends() {
    let timeout = format!("--election-timeout={}", ELECTION_TIMEOUT.as_millis());
    let mut cluster = Cluster::start(Options::new(3).flags([&timeout]))
        .await
        .unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    put(&cluster, leader, "k", "v").await;
    cluster.terminate(leader).await.unwrap();
    // Half a timeout after its end, an election by timeout is impossible.
    let other = (leader + 1) % 3;
    wait::until("a successor", ELECTION_TIMEOUT / 2, async || {
        let next = cluster
            .wait_leader()
            .await
            .map_err(|error| error.to_string())?;
        if next == leader {
            Err("none".to_owned())
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    put(&cluster, other, "k", "w").await;
    assert_eq!(get(&cluster, other, "k").await.as_deref(), Some("w"));
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(get(&cluster, leader, "k").await.as_deref(), Some("w"));
}

#[tokio::test]
async fn a_local_cluster_runs_its_demo_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binaries::quoin().unwrap());
    command
        .args(["local", "--exit-after-demo"])
        .current_dir(folder.path());
    command.stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = tokio::time::timeout(wait::DEADLINE * 2, run)
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{errors}",
        output.status
    );
    assert!(!text.is_empty(), "the demo says what it does");
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_end() {
    let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
    let watch = Watch::open(&cluster, 0, key("k")).await;
    put(&cluster, 0, "k", "v").await;
    let began = std::time::Instant::now();
    cluster.terminate(0).await.unwrap();
    // The whole patience is 7 s.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(watch);
}
