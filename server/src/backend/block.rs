//! Blocks and key rows: the bytes in which records go to an engine.
//!
//! A block is a run of records in revision order with an offset table; its key
//! row holds the same records' infos and revisions without values. Both carry a
//! checksum over everything behind it and are the tables "block" and "key row"
//! of docs/formats/backend.md. A record that does not fit gets a block of its
//! own of any size; engines see blobs in parts (see `cold`), so that is no limit.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint};

use super::record::RecordInfo;
use crate::base::revision::Revision;

/// Where one block is and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// Names the block and its key row; never reused in one state directory.
    pub(super) id: u64,
    /// First and last record.
    pub(super) first: Revision,
    pub(super) last: Revision,
    pub(super) records_count: u32,
    pub(super) block_bytes: u32,
    pub(super) key_row_bytes: u32,
}

/// A finished block with its key row.
#[derive(Debug)]
pub(super) struct PackedBlock {
    pub(super) entry: BlockEntry,
    pub(super) block: Bytes,
    pub(super) key_row: Bytes,
    pub(super) shape: Shape,
}

/// Which revisions a block holds, small enough to keep for every block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Per record: varint distance of main from the record before, varint sub.
    /// Empty when the mains follow each other without gap and all subs are 0.
    bytes: Bytes,
}

impl Shape {
    /// Place of `revision` in the block, `None` when it is not there.
    pub(super) fn ordinal(&self, entry: &BlockEntry, revision: Revision) -> Option<usize> {
        if self.bytes.is_empty() {
            let is_inside = revision.sub == 0 && (entry.first..=entry.last).contains(&revision);
            return is_inside.then(|| (revision.main - entry.first.main) as usize);
        }
        self.revisions(entry)
            .position(|present| present == revision)
    }

    /// All revisions of the block, in order.
    pub(super) fn revisions(&self, entry: &BlockEntry) -> impl Iterator<Item = Revision> + use<> {
        let mut bytes = self.bytes.clone();
        let mut main = entry.first.main;
        let is_dense = bytes.is_empty();
        (0..i64::from(entry.records_count)).map_while(move |at| {
            if is_dense {
                return Some(Revision::new(main.saturating_add(at), 0));
            }
            main = main.checked_add_unsigned(decode_varint(&mut bytes).ok()?)?;
            Some(Revision::new(
                main,
                decode_varint(&mut bytes).ok()?.cast_signed(),
            ))
        })
    }

    fn of(revisions: &[Revision]) -> Self {
        let Some(first) = revisions.first() else {
            return Self::default();
        };
        let is_dense = (first.main..)
            .zip(revisions)
            .all(|(main, revision)| *revision == Revision::new(main, 0));
        if is_dense {
            return Self::default();
        }
        let mut bytes = Vec::with_capacity(revisions.len() * 2);
        let mut main = first.main;
        for revision in revisions {
            encode_varint((revision.main - main).cast_unsigned(), &mut bytes);
            encode_varint(revision.sub.cast_unsigned(), &mut bytes);
            main = revision.main;
        }
        Self {
            bytes: bytes.into(),
        }
    }
}

/// Collects records in revision order until a block is full.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    revisions: Vec<Revision>,
    ends: Vec<u32>,
    records: BytesMut,
    infos: BytesMut,
}

impl BlockBuilder {
    /// Whether a further record of this size would leave the block within its size.
    pub(super) fn has_room(&self, revision: Revision, record_len: usize) -> bool {
        let Some(first) = self.revisions.first() else {
            return true;
        };
        let table = (self.revisions.len() + 1) * TABLE_ENTRY_BYTES;
        let is_near = u32::try_from(revision.main - first.main).is_ok();
        is_near && HEADER_BYTES + table + self.records.len() + record_len <= BLOCK_BYTES_MAX
    }

