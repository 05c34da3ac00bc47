//! Members that are told something wrong, or stand on what is not theirs: refused
//! in one line, and nobody else is disturbed.

use std::{fs, path::Path};

use quoin_proto::etcdserverpb::{MemberAddRequest, MemberUpdateRequest};
use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
};
use tonic::{Code, Status};

use crate::support::{assert_members_agree, get, put};

/// Starts a member that must refuse to; its last line.
async fn refusal(cluster: &mut Cluster, member: usize) -> String {
    cluster.start_member(member).unwrap();
    let process = cluster.process(member).unwrap();
    let status = process.wait_ended(wait::DEADLINE).await.unwrap();
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{output}");
    cluster.kill(member).unwrap();
    output.lines().last().unwrap().to_owned()
}

/// Its ids are made of the token: to the others it is a stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_another_token_is_refused_and_disturbs_nobody() {
    let mut cluster = Cluster::prepare(Options::new(3)).unwrap();
    cluster
        .set_flags(2, &["--initial-cluster-token=another"])
        .unwrap();
    for member in [0, 1] {
        cluster.start_member(member).unwrap();
    }
    cluster.wait_ready().await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let term = cluster.status(leader).await.unwrap().raft_term;
    cluster.start_member(2).unwrap();
    let process = cluster.process(2).unwrap();
    let line = process.wait_output("peer refused us", wait::DEADLINE);
    let line = line.await.unwrap();
    assert!(line.contains("cluster id mismatch: local"), "{line}");
    for number in 0..20 {
        put(&cluster, number % 2, "k", &number.to_string()).await;
    }
    assert_eq!(cluster.status(leader).await.unwrap().raft_term, term);
    let output = cluster.process(2).unwrap().output();
    assert!(
        !output.contains("ready to serve client requests"),
        "{output}"
    );
    // With the right token, on an empty directory, it is the member it was to be.
    cluster.kill(2).unwrap();
    fs::remove_dir_all(&cluster.member(2).unwrap().data).unwrap();
    cluster.set_flags(2, &[]).unwrap();
    cluster.start_member(2).unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
    assert_eq!(get(&cluster, 2, "k").await.as_deref(), Some("19"));
}

#[tokio::test]
async fn a_url_given_to_two_members_is_refused_in_etcds_words() {
    let mut cluster = Cluster::prepare(Options::new(1)).unwrap();
    let url = cluster.member(0).unwrap().peer_url();
    let twice = format!("--initial-cluster=m0={url},other={url}");
    cluster.set_flags(0, &[&twice]).unwrap();
    let line = refusal(&mut cluster, 0).await;
    let said = format!("initial cluster m0={url},other={url} has duplicate url");
    assert!(
        line.contains("discovery failed") && line.contains(&said),
        "{line}"
    );
    // A name that is given twice is one member with two addresses.
    let named = format!("--initial-cluster=m0={url},m0=http://127.0.0.1:9");
    cluster.set_flags(0, &[&named]).unwrap();
    let line = refusal(&mut cluster, 0).await;
    let said = format!(
        "--initial-cluster has m0=http://127.0.0.1:9 but missing from \
         --initial-advertise-peer-urls={url}"
    );
    assert!(line.contains(&said), "{line}");
    cluster.set_flags(0, &[]).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_refused_for_another_member() {
    let cluster = Cluster::start(Options::new(1)).await.unwrap();
    let taken = cluster.member(0).unwrap().peer_url();
    let mut client = cluster.cluster(0).unwrap();
    let told = |status: Status| (status.code(), status.message().to_owned());
    let refused = (
        Code::FailedPrecondition,
        "etcdserver: Peer URLs already exists".to_owned(),
    );
    for peer_urls in [
        vec![taken.clone()],
        vec!["http://127.0.0.1:5".to_owned(), taken.clone()],
    ] {
        let request = MemberAddRequest {
            peer_urls,
            is_learner: true,
        };
        let answer = client.member_add(request).await.map_err(told);
        assert_eq!(answer.err(), Some(refused.clone()));
    }
    let request = MemberAddRequest {
        peer_urls: vec!["http://127.0.0.1:5".to_owned()],
        is_learner: true,
    };
    let added = client.member_add(request).await.unwrap().into_inner();
    let update = MemberUpdateRequest {
        id: added.member.unwrap().id,
        peer_urls: vec![taken],
    };
    let answer = client.member_update(update).await.map_err(told);
    assert_eq!(answer.err(), Some(refused));
    put(&cluster, 0, "k", "v").await;
}

fn replace_with(folder: &Path, other: &Path) {
    fs::rename(folder, folder.with_extension("own")).unwrap();
    fs::create_dir(folder).unwrap();
    copy(other, folder);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_or_a_state_of_another_member_is_refused_by_name() {
    let mut cluster = Cluster::start(Options::new(3)).await.unwrap();
    put(&cluster, 0, "k", "v").await;
    for member in 0..3 {
        cluster.terminate(member).await.unwrap();
    }
    for part in ["wal", "backend"] {
        let at = |member: usize| {
            let data = &cluster.member(member).unwrap().data;
            data.join("member").join(part)
        };
        let (own, other) = (at(0), at(1));
        replace_with(&own, &other);
        let line = refusal(&mut cluster, 0).await;
        let is_named = line.contains(&own.display().to_string());
        assert!(is_named && line.contains("member"), "{part}: {line}");
        fs::remove_dir_all(&own).unwrap();
        fs::rename(own.with_extension("own"), &own).unwrap();
    }
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    assert_members_agree(&cluster).await;
}
