//! Simple output: for people and shell scripts.

use quoin_client::proto::authpb::Permission;
use quoin_client::proto::authpb::permission::Type;
use quoin_client::proto::etcdserverpb as pb;
use quoin_client::proto::etcdserverpb::response_op::Response;
use quoin_client::proto::mvccpb::KeyValue;

use super::Printer;
use super::reply::{Reply, alarm_name, file_row, hash_rows, member_rows, status_rows};

pub(super) fn render(printer: Printer, reply: &Reply) -> Vec<u8> {
    let mut out = Out {
        bytes: Vec::new(),
        printer,
    };
    match reply {
        Reply::Get(reply) => out.get(reply),
        Reply::Put(reply) => out.put(reply),
        Reply::Delete(reply) => out.delete(reply),
        Reply::Txn(reply) => out.txn(reply),
        Reply::Watch(reply) => {
            for event in &reply.events {
                out.line(event.r#type().as_str_name());
                event.prev_kv.iter().for_each(|pair| out.pair(pair));
                out.pair(&event.kv.clone().unwrap_or_default());
            }
        }
        Reply::LeaseGrant(reply) => {
            out.line(&format!(
                "lease {:016x} granted with TTL({}s)",
                reply.id, reply.ttl
            ));
        }
        Reply::LeaseKeepAlive(reply) => {
            out.line(&format!(
                "lease {:016x} keepalived with TTL({})",
                reply.id, reply.ttl
            ));
        }
        Reply::LeaseTimeToLive(reply, keys) => out.time_to_live(reply, *keys),
        Reply::Leases(reply) => {
            out.line(&format!("found {} leases", reply.leases.len()));
            reply
                .leases
                .iter()
                .for_each(|lease| out.line(&format!("{:016x}", lease.id)));
        }
        Reply::MemberAdd(reply) => out.member_add(reply),
        Reply::MemberChange { id, change, reply } => {
            let cluster = reply.header.map_or(0, |header| header.cluster_id);
            out.line(&format!("Member {id:16x} {change} cluster {cluster:16x}"));
        }
        Reply::MemberList(reply) => out.rows(member_rows(reply)),
        Reply::EndpointHealth(list) => {
            for health in list.iter().filter(|health| health.error.is_empty()) {
                out.line(&format!(
                    "{} is healthy: successfully committed proposal: took = {}",
                    health.endpoint, health.took
                ));
            }
        }
        Reply::EndpointStatus(list) => out.rows(status_rows(list)),
        Reply::EndpointHashKv(list) => out.rows(hash_rows(list)),
        Reply::FileStatus(status) => out.rows(vec![file_row(status)]),
        Reply::Alarm(reply) => {
            for alarm in &reply.alarms {
                let name = alarm_name(alarm.alarm);
                out.line(&format!("memberID:{} alarm:{name}", alarm.member_id));
            }
        }
        Reply::MoveLeader { from, to, .. } => {
            out.line(&format!("Leadership transferred from {from:x} to {to:x}"));
        }
        Reply::Downgrade(verb, reply) => {
            let version = &reply.version;
            out.line(&format!(
                "Downgrade {verb} success, cluster version {version}"
            ));
        }
        Reply::RoleGet(role, reply) => out.role(role, reply),
        Reply::RoleList(reply) => reply.roles.iter().for_each(|role| out.line(role)),
        Reply::UserGet(name, reply) => out.user(name, reply),
        Reply::UserList(reply) => reply.users.iter().for_each(|user| out.line(user)),
        Reply::AuthStatus(reply) => {
            out.line(&format!("Authentication Status: {}", reply.enabled));
            out.line(&format!("AuthRevision: {}", reply.auth_revision));
        }
        Reply::Done { text, .. } => out.line(text),
    }
    out.bytes
}

struct Out {
    bytes: Vec<u8>,
    printer: Printer,
}

impl Out {
    fn line(&mut self, text: &str) {
        self.bytes.extend(text.as_bytes());
        self.bytes.push(b'\n');
    }

    fn pair(&mut self, pair: &KeyValue) {
        if !self.printer.value_only {
            self.byte_line(&pair.key);
        }
        self.byte_line(&pair.value);
    }

    fn byte_line(&mut self, bytes: &[u8]) {
        match self.printer.hex {
            true => bytes
                .iter()
                .for_each(|b| self.bytes.extend(format!("\\x{b:02x}").bytes())),
            false => self.bytes.extend(bytes),
        }
        self.bytes.push(b'\n');
    }

    fn rows(&mut self, rows: Vec<Vec<String>>) {
        rows.iter().for_each(|row| self.line(&row.join(", ")));
    }

    fn get(&mut self, reply: &pb::RangeResponse) {
        reply.kvs.iter().for_each(|pair| self.pair(pair));
    }

    fn put(&mut self, reply: &pb::PutResponse) {
        self.line("OK");
        reply.prev_kv.iter().for_each(|pair| self.pair(pair));
    }

    fn delete(&mut self, reply: &pb::DeleteRangeResponse) {
        self.line(&reply.deleted.to_string());
        reply.prev_kvs.iter().for_each(|pair| self.pair(pair));
    }

    fn txn(&mut self, reply: &pb::TxnResponse) {
        self.line(if reply.succeeded {
            "SUCCESS"
        } else {
            "FAILURE"
        });
        for operation in &reply.responses {
            self.line("");
            match &operation.response {
                Some(Response::ResponseRange(reply)) => self.get(reply),
                Some(Response::ResponsePut(reply)) => self.put(reply),
                Some(Response::ResponseDeleteRange(reply)) => self.delete(reply),
                Some(Response::ResponseTxn(reply)) => self.txn(reply),
                None => {}
            }
        }
    }

    fn time_to_live(&mut self, reply: &pb::LeaseTimeToLiveResponse, keys: bool) {
        let id = reply.id;
        if reply.granted_ttl == 0 && reply.ttl == -1 {
            return self.line(&format!("lease {id:016x} already expired"));
        }
        let (granted, left) = (reply.granted_ttl, reply.ttl);
        let text = format!("lease {id:016x} granted with TTL({granted}s), remaining({left}s)");
        self.bytes.extend(text.as_bytes());
        if keys {
            self.bytes.extend(b", attached keys([");
            self.bytes.extend(reply.keys.join(&b' '));
            self.bytes.extend(b"])");
        }
        self.bytes.push(b'\n');
    }

    fn member_add(&mut self, reply: &pb::MemberAddResponse) {
        let member = reply.member.clone().unwrap_or_default();
        let learner = if member.is_learner {
            " as learner "
        } else {
            " "
        };
        let cluster = reply.header.map_or(0, |header| header.cluster_id);
        let id = member.id;
        self.line(&format!(
            "Member {id:16x} added{learner}to cluster {cluster:16x}"
        ));
    }

    fn user(&mut self, name: &str, reply: &pb::AuthUserGetResponse) {
        self.line(&format!("User: {name}"));
        let roles: String = reply.roles.iter().map(|role| format!(" {role}")).collect();
        self.line(&format!("Roles:{roles}"));
    }

    fn role(&mut self, role: &str, reply: &pb::AuthRoleGetResponse) {
        self.line(&format!("Role {role}"));
        for (title, types) in [
            ("KV Read:", [Type::Read, Type::Readwrite]),
            ("KV Write:", [Type::Write, Type::Readwrite]),
        ] {
            self.line(title);
            if role == "root" && reply.perm.is_empty() {
                self.line("\t[, <open ended>");
            }
            let listed = reply
                .perm
                .iter()
                .filter(|perm| types.contains(&perm.perm_type()));
            listed.for_each(|perm| self.permission(perm));
        }
    }

    fn permission(&mut self, perm: &Permission) {
        let key = String::from_utf8_lossy(&perm.key);
        let end = String::from_utf8_lossy(&perm.range_end);
        let mut text = match &perm.range_end[..] {
            b"" => return self.line(&format!("\t{key}")),
            b"\0" => format!("\t[{key}, <open ended>"),
            _ => format!("\t[{key}, {end})"),
        };
        if !perm.key.is_empty() && quoin_client::prefix_end(&perm.key) == perm.range_end {
            text.push_str(&format!(" (prefix {key})"));
        }
        self.line(&text);
    }
}