    /// Adds a record with the byte form of its info.
    pub(super) fn push(&mut self, revision: Revision, record: &[u8], info: &[u8]) {
        debug_assert!(self.revisions.last().is_none_or(|last| *last < revision));
        self.revisions.push(revision);
        self.records.extend_from_slice(record);
        self.ends.push(self.records.len() as u32);
        self.infos.extend_from_slice(info);
    }

    /// Ends the block; `None` when it has no record.
    pub(super) fn finish(&mut self, id: u64) -> Option<PackedBlock> {
        let (first, last) = (*self.revisions.first()?, *self.revisions.last()?);
        let shape = Shape::of(&self.revisions);
        let block = self.encode_block(first);
        let key_row = self.encode_key_row(first, last, block.len() as u32, &shape);
        let entry = BlockEntry {
            id,
            first,
            last,
            records_count: self.revisions.len() as u32,
            block_bytes: block.len() as u32,
            key_row_bytes: key_row.len() as u32,
        };
        self.revisions.clear();
        self.ends.clear();
        self.records.clear();
        self.infos.clear();
        Some(PackedBlock {
            entry,
            block,
            key_row,
            shape,
        })
    }

    fn encode_block(&self, first: Revision) -> Bytes {
        let table = self.revisions.len() * TABLE_ENTRY_BYTES;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + table + self.records.len());
        out.put_u32_le(0);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.revisions.len() as u32);
        out.put_i64_le(first.main);
        for (revision, end) in self.revisions.iter().zip(&self.ends) {
            out.put_u32_le((revision.main - first.main) as u32);
            out.put_u32_le(revision.sub as u32);
            out.put_u32_le(*end);
        }
        out.extend_from_slice(&self.records);
        seal(out)
    }

    fn encode_key_row(
        &self,
        first: Revision,
        last: Revision,
        block_bytes: u32,
        shape: &Shape,
    ) -> Bytes {
        let len = KEY_ROW_HEADER_BYTES + shape.bytes.len() + self.infos.len();
        let mut out = BytesMut::with_capacity(len);
        out.put_u32_le(0);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.revisions.len() as u32);
        out.put_u32_le(block_bytes);
        for number in [first.main, first.sub, last.main, last.sub] {
            out.put_i64_le(number);
        }
        out.put_u32_le(shape.bytes.len() as u32);
        out.extend_from_slice(&shape.bytes);
        out.extend_from_slice(&self.infos);
        seal(out)
    }
}

/// A verified block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    bytes: Bytes,
    records_count: usize,
    first_main: i64,
}

