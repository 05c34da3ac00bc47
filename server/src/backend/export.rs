//! Sending a whole state: a pinned view as a stream of verified frames.
//!
//! The stream is a manifest, then every block with its key row as they are on
//! disk, then the records that are only in memory, then the rows of the small
//! tables, then an end frame with totals. Blocks are verified when read, not
//! decoded. Chunks hold whole frames, but a receiver takes the stream in pieces
//! of any size. Bytes: "snapshot stream" of docs/formats/backend.md.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::block::BlockEntry;
use super::error::Error;
use super::handle::Recovered;
use super::page::encode_page;
use super::read_view::View;
use super::segment::HotRecord;
use super::table::Table;
use crate::base::revision::Revision;

/// A pinned state that can be streamed out once.
#[derive(Debug)]
pub struct Snapshot {
    view: Arc<View>,
    stage: Stage,
    totals: Totals,
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    Manifest,
    /// Blocks from this revision on.
    Blocks(Revision),
    /// Records after this revision.
    Records(Revision),
    /// Rows of the table in this slot of `Table::ALL`, after this key.
    Rows(usize, Option<Bytes>),
    Done,
}

/// What was sent or received, for the end frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) blocks_count: u64,
    pub(super) records_count: u64,
    pub(super) rows_count: u64,
}

impl Totals {
    /// The payload of an end frame.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u64_le(self.blocks_count);
        out.put_u64_le(self.records_count);
        out.put_u64_le(self.rows_count);
        out.freeze()
    }
}

