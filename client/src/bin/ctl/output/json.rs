//! JSON output: one line per reply.
//!
//! Names are those of the API's messages, zero values are left out, 64-bit
//! numbers are numbers, byte strings are base64. Some replies are structs of
//! their own in etcdctl: lease replies carry the header's fields inline, watch
//! replies have capitals and keep zero values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use quoin_client::proto::etcdserverpb as pb;
use quoin_client::proto::etcdserverpb::response_op::Response;
use quoin_client::proto::mvccpb::{Event, KeyValue};

use super::reply::{Health, Reply, WatchReply};

pub(super) fn render(hex: bool, reply: &Reply) -> Vec<u8> {
    let ids = Ids { hex };
    let value = match reply {
        Reply::Get(reply) => range(reply),
        Reply::Put(reply) => put(reply),
        Reply::Delete(reply) => delete(reply),
        Reply::Txn(reply) => txn(reply),
        Reply::Watch(reply) => watch(reply),
        Reply::LeaseGrant(reply) => lease_grant(reply),
        Reply::LeaseKeepAlive(reply) => inline(reply.header)
            .set("ID", reply.id)
            .set("TTL", reply.ttl)
            .done(),
        Reply::LeaseTimeToLive(reply, keys) => time_to_live(reply, *keys),
        Reply::Leases(reply) => {
            let leases = reply
                .leases
                .iter()
                .map(|lease| Object::new().some("id", lease.id).done());
            inline(reply.header)
                .set("leases", leases.collect::<Vec<_>>())
                .done()
        }
        Reply::MemberAdd(reply) => {
            let member = reply.member.as_ref().map(|member| ids.member(member));
            let object = ids.header(reply.header).maybe("member", member);
            ids.members(object, &reply.members)
        }
        Reply::MemberChange { reply, .. } | Reply::MemberList(reply) => {
            ids.members(ids.header(reply.header), &reply.members)
        }
        Reply::EndpointHealth(list) => list.iter().map(health).collect(),
        Reply::EndpointStatus(list) => rows(
            list,
            |(name, reply)| json!({ "Endpoint": name, "Status": status(reply) }),
        ),
        Reply::EndpointHashKv(list) => rows(
            list,
            |(name, reply)| json!({ "Endpoint": name, "HashKV": hash_kv(reply) }),
        ),
        Reply::Alarm(reply) => {
            let alarms = reply.alarms.iter().map(|alarm| {
                Object::new()
                    .some("memberID", alarm.member_id)
                    .some("alarm", alarm.alarm)
                    .done()
            });
            headed(reply.header).list("alarms", alarms).done()
        }
        Reply::MoveLeader { reply, .. } => headed(reply.header).done(),
        Reply::Downgrade(_, reply) => headed(reply.header)
            .some("version", reply.version.as_str())
            .done(),
        Reply::RoleGet(_, reply) => role(reply),
        Reply::RoleList(reply) => headed(reply.header)
            .list("roles", texts(&reply.roles))
            .done(),
        Reply::UserGet(_, reply) => headed(reply.header)
            .list("roles", texts(&reply.roles))
            .done(),
        Reply::UserList(reply) => headed(reply.header)
            .list("users", texts(&reply.users))
            .done(),
        Reply::AuthStatus(reply) => headed(reply.header)
            .some("enabled", reply.enabled)
            .some("authRevision", reply.auth_revision)
            .done(),
        Reply::Done { header, .. } => headed(*header).done(),
        Reply::FileStatus(status) => json!({
            "hash": status.hash,
            "revision": status.revision,
            "totalKey": status.keys_count,
            "totalSize": status.image_bytes,
            "version": status.version,
        }),
    };
    let mut line = escape_html(&value.to_string());
    line.push('\n');
    line.into_bytes()
}

