//! Members whose states differ: found, taken out of service, repaired.
//!
//! The difference is planted in the files of a member that is stopped: a key is
//! written into its store as if an entry had said so, checksums and digest
//! included. The server knows nothing of it.

use std::{fs, process::Command, sync::Arc};

use quoin_proto::{
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmType, MoveLeaderRequest, RangeRequest,
        maintenance_client::MaintenanceClient,
    },
    grpc::health::v1::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    },
};
use quoin_server::{
    backend::{Backend, Config, Durability, EngineKind, Identity},
    mvcc::{Previous, Store},
};
use quoin_tests::{
    binaries,
    cluster::{Cluster, Options, files_under},
    http, wait,
};
use tonic::{Code, Status};

use crate::support::{CALM, Watch, assert_members_agree, get, key, put, put_request};

/// Compares often; does not sync, so that many writes are quick.
const EAGER: [&str; 3] = [
    CALM[0],
    "--state-digest-interval=500ms",
    "--unsafe-no-fsync",
];

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// Writes a key into the store of a stopped member, behind its last entry; answers
/// that entry's index.
async fn plant(cluster: &Cluster, position: usize, value: &'static str) -> u64 {
    let directory = cluster.member(position).unwrap().data.join("member");
    let identity = fs::read(directory.join("identity.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let id = |name: &str| u64::from_str_radix(identity[name].as_str().unwrap(), 16).unwrap();
    let owner = Identity {
        cluster_id: id("cluster_id"),
        member_id: id("member_id"),
    };
    let config = Config::new(directory.join("backend"), EngineKind::Sled, owner);
    let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
    let applied = backend.recovered().applied.unwrap();
    let store = Store::open(backend.clone()).unwrap();
    let mut tx = store.write();
    tx.begin();
    tx.put("planted".into(), value.as_bytes(), 0, Previous::Skip)
        .unwrap();
    tx.end();
    tx.commit(applied);
    backend.checkpoint().await.unwrap();
    backend.close().unwrap();
    applied.index
}

/// What the member says to a local read.
async fn local_read(cluster: &Cluster, position: usize) -> Result<(), Status> {
    let request = RangeRequest {
        key: "a".into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let reply = cluster.kv(position).unwrap().range(request).await;
    reply.map(drop)
}

/// Waits until the member refuses for the sake of its state.
async fn wait_quarantined(cluster: &Cluster, position: usize) -> Status {
    wait::until("a quarantine", wait::DEADLINE, async || {
        match local_read(cluster, position).await {
            Err(status) if status.code() == Code::DataLoss => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap()
}

async fn alarms(cluster: &Cluster, position: usize) -> Vec<AlarmMember> {
    let mut client = MaintenanceClient::new(cluster.channel(position).unwrap());
    let reply = client.alarm(AlarmRequest::default()).await.unwrap();
    reply.into_inner().alarms
}

async fn wait_alarms(cluster: &Cluster, position: usize, members: &[u64]) {
    let expected: Vec<_> = members
        .iter()
        .map(|&member_id| AlarmMember {
            member_id,
            alarm: AlarmType::Corrupt as i32,
        })
        .collect();
    wait::until("alarms", wait::DEADLINE, async || {
        let found = alarms(cluster, position).await;
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}, not {expected:?}"))
        }
    })
    .await
    .unwrap();
}

async fn member_id(cluster: &Cluster, position: usize) -> u64 {
    let status = cluster.status(position).await.unwrap();
    status.header.unwrap().member_id
}

/// Runs `quoinctl member repair` and answers what it printed.
fn repair(cluster: &Cluster, member: u64) -> Result<String, String> {
    let mut command = Command::new(binaries::quoinctl().unwrap());
    let endpoints = format!("--endpoints={}", cluster.urls().join(","));
    command.args([&endpoints, "member", "repair", &format!("{member:x}")]);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

async fn http_status(cluster: &Cluster, position: usize, path: &str) -> u16 {
    let port = cluster.member(position).unwrap().client_port;
    http::get(port, path).await.unwrap().0
}

/// Nothing that would tell of its state is served, and the health says so.
async fn assert_out_of_service(cluster: &Cluster, position: usize) {
    let mut kv = cluster.kv(position).unwrap();
    let refused = kv.put(put_request("a", "no")).await;
    assert_eq!(refused.unwrap_err().code(), Code::DataLoss);
    let refused = Watch::open_with(cluster, position, key("a"), &[]).await;
    assert_eq!(
        refused.err().map(|status| status.code()),
        Some(Code::DataLoss)
    );
    assert_eq!(http_status(cluster, position, "/health").await, 503);
    assert_eq!(http_status(cluster, position, "/readyz").await, 503);
    assert_eq!(http_status(cluster, position, "/livez").await, 200);
    let mut health = HealthClient::new(cluster.channel(position).unwrap());
    let reply = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(reply.get_ref().status(), ServingStatus::NotServing);
}

/// The healthy members serve as if nothing had happened.
async fn assert_in_service(cluster: &Cluster, positions: &[usize]) {
    for &position in positions {
        put(cluster, position, "b", "still").await;
        assert_eq!(get(cluster, position, "b").await.as_deref(), Some("still"));
        assert_eq!(http_status(cluster, position, "/health").await, 200);
        assert_eq!(http_status(cluster, position, "/readyz").await, 200);
    }
}

/// Repairs a member in quarantine and checks that all is as it was.
async fn assert_repairs(cluster: &Cluster, position: usize, differed: u64) {
    let id = member_id(cluster, position).await;
    let printed = repair(cluster, id).unwrap();
    let expected = format!("since log index {differed},");
    assert!(printed.contains(&expected), "{printed}");
    local_read(cluster, position).await.unwrap();
    assert_eq!(get(cluster, position, "planted").await, None);
    assert_in_service(cluster, &cluster.running()).await;
    wait_alarms(cluster, position, &[]).await;
    assert_members_agree(cluster).await;
    let refused = repair(cluster, id).unwrap_err();
    assert!(refused.contains("nothing to repair"), "{refused}");
    wait_compared(cluster, position).await;
}

/// Waits until a follower has agreed with the leader about what it wrote last.
async fn wait_compared(cluster: &Cluster, position: usize) {
    put(cluster, position, "c", "compared").await;
    let index = cluster.status(position).await.unwrap().raft_applied_index;
    let port = cluster.member(position).unwrap().client_port;
    wait::until("equal digests", wait::DEADLINE, async || {
        // Something new for the leader to tell: this member may have told the last
        // itself, being new.
        put(cluster, position, "c", "compared").await;
        let equal = http::metric(port, "quoin_state_digest_equal_index").await;
        let equal = equal.map_err(|error| error.to_string())?;
        if equal >= index as f64 {
            Ok(())
        } else {
            Err(format!("equal at {equal}, not yet at {index}"))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_follower_that_differs_is_found_taken_out_and_repaired() {
    let mut cluster = Cluster::start(Options::new(3).flags(EAGER)).await.unwrap();
    put(&cluster, 0, "a", "1").await;
    let leader = cluster.wait_leader().await.unwrap();
    let (bad, other) = ((leader + 1) % 3, (leader + 2) % 3);
    wait_compared(&cluster, bad).await;
    let id = member_id(&cluster, bad).await;
    cluster.terminate(bad).await.unwrap();
    let planted = plant(&cluster, bad, "x").await;
    cluster.start_member(bad).unwrap();
    let status = wait_quarantined(&cluster, bad).await;
    assert!(
        status.message().contains("quoinctl member repair"),
        "{status}"
    );
    assert_out_of_service(&cluster, bad).await;
    wait_alarms(&cluster, leader, &[id]).await;
    assert_in_service(&cluster, &[leader, other]).await;
    let status = wait_quarantined(&cluster, bad).await;
    let since = format!("since log index {planted}:");
    assert!(
        status.message().contains(&since),
        "{status}, planted at {planted}"
    );
    let errors = cluster.status(bad).await.unwrap().errors;
    assert!(
        errors.iter().any(|error| error.contains(&since)),
        "{errors:?}"
    );

    // It knows of it after a restart too, before anybody tells.
    cluster.terminate(bad).await.unwrap();
    cluster.start_member(bad).unwrap();
    wait_quarantined(&cluster, bad).await;
    assert_out_of_service(&cluster, bad).await;
    assert_repairs(&cluster, bad, planted).await;

    // What it serves from now on outlives a restart.
    cluster.terminate(bad).await.unwrap();
    cluster.start_member(bad).unwrap();
    cluster.wait_member_ready(bad).await.unwrap();
    assert_members_agree(&cluster).await;
}

#[tokio::test]
async fn a_leader_that_differs_hands_over_and_is_repaired() {
    // Compared only after many entries, so that there is time to make it lead.
    let flags = [CALM[0], "--state-digest-interval=0", "--unsafe-no-fsync"];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    put(&cluster, 0, "a", "1").await;
    let leader = cluster.wait_leader().await.unwrap();
    let bad = (leader + 1) % 3;
    let id = member_id(&cluster, bad).await;
    cluster.terminate(bad).await.unwrap();
    let planted = plant(&cluster, bad, "x").await;
    cluster.start_member(bad).unwrap();
    cluster.wait_member_ready(bad).await.unwrap();
    assert_eq!(get(&cluster, bad, "planted").await.as_deref(), Some("x"));
    let mut client = MaintenanceClient::new(cluster.channel(leader).unwrap());
    let target_id = id;
    client
        .move_leader(MoveLeaderRequest { target_id })
        .await
        .unwrap();
    assert_eq!(cluster.wait_leader().await.unwrap(), bad);
    let mut watch = Watch::open(&cluster, bad, key("other")).await;
    // Until it compares, and the others object.
    let (writer, mut number) = (cluster.kv(leader).unwrap(), 0);
    while local_read(&cluster, bad).await.is_ok() {
        let puts = (0..4).map(|_| {
            number += 1;
            let (mut writer, request) = (writer.clone(), put_request("a", &number.to_string()));
            async move { writer.put(request).await.map(drop) }
        });
        futures_util::future::join_all(puts).await;
        assert!(number < 1_000_000, "not found");
    }
    wait_quarantined(&cluster, bad).await;
    assert_eq!(watch.next().await.unwrap_err().code(), Code::DataLoss);
    assert_out_of_service(&cluster, bad).await;
    let next = cluster.wait_leader().await.unwrap();
    assert_ne!(next, bad);
    wait_alarms(&cluster, next, &[id]).await;
    let healthy: Vec<_> = (0..3).filter(|position| *position != bad).collect();
    assert_in_service(&cluster, &healthy).await;
    // It does not come back to lead, not even if asked to.
    let mut client = MaintenanceClient::new(cluster.channel(next).unwrap());
    let refused = client.move_leader(MoveLeaderRequest { target_id }).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    // Nothing is written meanwhile: what was compared is behind what was taken over.
    let taken = cluster.status(next).await.unwrap().raft_applied_index;
    let repaired = repair(&cluster, id).unwrap();
    assert!(repaired.contains(&format!("{planted},")), "{repaired}");
    let compared = repaired.split_whitespace().last().unwrap();
    assert!(compared.parse::<u64>().unwrap() > taken, "{repaired}");
    assert_eq!(get(&cluster, bad, "planted").await, None);
    assert_members_agree(&cluster).await;
    wait_alarms(&cluster, bad, &[]).await;
}

/// A value that can be found in the files.
const MARK: &str = "a-value-that-stands-out-in-any-file-0123456789";

/// Changes one bit of the stored value of a stopped member, and the checksum of the
/// block that holds it to fit. The digest does not know of it.
fn flip_stored_bit(cluster: &Cluster, position: usize) {
    let member = cluster.member(position).unwrap();
    let folder = member.data.join("member/backend");
    let changed = files_under(&folder).into_iter().find_map(|path| {
        let mut bytes = fs::read(&path).ok()?;
        let at = bytes
            .windows(MARK.len())
            .position(|w| w == MARK.as_bytes())?;
        let block = (0..=at).rev().find_map(|from| sealed_block(&bytes, from))?;
        bytes[at] ^= 1;
        let crc = crc32fast::hash(&bytes[block.start + 4..block.end]);
        bytes[block.start..block.start + 4].copy_from_slice(&crc.to_le_bytes());
        Some((path, bytes))
    });
    let (path, bytes) = changed.expect("a file with the value in a block");
    fs::write(path, bytes).unwrap();
}

/// The block that begins at this offset, if one does. Source: docs/formats/backend.md.
fn sealed_block(bytes: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().unwrap()) as usize)
    };
    let (version, records) = (number(from + 4)?, number(from + 8)?);
    if version != 1 || !(1..10_000).contains(&records) {
        return None;
    }
    let table = from + 20;
    let end = table + 12 * records + number(table + 12 * records - 4)?;
    let is_sealed = crc32fast::hash(bytes.get(from + 4..end)?) as usize == number(from)?;
    is_sealed.then_some(from..end)
}

/// A member whose disk has changed a bit, found by this flag, and repaired.
async fn assert_stored_bit_is_found(flag: &str) -> Cluster {
    // redb checks its pages after a crash only.
    let flags = [CALM[0], "--backend-engine=redb", flag];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    put(&cluster, 0, "mark", MARK).await;
    let leader = cluster.wait_leader().await.unwrap();
    let bad = (leader + 1) % 3;
    let id = member_id(&cluster, bad).await;
    cluster.terminate(bad).await.unwrap();
    flip_stored_bit(&cluster, bad);
    cluster.start_member(bad).unwrap();
    wait_quarantined(&cluster, bad).await;
    assert_out_of_service(&cluster, bad).await;
    wait_alarms(&cluster, leader, &[id]).await;
    repair(&cluster, id).unwrap();
    assert_eq!(get(&cluster, bad, "mark").await.as_deref(), Some(MARK));
    assert_members_agree(&cluster).await;
    cluster.terminate(bad).await.unwrap();
    cluster.start_member(bad).unwrap();
    cluster.wait_member_ready(bad).await.unwrap();
    assert_in_service(&cluster, &[0, 1, 2]).await;
    cluster
}

#[tokio::test]
async fn a_bit_that_changed_on_disk_is_found_by_the_periodic_check() {
    assert_stored_bit_is_found("--corrupt-check-time=1s").await;
}

#[tokio::test]
async fn a_bit_that_changed_on_disk_is_found_before_the_member_serves() {
    let gate = "--feature-gates=InitialCorruptCheck=true";
    let mut cluster = assert_stored_bit_is_found(gate).await;
    let bad = cluster.running().into_iter().find(|position| {
        let log = &cluster.member(*position).unwrap().log;
        let log = fs::read_to_string(log).unwrap();
        log.contains("found data inconsistency with the leader")
    });
    let bad = bad.unwrap();
    cluster.terminate(bad).await.unwrap();
    let log = fs::read_to_string(&cluster.member(bad).unwrap().log).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let line = |text: &str| lines.iter().position(|line| line.contains(text));
    let found = line("found data inconsistency with the leader").unwrap();
    // Of the start before and of that one.
    let served = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("ready to serve client requests"));
    let between = served.filter(|(at, _)| *at < found).count();
    assert_eq!(between, 1, "served before the check:\n{log}");
}

#[tokio::test]
async fn without_a_majority_nobody_is_blamed_and_writes_stop() {
    let mut cluster = Cluster::start(Options::new(3).flags(EAGER)).await.unwrap();
    put(&cluster, 0, "a", "1").await;
    let leader = cluster.wait_leader().await.unwrap();
    for position in (0..3).filter(|position| *position != leader) {
        wait_compared(&cluster, position).await;
    }
    for position in 0..3 {
        cluster.terminate(position).await.unwrap();
    }
    plant(&cluster, 0, "x").await;
    plant(&cluster, 1, "y").await;
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    wait_alarms(&cluster, 2, &[0]).await;
    for position in 0..3 {
        let mut kv = cluster.kv(position).unwrap();
        let status = kv.put(put_request("a", "2")).await.unwrap_err();
        assert_eq!(status.message(), "etcdserver: corrupt cluster");
        assert_eq!(status.code(), Code::DataLoss);
        local_read(&cluster, position).await.unwrap();
        assert_eq!(http_status(&cluster, position, "/readyz").await, 503);
    }
    let id = member_id(&cluster, 0).await;
    let refused = repair(&cluster, id).unwrap_err();
    assert!(refused.contains("nothing to repair"), "{refused}");
}

#[tokio::test]
async fn founders_that_call_each_other_by_different_names_agree() {
    let mut cluster = Cluster::prepare(Options::new(3).flags(EAGER)).unwrap();
    for position in 0..3 {
        let named = (0..3).map(|other| {
            let member = cluster.member(other).unwrap();
            let name = match other == position {
                true => member.name.clone(),
                false => format!("as-{position}-says-{other}"),
            };
            format!("{name}={}", member.peer_url())
        });
        let named = named.collect::<Vec<_>>().join(",");
        let flags = format!("--initial-cluster={named}");
        cluster.set_flags(position, &[&flags]).unwrap();
    }
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    for position in (0..3).filter(|position| *position != leader) {
        wait_compared(&cluster, position).await;
    }
    assert_in_service(&cluster, &[0, 1, 2]).await;
    wait_alarms(&cluster, leader, &[]).await;
    let members = cluster.members(0).await.unwrap();
    let mut names: Vec<_> = members.into_iter().map(|member| member.name).collect();
    names.sort();
    assert_eq!(names, ["m0", "m1", "m2"]);
}
