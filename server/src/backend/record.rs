//! What the key index needs to know of a record, and its bytes.
//!
//! Kept beside every record, without the value, so that the key index can be
//! rebuilt at start without reading values. The byte form is the table "record
//! info" of docs/formats/backend.md; the revision is not part of it, because
//! whoever stores infos stores the revisions beside them.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use crate::base::revision::Revision;

/// One record without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordInfo {
    /// Names the record.
    pub revision: Revision,
    /// The key it is about.
    pub key: Bytes,
    /// Main revision that created the key's current life; 0 for a tombstone.
    pub create_revision: i64,
    /// Number of changes in this life; 0 for a tombstone.
    pub version: i64,
    /// Lease the key is attached to; 0 for none.
    pub lease: i64,
    /// Whether the record says that the key was deleted.
    pub tombstone: bool,
}

impl RecordInfo {
    /// Length of the byte form.
    pub(super) fn encoded_len(&self) -> usize {
        1 + encoded_len_varint(self.create_revision.cast_unsigned())
            + encoded_len_varint(self.version.cast_unsigned())
            + encoded_len_varint(self.lease.cast_unsigned())
            + encoded_len_varint(self.key.len() as u64)
            + self.key.len()
    }

    /// Appends the byte form.
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(if self.tombstone { FLAG_TOMBSTONE } else { 0 });
        encode_varint(self.create_revision.cast_unsigned(), out);
        encode_varint(self.version.cast_unsigned(), out);
        encode_varint(self.lease.cast_unsigned(), out);
        encode_varint(self.key.len() as u64, out);
        out.put_slice(&self.key);
    }

    /// Reads one byte form off the front of `input`.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, in words.
    pub(super) fn decode(revision: Revision, input: &mut Bytes) -> Result<Self, &'static str> {
        if !input.has_remaining() {
            return Err("record info is missing");
        }
        let flags = input.get_u8();
        if flags & !FLAG_TOMBSTONE != 0 {
            return Err("record info has unknown flags");
        }
        let mut next = || decode_varint(input).map_err(|_| "record info has a bad number");
        let create_revision = next()?.cast_signed();
        let version = next()?.cast_signed();
        let lease = next()?.cast_signed();
        let key_len = next()?;
        if key_len > input.len() as u64 {
            return Err("record info has a truncated key");
        }
        let key = input.split_to(key_len as usize);
        let tombstone = flags & FLAG_TOMBSTONE != 0;
        Ok(Self {
            revision,
            key,
            create_revision,
            version,
            lease,
            tombstone,
        })
    }
}

/// The record is a tombstone.
const FLAG_TOMBSTONE: u8 = 1;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn a_record_info_survives_encoding_and_truncation_is_an_error() {
        let info = RecordInfo {
            revision: Revision::new(9, 3),
            key: Bytes::from_static(b"alpha"),
            create_revision: 300,
            version: 2,
            lease: -1,
            tombstone: true,
        };
        let mut bytes = BytesMut::new();
        info.encode(&mut bytes);
        assert_eq!(bytes.len(), info.encoded_len());
        let bytes = bytes.freeze();
        assert_eq!(
            RecordInfo::decode(info.revision, &mut bytes.clone()),
            Ok(info.clone())
        );
        for cut in 0..bytes.len() {
            assert!(RecordInfo::decode(info.revision, &mut bytes.slice(..cut)).is_err());
        }
    }
}
