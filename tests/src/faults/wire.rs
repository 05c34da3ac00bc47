//! Operations as etcd's messages, and back.
//!
//! Keys are `k/0007`, values decimal numbers. A read is put in front of the changes
//! of its transaction, so that it sees what was there before them.

use std::collections::BTreeMap;

use quoin_proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
        compare, request_op::Request, response_op::Response,
    },
    mvccpb::KeyValue,
};

use super::recorder::Asked;
use crate::checker::operation::{Answer, Key, Pair};

/// Keys start with this.
pub const PREFIX: &str = "k/";

/// The first key behind all of them.
pub const PREFIX_END: &str = "k0";

/// Name of a key.
#[must_use]
pub fn name(key: Key) -> String {
    format!("{PREFIX}{key:04}")
}

/// The key of a name.
#[must_use]
pub fn key(name: &[u8]) -> Option<Key> {
    let name = std::str::from_utf8(name).ok()?;
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// A stored pair, `None` if its value is not one of ours.
#[must_use]
pub fn pair(stored: &KeyValue) -> Option<Pair> {
    let value = std::str::from_utf8(&stored.value).ok()?;
    Some(Pair {
        value: value.parse().ok()?,
        mod_revision: stored.mod_revision,
        version: stored.version,
    })
}

/// The transaction that carries `asked` out.
#[must_use]
pub fn transaction(asked: &Asked) -> TxnRequest {
    let reads = || asked.reads.iter().map(|key| read(*key));
    let changes = asked.changes.iter().map(|(key, value)| match value {
        Some(value) => Request::RequestPut(PutRequest {
            key: name(*key).into(),
            value: value.to_string().into(),
            ..PutRequest::default()
        }),
        None => Request::RequestDeleteRange(DeleteRangeRequest {
            key: name(*key).into(),
            ..DeleteRangeRequest::default()
        }),
    });
    let wrap = |request| RequestOp {
        request: Some(request),
    };
    TxnRequest {
        compare: asked
            .conditions
            .iter()
            .map(|(key, at)| condition(*key, *at))
            .collect(),
        success: reads().chain(changes).map(wrap).collect(),
        failure: reads().map(wrap).collect(),
    }
}

fn read(key: Key) -> Request {
    Request::RequestRange(RangeRequest {
        key: name(key).into(),
        ..RangeRequest::default()
    })
}

fn condition(key: Key, mod_revision: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key: name(key).into(),
        target_union: Some(compare::TargetUnion::ModRevision(mod_revision)),
        ..Compare::default()
    }
}

/// What a transaction was answered.
#[must_use]
pub fn answer(asked: &Asked, response: &TxnResponse) -> Option<Answer> {
    let mut read = BTreeMap::new();
    for (key, reply) in asked.reads.iter().zip(&response.responses) {
        let Some(Response::ResponseRange(range)) = &reply.response else {
            return None;
        };
        let found = match range.kvs.first() {
            Some(stored) => Some(pair(stored)?),
            None => None,
        };
        read.insert(*key, found);
    }
    Some(Answer {
        revision: response.header.as_ref()?.revision,
        succeeded: response.succeeded,
        read,
        is_serializable: false,
    })
}
