//! The worst day: members killed under load, disks lost, and a new cluster made from
//! what is left. Every write that the plan promises is there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quoin_tests::{
    binaries,
    cluster::{Cluster, Options, files_under},
    history::History,
    workload::{Load, PREFIX},
};
use serde_json::Value;

use crate::support::{assert_members_agree, get, local, put};

/// Acknowledged writes before the disaster.
const WRITES: usize = 300;

fn quoinctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::quoinctl().unwrap());
    command.args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

fn refusal(arguments: &[&str]) -> String {
    let output = quoinctl(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `recover --plan` says of the directories, as a program reads it. They are
/// as before afterwards.
fn plan(directories: &[&Path]) -> Value {
    let before: Vec<_> = directories
        .iter()
        .map(|directory| contents(directory))
        .collect();
    let mut arguments = vec!["recover", "--plan", "-w", "json"];
    arguments.extend(directories.iter().map(|path| path.to_str().unwrap()));
    let plan = serde_json::from_str(&stdout(&quoinctl(&arguments))).unwrap();
    let after: Vec<_> = directories
        .iter()
        .map(|directory| contents(directory))
        .collect();
    assert!(before == after, "a directory was changed");
    plan
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = files_under(directory).into_iter();
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// A prepared cluster of one, whose directory is made from `directories`.
fn recovered(directories: &[&Path], more: &[&str]) -> (Cluster, String) {
    recovered_for(Options::new(1), directories, more)
}

fn recovered_for(options: Options, directories: &[&Path], more: &[&str]) -> (Cluster, String) {
    let cluster = Cluster::prepare(options).unwrap();
    let member = cluster.member(0).unwrap();
    let flags = [
        "recover".to_owned(),
        "--apply".to_owned(),
        format!("--data-dir={}", member.data.display()),
        format!("--name={}", member.name),
        format!("--initial-advertise-peer-urls={}", member.peer_url()),
    ];
    let mut arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
    arguments.extend(more);
    arguments.extend(directories.iter().map(|path| path.to_str().unwrap()));
    let text = stdout(&quoinctl(&arguments));
    // Made once: the second run finds what the first one made.
    let again = stdout(&quoinctl(&arguments));
    assert!(again.contains("was made by an earlier run"), "{again}");
    (cluster, text)
}

/// Three members, and everything that was acknowledged until all were killed.
struct Disaster {
    cluster: Cluster,
    history: std::sync::Arc<History>,
    /// Log index up to which everything was acknowledged well before the end.
    early_index: u64,
    early: Vec<String>,
}

async fn disaster(flags: &[&str]) -> Disaster {
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let mut early = Vec::new();
    for number in 0..20 {
        let key = format!("early/{number}");
        put(&cluster, number % 3, &key, "kept").await;
        early.push(key);
    }
    let early_index = cluster.status(0).await.unwrap().raft_index;
    let load = Load::start(&cluster.urls()).unwrap();
    load.wait_acknowledged(WRITES).await.unwrap();
    cluster.kill_all().unwrap();
    let history = load.stop().await;
    Disaster {
        cluster,
        history,
        early_index,
        early,
    }
}

impl Disaster {
    fn data(&self, position: usize) -> &Path {
        &self.cluster.member(position).unwrap().data
    }
}

/// Starts what was made and checks what it holds.
async fn start(cluster: &mut Cluster) -> BTreeMap<String, String> {
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_eq!(cluster.members(0).await.unwrap().len(), 1);
    local(cluster, 0, PREFIX).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_loss_of_one_disk_nothing_acknowledged_is_missing() {
    for lost in 0..3 {
        let small = ["--snapshot-count=100", "--snapshot-catchup-entries=10"];
        let flags: &[&str] = match lost {
            0 => &small,
            1 => &[small[0], small[1], "--backend-engine=redb"],
            _ => &[],
        };
        let disaster = disaster(flags).await;
        fs::remove_dir_all(disaster.data(lost)).unwrap();
        let left = [(lost + 1) % 3, (lost + 2) % 3].map(|position| disaster.data(position));
        let plan = plan(&left);
        assert_eq!(plan["missing"]["verdict"], "complete", "{plan}");
        assert_eq!(plan["summary"], "nothing acknowledged is missing");
        assert_eq!(
            plan["electorates"][0]["surviving"]
                .as_array()
                .unwrap()
                .len(),
            2
        );

        // The engine of what is made is that of what was left.
        let engine = flags.get(2).copied();
        let (mut cluster, text) = recovered_for(Options::new(1).flags(engine), &left, &[]);
        assert!(text.contains("nothing acknowledged is missing"), "{text}");
        assert_eq!(
            text.contains("--backend-engine=redb"),
            engine.is_some(),
            "{text}"
        );
        let found = start(&mut cluster).await;
        let broken = disaster.history.broken_promises(&found);
        assert!(broken.is_empty(), "{plan}\n{}", broken.join("\n"));
        let joined = cluster.grow(0).await.unwrap();
        put(&cluster, joined, "after", "written").await;
        assert_members_agree(&cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_disk_of_three_the_plan_says_what_is_certain_and_that_is_there() {
    let disaster = disaster(&[]).await;
    for survivor in 0..3 {
        let left = [disaster.data(survivor)];
        let plan = plan(&left);
        let missing = &plan["missing"];
        assert_eq!(missing["verdict"], "unproven", "{plan}");
        let certain = missing["certain_index"].as_u64().unwrap();
        let argument = missing["argument"].as_str().unwrap();
        assert!(argument.contains("any 2 of the 3 voters"), "{argument}");
        assert!(argument.contains("2 whole logs are needed"), "{argument}");
        assert!(argument.contains("1 is too few"), "{argument}");
        let summary = plan["summary"].as_str().unwrap();
        let from = format!("acknowledged writes after log entry {certain} may be missing");
        assert!(summary.contains(&from), "{summary}");
        assert!(certain >= disaster.early_index, "{plan}");
    }
    let left = [disaster.data(1)];
    let target = tempfile::tempdir().unwrap();
    let data = target.path().join("new");
    let text = refusal(&[
        "recover",
        "--apply",
        &format!("--data-dir={}", data.display()),
        left[0].to_str().unwrap(),
    ]);
    assert!(
        text.contains("may be missing") && text.contains("--accept-missing-writes"),
        "{text}"
    );
    assert!(!data.exists());

    let (mut cluster, text) = recovered(&left, &["--accept-missing-writes"]);
    assert!(text.contains("may be missing"), "{text}");
    let found = start(&mut cluster).await;
    for key in &disaster.early {
        assert_eq!(
            get(&cluster, 0, key).await.as_deref(),
            Some("kept"),
            "{key}"
        );
    }
    // Whatever is lost is lost from the end: of each writer, its last writes.
    let broken = disaster.history.broken_promises(&found);
    for promise in &broken {
        let (key, what) = promise.split_once(' ').unwrap();
        assert_eq!(what, "was acknowledged, is lost");
        let (writer, _) = key.rsplit_once('/').unwrap();
        let later = found.keys().filter(|other| other.starts_with(writer));
        assert!(
            later.clone().all(|other| **other < *key),
            "{key} is missing from the middle"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_behind_is_not_taken_for_the_whole() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "first", "written").await;
    let leader = cluster.wait_leader().await.unwrap();
    let behind = (leader + 1) % 3;
    let index = cluster.status(leader).await.unwrap().raft_index;
    cluster.wait_applied(behind, index).await.unwrap();
    cluster.kill(behind).unwrap();
    put(&cluster, leader, "second", "written").await;
    let other = (leader + 2) % 3;
    put(&cluster, other, "third", "written").await;
    // A running member is named and left alone.
    let running = cluster.member(leader).unwrap().data.clone();
    let text = refusal(&["recover", "--plan", running.to_str().unwrap()]);
    assert!(text.contains("in use by a running member"), "{text}");
    assert!(text.contains(running.to_str().unwrap()), "{text}");
    cluster.kill_all().unwrap();

    let data = |position: usize| cluster.member(position).unwrap().data.clone();
    let (behind, other) = (data(behind), data(other));
    let alone = plan(&[&behind]);
    assert_eq!(alone["missing"]["verdict"], "unproven", "{alone}");
    let both = plan(&[&behind, &other]);
    assert_eq!(both["missing"]["verdict"], "complete", "{both}");
    assert_eq!(both["freshest"], other.to_str().unwrap());
    let revision = |of: &Value, at: usize| of["directories"][at]["revision"].as_i64().unwrap();
    assert_eq!((revision(&both, 0), revision(&both, 1)), (2, 4));
    assert_eq!(both["directories"][1]["keys_count"], 3);

    let (mut new, _) = recovered(&[&behind], &["--accept-missing-writes"]);
    start(&mut new).await;
    assert_eq!(get(&new, 0, "first").await.as_deref(), Some("written"));
    assert_eq!(get(&new, 0, "third").await, None);
    let (mut new, _) = recovered(&[&behind, &other], &[]);
    start(&mut new).await;
    assert_eq!(get(&new, 0, "third").await.as_deref(), Some("written"));
}

/// Says of a stopped member that its state differs from that of the others.
fn quarantine(data: &Path) {
    let text = r#"{"format":1,"found_index":5,"differed_index":5,"is_located":true}"#;
    fs::write(data.join("member/quarantine.json"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_freshest_log_counts_beside_a_state_that_does_not() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "first", "written").await;
    let leader = cluster.wait_leader().await.unwrap();
    let (behind, ahead) = ((leader + 1) % 3, (leader + 2) % 3);
    let index = cluster.status(leader).await.unwrap().raft_index;
    cluster.wait_applied(behind, index).await.unwrap();
    cluster.kill(behind).unwrap();
    put(&cluster, leader, "second", "written").await;
    put(&cluster, ahead, "third", "written").await;
    cluster.kill_all().unwrap();
    let data = |position: usize| cluster.member(position).unwrap().data.clone();
    let (behind, ahead) = (data(behind), data(ahead));
    quarantine(&ahead);

    let both = plan(&[&behind, &ahead]);
    assert_eq!(both["missing"]["verdict"], "complete", "{both}");
    assert_eq!(both["freshest"], ahead.to_str().unwrap());
    let damage = both["directories"][1]["damage"].to_string();
    assert!(damage.contains("in quarantine"), "{damage}");
    assert!(damage.contains("its log is used"), "{damage}");
    let (mut new, _) = recovered(&[&behind, &ahead], &[]);
    start(&mut new).await;
    for key in ["first", "second", "third"] {
        assert_eq!(get(&new, 0, key).await.as_deref(), Some("written"));
    }

    // Without any state there is nothing to apply logs to.
    quarantine(&behind);
    let nowhere = refusal(&[
        "recover",
        "--apply",
        "--accept-missing-writes",
        "--data-dir=/nowhere",
        "--name=m0",
        "--initial-advertise-peer-urls=http://127.0.0.1:1",
        behind.to_str().unwrap(),
        ahead.to_str().unwrap(),
    ]);
    assert!(nowhere.contains("in quarantine"), "{nowhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_counts_up_to_its_damage_and_proves_nothing() {
    let disaster = disaster(&[]).await;
    let (damaged, whole) = (disaster.data(0), disaster.data(1));
    let segment = damaged.join("member/wal/0000000000000001.wal");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end / 2] ^= 0x10;
    fs::write(&segment, bytes).unwrap();

    let both = plan(&[damaged, whole]);
    let report = &both["directories"][0];
    assert_eq!(report["is_log_sound"], false, "{report}");
    let damage = report["damage"][0].as_str().unwrap();
    assert!(
        damage.contains("0000000000000001.wal at offset"),
        "{damage}"
    );
    assert!(damage.contains("are readable"), "{damage}");
    assert_eq!(both["freshest"], whole.to_str().unwrap());
    assert_eq!(both["missing"]["verdict"], "unproven", "{both}");
    // With the third one there are two whole logs again.
    let three = plan(&[damaged, whole, disaster.data(2)]);
    assert_eq!(three["missing"]["verdict"], "complete", "{three}");
    let (mut cluster, _) = recovered(&[damaged, whole, disaster.data(2)], &[]);
    let broken = disaster.history.broken_promises(&start(&mut cluster).await);
    assert!(broken.is_empty(), "{}", broken.join("\n"));

    // The table for people names directories and damage too.
    let table = stdout(&quoinctl(&["recover", "--plan", damaged.to_str().unwrap()]));
    for text in [
        "member id",
        "damaged: log is corrupt",
        "freshest log:",
        "may be missing",
    ] {
        assert!(table.contains(text), "{table}");
    }
}

#[tokio::test]
async fn directories_that_do_not_belong_together_are_refused() {
    let mut clusters = Vec::new();
    for _ in 0..2 {
        let mut cluster = Cluster::start(Options::new(1)).await.unwrap();
        cluster.terminate(0).await.unwrap();
        clusters.push(cluster);
    }
    let data: Vec<&str> = clusters
        .iter()
        .map(|cluster| cluster.member(0).unwrap().data.to_str().unwrap())
        .collect();
    let text = refusal(&["recover", "--plan", data[0], data[1]]);
    assert!(text.contains("one cluster only"), "{text}");
    let text = refusal(&["recover", "--plan", data[0], data[0]]);
    assert!(text.contains("give each member once"), "{text}");
    let text = refusal(&["recover", "--plan", "/nowhere"]);
    assert!(text.contains("/nowhere holds no data"), "{text}");
}
