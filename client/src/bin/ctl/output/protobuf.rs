//! Protobuf output: the reply's own encoding, without a newline.

use prost::Message;

use quoin_client::proto::etcdserverpb as pb;

use super::reply::{Reply, WatchReply};

/// `None` for replies that are not one message.
pub(super) fn render(reply: &Reply) -> Option<Vec<u8>> {
    Some(match reply {
        Reply::Get(reply) => reply.encode_to_vec(),
        Reply::Put(reply) => reply.encode_to_vec(),
        Reply::Delete(reply) => reply.encode_to_vec(),
        Reply::Txn(reply) => reply.encode_to_vec(),
        Reply::Watch(reply) => watch(reply).encode_to_vec(),
        // Only the header, as in the original.
        Reply::LeaseGrant(reply) => header(reply.header),
        Reply::LeaseKeepAlive(reply) => header(reply.header),
        Reply::LeaseTimeToLive(reply, _) => header(reply.header),
        Reply::Leases(reply) => header(reply.header),
        Reply::MemberAdd(reply) => reply.encode_to_vec(),
        Reply::MemberChange { reply, .. } | Reply::MemberList(reply) => reply.encode_to_vec(),
        Reply::Alarm(reply) => reply.encode_to_vec(),
        Reply::MoveLeader { reply, .. } => reply.encode_to_vec(),
        Reply::Downgrade(_, reply) => reply.encode_to_vec(),
        Reply::RoleGet(_, reply) => reply.encode_to_vec(),
        Reply::RoleList(reply) => reply.encode_to_vec(),
        Reply::UserGet(_, reply) => reply.encode_to_vec(),
        Reply::UserList(reply) => reply.encode_to_vec(),
        Reply::AuthStatus(reply) => reply.encode_to_vec(),
        // All such replies are a header in field 1.
        Reply::Done { header, .. } => pb::AuthEnableResponse { header: *header }.encode_to_vec(),
        Reply::EndpointHealth(_)
        | Reply::EndpointStatus(_)
        | Reply::EndpointHashKv(_)
        | Reply::FileStatus(_) => return None,
    })
}

fn header(header: Option<pb::ResponseHeader>) -> Vec<u8> {
    header.unwrap_or_default().encode_to_vec()
}

fn watch(reply: &WatchReply) -> pb::WatchResponse {
    pb::WatchResponse {
        header: reply.header,
        canceled: reply.canceled,
        compact_revision: reply.compact_revision,
        events: reply.events.clone(),
        ..pb::WatchResponse::default()
    }
}
