//! Damaged files are refused at start, with a line that names the file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quoin_tests::{
    cluster::{Cluster, Options, files_under},
    wait,
};

use crate::support::{get, put};

/// A value that can be found in the files.
const MARK: &str = "a-value-that-stands-out-in-any-file-0123456789";

/// A member that was stopped after writing, with `MARK` far from the end of
/// its log.
async fn stopped_member() -> Cluster {
    let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
    put(&cluster, 0, "mark", MARK).await;
    for number in 0..100 {
        put(&cluster, 0, &format!("key/{number}"), &"x".repeat(500)).await;
    }
    cluster.terminate(0).await.unwrap();
    cluster
}

/// Starts the member and expects it to end by itself, naming `path`.
async fn assert_refused(cluster: &mut Cluster, path: &Path) {
    cluster.start_all().unwrap();
    let process = cluster.process(0).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    let output = process.output();
    assert!(!status.success(), "ended with {status}:\n{output}");
    let name = path.file_name().unwrap().to_string_lossy();
    let named = output.lines().any(|line| line.contains(&*name));
    assert!(named, "no line names {name}:\n{}", process.output_end(20));
}

/// Flips one bit of `MARK` wherever it stands below `folder`: engines leave copies
/// behind that nobody reads any more. Returns a file that holds it.
fn damage(folder: &Path) -> PathBuf {
    let mut damaged = None;
    for path in files_under(folder) {
        let mut bytes = fs::read(&path).unwrap();
        let places = bytes.windows(MARK.len()).enumerate();
        let places = places.filter(|(_, window)| *window == MARK.as_bytes());
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        if !places.is_empty() {
            places.iter().for_each(|place| bytes[*place] ^= 0x01);
            fs::write(&path, bytes).unwrap();
            damaged = Some(path);
        }
    }
    damaged.expect("a file that holds the value")
}

#[tokio::test]
async fn a_damaged_log_is_refused_by_name() {
    let mut cluster = stopped_member().await;
    let path = damage(&cluster.member(0).unwrap().data.join("member/wal"));
    assert_refused(&mut cluster, &path).await;
}

#[tokio::test]
async fn a_damaged_backend_is_refused_by_name() {
    let mut cluster = stopped_member().await;
    let folder = cluster.member(0).unwrap().data.join("member/backend");
    damage(&folder);
    assert_refused(&mut cluster, &folder).await;
}

#[tokio::test]
async fn a_log_removed_from_beside_its_state_is_refused_by_name() {
    let mut cluster = stopped_member().await;
    let folder = cluster.member(0).unwrap().data.join("member/wal");
    fs::remove_dir_all(&folder).unwrap();
    assert_refused(&mut cluster, &folder).await;
}

/// Damages a file in every way that is worth a try, and expects each to be refused
/// by name; whole again, the member serves what it had.
async fn assert_every_damage_is_refused(path: &str, offsets: &[usize], cuts: &[usize]) {
    let mut cluster = stopped_member().await;
    let path = cluster.member(0).unwrap().data.join(path);
    let whole = fs::read(&path).unwrap();
    let flipped = offsets.iter().map(|offset| {
        let mut bytes = whole.clone();
        bytes[*offset] ^= 0x10;
        bytes
    });
    let cut = cuts.iter().map(|length| whole[..*length].to_vec());
    for damaged in flipped.chain(cut) {
        fs::write(&path, damaged).unwrap();
        assert_refused(&mut cluster, &path).await;
        cluster.kill(0).unwrap();
    }
    fs::write(&path, whole).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(get(&cluster, 0, "mark").await.as_deref(), Some(MARK));
}

#[tokio::test]
async fn a_damaged_identity_is_refused_by_name() {
    assert_every_damage_is_refused("member/identity.json", &[0, 6], &[0, 20]).await;
}

#[tokio::test]
async fn a_damaged_name_of_the_state_is_refused_by_name() {
    assert_every_damage_is_refused("member/backend/CURRENT", &[3, 40], &[0, 30]).await;
}

#[tokio::test]
async fn a_damaged_head_of_the_log_is_refused_by_name() {
    let segment = "member/wal/0000000000000001.wal";
    assert_every_damage_is_refused(segment, &[0, 17, 41, 4100, 4130], &[0, 100]).await;
}

#[tokio::test]
async fn a_damaged_end_of_the_log_counts_as_an_unfinished_write() {
    let mut cluster = stopped_member().await;
    let path = cluster
        .member(0)
        .unwrap()
        .data
        .join("member/wal/0000000000000001.wal");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    let output = cluster.process(0).unwrap().output();
    let told = |line: &str| line.contains("unfinished write") && line.contains("01.wal");
    assert!(output.lines().any(told), "{output}");
    assert_eq!(get(&cluster, 0, "mark").await.as_deref(), Some(MARK));
}
