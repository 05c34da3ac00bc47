//! Codec of stored records: encoded `mvccpb.KeyValue`.
//!
//! A record is written once, when its change is applied, and its bytes then go
//! unchanged to the backend, into replies and into events. The encoder here
//! writes straight into a buffer, without building a message, and gives the
//! very bytes that prost gives (tested). A put holds all fields; a tombstone
//! holds key and `mod_revision`, as a DELETE event shows it. etcd's own file
//! stores a tombstone as the key alone: [`tombstone_key_part`] cuts that out.
//!
//! Decoding is a scan for field positions: values are sliced, not copied.
//! Nothing read here may panic, whatever the bytes are.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::Error;

const KEY_TAG: u64 = (1 << 3) | 2;
const CREATE_REVISION_TAG: u64 = 2 << 3;
const MOD_REVISION_TAG: u64 = 3 << 3;
const VERSION_TAG: u64 = 4 << 3;
const VALUE_TAG: u64 = (5 << 3) | 2;
const LEASE_TAG: u64 = 6 << 3;

/// The fields of a pair, borrowed: what the encoder takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// Key bytes.
    pub key: &'a [u8],
    /// Revision of the put that began the current life of the key.
    pub create_revision: i64,
    /// Revision of this change.
    pub mod_revision: i64,
    /// Puts since creation, this one included.
    pub version: i64,
    /// Value bytes.
    pub value: &'a [u8],
    /// Attached lease, 0 for none.
    pub lease: i64,
}

impl Fields<'_> {
    /// Bytes that [`Fields::encode`] will write.
    pub fn encoded_len(&self) -> usize {
        bytes_len(self.key)
            + int_len(self.create_revision)
            + int_len(self.mod_revision)
            + int_len(self.version)
            + bytes_len(self.value)
            + int_len(self.lease)
    }

    /// Appends the encoding to `buffer`.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        put_bytes(KEY_TAG, self.key, buffer);
        put_int(CREATE_REVISION_TAG, self.create_revision, buffer);
        put_int(MOD_REVISION_TAG, self.mod_revision, buffer);
        put_int(VERSION_TAG, self.version, buffer);
        put_bytes(VALUE_TAG, self.value, buffer);
        put_int(LEASE_TAG, self.lease, buffer);
    }
}

/// An encoded pair with the positions of its fields.
#[derive(Clone, Debug)]
pub struct Record {
    encoded: Bytes,
    key: Range<usize>,
    value: Range<usize>,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
    lease: i64,
}

impl Record {
    /// Finds the fields of an encoded pair.
    ///
    /// # Errors
    /// `Corrupt` where the bytes are not an encoded `mvccpb.KeyValue`.
    pub fn decode(encoded: Bytes) -> Result<Self, Error> {
        let mut record = Self {
            encoded: Bytes::new(),
            key: 0..0,
            value: 0..0,
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            lease: 0,
        };
        let mut rest: &[u8] = &encoded;
        while !rest.is_empty() {
            let tag = read_varint(&mut rest)?;
            let number = read_varint(&mut rest)?;
            let int = number.cast_signed();
            match tag {
                CREATE_REVISION_TAG => record.create_revision = int,
                MOD_REVISION_TAG => record.mod_revision = int,
                VERSION_TAG => record.version = int,
                LEASE_TAG => record.lease = int,
                KEY_TAG | VALUE_TAG => {
                    let start = encoded.len() - rest.len();
                    let length = usize::try_from(number).unwrap_or(usize::MAX);
                    let Some(after) = rest.get(length..) else {
                        return Err(Error::Corrupt("a field ends after its record"));
                    };
                    rest = after;
                    let place = start..start + length;
                    if tag == KEY_TAG {
                        record.key = place
                    } else {
                        record.value = place
                    }
                }
                _ => return Err(Error::Corrupt("unknown field in a record")),
            }
        }
        record.encoded = encoded;
        Ok(record)
    }

    /// The key, sharing the memory of the record.
    pub fn key(&self) -> Bytes {
        self.encoded.slice(self.key.clone())
    }

    /// The key, borrowed.
    pub fn key_bytes(&self) -> &[u8] {
        self.encoded.get(self.key.clone()).unwrap_or_default()
    }

    /// The value, sharing the memory of the record.
    pub fn value(&self) -> Bytes {
        self.encoded.slice(self.value.clone())
    }

    /// The value, borrowed.
    pub fn value_bytes(&self) -> &[u8] {
        self.encoded.get(self.value.clone()).unwrap_or_default()
    }

    /// Revision of the put that began the current life of the key.
    pub fn create_revision(&self) -> i64 {
        self.create_revision
    }

    /// Revision of this change.
    pub fn mod_revision(&self) -> i64 {
        self.mod_revision
    }

