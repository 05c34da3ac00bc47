//! A command in a few words, for log lines.
//!
//! The command itself travels into the log; what a line about it may need is
//! kept here, at the price of one shared key. Values never enter the log, and
//! of a long key only the beginning does.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quoin_proto::{etcdserverpb::TxnRequest, quoinpb::command::Request};

/// What is kept of a command.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    /// The gRPC method that brings such a command; empty where none does.
    pub(crate) method: &'static str,
    /// Encoded size of the request, bytes.
    pub(crate) size: usize,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Put {
        key: Bytes,
        value_size: usize,
    },
    DeleteRange {
        key: Bytes,
        range_end: Bytes,
    },
    Txn {
        compares_count: usize,
        success_count: usize,
        failure_count: usize,
    },
    /// Any other by its name and the number that it is about.
    Revision(&'static str, i64),
    Lease(&'static str, i64),
    Other(&'static str),
}

impl Brief {
    /// What is worth keeping of `request`.
    pub(crate) fn of(request: &Request) -> Self {
        let (method, size) = match request {
            Request::Put(put) => ("/etcdserverpb.KV/Put", put.encoded_len()),
            Request::DeleteRange(delete) => ("/etcdserverpb.KV/DeleteRange", delete.encoded_len()),
            Request::Txn(txn) => (TXN_METHOD, txn.encoded_len()),
            Request::Compaction(request) => ("/etcdserverpb.KV/Compact", request.encoded_len()),
            Request::LeaseGrant(grant) => ("/etcdserverpb.Lease/LeaseGrant", grant.encoded_len()),
            Request::LeaseRevoke(revoke) => {
                ("/etcdserverpb.Lease/LeaseRevoke", revoke.encoded_len())
            }
            Request::Alarm(alarm) => ("/etcdserverpb.Maintenance/Alarm", alarm.encoded_len()),
            Request::LeaseExpiry(expiry) => ("", expiry.encoded_len()),
            Request::LeaseCheckpoint(checkpoints) => ("", checkpoints.encoded_len()),
            Request::MemberAttributes(attributes) => ("", attributes.encoded_len()),
            Request::ClusterVersion(version) => ("", version.encoded_len()),
            Request::StateDigest(digest) => ("", digest.encoded_len()),
            Request::DigestBegin(begin) => ("", begin.encoded_len()),
            Request::Quarantine(quarantine) => ("", quarantine.encoded_len()),
            Request::StateHashBegin(begin) => ("", begin.encoded_len()),
            Request::StateHash(hash) => ("", hash.encoded_len()),
        };
        Self {
            method,
            size,
            content: Content::of(request),
        }
    }

    /// The same of a transaction that need not go through the log.
    pub(crate) fn of_txn(txn: &TxnRequest) -> Self {
        Self {
            method: TXN_METHOD,
            size: txn.encoded_len(),
            content: Content::of_txn(txn),
        }
    }

    /// Operations in the request as etcd counts them in its log; nothing for
    /// what it does not count.
    pub(crate) fn operations_count(&self, succeeded: bool) -> Option<usize> {
        match self.content {
            Content::Put { .. } => Some(1),
            Content::DeleteRange { .. } => Some(0),
            Content::Txn { success_count, .. } if succeeded => Some(success_count),
            Content::Txn { failure_count, .. } => Some(failure_count),
            _ => None,
        }
    }
}

impl Content {
    fn of(request: &Request) -> Self {
        match request {
            Request::Put(put) => Self::Put {
                key: put.key.clone(),
                value_size: put.value.len(),
            },
            Request::DeleteRange(delete) => Self::DeleteRange {
                key: delete.key.clone(),
                range_end: delete.range_end.clone(),
            },
            Request::Txn(txn) => Self::of_txn(txn),
            Request::Compaction(compaction) => Self::Revision("compaction", compaction.revision),
            Request::LeaseGrant(grant) => Self::Lease("lease_grant", grant.id),
            Request::LeaseRevoke(revoke) => Self::Lease("lease_revoke", revoke.id),
            Request::LeaseExpiry(expiry) => Self::Lease("lease_expiry", expiry.id),
            Request::LeaseCheckpoint(_) => Self::Other("lease_checkpoint"),
            Request::Alarm(_) => Self::Other("alarm"),
            Request::MemberAttributes(_) => Self::Other("cluster_member_attr_set"),
            Request::ClusterVersion(_) => Self::Other("cluster_version_set"),
            Request::StateDigest(_) => Self::Other("state_digest"),
            Request::DigestBegin(_) => Self::Other("digest_begin"),
            Request::Quarantine(_) => Self::Other("quarantine"),
            Request::StateHashBegin(_) => Self::Other("state_hash_begin"),
            Request::StateHash(_) => Self::Other("state_hash"),
        }
    }

    fn of_txn(txn: &TxnRequest) -> Self {
        Self::Txn {
            compares_count: txn.compare.len(),
            success_count: txn.success.len(),
            failure_count: txn.failure.len(),
        }
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Put { key, value_size } => {
                write!(formatter, "put key:{} value_size:{value_size}", Key(key))
            }
            Content::DeleteRange { key, range_end } => write!(
                formatter,
                "delete_range key:{} range_end:{}",
                Key(key),
                Key(range_end)
            ),
            Content::Txn {
                compares_count,
                success_count,
                failure_count,
            } => write!(
                formatter,
                "txn compare:{compares_count} success:{success_count} failure:{failure_count}"
            ),
            Content::Revision(name, revision) => write!(formatter, "{name} revision:{revision}"),
            Content::Lease(name, id) => write!(formatter, "{name} id:{id:x}"),
            Content::Other(name) => formatter.write_str(name),
        }
    }
}

/// A key in quotes, escaped, cut where it is long.
#[derive(Debug)]
pub(crate) struct Key<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..KEY_BYTES_MAX).unwrap_or(self.0);
        write!(formatter, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(formatter, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

const TXN_METHOD: &str = "/etcdserverpb.KV/Txn";
/// Bytes of a key that a line shows.
const KEY_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use quoin_proto::etcdserverpb::PutRequest;

    use super::*;

    #[test]
    fn a_value_is_named_by_its_size_and_a_long_key_by_its_beginning() {
        let brief = |key: Vec<u8>| {
            Brief::of(&Request::Put(PutRequest {
                key: key.into(),
                value: Bytes::from_static(b"secret"),
                ..Default::default()
            }))
        };
        let short = brief(b"a\n\"".to_vec());
        assert_eq!(short.to_string(), r#"put key:"a\n\"" value_size:6"#);
        assert_eq!((short.size, short.operations_count(true)), (13, Some(1)));
        let long = brief(vec![b'x'; 5000]).to_string();
        assert!(long.len() < 350, "{long}");
        assert!(long.ends_with("\"... (5000 bytes) value_size:6"), "{long}");
    }
}