impl Snapshot {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            stage: Stage::Manifest,
            totals: Totals::default(),
        }
    }

    /// The same state from its beginning.
    pub fn again(&self) -> Self {
        Self::new(Arc::clone(&self.view))
    }

    /// Which state it is.
    pub fn position(&self) -> Recovered {
        self.view.position()
    }

    /// Bytes of the whole stream, about.
    pub fn total_bytes(&self) -> u64 {
        let of_block =
            |entry: &BlockEntry| u64::from(entry.block_bytes) + u64::from(entry.key_row_bytes);
        let blocks: u64 = self.view.directory.blocks().map(of_block).sum();
        blocks + self.view.segments.bytes() as u64
    }

    /// The next piece of the stream, about 1 MiB, `None` behind the last one.
    /// Blocks on disk reads.
    ///
    /// # Errors
    ///
    /// A block could not be read or is corrupt: the stream has no end then.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let mut out = BytesMut::new();
        while out.len() < CHUNK_BYTES && !matches!(self.stage, Stage::Done) {
            self.next_frame(&mut out)?;
        }
        Ok((!out.is_empty()).then(|| out.freeze()))
    }

    fn next_frame(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Manifest => {
                let manifest = encode_manifest(&self.view.position());
                put_frame(out, FrameKind::Manifest, &[&manifest]);
                self.stage = Stage::Blocks(Revision::ZERO);
            }
            Stage::Blocks(from) => {
                let next = self.view.directory.blocks_from(*from).next().copied();
                match next {
                    Some(entry) => {
                        *from = Revision::new(entry.last.main, entry.last.sub + 1);
                        self.put_block(&entry, out)?;
                    }
                    None => self.stage = Stage::Records(self.view.checkpointed),
                }
            }
            Stage::Records(after) => {
                let after = *after;
                self.put_records(after, out)?;
            }
            Stage::Rows(slot, after) => {
                let (slot, after) = (*slot, after.take());
                self.put_rows(slot, after, out);
            }
            Stage::Done => {}
        }
        Ok(())
    }

    fn put_block(&mut self, entry: &BlockEntry, out: &mut BytesMut) -> Result<(), Error> {
        let cold = self.view.directory.cold.as_ref().ok_or(Error::Closed)?;
        let block = cold.block_uncached(entry)?;
        let key_row = cold.key_row(entry)?;
        let key_row_len = (key_row.bytes().len() as u32).to_le_bytes();
        put_frame(
            out,
            FrameKind::Block,
            &[&key_row_len, key_row.bytes(), block.bytes()],
        );
        self.totals.blocks_count += 1;
        Ok(())
    }

    fn put_records(&mut self, after: Revision, out: &mut BytesMut) -> Result<(), Error> {
        let mut payload = BytesMut::new();
        let mut last = None;
        let mut put = |hot: &HotRecord| {
            last = Some(hot.revision);
            self.totals.records_count += 1;
            let (record, info) = (hot.record_bytes(), hot.info_bytes());
            payload.put_i64_le(hot.revision.main);
            payload.put_i64_le(hot.revision.sub);
            payload.put_u32_le(record.len() as u32);
            payload.put_u32_le(info.len() as u32);
            payload.extend_from_slice(record);
            payload.extend_from_slice(info);
            let is_full = payload.len() >= FRAME_BYTES;
            Ok(if is_full {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        self.view
            .segments
            .for_each_after(after, self.view.last_revision(), &mut put)?;
        match last {
            Some(last) => {
                put_frame(out, FrameKind::Records, &[&payload]);
                self.stage = Stage::Records(last);
            }
            None => self.stage = Stage::Rows(0, None),
        }
        Ok(())
    }

    fn put_rows(&mut self, slot: usize, after: Option<Bytes>, out: &mut BytesMut) {
        let Some(table) = Table::ALL.get(slot) else {
            put_frame(out, FrameKind::End, &[&self.totals.encode()]);
            self.stage = Stage::Done;
            return;
        };
        let mut rows = Vec::new();
        let mut bytes = 0;
        let from = after.clone().unwrap_or_default();
        self.view
            .tables
            .table(*table)
            .for_each_from(&from, &mut |key, value| {
                if Some(key) != after.as_ref() {
                    bytes += key.len() + value.len();
                    rows.push((key.clone(), value.clone()));
                }
                if bytes >= FRAME_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        match rows.last() {
            Some((last, _)) => {
                self.stage = Stage::Rows(slot, Some(last.clone()));
                self.totals.rows_count += rows.len() as u64;
                put_frame(out, FrameKind::Rows, &[&encode_page(*table, &rows)]);
            }
            None => self.stage = Stage::Rows(slot + 1, None),
        }
    }
}

/// The payload of a manifest frame.
pub(super) fn encode_manifest(position: &Recovered) -> Bytes {
    let membership = position.membership.as_ref();
    let mut out = BytesMut::new();
    out.put_u32_le(STREAM_VERSION);
    out.put_u8(u8::from(position.digest.base.is_some()));
    position.digest.put(&mut out);
    out.put_i64_le(position.revision);
    out.put_u8(u8::from(position.applied.is_some()));
    out.put_u64_le(position.applied.map_or(0, |applied| applied.index));
    out.put_u64_le(position.applied.map_or(0, |applied| applied.term));
    out.put_u8(u8::from(membership.is_some()));
    out.extend_from_slice(membership.map_or(&[], |membership| membership.as_ref()));
    out.freeze()
}

/// What a frame of the stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum FrameKind {
    /// Which state this is.
    Manifest = 1,
    /// One block and its key row.
    Block = 2,
    /// Records that were only in memory.
    Records = 3,
    /// Rows of one small table.
    Rows = 4,
    /// Totals; nothing follows.
    End = 5,
}

impl FrameKind {
    /// The kind with this number.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        let all = [
            Self::Manifest,
            Self::Block,
            Self::Records,
            Self::Rows,
            Self::End,
        ];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Appends a frame: kind, length, checksum of all else, payload.
pub(super) fn put_frame(out: &mut BytesMut, kind: FrameKind, payload: &[&[u8]]) {
    let len = payload.iter().map(|piece| piece.len()).sum::<usize>() as u32;
    let checksum = frame_checksum(kind as u8, len, payload);
    out.reserve(FRAME_HEADER_BYTES + len as usize);
    out.put_u8(kind as u8);
    out.put_u32_le(len);
    out.put_u32_le(checksum);
    payload
        .iter()
        .for_each(|piece| out.extend_from_slice(piece));
}

/// The checksum in a frame's header.
pub(super) fn frame_checksum(kind: u8, len: u32, payload: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&len.to_le_bytes());
    payload.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

/// Version of the stream; a receiver refuses later ones.
pub(super) const STREAM_VERSION: u32 = 2;
/// The version before, without a digest.
pub(super) const STREAM_VERSION_UNDIGESTED: u32 = 1;
/// Kind, length, checksum.
pub(super) const FRAME_HEADER_BYTES: usize = 9;
/// Records or rows per frame, about.
pub(super) const FRAME_BYTES: usize = 256 << 10;
/// A chunk ends with the frame that reaches this.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
