//! Data directories of older builds, and of ones that are yet to come.

use std::{fs, path::Path};

use quoin_proto::etcdserverpb::{AlarmRequest, maintenance_client::MaintenanceClient};
use quoin_tests::{
    cluster::{Cluster, Options},
    upgrade::{Recorded, recorded_cluster, recorded_member},
    wait,
};

use crate::support::{assert_members_agree, get, put};

/// The recordings, by the formats they are in: see `docs/TESTING.md`.
fn recordings() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/upgrade")
}

async fn assert_as_recorded(recorded: &Recorded, member: usize) {
    let differences = recorded.differences(member).await.unwrap();
    assert!(
        differences.is_empty(),
        "m{member}: {}",
        differences.join("\n")
    );
}

/// Takes the recorded alarm back, after which writes go on.
async fn write_again(cluster: &Cluster, member: usize) -> i64 {
    let id = cluster
        .status(member)
        .await
        .unwrap()
        .header
        .unwrap()
        .member_id;
    let recorded = cluster.status(0).await.unwrap().header.unwrap().member_id;
    for member_id in [id, recorded] {
        let disarm = AlarmRequest {
            action: 2,
            member_id,
            alarm: 1,
        };
        let mut client = MaintenanceClient::new(cluster.channel(member).unwrap());
        client.alarm(disarm).await.unwrap();
    }
    put(cluster, member, "since", "the upgrade").await
}

async fn opens_with_everything(name: &str, flags: &[&str]) {
    let mut recorded = recorded_member(&recordings(), name, flags).unwrap();
    let revision = recorded.facts[0].revision;
    // As found, then as written by this build, then after a kill.
    for round in 0..3 {
        recorded.cluster.start_all().unwrap();
        recorded.cluster.wait_ready().await.unwrap();
        assert_as_recorded(&recorded, 0).await;
        match round {
            0 => drop(recorded.cluster.terminate(0).await.unwrap()),
            _ => recorded.cluster.kill(0).unwrap(),
        }
    }
    recorded.cluster.start_all().unwrap();
    recorded.cluster.wait_ready().await.unwrap();
    assert_eq!(write_again(&recorded.cluster, 0).await, revision + 1);
}

#[tokio::test]
async fn a_sled_directory_of_format_1_opens_with_everything_it_had() {
    opens_with_everything("v1-sled", &["--backend-engine=sled"]).await;
}

#[tokio::test]
async fn a_redb_directory_of_format_1_opens_with_everything_it_had() {
    opens_with_everything("v1-redb", &["--backend-engine=redb"]).await;
}

/// Three members that an older build left are started one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_format_1_is_started_member_by_member() {
    let mut recorded = recorded_cluster(&recordings(), "v1-cluster").unwrap();
    for member in [0, 1] {
        recorded.cluster.start_member(member).unwrap();
    }
    recorded.cluster.wait_ready().await.unwrap();
    for member in [0, 1] {
        assert_as_recorded(&recorded, member).await;
    }
    write_again(&recorded.cluster, 1).await;
    // The last one comes back to newer entries.
    recorded.cluster.start_member(2).unwrap();
    recorded.cluster.wait_ready().await.unwrap();
    assert_members_agree(&recorded.cluster).await;
    assert_eq!(
        get(&recorded.cluster, 2, "since").await.as_deref(),
        Some("the upgrade")
    );
    recorded.cluster.kill_all().unwrap();
    recorded.cluster.start_all().unwrap();
    recorded.cluster.wait_ready().await.unwrap();
    assert_members_agree(&recorded.cluster).await;
}

/// A stopped member, and its data directory.
async fn stopped() -> Cluster {
    let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    cluster.terminate(0).await.unwrap();
    cluster
}

/// Rewrites a file as a later build might have written it; the start is refused
/// with the number it found and the one it reads, and the file stays as it is.
async fn refuses_a_newer(file: &str, before: &str, after: &str, said: &str) {
    let mut cluster = stopped().await;
    let path = cluster.member(0).unwrap().data.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(before), "{text}");
    let newer = text.replacen(before, after, 1);
    fs::write(&path, &newer).unwrap();
    cluster.start_all().unwrap();
    let process = cluster.process(0).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let output = process.output();
    let lines: Vec<_> = output.lines().filter(|line| line.contains(said)).collect();
    let last = output.lines().last().unwrap_or("");
    assert_eq!(lines, [last], "{output}");
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(last.contains(&*name), "{last}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[tokio::test]
async fn an_identity_of_a_later_build_is_refused_by_number() {
    let (before, after) = ("\"format\": 1", "\"format\": 99");
    let said = "has format 99, this build reads 1";
    refuses_a_newer("member/identity.json", before, after, said).await;
}

#[tokio::test]
async fn a_backend_of_a_later_build_is_refused_by_number() {
    let (before, after) = ("quoin-backend 1", "quoin-backend 99");
    let said = "has format version 99; this version reads";
    refuses_a_newer("member/backend/CURRENT", before, after, said).await;
}