    /// Puts since creation; 0 in a tombstone.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Attached lease, 0 for none.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// Whether this records a deletion: a put has a version of at least 1.
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// The encoding of all fields.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The encoding without the value, as `keys_only` shows it.
    pub fn encode_without_value(&self) -> Bytes {
        let fields = Fields {
            key: self.key_bytes(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value: &[],
            lease: self.lease,
        };
        let mut buffer = Vec::with_capacity(fields.encoded_len());
        fields.encode(&mut buffer);
        buffer.into()
    }
}

/// The key inside an encoded pair without looking at the other fields; empty
/// where the record has none or is damaged.
pub fn key_of(encoded: &[u8]) -> &[u8] {
    let place = key_place(encoded);
    encoded.get(place).unwrap_or_default()
}

/// As [`key_of`], sharing the memory of the record.
pub fn shared_key_of(encoded: &Bytes) -> Bytes {
    encoded.slice(key_place(encoded))
}

/// Whether an encoded pair is a tombstone: after the key, a put goes on with
/// its creation revision, a tombstone with its own.
pub fn is_tombstone(encoded: &[u8]) -> bool {
    let mut rest = encoded.get(key_place(encoded).end..).unwrap_or_default();
    !matches!(read_varint(&mut rest), Ok(CREATE_REVISION_TAG))
}

/// The part of a tombstone that etcd stores: the key field alone.
pub fn tombstone_key_part(encoded: &[u8]) -> &[u8] {
    encoded.get(..key_place(encoded).end).unwrap_or_default()
}

fn key_place(encoded: &[u8]) -> Range<usize> {
    let mut rest = encoded;
    let (Ok(KEY_TAG), Ok(length)) = (read_varint(&mut rest), read_varint(&mut rest)) else {
        return 0..0;
    };
    let start = encoded.len() - rest.len();
    match usize::try_from(length) {
        Ok(length) if length <= rest.len() => start..start + length,
        _ => 0..0,
    }
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, Error> {
    decode_varint(rest).map_err(|_| Error::Corrupt("a record ends inside a number"))
}

fn put_bytes(tag: u64, bytes: &[u8], buffer: &mut impl BufMut) {
    if !bytes.is_empty() {
        encode_varint(tag, buffer);
        encode_varint(bytes.len() as u64, buffer);
        buffer.put_slice(bytes);
    }
}

fn put_int(tag: u64, number: i64, buffer: &mut impl BufMut) {
    if number != 0 {
        encode_varint(tag, buffer);
        encode_varint(number.cast_unsigned(), buffer);
    }
}

fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        0
    } else {
        1 + encoded_len_varint(bytes.len() as u64) + bytes.len()
    }
}

fn int_len(number: i64) -> usize {
    if number == 0 {
        0
    } else {
        1 + encoded_len_varint(number.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use quoin_proto::mvccpb::KeyValue;

    use super::*;

    proptest! {
        #[test]
        fn the_encoder_writes_what_prost_writes(
            key in proptest::collection::vec(any::<u8>(), 0..300),
            value in proptest::collection::vec(any::<u8>(), 0..300),
            numbers in any::<[i64; 4]>(),
            zeros in any::<[bool; 4]>(),
        ) {
            let n = |i: usize| if zeros[i] { 0 } else { numbers[i] };
            let fields = Fields {
                key: &key, create_revision: n(0), mod_revision: n(1), version: n(2),
                value: &value, lease: n(3),
            };
            let message = KeyValue {
                key: key.clone().into(), create_revision: n(0), mod_revision: n(1),
                version: n(2), value: value.clone().into(), lease: n(3),
            };
            let mut ours = Vec::new();
            fields.encode(&mut ours);
            prop_assert_eq!(&ours, &message.encode_to_vec());
            prop_assert_eq!(ours.len(), fields.encoded_len());
            let record = Record::decode(ours.clone().into()).unwrap();
            prop_assert_eq!(record.key_bytes(), &key[..]);
            prop_assert_eq!(record.value(), &value[..]);
            prop_assert_eq!(
                [record.create_revision(), record.mod_revision(), record.version(), record.lease()],
                [n(0), n(1), n(2), n(3)]
            );
            prop_assert_eq!(key_of(&ours), &key[..]);
            let keyless = KeyValue { value: Bytes::new(), ..message };
            prop_assert_eq!(&record.encode_without_value()[..], &keyless.encode_to_vec()[..]);
        }

        #[test]
        fn damaged_records_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let shared = Bytes::from(bytes);
            let _ = Record::decode(shared.clone());
            prop_assert!(key_of(&shared).len() <= shared.len());
            prop_assert!(tombstone_key_part(&shared).len() <= shared.len());
        }
    }

    #[test]
    fn the_stored_part_of_a_tombstone_is_the_key_field() {
        let fields = Fields {
            key: b"foo",
            mod_revision: 9,
            ..Fields::default()
        };
        let mut encoded = Vec::new();
        fields.encode(&mut encoded);
        assert_eq!(tombstone_key_part(&encoded), b"\x0a\x03foo");
    }
}
