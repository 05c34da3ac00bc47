//! Fields output: one `"Name" : value` per line.

use quoin_client::proto::etcdserverpb as pb;
use quoin_client::proto::etcdserverpb::response_op::Response;
use quoin_client::proto::mvccpb::KeyValue;

use super::quote::quote;
use super::reply::{Health, Reply, WatchReply, alarm_name};

/// `None` for replies that have no such form.
pub(super) fn render(hex: bool, reply: &Reply) -> Option<Vec<u8>> {
    let mut out = Out {
        text: String::new(),
        hex,
    };
    match reply {
        Reply::Get(reply) => out.get(reply),
        Reply::Put(reply) => out.put(reply),
        Reply::Delete(reply) => out.delete(reply),
        Reply::Txn(reply) => out.txn(reply),
        Reply::Watch(reply) => out.watch(reply),
        Reply::LeaseGrant(reply) => out.lease(reply.header, reply.id, Some(reply.ttl)),
        Reply::LeaseKeepAlive(reply) => out.lease(reply.header, reply.id, Some(reply.ttl)),
        Reply::LeaseTimeToLive(reply, _) => {
            out.lease(reply.header, reply.id, Some(reply.ttl));
            out.field("GrantedTTL", reply.granted_ttl);
            reply
                .keys
                .iter()
                .for_each(|key| out.field("Key", quote(key)));
        }
        Reply::Leases(reply) => {
            out.header(reply.header);
            reply.leases.iter().for_each(|lease| out.lease_id(lease.id));
        }
        Reply::MemberList(reply) => out.members(reply),
        Reply::EndpointHealth(list) => list.iter().for_each(|health| out.health(health)),
        Reply::EndpointStatus(list) => list
            .iter()
            .for_each(|(name, reply)| out.status(name, reply)),
        Reply::EndpointHashKv(list) => {
            for (endpoint, reply) in list {
                out.header(reply.header);
                out.field("Endpoint", quote(endpoint.as_bytes()));
                out.field("Hash", reply.hash);
                out.field("HashRevision", reply.hash_revision);
                out.text.push('\n');
            }
        }
        Reply::Alarm(reply) => {
            out.header(reply.header);
            for alarm in &reply.alarms {
                out.id("MemberID", alarm.member_id);
                out.field("AlarmType", alarm_name(alarm.alarm));
                out.text.push('\n');
            }
        }
        Reply::RoleGet(_, reply) => {
            out.header(reply.header);
            for perm in &reply.perm {
                // Two spaces, as in the original.
                out.field("PermType", format!(" {}", perm.perm_type().as_str_name()));
                out.field("Key", quote(&perm.key));
                out.field("RangeEnd", quote(&perm.range_end));
            }
        }
        Reply::RoleList(reply) => {
            out.header(reply.header);
            let roles = reply
                .roles
                .iter()
                .map(|role| format!(" {}", quote(role.as_bytes())));
            out.text
                .push_str(&format!("\"Roles\" :{}\n", roles.collect::<String>()));
        }
        Reply::Done { header, .. } => out.header(*header),
        Reply::FileStatus(status) => {
            out.field("Hash", status.hash);
            out.field("Revision", status.revision);
            out.field("Keys", status.keys_count);
            out.field("Size", status.image_bytes);
            out.field("Version", &status.version);
        }
        Reply::MemberAdd(_)
        | Reply::MemberChange { .. }
        | Reply::MoveLeader { .. }
        | Reply::Downgrade(..)
        | Reply::UserGet(..)
        | Reply::UserList(_)
        | Reply::AuthStatus(_) => return None,
    }
    Some(out.text.into_bytes())
}

struct Out {
    text: String,
    hex: bool,
}

