//! Dead records that are still in blocks, as rows of an internal small table.
//!
//! A tombstone can leave the disk before the puts it ended: they may be in a
//! block that is mostly alive and is not rewritten for long. Without the
//! tombstone, a restart (or a follower that gets the blocks) would take the put
//! for alive. So a checkpoint commits, together with what it drops, which of the
//! remaining records are dead, and the rebuild of the key index skips those.
//!
//! One row per block with dead records: key = first revision in its 17-byte
//! form, value = pairs of varints (main minus the main before, sub), ascending.
//! A row names revisions, not places, so a row that outlives its block does no
//! harm: dead stays dead. All marks of one `discard` call become durable in one
//! commit.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint};

use super::row_table::RowTable;
use super::table::Table;
use crate::base::revision::Revision;

/// The rows, and which of them are not in the engine as they are now.
#[derive(Debug, Default)]
pub(super) struct DeadMarks {
    rows: RowTable,
    unwritten: BTreeSet<(Table, Bytes)>,
}

impl DeadMarks {
    /// As found on disk.
    pub(super) fn recovered(rows: RowTable) -> Self {
        Self {
            rows,
            unwritten: BTreeSet::new(),
        }
    }

    /// First revisions of the blocks that have rows.
    pub(super) fn blocks(&self) -> Vec<Revision> {
        let rows = self.rows.rows();
        rows.iter()
            .filter_map(|(key, _)| first_revision(key))
            .collect()
    }

    /// Sets what is dead in a block; nothing removes the row.
    pub(super) fn set(&mut self, block: Bytes, dead: impl Iterator<Item = Revision>) {
        let value = encode(dead);
        if value.is_empty() {
            if self.rows.remove(&block).is_none() {
                return;
            }
        } else {
            self.rows.insert(block.clone(), value);
        }
        self.unwritten.insert((Table::Dead, block));
    }

    /// All rows as they are now.
    pub(super) fn rows(&self) -> RowTable {
        self.rows.clone()
    }

    /// Rows that a checkpoint is to write; the next call answers newer ones.
    pub(super) fn take_unwritten(&mut self) -> BTreeSet<(Table, Bytes)> {
        std::mem::take(&mut self.unwritten)
    }

    /// Every marked revision.
    pub(super) fn revisions(&self) -> HashSet<Revision> {
        let mut all = HashSet::new();
        self.rows.for_each_from(&Bytes::new(), &mut |_, value| {
            // Our own bytes, or checked by `decode` when they were loaded.
            all.extend(decode(value).unwrap_or_default());
            ControlFlow::Continue(())
        });
        all
    }
}

/// The row key of a block.
pub(super) fn block_key(first: Revision) -> Bytes {
    Bytes::copy_from_slice(&first.to_key())
}

/// The block of a row key.
fn first_revision(key: &[u8]) -> Option<Revision> {
    let (main, sub) = (key.first_chunk()?, key.last_chunk()?);
    Some(Revision::new(
        i64::from_be_bytes(*main),
        i64::from_be_bytes(*sub),
    ))
}

fn encode(dead: impl Iterator<Item = Revision>) -> Bytes {
    let mut out = BytesMut::new();
    let mut main = 0_i64;
    for revision in dead {
        encode_varint(revision.main.wrapping_sub(main).cast_unsigned(), &mut out);
        encode_varint(revision.sub.cast_unsigned(), &mut out);
        main = revision.main;
    }
    out.freeze()
}

/// The revisions a row names.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub(super) fn decode(mut value: &[u8]) -> Result<Vec<Revision>, &'static str> {
    let mut dead = Vec::new();
    let mut main = 0_i64;
    while !value.is_empty() {
        let mut next = || decode_varint(&mut value).map_err(|_| "dead marks end inside a number");
        main = main.wrapping_add(next()?.cast_signed());
        dead.push(Revision::new(main, next()?.cast_signed()));
    }
    Ok(dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_encoding_and_truncation_is_an_error() {
        let dead = vec![
            Revision::new(5, 0),
            Revision::new(5, 3),
            Revision::new(900, 1),
        ];
        let value = encode(dead.iter().copied());
        assert_eq!(decode(&value), Ok(dead));
        assert!(decode(&value[..value.len() - 1]).is_err());
    }

    #[test]
    fn a_row_comes_and_goes_with_the_marks_of_its_block() {
        let mut marks = DeadMarks::default();
        let first = Revision::new(2, 7);
        let block = block_key(first);
        marks.set(block.clone(), std::iter::empty());
        assert!(marks.take_unwritten().is_empty());
        marks.set(block.clone(), std::iter::once(Revision::new(3, 0)));
        assert_eq!((marks.revisions().len(), marks.blocks()), (1, vec![first]));
        assert_eq!(marks.take_unwritten().len(), 1);
        marks.set(block.clone(), std::iter::empty());
        assert_eq!(
            (marks.take_unwritten().len(), marks.rows().rows_count()),
            (1, 0)
        );
    }
}
