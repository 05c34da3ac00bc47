//! Files of etcd through the tools and the API: in, out, and in again.
//!
//! The other direction, into a real etcd, is part `etcd-files` of the interop
//! binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quoin_proto::etcdserverpb::{
    HashKvRequest, HashKvResponse, LeaseTimeToLiveRequest, RangeRequest, SnapshotRequest,
    WatchCreateRequest, maintenance_client::MaintenanceClient,
};
use quoin_tests::{
    binaries,
    cluster::{Cluster, Options},
    wait,
};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{Watch, assert_members_agree, get, put, revision};

/// The newest revision of the file of a real etcd.
const NEWEST: i64 = 19;
/// Snapshots that a member sends at once.
const SNAPSHOTS_MAX: usize = 2;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/etcd_file")
        .join(name)
}

/// (hash, hash revision, compact revision) as etcdutl printed them.
fn known_hashes() -> Vec<(u32, i64, i64)> {
    let text = std::fs::read_to_string(testdata("small.txt")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("hashkv "));
    let hashes = lines.map(|line| {
        let numbers: Vec<i64> = line
            .split(", ")
            .map(|number| number.parse().unwrap())
            .collect();
        (u32::try_from(numbers[0]).unwrap(), numbers[1], numbers[2])
    });
    let hashes: Vec<_> = hashes.collect();
    assert!(hashes.len() > 5);
    hashes
}

async fn hash_kv(cluster: &Cluster, member: usize, revision: i64) -> HashKvResponse {
    let mut client = MaintenanceClient::new(cluster.channel(member).unwrap());
    let reply = client.hash_kv(HashKvRequest { revision }).await;
    reply.unwrap().into_inner()
}

fn quoinctl(line: &[String]) -> Output {
    Command::new(binaries::quoinctl().unwrap())
        .args(line)
        .output()
        .unwrap()
}