impl Block {
    /// Checks the bytes against the checksum, their own table and `entry`.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words.
    pub(super) fn parse(bytes: Bytes, entry: &BlockEntry) -> Result<Self, &'static str> {
        let mut header = open(&bytes, HEADER_BYTES)?;
        let records_count = header.get_u32_le() as usize;
        let first_main = header.get_i64_le();
        let block = Self {
            bytes,
            records_count,
            first_main,
        };
        if block.records_count != entry.records_count as usize
            || block.bytes.len() != entry.block_bytes as usize
            || block.bytes.len() < block.records_at()
        {
            return Err("block is not the one its key row describes");
        }
        let mut start = 0;
        let mut before = None;
        for at in 0..records_count {
            let (revision, end) = block.table_entry(at);
            if before.is_some_and(|before| before >= revision) {
                return Err("block has records out of order");
            }
            if end < start || block.records_at() + end > block.bytes.len() {
                return Err("block has a bad offset");
            }
            start = end;
            before = Some(revision);
        }
        if before != Some(entry.last) || block.table_entry(0).0 != entry.first {
            return Err("block does not hold the revisions its key row names");
        }
        Ok(block)
    }

    /// The record named `revision`.
    pub(super) fn record(&self, revision: Revision) -> Option<Bytes> {
        let (mut low, mut high) = (0, self.records_count);
        while low < high {
            let middle = low.midpoint(high);
            match self.table_entry(middle).0.cmp(&revision) {
                std::cmp::Ordering::Equal => return Some(self.record_at(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// All records in order.
    pub(super) fn records(&self) -> impl Iterator<Item = (Revision, Bytes)> {
        (0..self.records_count).map(|at| (self.table_entry(at).0, self.record_at(at)))
    }

    /// The verified bytes.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn record_at(&self, at: usize) -> Bytes {
        let start = if at == 0 {
            0
        } else {
            self.table_entry(at - 1).1
        };
        let end = self.table_entry(at).1;
        self.bytes
            .slice(self.records_at() + start..self.records_at() + end)
    }

    fn records_at(&self) -> usize {
        HEADER_BYTES + self.records_count * TABLE_ENTRY_BYTES
    }

    /// Revision of a record and where it ends; `at` is below the count, whose
    /// table was found to be inside the bytes.
    fn table_entry(&self, at: usize) -> (Revision, usize) {
        let mut entry = &self.bytes[HEADER_BYTES + at * TABLE_ENTRY_BYTES..];
        let main = self
            .first_main
            .saturating_add(i64::from(entry.get_u32_le()));
        let sub = i64::from(entry.get_u32_le());
        (Revision::new(main, sub), entry.get_u32_le() as usize)
    }
}

/// A verified key row.
#[derive(Debug, Clone)]
pub(super) struct KeyRow {
    pub(super) entry: BlockEntry,
    pub(super) shape: Shape,
    infos: Bytes,
    bytes: Bytes,
}

impl KeyRow {
    /// Checks the bytes; `id` is the one they were stored under.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words.
    pub(super) fn parse(id: u64, bytes: Bytes) -> Result<Self, &'static str> {
        let mut rest = open(&bytes, KEY_ROW_HEADER_BYTES)?;
        let records_count = rest.get_u32_le();
        let block_bytes = rest.get_u32_le();
        let first = Revision::new(rest.get_i64_le(), rest.get_i64_le());
        let last = Revision::new(rest.get_i64_le(), rest.get_i64_le());
        let shape_len = rest.get_u32_le() as usize;
        let infos_at = KEY_ROW_HEADER_BYTES + shape_len;
        if rest.len() < shape_len || records_count == 0 || last < first {
            return Err("key row has a bad header");
        }
        // Copied: the shape is kept for as long as the block, the row is not.
        let shape = Bytes::copy_from_slice(&bytes[KEY_ROW_HEADER_BYTES..infos_at]);
        let key_row_bytes = bytes.len() as u32;
        let entry = BlockEntry {
            id,
            first,
            last,
            records_count,
            block_bytes,
            key_row_bytes,
        };
        let row = Self {
            entry,
            shape: Shape { bytes: shape },
            infos: bytes.slice(infos_at..),
            bytes,
        };
        if row.shape.revisions(&entry).count() != records_count as usize {
            return Err("key row has a bad list of revisions");
        }
        if row.shape.revisions(&entry).last() != Some(last) {
            return Err("key row does not end with its last revision");
        }
        Ok(row)
    }

    /// The verified bytes.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Calls `f` with each record's info and the byte form of it, in order.
    ///
    /// # Errors
    ///
    /// What is wrong with an info, in words.
    pub(super) fn for_each(
        &self,
        f: &mut dyn FnMut(RecordInfo, Bytes),
    ) -> Result<(), &'static str> {
        let mut rest = self.infos.clone();
        for revision in self.shape.revisions(&self.entry) {
            let before = rest.clone();
            let info = RecordInfo::decode(revision, &mut rest)?;
            f(info, before.slice(..before.len() - rest.len()));
        }
        if rest.has_remaining() {
            return Err("key row has bytes behind its last info");
        }
        Ok(())
    }
}

/// Writes the checksum of everything behind it into the first four bytes.
pub(super) fn seal(mut bytes: BytesMut) -> Bytes {
    let checksum = crc32fast::hash(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes.freeze()
}

/// Verifies the checksum and the version; returns what follows them.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub(super) fn open(bytes: &[u8], header_bytes: usize) -> Result<&[u8], &'static str> {
    match verify(bytes, header_bytes)? {
        (VERSION, rest) => Ok(rest),
        _ => Err("unknown version"),
    }
}

/// Verifies the checksum; returns the version and what follows it.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub(super) fn verify(bytes: &[u8], header_bytes: usize) -> Result<(u32, &[u8]), &'static str> {
    if bytes.len() < header_bytes {
        return Err("shorter than its header");
    }
    let (mut checksum, mut rest) = bytes.split_at(CHECKSUM_BYTES);
    if checksum.get_u32_le() != crc32fast::hash(rest) {
        return Err("checksum mismatch");
    }
    Ok((rest.get_u32_le(), rest))
}

