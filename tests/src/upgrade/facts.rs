//! Everything a member answers about its state, in a form that can be kept.

use std::collections::BTreeMap;

use quoin_proto::etcdserverpb::{
    AlarmRequest, HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest,
    maintenance_client::MaintenanceClient,
};
use serde::{Deserialize, Serialize};
use tonic::{Code, transport::Channel};

use crate::{
    Error, Result,
    cluster::{Cluster, refused},
};

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of the cluster, in hexadecimal.
    pub cluster_id: String,
    /// Of the member, in hexadecimal.
    pub member_id: String,
    /// The newest revision.
    pub revision: i64,
    /// Below it nothing can be read.
    pub compact_revision: i64,
    /// HashKV at the newest revision.
    pub hash: u32,
    /// One line per pair, for each revision from the compact revision on.
    pub history: BTreeMap<i64, Vec<String>>,
    /// Leases by id: granted TTL in seconds, and keys.
    pub leases: BTreeMap<i64, (i64, Vec<String>)>,
    /// Raised alarms: number of the kind and member.
    pub alarms: Vec<String>,
    /// Members: id, name, peer URLs, whether it is a learner.
    pub members: Vec<String>,
}

impl Facts {
    /// Asks one member for everything.
    ///
    /// # Errors
    /// A call fails.
    pub async fn collect(cluster: &Cluster, position: usize) -> Result<Self> {
        let mut maintenance = MaintenanceClient::new(cluster.channel(position)?);
        let hash = maintenance.hash_kv(HashKvRequest { revision: 0 }).await;
        let hash = hash.map_err(refused("hash"))?.into_inner();
        let header = hash.header.unwrap_or_default();
        let compact_revision = hash.compact_revision;
        let mut history = BTreeMap::new();
        for revision in compact_revision.max(1)..=header.revision {
            history.insert(revision, pairs(cluster, position, revision).await?);
        }
        Ok(Self {
            cluster_id: format!("{:x}", header.cluster_id),
            member_id: format!("{:x}", header.member_id),
            revision: header.revision,
            compact_revision,
            hash: hash.hash,
            history,
            leases: leases(cluster, position).await?,
            alarms: alarms(&mut maintenance).await?,
            members: members(cluster, position).await?,
        })
    }

    /// Writes them beside the archive.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &std::path::Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::malformed(path, error.to_string()))?;
        text.push('\n');
        std::fs::write(path, text).map_err(Error::io(path.display().to_string()))
    }

    /// Reads them back.
    ///
    /// # Errors
    /// The file is not there or not what [`Self::write`] writes.
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(Error::io(path.display().to_string()))?;
        serde_json::from_str(&text).map_err(|error| Error::malformed(path, error.to_string()))
    }
}

async fn pairs(cluster: &Cluster, position: usize, revision: i64) -> Result<Vec<String>> {
    let request = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        ..RangeRequest::default()
    };
    let reply = cluster.kv(position)?.range(request).await;
    let reply = reply.map_err(refused("range"))?.into_inner();
    let line = |pair: &quoin_proto::mvccpb::KeyValue| {
        format!(
            "{}={} created {} changed {} version {} lease {}",
            String::from_utf8_lossy(&pair.key),
            String::from_utf8_lossy(&pair.value),
            pair.create_revision,
            pair.mod_revision,
            pair.version,
            pair.lease
        )
    };
    Ok(reply.kvs.iter().map(line).collect())
}

async fn leases(cluster: &Cluster, position: usize) -> Result<BTreeMap<i64, (i64, Vec<String>)>> {
    let mut client = cluster.lease(position)?;
    let list = client.lease_leases(LeaseLeasesRequest {}).await;
    let list = list.map_err(refused("leases"))?.into_inner();
    let mut found = BTreeMap::new();
    for lease in list.leases {
        let look = LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let look = client.lease_time_to_live(look).await;
        let look = look.map_err(refused("time to live"))?.into_inner();
        let mut keys: Vec<_> = look
            .keys
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect();
        keys.sort();
        found.insert(lease.id, (look.granted_ttl, keys));
    }
    Ok(found)
}

async fn alarms(maintenance: &mut MaintenanceClient<Channel>) -> Result<Vec<String>> {
    let reply = maintenance.alarm(AlarmRequest::default()).await;
    let reply = reply.map_err(refused("alarms"))?.into_inner();
    let line = |alarm: &quoin_proto::etcdserverpb::AlarmMember| {
        format!("{} of {:x}", alarm.alarm, alarm.member_id)
    };
    Ok(reply.alarms.iter().map(line).collect())
}

async fn members(cluster: &Cluster, position: usize) -> Result<Vec<String>> {
    let members = cluster.members(position).await?;
    let line = |member: &quoin_proto::etcdserverpb::Member| {
        let kind = if member.is_learner {
            "learner"
        } else {
            "voter"
        };
        let urls = member.peer_urls.join(",");
        format!("{:x} {} {urls} {kind}", member.id, member.name)
    };
    let mut lines: Vec<_> = members.iter().map(line).collect();
    lines.sort();
    Ok(lines)
}

/// True if a read at `revision` is refused because it was compacted.
///
/// # Errors
/// It fails for another reason.
pub(super) async fn is_compacted(
    cluster: &Cluster,
    position: usize,
    revision: i64,
) -> Result<bool> {
    let request = RangeRequest {
        key: "k".into(),
        revision,
        ..RangeRequest::default()
    };
    match cluster.kv(position)?.range(request).await {
        Ok(_) => Ok(false),
        Err(status) if status.code() == Code::OutOfRange => Ok(true),
        Err(status) => Err(refused("range")(status)),
    }
}