fn succeed(line: &[String]) -> String {
    let output = quoinctl(line);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The complaint of a command that must fail, and its exit status.
fn fail(line: &[String]) -> (String, i32) {
    let output = quoinctl(line);
    assert!(!output.status.success(), "{line:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (errors, output.status.code().unwrap())
}

fn words(line: &[&str], flags: &[String]) -> Vec<String> {
    let words = line.iter().map(|word| (*word).to_owned());
    words.chain(flags.iter().cloned()).collect()
}

/// Makes members with `verb` from a file and starts them.
async fn made(members_count: usize, line: &[&str]) -> Cluster {
    let mut cluster = Cluster::prepare(Options::new(members_count)).unwrap();
    for member in 0..members_count {
        let flags = cluster.founding_flags(member).unwrap();
        succeed(&words(line, &flags));
    }
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    cluster
}

fn save(cluster: &Cluster, member: usize, path: &str) {
    let endpoint = format!("--endpoints={}", cluster.url(member));
    let text = succeed(&words(&["snapshot", "save", path, &endpoint], &[]));
    assert_eq!(
        text,
        format!("Snapshot saved at {path}\nServer version 3.7.0\n")
    );
}

#[tokio::test]
async fn a_cluster_imported_from_etcd_is_what_etcd_was_and_comes_back_from_its_own_file() {
    let from = format!("--from-etcd={}", testdata("small.db").display());
    let cluster = made(3, &["import", &from, "--accept-no-auth"]).await;
    for member in 0..3 {
        assert_eq!(revision(&cluster, member).await, NEWEST);
        for (hash, revision, compact_revision) in known_hashes() {
            let found = hash_kv(&cluster, member, revision).await;
            let found = (found.hash, found.hash_revision, found.compact_revision);
            assert_eq!(found, (hash, revision, compact_revision));
        }
        assert_eq!(get(&cluster, member, "k1").await.unwrap(), "newer");
        assert_eq!(get(&cluster, member, "k3").await, None);
    }
    let request = LeaseTimeToLiveRequest { id: 10, keys: true };
    let lease = cluster.lease(1).unwrap().lease_time_to_live(request).await;
    let lease = lease.unwrap().into_inner();
    assert_eq!(
        (lease.granted_ttl, &lease.keys[..]),
        (3600, &["leased".into()][..])
    );
    assert!((3500..=3600).contains(&lease.ttl), "{} s left", lease.ttl);
    put(&cluster, 2, "new", "written").await;
    assert_members_agree(&cluster).await;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("quoin.db").display().to_string();
    save(&cluster, 1, &path);
    let hash = hash_kv(&cluster, 0, 0).await;
    drop(cluster);
    let again = made(1, &["snapshot", "restore", &path, "--accept-no-auth"]).await;
    let found = hash_kv(&again, 0, 0).await;
    assert_eq!((found.hash, found.hash_revision), (hash.hash, NEWEST + 1));
    assert_eq!(get(&again, 0, "new").await.unwrap(), "written");
    let status = succeed(&words(&["snapshot", "status", &path], &[]));
    assert!(
        status.contains(&format!(", {}, 11, ", NEWEST + 1)),
        "{status}"
    );
}

#[tokio::test]
async fn watches_of_before_are_told_when_revisions_were_skipped() {
    let path = testdata("small.db").display().to_string();
    let line = [
        "snapshot",
        "restore",
        &path,
        "--accept-no-auth",
        "--bump-revision=1000",
    ];
    let cluster = made(1, &[&line[..], &["--mark-compacted"]].concat()).await;
    let skipped = NEWEST + 1000;
    assert_eq!(revision(&cluster, 0).await, skipped);
    let create = |start_revision| WatchCreateRequest {
        key: "a".into(),
        start_revision,
        ..WatchCreateRequest::default()
    };
    let mut old = Watch::open(&cluster, 0, create(NEWEST + 1)).await;
    let reply = old.next().await.unwrap();
    assert_eq!((reply.canceled, reply.compact_revision), (true, skipped));
    let mut new = Watch::open(&cluster, 0, create(skipped + 1)).await;
    assert_eq!(put(&cluster, 0, "a", "after").await, skipped + 1);
    assert_eq!(new.values(1).await, ["after"]);
}

#[tokio::test]
async fn files_that_are_not_whole_and_places_that_are_taken_are_refused() {
    let cluster = Cluster::prepare(Options::new(1)).unwrap();
    let flags = cluster.founding_flags(0).unwrap();
    let data = &cluster.member(0).unwrap().data;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.db");
    let good = std::fs::read(testdata("small.db")).unwrap();
    let line = |verb: &[&str]| words(verb, &flags);
    let text = path.display().to_string();
    let from = format!("--from-etcd={text}");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();

    write(&good);
    let (complaint, status) = fail(&line(&["snapshot", "restore", &text]));
    assert!(
        complaint.contains("authentication is switched on"),
        "{complaint}"
    );
    assert_eq!(status, 1);
    let (complaint, status) = fail(&line(&["import", &from, "--bump-revision=7"]));
    assert!(
        complaint.contains("--mark-compacted required"),
        "{complaint}"
    );
    assert_eq!(status, 128);
    let mut changed = good.clone();
    changed[9000] ^= 1;
    write(&changed);
    for verb in [&["import", &from][..], &["snapshot", "restore", &text]] {
        let (complaint, _) = fail(&line(verb));
        assert!(complaint.contains("expected sha256 ["), "{complaint}");
    }
    // As a member's own file: etcdutl wants to be told, import sees it.
    write(&good[..good.len() - 32]);
    let (complaint, _) = fail(&line(&["snapshot", "restore", &text, "--accept-no-auth"]));
    assert!(
        complaint.contains("snapshot missing hash but --skip-hash-check=false"),
        "{complaint}"
    );
    write(&good[..8192]);
    let (complaint, _) = fail(&line(&["import", &from]));
    assert!(
        complaint.contains("cut off") && complaint.contains(&text),
        "{complaint}"
    );
    assert!(!data.exists(), "a refused file left {}", data.display());

    write(&good[..good.len() - 32]);
    succeed(&line(&["import", &from, "--accept-no-auth"]));
    let (complaint, _) = fail(&line(&["import", &from, "--accept-no-auth"]));
    assert!(
        complaint.contains("not empty or could not be read"),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_member_that_does_not_run_is_exported_with_the_end_of_its_log() {
    let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
    let data = cluster.member(0).unwrap().data.display().to_string();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("offline.db").display().to_string();
    let (to, from) = (format!("--to-etcd={path}"), format!("--data-dir={data}"));
    let line = words(&["export", &to, &from], &[]);
    for number in 0..300 {
        put(&cluster, 0, &format!("key/{}", number % 40), "value").await;
    }
    let (complaint, _) = fail(&line);
    assert!(
        complaint.contains("in use by a running member"),
        "{complaint}"
    );
    let before = hash_kv(&cluster, 0, 0).await;
    // So that the last checkpoint is behind the log.
    cluster.kill_all().unwrap();
    let text = succeed(&line);
    let revision = before.hash_revision;
    let begin = format!("Exported to {path}: revision {revision}, ");
    assert!(text.starts_with(&begin), "{text}");
    let again = made(1, &["snapshot", "restore", &path]).await;
    let found = hash_kv(&again, 0, 0).await;
    assert_eq!((found.hash, found.hash_revision), (before.hash, revision));
    // The directory was only read.
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(hash_kv(&cluster, 0, 0).await.hash, before.hash);
}

#[tokio::test]
async fn a_member_made_from_another_file_is_found_out() {
    let folder = TempDir::new().unwrap();
    let mut files = Vec::new();
    for value in ["one", "other"] {
        let cluster = Cluster::start(Options::new(1)).await.unwrap();
        put(&cluster, 0, "key", value).await;
        let path = folder.path().join(value).display().to_string();
        save(&cluster, 0, &path);
        files.push(path);
    }
    let mut cluster = Cluster::prepare(Options::new(3)).unwrap();
    for (member, file) in [(0, 0), (1, 0), (2, 1)] {
        let flags = cluster.founding_flags(member).unwrap();
        succeed(&words(&["snapshot", "restore", &files[file]], &flags));
    }
    cluster.start_all().unwrap();
    for member in 0..2 {
        cluster.wait_member_ready(member).await.unwrap();
    }
    put(&cluster, 0, "new", "written").await;
    let request = RangeRequest {
        key: "key".into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let refused = wait::until(
        "the other one to refuse reads",
        wait::DEADLINE,
        async || match cluster.kv(2).unwrap().range(request.clone()).await {
            Err(status) if status.code() == Code::DataLoss => Ok(status),
            reply => Err(format!("{reply:?}")),
        },
    );
    let refused = refused.await.unwrap();
    assert!(refused.message().contains("differs"), "{refused}");
    for member in 0..2 {
        assert_eq!(get(&cluster, member, "key").await.unwrap(), "one");
    }
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_and_its_places_are_few() {
    let cluster = Cluster::start(Options::new(1)).await.unwrap();
    // More than waits anywhere on the way to a client.
    for number in 0..12 {
        put(
            &cluster,
            0,
            &format!("large/{number}"),
            &"x".repeat(1_000_000),
        )
        .await;
    }
    let mut open = Vec::new();
    let ask = async || {
        let mut client = MaintenanceClient::new(cluster.channel(0).unwrap());
        client.snapshot(SnapshotRequest {}).await
    };
    for _ in 0..SNAPSHOTS_MAX {
        open.push(ask().await.unwrap().into_inner());
    }
    let refused = ask().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("sending 2 snapshots already"),
        "{refused}"
    );
    // One that is dropped frees its place.
    open.pop();
    let freed = wait::until("a free place", wait::DEADLINE, ask).await;
    let mut stream = freed.unwrap().into_inner();
    // What is written from now on is not in it.
    let before = hash_kv(&cluster, 0, 0).await;
    for number in 0..12 {
        put(&cluster, 0, &format!("large/{number}"), "small").await;
    }
    let mut file = Vec::new();
    while let Some(piece) = stream.message().await.unwrap() {
        assert!(piece.blob.len() <= 32 * 1024);
        file.extend_from_slice(&piece.blob);
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("moment.db").display().to_string();
    std::fs::write(&path, file).unwrap();
    let again = made(1, &["snapshot", "restore", &path]).await;
    let found = hash_kv(&again, 0, 0).await;
    assert_eq!(
        (found.hash, found.hash_revision),
        (before.hash, before.hash_revision)
    );
    assert_eq!(get(&again, 0, "large/3").await.unwrap().len(), 1_000_000);
}
