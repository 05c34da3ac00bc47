//! Optimistic updates, as a controller does them: put the key if its
//! mod_revision is the one last seen, else read it.
//!
//! Every client has its own part of the space, so that after its first look at
//! a key each update succeeds: the cost measured is that of the transaction,
//! not of contention.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use quoin_proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse, compare, request_op,
    response_op,
};

use crate::{
    connection::{Call, Frames},
    load::Client,
    random::{Random, Values},
    workload::{keys::Keys, unary::Requests},
};

/// Start of the values' randomness: the same in every run.
const VALUES_SEED: u64 = 0x6e78;

/// Updates of keys out of a space.
#[derive(Clone, Debug)]
pub struct Txns {
    keys: Keys,
    values: Values,
    /// The mod_revision last seen of each key; absent is 0, never written.
    seen: HashMap<u64, i64>,
    /// The key in the request under way.
    current: u64,
    index: u64,
    clients_count: u64,
}

impl Txns {
    /// Updates of random keys.
    #[must_use]
    pub fn new(keys: Keys, value_bytes: usize) -> Self {
        Self {
            keys,
            values: Values::new(value_bytes, VALUES_SEED),
            seen: HashMap::new(),
            current: 0,
            index: 0,
            clients_count: 1,
        }
    }

    /// Takes in what a key's mod_revision is, as if it had been looked at.
    pub(super) fn learn(&mut self, name: &[u8], mod_revision: i64) {
        if let Some(number) = self.keys.number(name).filter(|number| self.owns(*number)) {
            self.seen.insert(number, mod_revision);
        }
    }

    /// True for keys that this client may choose.
    fn owns(&self, number: u64) -> bool {
        number % self.clients_count == self.index
    }

    /// A key that no other client has; with more clients than keys, clients
    /// share and lose some comparisons.
    fn choose(&self, random: &mut Random) -> u64 {
        let own = (self.keys.keys_count / self.clients_count).max(1);
        let number = random.below(own) * self.clients_count + self.index;
        number % self.keys.keys_count
    }
}

impl Requests for Txns {
    fn start(&mut self, client: &Client) {
        self.index = client.index as u64;
        self.clients_count = client.clients_count.max(1) as u64;
    }

    fn call(&self) -> Call {
        Call::Txn
    }

    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes> {
        self.current = self.choose(random);
        let key = frames.bytes(&self.keys.name(self.current));
        let revision = self.seen.get(&self.current).copied().unwrap_or(0);
        let put = request_op::Request::RequestPut(PutRequest {
            key: key.clone(),
            value: self.values.value(random),
            ..PutRequest::default()
        });
        let read = request_op::Request::RequestRange(RangeRequest {
            key: key.clone(),
            ..RangeRequest::default()
        });
        Some(frames.frame(&TxnRequest {
            compare: vec![Compare {
                result: compare::CompareResult::Equal as i32,
                target: compare::CompareTarget::Mod as i32,
                key,
                range_end: Bytes::new(),
                target_union: Some(compare::TargetUnion::ModRevision(revision)),
            }],
            success: vec![RequestOp { request: Some(put) }],
            failure: vec![RequestOp {
                request: Some(read),
            }],
        }))
    }

    fn reply(&mut self, message: Bytes) {
        let Ok(reply) = TxnResponse::decode(message) else {
            return;
        };
        let revision = if reply.succeeded {
            reply.header.map(|header| header.revision)
        } else {
            let first = reply.responses.into_iter().next();
            first.and_then(|first| match first.response {
                Some(response_op::Response::ResponseRange(range)) => {
                    range.kvs.first().map(|pair| pair.mod_revision)
                }
                _ => None,
            })
        };
        self.seen.insert(self.current, revision.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::keys::Prefix;

    #[test]
    fn a_client_chooses_its_own_keys_and_compares_what_it_learned() {
        let keys = Keys::new(Prefix::Updated, 30);
        let mut txns = Txns::new(keys, 8);
        (txns.index, txns.clients_count) = (3, 10);
        for number in 0..30 {
            txns.learn(&keys.name(number), 7);
        }
        assert_eq!(txns.seen.len(), 3);
        let (mut frames, mut random) = (Frames::default(), Random::new(1));
        for _ in 0..20 {
            let frame = txns.next(&mut frames, &mut random).unwrap();
            let request = TxnRequest::decode(&frame[5..]).unwrap();
            let expected = Some(compare::TargetUnion::ModRevision(7));
            assert_eq!(request.compare[0].target_union, expected);
        }
    }
}