/// Go's encoder escapes what could end a script element. These characters occur
/// within strings only.
fn escape_html(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// An object that leaves out zero values where asked to.
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    /// Sets a field whatever its value.
    fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a field unless its value is zero, false or empty.
    fn some(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let zero = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Bool(true) | Value::Object(_) => false,
        };
        if zero { self } else { self.set(name, value) }
    }

    fn maybe(self, name: &str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.some(name, STANDARD.encode(bytes))
    }

    fn list(self, name: &str, values: impl Iterator<Item = Value>) -> Self {
        self.some(name, values.collect::<Vec<_>>())
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn texts(list: &[String]) -> impl Iterator<Item = Value> {
    list.iter().map(|text| Value::from(text.as_str()))
}

fn health(health: &Health) -> Value {
    Object::new()
        .set("endpoint", health.endpoint.as_str())
        .set("health", health.healthy)
        .set("took", health.took.as_str())
        .some("error", health.error.as_str())
        .done()
}

/// A list that is null when empty.
fn rows<T>(list: &[T], row: impl Fn(&T) -> Value) -> Value {
    match list.is_empty() {
        true => Value::Null,
        false => list.iter().map(row).collect(),
    }
}

/// The header's fields themselves.
fn inline(header: Option<pb::ResponseHeader>) -> Object {
    let header = header.unwrap_or_default();
    Object::new()
        .some("cluster_id", header.cluster_id)
        .some("member_id", header.member_id)
        .some("revision", header.revision)
        .some("raft_term", header.raft_term)
}

/// An object that begins with the header, if there is one.
fn headed(header: Option<pb::ResponseHeader>) -> Object {
    Object::new().maybe("header", header.map(|header| inline(Some(header)).done()))
}

fn pair(pair: &KeyValue) -> Value {
    Object::new()
        .bytes("key", &pair.key)
        .some("create_revision", pair.create_revision)
        .some("mod_revision", pair.mod_revision)
        .some("version", pair.version)
        .bytes("value", &pair.value)
        .some("lease", pair.lease)
        .done()
}

fn range(reply: &pb::RangeResponse) -> Value {
    headed(reply.header)
        .list("kvs", reply.kvs.iter().map(pair))
        .some("more", reply.more)
        .some("count", reply.count)
        .done()
}

fn put(reply: &pb::PutResponse) -> Value {
    headed(reply.header)
        .maybe("prev_kv", reply.prev_kv.as_ref().map(pair))
        .done()
}

fn delete(reply: &pb::DeleteRangeResponse) -> Value {
    headed(reply.header)
        .some("deleted", reply.deleted)
        .list("prev_kvs", reply.prev_kvs.iter().map(pair))
        .done()
}

fn txn(reply: &pb::TxnResponse) -> Value {
    let response = |operation: &pb::ResponseOp| {
        let (name, value) = match &operation.response {
            Some(Response::ResponseRange(reply)) => ("response_range", range(reply)),
            Some(Response::ResponsePut(reply)) => ("response_put", put(reply)),
            Some(Response::ResponseDeleteRange(reply)) => ("response_delete_range", delete(reply)),
            Some(Response::ResponseTxn(reply)) => ("response_txn", txn(reply)),
            None => return json!({ "Response": {} }),
        };
        json!({ "Response": { name: value } })
    };
    headed(reply.header)
        .some("succeeded", reply.succeeded)
        .list("responses", reply.responses.iter().map(response))
        .done()
}

fn watch(reply: &WatchReply) -> Value {
    let event = |event: &Event| {
        Object::new()
            .some("type", event.r#type)
            .maybe("kv", event.kv.as_ref().map(pair))
            .maybe("prev_kv", event.prev_kv.as_ref().map(pair))
            .done()
    };
    Object::new()
        .set("Header", inline(reply.header).done())
        .set("Events", rows(&reply.events, event))
        .set("CompactRevision", reply.compact_revision)
        .set("Canceled", reply.canceled)
        .set("Created", false)
        .set("CancelReason", reply.cancel_reason.as_str())
        .done()
}

fn lease_grant(reply: &pb::LeaseGrantResponse) -> Value {
    inline(reply.header)
        .set("ID", reply.id)
        .set("TTL", reply.ttl)
        .set("Error", reply.error.as_str())
        .done()
}

fn time_to_live(reply: &pb::LeaseTimeToLiveResponse, keys: bool) -> Value {
    let listed: Vec<Value> = reply
        .keys
        .iter()
        .map(|key| STANDARD.encode(key).into())
        .collect();
    let listed = if keys && !listed.is_empty() {
        Value::Array(listed)
    } else {
        Value::Null
    };
    inline(reply.header)
        .set("id", reply.id)
        .set("ttl", reply.ttl)
        .set("granted-ttl", reply.granted_ttl)
        .set("keys", listed)
        .done()
}

fn status(reply: &pb::StatusResponse) -> Value {
    let downgrade = reply.downgrade_info.as_ref().map(|info| {
        Object::new()
            .some("enabled", info.enabled)
            .some("targetVersion", info.target_version.as_str())
            .done()
    });
    headed(reply.header)
        .some("version", reply.version.as_str())
        .some("dbSize", reply.db_size)
        .some("leader", reply.leader)
        .some("raftIndex", reply.raft_index)
        .some("raftTerm", reply.raft_term)
        .some("raftAppliedIndex", reply.raft_applied_index)
        .list("errors", texts(&reply.errors))
        .some("dbSizeInUse", reply.db_size_in_use)
        .some("isLearner", reply.is_learner)
        .some("storageVersion", reply.storage_version.as_str())
        .some("dbSizeQuota", reply.db_size_quota)
        .maybe("downgradeInfo", downgrade)
        .done()
}

fn hash_kv(reply: &pb::HashKvResponse) -> Value {
    headed(reply.header)
        .some("hash", reply.hash)
        .some("compact_revision", reply.compact_revision)
        .some("hash_revision", reply.hash_revision)
        .done()
}

fn role(reply: &pb::AuthRoleGetResponse) -> Value {
    let perms = reply.perm.iter().map(|perm| {
        Object::new()
            .some("permType", perm.perm_type)
            .bytes("key", &perm.key)
            .bytes("range_end", &perm.range_end)
            .done()
    });
    headed(reply.header).list("perm", perms).done()
}

/// Ids of member replies, which alone change with `--hex`.
#[derive(Clone, Copy)]
struct Ids {
    hex: bool,
}

impl Ids {
    fn id(self, object: Object, name: &str, id: u64) -> Object {
        match self.hex {
            true => object.set(name, format!("{id:x}")),
            false => object.some(name, id),
        }
    }

    fn header(self, header: Option<pb::ResponseHeader>) -> Object {
        let header = header.map(|header| {
            let object = self.id(Object::new(), "cluster_id", header.cluster_id);
            self.id(object, "member_id", header.member_id)
                .some("revision", header.revision)
                .some("raft_term", header.raft_term)
                .done()
        });
        Object::new().maybe("header", header)
    }

    fn member(self, member: &pb::Member) -> Value {
        self.id(Object::new(), "ID", member.id)
            .some("name", member.name.as_str())
            .list("peerURLs", texts(&member.peer_urls))
            .list("clientURLs", texts(&member.client_urls))
            .some("isLearner", member.is_learner)
            .done()
    }

    fn members(self, object: Object, members: &[pb::Member]) -> Value {
        object
            .list("members", members.iter().map(|member| self.member(member)))
            .done()
    }
}
