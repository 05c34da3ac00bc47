//! What commands print.

use quoin_client::proto::etcdserverpb as pb;
use quoin_client::proto::mvccpb::Event;
use quoin_server::offline::FileStatus;

/// A reply of the cluster, with what the command knows beyond it.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Get(pb::RangeResponse),
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Watch(WatchReply),
    LeaseGrant(pb::LeaseGrantResponse),
    LeaseKeepAlive(pb::LeaseKeepAliveResponse),
    /// With whether keys were asked for.
    LeaseTimeToLive(pb::LeaseTimeToLiveResponse, bool),
    Leases(pb::LeaseLeasesResponse),
    MemberAdd(pb::MemberAddResponse),
    /// Remove, update and promote: what happened to which member.
    MemberChange {
        id: u64,
        /// `removed from`, `updated in`, `promoted in`.
        change: &'static str,
        reply: pb::MemberListResponse,
    },
    MemberList(pb::MemberListResponse),
    EndpointHealth(Vec<Health>),
    EndpointStatus(Vec<(String, pb::StatusResponse)>),
    EndpointHashKv(Vec<(String, pb::HashKvResponse)>),
    Alarm(pb::AlarmResponse),
    MoveLeader {
        from: u64,
        to: u64,
        reply: pb::MoveLeaderResponse,
    },
    /// With the verb.
    Downgrade(&'static str, pb::DowngradeResponse),
    RoleGet(String, pb::AuthRoleGetResponse),
    RoleList(pb::AuthRoleListResponse),
    UserGet(String, pb::AuthUserGetResponse),
    UserList(pb::AuthUserListResponse),
    AuthStatus(pb::AuthStatusResponse),
    FileStatus(FileStatus),
    /// A reply that says nothing but that it was done.
    Done {
        text: String,
        header: Option<pb::ResponseHeader>,
    },
}

/// One response of a watcher.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchReply {
    pub(crate) header: Option<pb::ResponseHeader>,
    pub(crate) events: Vec<Event>,
    pub(crate) compact_revision: i64,
    pub(crate) canceled: bool,
    pub(crate) cancel_reason: String,
}

/// Whether one endpoint answers.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) endpoint: String,
    pub(crate) healthy: bool,
    /// Printed as it is.
    pub(crate) took: String,
    /// Empty if healthy.
    pub(crate) error: String,
}

/// Row of a file's status.
pub(super) fn file_row(status: &FileStatus) -> Vec<String> {
    vec![
        format!("{:x}", status.hash),
        status.revision.to_string(),
        status.keys_count.to_string(),
        super::unit::size(status.image_bytes),
        status.version.clone(),
    ]
}

/// Rows of a member list.
pub(super) fn member_rows(reply: &pb::MemberListResponse) -> Vec<Vec<String>> {
    let row = |member: &pb::Member| {
        vec![
            format!("{:x}", member.id),
            if member.name.is_empty() {
                "unstarted"
            } else {
                "started"
            }
            .to_owned(),
            member.name.clone(),
            member.peer_urls.join(","),
            member.client_urls.join(","),
            member.is_learner.to_string(),
        ]
    };
    reply.members.iter().map(row).collect()
}

/// Rows of endpoint status.
pub(super) fn status_rows(replies: &[(String, pb::StatusResponse)]) -> Vec<Vec<String>> {
    replies
        .iter()
        .map(|(endpoint, status)| status_row(endpoint, status))
        .collect()
}

fn status_row(endpoint: &str, status: &pb::StatusResponse) -> Vec<String> {
    let member_id = status.header.map_or(0, |header| header.member_id);
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    let in_use = status
        .db_size_in_use
        .saturating_mul(100)
        .checked_div(status.db_size);
    let size = |bytes: i64| super::unit::size(u64::try_from(bytes).unwrap_or(0));
    vec![
        endpoint.to_owned(),
        format!("{member_id:x}"),
        status.version.clone(),
        status.storage_version.clone(),
        size(status.db_size),
        size(status.db_size_in_use),
        format!("{}%", 100 - in_use.unwrap_or(100)),
        size(status.db_size_quota),
        (status.leader == member_id).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        downgrade.target_version,
        downgrade.enabled.to_string(),
    ]
}

/// Rows of endpoint hashkv.
pub(super) fn hash_rows(replies: &[(String, pb::HashKvResponse)]) -> Vec<Vec<String>> {
    let row = |(endpoint, reply): &(String, pb::HashKvResponse)| {
        vec![
            endpoint.clone(),
            reply.hash.to_string(),
            reply.hash_revision.to_string(),
        ]
    };
    replies.iter().map(row).collect()
}

/// Name of an alarm.
pub(super) fn alarm_name(alarm: i32) -> String {
    match pb::AlarmType::try_from(alarm) {
        Ok(known) => known.as_str_name().to_owned(),
        Err(_) => alarm.to_string(),
    }
}
