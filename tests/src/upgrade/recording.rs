//! Making a recording with some build, and opening copies of it with another.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use quoin_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RequestOp, TxnRequest, compare,
    maintenance_client::MaintenanceClient, request_op::Request,
};
use rustix::fs::{FlockOperation, flock};

use super::{Facts, facts::is_compacted, pack, unpack};
use crate::{
    Error, Result,
    cluster::{Cluster, Options, refused},
};

/// Addresses of the members of a recorded cluster: they are in its membership, so
/// they cannot be chosen anew. All of 127.0.0.0/8 is this machine.
pub const HOSTS: [&str; 3] = ["127.71.4.1", "127.71.4.2", "127.71.4.3"];

/// The peer port of each of them.
pub const PEER_PORT: u16 = 12_380;

/// Entries between checkpoints: a recording holds some on both sides of one.
const FLAGS: [&str; 2] = ["--snapshot-count=25", "--snapshot-catchup-entries=5"];

/// The alarm that is raised at the end: NOSPACE.
const ALARM: i32 = 1;

/// A copy of a recording that is ready to be started.
#[derive(Debug)]
pub struct Recorded {
    /// Its members, none of them started.
    pub cluster: Cluster,
    /// What each of them has to answer.
    pub facts: Vec<Facts>,
    /// Held while the addresses of a recorded cluster are in use.
    _turn: Option<fs::File>,
}

/// Runs a cluster of `members_count` through one of everything, kills it, and
/// leaves `<name>-<member>.tar.gz` and `.json` in `folder`.
///
/// # Errors
/// The cluster does not do what it is asked to.
pub async fn record(
    folder: &Path,
    name: &str,
    members_count: usize,
    flags: &[String],
) -> Result<()> {
    let options = Options::new(members_count).flags(FLAGS).flags(flags);
    let mut cluster = Cluster::prepare(options)?;
    let _turn = (members_count > 1)
        .then(|| settle(&mut cluster))
        .transpose()?;
    cluster.start_all()?;
    cluster.wait_ready().await?;
    write_some_of_everything(&cluster).await?;
    let index = cluster.status(0).await?.raft_applied_index;
    let mut facts = Vec::new();
    for position in 0..members_count {
        cluster.wait_applied(position, index).await?;
        facts.push(Facts::collect(&cluster, position).await?);
    }
    cluster.kill_all()?;
    for (position, facts) in facts.iter().enumerate() {
        let stem = folder.join(format!("{name}-{position}"));
        pack(
            &cluster.member(position)?.data,
            &stem.with_extension("tar.gz"),
        )?;
        facts.write(&stem.with_extension("json"))?;
    }
    Ok(())
}

/// A copy of the one-member recording `name` of `folder`.
///
/// # Errors
/// It is not there.
pub fn recorded_member(folder: &Path, name: &str, flags: &[&str]) -> Result<Recorded> {
    let cluster = Cluster::prepare(Options::new(1).flags(FLAGS).flags(flags))?;
    let facts = unpack_all(&cluster, folder, name)?;
    Ok(Recorded {
        cluster,
        facts,
        _turn: None,
    })
}

/// A copy of the recording of a whole cluster. Waits until nobody else on this
/// machine uses its addresses.
///
/// # Errors
/// It is not there.
pub fn recorded_cluster(folder: &Path, name: &str) -> Result<Recorded> {
    let mut cluster = Cluster::prepare(Options::new(HOSTS.len()).flags(FLAGS))?;
    let turn = settle(&mut cluster)?;
    let facts = unpack_all(&cluster, folder, name)?;
    Ok(Recorded {
        cluster,
        facts,
        _turn: Some(turn),
    })
}

impl Recorded {
    /// Compares what a member answers with what was recorded; returns every
    /// difference. A newer revision is none, as long as the recorded ones read
    /// as they did.
    ///
    /// # Errors
    /// A call fails.
    pub async fn differences(&self, position: usize) -> Result<Vec<String>> {
        let Some(expected) = self.facts.get(position) else {
            return Ok(vec![format!("nothing was recorded of m{position}")]);
        };
        let mut found = Facts::collect(&self.cluster, position).await?;
        if found.revision == expected.revision {
            check_equal("hash", &expected.hash, &found.hash)?;
        }
        (found.revision, found.hash) = (expected.revision, expected.hash);
        found.history = found.history.split_off(&expected.compact_revision);
        found.history.retain(|at, _| *at <= expected.revision);
        let below = expected.compact_revision - 1;
        let mut differences = Vec::new();
        if !is_compacted(&self.cluster, position, below).await? {
            differences.push(format!("revision {below} can be read again"));
        }
        if found != *expected {
            differences.push(format!("expected {expected:#?}\nfound {found:#?}"));
        }
        Ok(differences)
    }
}

