//! Rows of the lease table: id as 8 bytes big-endian (two's complement), and an
//! encoded `quoinpb.LeaseRecord`.

use bytes::Bytes;
use prost::Message;
use quoin_proto::quoinpb::LeaseRecord;

use super::RecoverError;

/// A row to write (or, without a value, to remove) in the lease table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseRow {
    /// Row key.
    pub key: Bytes,
    /// Row value; `None` removes the row.
    pub value: Option<Bytes>,
}

impl LeaseRow {
    /// The row of a lease.
    pub(super) fn of(id: i64, ttl: i64, remaining_ttl: i64) -> Self {
        let record = LeaseRecord {
            id,
            ttl,
            remaining_ttl,
        };
        Self {
            key: key_of(id),
            value: Some(record.encode_to_vec().into()),
        }
    }

    /// Removes the row of a lease.
    pub(super) fn removal(id: i64) -> Self {
        Self {
            key: key_of(id),
            value: None,
        }
    }
}

/// The lease that a row holds.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<LeaseRecord, RecoverError> {
    let record = LeaseRecord::decode(value).map_err(|_| RecoverError)?;
    if key == record.id.to_be_bytes() {
        Ok(record)
    } else {
        Err(RecoverError)
    }
}

fn key_of(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}
