//! Which entries take long to apply, and which reads take long: those that walk
//! over very many keys.
//!
//! A delete of a million keys takes seconds, and an entry becomes visible as a
//! whole or not at all, so it cannot be divided. Instead Raft is told, and has
//! it applied beside the thread that sends heartbeats. The judgement may be
//! wrong without harm: it decides where an entry is applied, not what it does.
//! Reads of that kind run beside the thread that serves their connection.

use std::cell::Cell;

use bytes::Bytes;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{RangeRequest, RequestOp, TxnRequest, request_op},
    quoinpb::{Command, command::Request},
};

use crate::{base::key_range::KeyRange, lease::Lessor, mvcc::Store, proposal::frame::FrameReader};

/// Whether the commands of this frame together walk over [`LONG_KEYS_COUNT`] keys
/// or more.
pub(super) fn is_long(frame: &Bytes, store: &Store, lessor: &Lessor) -> bool {
    if store.indexed_keys_count() < LONG_KEYS_COUNT {
        return false;
    }
    // A frame that cannot be read is reported where it is applied.
    let Ok(reader) = FrameReader::open(frame.clone()) else {
        return false;
    };
    let judge = Judge::new(store, lessor, LONG_KEYS_COUNT);
    reader.encoded().any(|command| judge.command(&command))
}

/// Whether a range walks over [`LONG_READ_KEYS_COUNT`] keys or more.
pub(crate) fn is_long_range(request: &RangeRequest, store: &Store) -> bool {
    !request.range_end.is_empty()
        && store.indexed_keys_count() >= LONG_READ_KEYS_COUNT
        && keys_in(
            store,
            &request.key,
            &request.range_end,
            LONG_READ_KEYS_COUNT,
        ) == LONG_READ_KEYS_COUNT
}

/// Whether the parts of a transaction together walk over
/// [`LONG_READ_KEYS_COUNT`] keys or more.
pub(crate) fn is_long_txn(request: &TxnRequest, store: &Store, lessor: &Lessor) -> bool {
    Judge::new(store, lessor, LONG_READ_KEYS_COUNT).txn(request)
}

/// Keys between these bounds, counted up to `keys_max`; of one key, one.
fn keys_in(store: &Store, key: &Bytes, range_end: &Bytes, keys_max: usize) -> usize {
    if range_end.is_empty() {
        return keys_max.min(1);
    }
    let range = KeyRange::new(key.clone(), range_end.clone());
    store.keys_in(&range, keys_max)
}

/// Adds up what the parts of one entry or read walk over; each call answers
/// whether it has become too much.
struct Judge<'a> {
    store: &'a Store,
    lessor: &'a Lessor,
    /// Keys that may still be walked over before the whole is long.
    left: Cell<usize>,
}

impl<'a> Judge<'a> {
    fn new(store: &'a Store, lessor: &'a Lessor, keys_count: usize) -> Self {
        Self {
            store,
            lessor,
            left: Cell::new(keys_count),
        }
    }

    fn spend(&self, keys_count: usize) -> bool {
        let left = self.left.get().saturating_sub(keys_count);
        self.left.set(left);
        left == 0
    }

    fn command(&self, encoded: &Bytes) -> bool {
        let may_be = encoded.first().is_some_and(|tag| LONG_TAGS.contains(tag));
        if !may_be {
            return false;
        }
        match Command::decode(encoded.clone()).map(|command| command.request) {
            Ok(Some(Request::DeleteRange(delete))) => self.range(&delete.key, &delete.range_end),
            Ok(Some(Request::Txn(txn))) => self.txn(&txn),
            Ok(Some(Request::LeaseRevoke(revoke))) => self.lease(revoke.id),
            Ok(Some(Request::LeaseExpiry(expiry))) => self.lease(expiry.id),
            _ => false,
        }
    }

    fn txn(&self, txn: &TxnRequest) -> bool {
        let mut compares = txn.compare.iter();
        let mut operations = txn.success.iter().chain(&txn.failure);
        compares.any(|compare| self.range(&compare.key, &compare.range_end))
            || operations.any(|operation| self.operation(operation))
    }

    fn operation(&self, operation: &RequestOp) -> bool {
        match &operation.request {
            Some(request_op::Request::RequestRange(range)) => {
                self.range(&range.key, &range.range_end)
            }
            Some(request_op::Request::RequestDeleteRange(delete)) => {
                self.range(&delete.key, &delete.range_end)
            }
            Some(request_op::Request::RequestTxn(nested)) => self.txn(nested),
            Some(request_op::Request::RequestPut(_)) | None => false,
        }
    }

    fn range(&self, key: &Bytes, range_end: &Bytes) -> bool {
        self.spend(keys_in(self.store, key, range_end, self.left.get()))
    }

    fn lease(&self, id: i64) -> bool {
        self.spend(self.lessor.keys_count(id))
    }
}

/// Keys from which an entry is long: some 20 ms of deletions, a fraction of the
/// shortest election timeout.
const LONG_KEYS_COUNT: usize = 10_000;

/// Keys from which a read is long: a millisecond to walk over, some four with
/// their values. Many such reads may come at once, and each of them holds up the
/// heartbeats; but a hand-over costs CPU, and most lists are shorter.
const LONG_READ_KEYS_COUNT: usize = 16 * 1024;

/// First bytes of the encoded commands that may be long: protobuf's tag of the
/// field, which is the only one a command has.
const LONG_TAGS: [u8; 4] = [2 << 3 | 2, 3 << 3 | 2, 6 << 3 | 2, 11 << 3 | 2];

#[cfg(test)]
mod tests {
    use quoin_proto::{
        etcdserverpb::{DeleteRangeRequest, LeaseRevokeRequest},
        quoinpb::LeaseExpiry,
    };

    use super::*;

    #[test]
    fn the_tags_are_those_of_the_commands_that_may_be_long() {
        let requests = [
            Request::DeleteRange(DeleteRangeRequest::default()),
            Request::Txn(TxnRequest::default()),
            Request::LeaseRevoke(LeaseRevokeRequest::default()),
            Request::LeaseExpiry(LeaseExpiry::default()),
        ];
        let tags = requests.map(|request| {
            let command = Command {
                request: Some(request),
            };
            command.encode_to_vec().first().copied()
        });
        assert_eq!(tags, LONG_TAGS.map(Some));
    }
}