impl Out {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.text.push_str(&format!("\"{name}\" : {value}\n"));
    }

    fn id(&mut self, name: &str, id: u64) {
        match self.hex {
            true => self.field(name, format!("{id:x}")),
            false => self.field(name, id),
        }
    }

    fn lease_field(&mut self, name: &str, id: i64) {
        match self.hex {
            true => self.field(name, format!("{id:016x}")),
            false => self.field(name, id),
        }
    }

    fn lease_id(&mut self, id: i64) {
        self.lease_field("ID", id);
    }

    fn header(&mut self, header: Option<pb::ResponseHeader>) {
        let header = header.unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        if header.revision > 0 {
            self.field("Revision", header.revision);
        }
        self.field("RaftTerm", header.raft_term);
    }

    fn pair(&mut self, prefix: &str, pair: &KeyValue) {
        self.field(&format!("{prefix}Key"), quote(&pair.key));
        self.field(&format!("{prefix}CreateRevision"), pair.create_revision);
        self.field(&format!("{prefix}ModRevision"), pair.mod_revision);
        self.field(&format!("{prefix}Version"), pair.version);
        self.field(&format!("{prefix}Value"), quote(&pair.value));
        self.lease_field(&format!("{prefix}Lease"), pair.lease);
    }

    fn get(&mut self, reply: &pb::RangeResponse) {
        self.header(reply.header);
        reply.kvs.iter().for_each(|pair| self.pair("", pair));
        self.field("More", reply.more);
        self.field("Count", reply.count);
    }

    fn put(&mut self, reply: &pb::PutResponse) {
        self.header(reply.header);
        reply
            .prev_kv
            .iter()
            .for_each(|pair| self.pair("Prev", pair));
    }

    fn delete(&mut self, reply: &pb::DeleteRangeResponse) {
        self.header(reply.header);
        self.field("Deleted", reply.deleted);
        reply
            .prev_kvs
            .iter()
            .for_each(|pair| self.pair("Prev", pair));
    }

    fn txn(&mut self, reply: &pb::TxnResponse) {
        self.header(reply.header);
        self.field("Succeeded", reply.succeeded);
        for operation in &reply.responses {
            match &operation.response {
                Some(Response::ResponseRange(reply)) => self.get(reply),
                Some(Response::ResponsePut(reply)) => self.put(reply),
                Some(Response::ResponseDeleteRange(reply)) => self.delete(reply),
                Some(Response::ResponseTxn(reply)) => self.txn(reply),
                None => {}
            }
        }
    }

    fn watch(&mut self, reply: &WatchReply) {
        self.header(reply.header);
        for event in &reply.events {
            self.field("Type", event.r#type().as_str_name());
            event
                .prev_kv
                .iter()
                .for_each(|pair| self.pair("Prev", pair));
            self.pair("", &event.kv.clone().unwrap_or_default());
        }
    }

    fn lease(&mut self, header: Option<pb::ResponseHeader>, id: i64, ttl: Option<i64>) {
        self.header(header);
        self.lease_id(id);
        ttl.iter().for_each(|ttl| self.field("TTL", ttl));
    }

    fn members(&mut self, reply: &pb::MemberListResponse) {
        self.header(reply.header);
        for member in &reply.members {
            self.id("ID", member.id);
            self.field("Name", quote(member.name.as_bytes()));
            member
                .peer_urls
                .iter()
                .for_each(|url| self.field("PeerURL", quote(url.as_bytes())));
            member
                .client_urls
                .iter()
                .for_each(|url| self.field("ClientURL", quote(url.as_bytes())));
            self.field("IsLearner", member.is_learner);
            self.text.push('\n');
        }
    }

    fn health(&mut self, health: &Health) {
        self.field("Endpoint", quote(health.endpoint.as_bytes()));
        self.field("Health", health.healthy);
        self.field("Took", &health.took);
        self.field("Error", &health.error);
        self.text.push('\n');
    }

    fn status(&mut self, endpoint: &str, reply: &pb::StatusResponse) {
        let downgrade = reply.downgrade_info.clone().unwrap_or_default();
        self.header(reply.header);
        self.field("Version", quote(reply.version.as_bytes()));
        self.field("StorageVersion", quote(reply.storage_version.as_bytes()));
        self.field("DBSize", reply.db_size);
        self.field("DBSizeInUse", reply.db_size_in_use);
        self.field("DBSizeQuota", reply.db_size_quota);
        self.field("Leader", reply.leader);
        self.field("IsLearner", reply.is_learner);
        self.field("RaftIndex", reply.raft_index);
        self.field("RaftAppliedIndex", reply.raft_applied_index);
        self.field("Errors", format!("[{}]", reply.errors.join(" ")));
        self.field("Endpoint", quote(endpoint.as_bytes()));
        self.field(
            "DowngradeTargetVersion",
            quote(downgrade.target_version.as_bytes()),
        );
        self.field("DowngradeEnabled", downgrade.enabled);
        self.text.push('\n');
    }
}
