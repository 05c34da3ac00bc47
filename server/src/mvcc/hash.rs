//! HashKV: one number for everything stored up to a revision.
//!
//! CRC-32C over "key" and then, in revision order, storage key and value of
//! every record, in the byte form of etcd's own file, so that the number equals
//! etcd's for the same history. It must not depend on how far removal of
//! compacted records has come: what compaction keeps is taken from the index.
//! Source: etcd 3.7 observed; golden values in the tests.

use std::ops::ControlFlow;

use crate::backend::Table;
use crate::base::{key_range::KeyRange, revision::Revision};

use super::tree_index::for_each_alive;
use super::{Error, ReadTransaction, record};

/// Answer to HashKV.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// Compact revision of the store when the hash was taken.
    pub compact_revision: i64,
    /// Revision up to which records are in the hash.
    pub hash_revision: i64,
}

/// Hashes the records up to `revision`, which was checked.
pub(super) fn run(view: &ReadTransaction, revision: i64) -> Result<HashKv, Error> {
    let compact_revision = view.compact_revision();
    let mut kept = live_revisions(view, revision, compact_revision);
    if kept.is_empty() && !has_live_key(view, revision) {
        // etcd does not filter here; what it has on disk once compaction is
        // through is what was alive at the compact revision.
        kept = live_revisions(view, compact_revision, compact_revision);
    }
    let mut hash = crc32c::crc32c(b"key");
    view.records.scan(0..=revision, &mut |revision, encoded| {
        let is_tombstone = record::is_tombstone(encoded);
        let is_skipped = if revision.main > compact_revision {
            false
        } else {
            is_tombstone || kept.binary_search(&revision).is_err()
        };
        if !is_skipped {
            hash = append(hash, revision, encoded, is_tombstone);
        }
        ControlFlow::Continue(())
    })?;
    Ok(HashKv {
        hash,
        compact_revision,
        hash_revision: revision,
    })
}

/// What members agree on besides records. Not among them: how far removal of
/// compacted records has come.
const AGREED: [Table; 8] = [
    Table::Lease,
    Table::Auth,
    Table::AuthUsers,
    Table::AuthRoles,
    Table::Alarm,
    Table::Members,
    Table::MembersRemoved,
    Table::Cluster,
];

/// Hashes the newest records and the small tables: equal on members that have
/// applied the same entries.
pub(super) fn of_everything(view: &ReadTransaction) -> Result<u32, Error> {
    let mut hash = run(view, view.revision())?.hash;
    for table in AGREED {
        hash = crc32c::crc32c_append(hash, &[table.number()]);
        for (key, value) in view.records.rows(table) {
            hash = crc32c::crc32c_append(hash, &key);
            hash = crc32c::crc32c_append(hash, &value);
        }
    }
    Ok(hash)
}

/// Adds one record in etcd's byte form.
fn append(hash: u32, revision: Revision, encoded: &[u8], is_tombstone: bool) -> u32 {
    let hash = crc32c::crc32c_append(hash, &revision.to_key());
    if is_tombstone {
        let hash = crc32c::crc32c_append(hash, b"t");
        crc32c::crc32c_append(hash, record::tombstone_key_part(encoded))
    } else {
        crc32c::crc32c_append(hash, encoded)
    }
}

/// Revisions, ascending and up to `main_max`, of the puts alive at `main`.
fn live_revisions(view: &ReadTransaction, main: i64, main_max: i64) -> Vec<Revision> {
    let mut revisions = Vec::new();
    for_each_alive(view.index(), &KeyRange::all(), main, |_, change| {
        if change.main() <= main_max {
            revisions.push(change.revision());
        }
        ControlFlow::Continue(())
    });
    revisions.sort_unstable();
    revisions
}

fn has_live_key(view: &ReadTransaction, main: i64) -> bool {
    let mut has = false;
    for_each_alive(view.index(), &KeyRange::all(), main, |_, _| {
        has = true;
        ControlFlow::Break(())
    });
    has
}