/// Largest block that holds more than one record: fits the pages of all engines.
pub(super) const BLOCK_BYTES_MAX: usize = 31 << 10;
/// Version of blocks, key rows and pages.
pub(super) const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Checksum, version, records count, first main.
const HEADER_BYTES: usize = 20;
/// Distance of main, sub, end of the record.
const TABLE_ENTRY_BYTES: usize = 12;
/// Checksum, version, records count, block bytes, first, last, shape bytes.
const KEY_ROW_HEADER_BYTES: usize = 52;

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(revisions: &[Revision]) -> PackedBlock {
        let mut builder = BlockBuilder::default();
        for revision in revisions {
            let info = info(*revision);
            let mut bytes = Vec::new();
            info.encode(&mut bytes);
            builder.push(*revision, format!("record {revision}").as_bytes(), &bytes);
        }
        builder.finish(5).unwrap()
    }

    fn info(revision: Revision) -> RecordInfo {
        RecordInfo {
            revision,
            key: Bytes::from(format!("key {revision}")),
            create_revision: revision.main,
            version: 1,
            lease: 0,
            tombstone: false,
        }
    }

    #[test]
    fn a_block_and_its_key_row_give_back_what_was_packed() {
        let dense: Vec<_> = (2..40).map(|main| Revision::new(main, 0)).collect();
        let sparse: Vec<_> = (2..40)
            .flat_map(|main| [Revision::new(main * 3, 0), Revision::new(main * 3, 2)])
            .collect();
        for revisions in [dense, sparse] {
            let packed = packed(&revisions);
            let block = Block::parse(packed.block.clone(), &packed.entry).unwrap();
            let found: Vec<_> = block.records().map(|(revision, _)| revision).collect();
            assert_eq!(found, revisions);
            for (at, revision) in revisions.iter().enumerate() {
                assert_eq!(
                    block.record(*revision).unwrap(),
                    format!("record {revision}")
                );
                assert_eq!(packed.shape.ordinal(&packed.entry, *revision), Some(at));
                let absent = Revision::new(revision.main, revision.sub + 1);
                assert_eq!(packed.shape.ordinal(&packed.entry, absent), None);
                assert_eq!(block.record(absent), None);
            }
            let row = KeyRow::parse(5, packed.key_row).unwrap();
            assert_eq!(row.entry, packed.entry);
            assert_eq!(row.shape, packed.shape);
            let mut infos = Vec::new();
            row.for_each(&mut |info, _| infos.push(info)).unwrap();
            assert_eq!(infos, revisions.into_iter().map(info).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_changed_or_missing_byte_is_refused() {
        let packed = packed(&[Revision::new(2, 0), Revision::new(4, 1)]);
        for bytes in [&packed.block, &packed.key_row] {
            for at in 0..bytes.len() {
                let mut bad = BytesMut::from(bytes.as_ref());
                bad[at] ^= 0x10;
                let (changed, cut) = (bad.freeze(), bytes.slice(..at));
                for bad in [changed, cut] {
                    assert!(Block::parse(bad.clone(), &packed.entry).is_err());
                    assert!(KeyRow::parse(5, bad).is_err());
                }
            }
        }
    }
}