fn check_equal(what: &str, expected: &u32, found: &u32) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("{what} was recorded as {expected}, is {found}");
    Err(Error::malformed("recording", problem))
}

/// Gives the members the addresses of the recording; nobody else has them while
/// the returned file is held.
fn settle(cluster: &mut Cluster) -> Result<fs::File> {
    let path = env::temp_dir().join("quoin-recorded-cluster.lock");
    let turn = fs::File::create(&path).map_err(Error::io(path.display().to_string()))?;
    flock(&turn, FlockOperation::LockExclusive)
        .map_err(|error| Error::io(path.display().to_string())(error.into()))?;
    for (position, host) in HOSTS.iter().enumerate() {
        let member = cluster.member_mut(position)?;
        member.host = (*host).to_owned();
        member.peer_port = PEER_PORT;
    }
    Ok(turn)
}

fn unpack_all(cluster: &Cluster, folder: &Path, name: &str) -> Result<Vec<Facts>> {
    let stem = |position: usize| -> PathBuf { folder.join(format!("{name}-{position}")) };
    let mut facts = Vec::new();
    for position in 0..cluster.members_count() {
        let stem = stem(position);
        unpack(
            &stem.with_extension("tar.gz"),
            &cluster.member(position)?.data,
        )?;
        facts.push(Facts::read(&stem.with_extension("json"))?);
    }
    Ok(facts)
}

async fn write_some_of_everything(cluster: &Cluster) -> Result<()> {
    let mut kv = cluster.kv(0)?;
    let mut lease = cluster.lease(0)?;
    let put = |key: String, value: String, lease: i64| PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    };
    for (id, ttl) in [(71, 3_600), (72, 7_200), (73, 3_600)] {
        let grant = LeaseGrantRequest { ttl, id };
        lease.lease_grant(grant).await.map_err(refused("grant"))?;
    }
    for round in 0..4 {
        for number in 0..12 {
            let (key, value) = (format!("k{number:02}"), format!("v{round}-{number}"));
            let id = if number % 4 == 0 { 71 + round % 3 } else { 0 };
            kv.put(put(key, value, id)).await.map_err(refused("put"))?;
        }
        let gone = DeleteRangeRequest {
            key: format!("k{:02}", 9 + round % 3).into(),
            ..DeleteRangeRequest::default()
        };
        kv.delete_range(gone).await.map_err(refused("delete"))?;
    }
    let revoke = LeaseRevokeRequest { id: 73 };
    lease
        .lease_revoke(revoke)
        .await
        .map_err(refused("revoke"))?;
    let reply = kv.txn(transaction()).await.map_err(refused("txn"))?;
    let revision = reply.into_inner().header.unwrap_or_default().revision;
    let compact = CompactionRequest {
        revision: revision - 20,
        physical: true,
    };
    kv.compact(compact).await.map_err(refused("compact"))?;
    for number in 0..9 {
        let after = put(format!("after/{number}"), "x".repeat(40), 0);
        kv.put(after).await.map_err(refused("put"))?;
    }
    let header = cluster.status(0).await?.header.unwrap_or_default();
    let raise = AlarmRequest {
        action: 1,
        member_id: header.member_id,
        alarm: ALARM,
    };
    let mut maintenance = MaintenanceClient::new(cluster.channel(0)?);
    let raised = maintenance.alarm(raise).await.map_err(refused("alarm"));
    raised.map(drop)
}

/// A transaction whose parts share one revision.
fn transaction() -> TxnRequest {
    let put = |key: &'static str, value: &'static str| RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        })),
    };
    let delete = RequestOp {
        request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
            key: "k01".into(),
            ..DeleteRangeRequest::default()
        })),
    };
    let version = Compare {
        result: compare::CompareResult::Greater.into(),
        target: compare::CompareTarget::Version.into(),
        key: "k02".into(),
        target_union: Some(compare::TargetUnion::Version(0)),
        ..Compare::default()
    };
    TxnRequest {
        compare: vec![version],
        success: vec![put("t/a", "1"), put("t/b", "2"), delete],
        ..TxnRequest::default()
    }
}
