//! Rows of the bucket `key`: one change each.

use bytes::Bytes;

use super::layout::TOMBSTONE_MARK;
use crate::base::revision::{KEY_BYTES, Revision};
use crate::mvcc::record::{Fields, Record};

/// What a row says.
#[derive(Debug)]
pub(super) enum Change {
    /// A key was put: the encoded pair, as it is in both stores.
    Put(Record),
    /// A key was deleted.
    Tombstone { key: Bytes },
    /// A revision without a change, written by a restore that skips revisions.
    Nothing,
}

/// The revision in a row's key, and whether it is that of a tombstone.
pub(super) fn decode_key(key: &[u8]) -> Result<(Revision, bool), &'static str> {
    let is_tombstone = match key.get(KEY_BYTES..) {
        Some([]) => false,
        Some([TOMBSTONE_MARK]) => true,
        _ => return Err("the key is not that of a revision"),
    };
    let (Some(main), Some(b'_'), Some(sub)) = (i64_at(key, 0), key.get(8), i64_at(key, 9)) else {
        return Err("the key is not that of a revision");
    };
    // Revisions are counted one by one, changes of a transaction too.
    if !(0..=MAIN_MAX).contains(&main) || !(0..=i64::from(u32::MAX)).contains(&sub) {
        return Err("the revision is out of all bounds");
    }
    Ok((Revision::new(main, sub), is_tombstone))
}

/// Reads a row.
pub(super) fn decode(
    revision: Revision,
    is_tombstone: bool,
    value: &[u8],
) -> Result<Change, &'static str> {
    if value.is_empty() && !is_tombstone {
        return Ok(Change::Nothing);
    }
    let record = Record::decode(Bytes::copy_from_slice(value));
    let record = record.map_err(|_| "the value is not an encoded KeyValue")?;
    if record.key_bytes().is_empty() {
        return Err("the pair has no key");
    }
    if is_tombstone {
        // Its other fields say nothing.
        return Ok(Change::Tombstone { key: record.key() });
    }
    let created = record.create_revision();
    if record.mod_revision() != revision.main {
        return Err("the mod revision of the pair is not the revision of the row");
    }
    if created < 1 || created > revision.main || record.version() < 1 {
        return Err("the pair has an impossible create revision or version");
    }
    if !is_canonical(&record) {
        return Err("the value is encoded in an order that etcd does not write");
    }
    Ok(Change::Put(record))
}

/// Whether the encoding is the one of both stores, which hash it.
fn is_canonical(record: &Record) -> bool {
    let fields = Fields {
        key: record.key_bytes(),
        create_revision: record.create_revision(),
        mod_revision: record.mod_revision(),
        version: record.version(),
        value: record.value_bytes(),
        lease: record.lease(),
    };
    let mut encoded = Vec::with_capacity(fields.encoded_len());
    fields.encode(&mut encoded);
    encoded == *record.encoded()
}

/// A tombstone as the store keeps it.
pub(super) fn tombstone(key: &[u8], main: i64) -> Vec<u8> {
    let fields = Fields {
        key,
        mod_revision: main,
        ..Fields::default()
    };
    let mut encoded = Vec::with_capacity(fields.encoded_len());
    fields.encode(&mut encoded);
    encoded
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| i64::from_be_bytes(*bytes))
}

/// Far above what can be counted to, and far below where sums overflow.
pub(super) const MAIN_MAX: i64 = i64::MAX / 4;
