//! Receiving a whole state into a directory beside the current one.
//!
//! Frames are verified one by one and written to a fresh engine; nothing of the
//! current state is touched before the stream has come to its end and the new
//! directory has been read back. Then the checkpoint thread switches `CURRENT`
//! and the view. A staging that is dropped removes its directory; one that a
//! crash left behind is removed at the next start.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::block::{Block, KeyRow, PackedBlock};
use super::block_writer::BlockWriter;
use super::checkpoint::Checkpointer;
use super::cold::ColdStore;
use super::collect::Collector;
use super::digest::{DIGEST_BYTES, Digest};
use super::directory::Directory;
use super::error::Error;
use super::export::{
    FRAME_HEADER_BYTES, FrameKind, STREAM_VERSION, STREAM_VERSION_UNDIGESTED, Totals,
    frame_checksum,
};
use super::handle::{Applied, Recovered, Shared};
use super::meta::Meta;
use super::page::{PageMap, decode_page};
use super::read_view::{Tables, View};
use super::record::RecordInfo;
use super::recovery::{self, Loaded};
use super::row_table::RowTable;
use super::table::Table;
use crate::base::revision::Revision;

/// A state being received.
#[derive(Debug)]
pub struct Staging {
    shared: Arc<Shared>,
    cold: Arc<ColdStore>,
    /// Bytes of a frame that is not complete yet.
    buffer: BytesMut,
    /// Bytes of the stream before `buffer`.
    offset: u64,
    /// Kind of the last frame; they come in order.
    last_kind: Option<FrameKind>,
    position: Recovered,
    last_record: Revision,
    next_id: u64,
    totals: Totals,
    tables: Tables,
    rows: BTreeSet<(Table, Bytes)>,
    uncommitted_bytes: usize,
    /// Whether the engine has changes that a commit can still end: it did not fail.
    is_committable: bool,
}

/// A received state, ready to be switched to.
#[derive(Debug)]
pub(super) struct Staged {
    cold: Arc<ColdStore>,
    loaded: Loaded,
}

impl Staging {
    /// Makes an empty state beside the current one.
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let cold = Arc::new(shared.create_cold_store()?);
        Ok(Self {
            shared,
            cold,
            buffer: BytesMut::new(),
            offset: 0,
            last_kind: None,
            position: Recovered::default(),
            last_record: Revision::ZERO,
            next_id: 0,
            totals: Totals::default(),
            tables: Tables::default(),
            rows: BTreeSet::new(),
            uncommitted_bytes: 0,
            is_committable: false,
        })
    }

    /// Takes the next piece of the stream, cut anywhere. Blocks on disk writes.
    ///
    /// # Errors
    ///
    /// The bytes were refused, or the engine failed: start again with a new staging.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(chunk);
        while let Some((kind, payload)) = self.next_frame()? {
            let bytes = FRAME_HEADER_BYTES + payload.len();
            self.handle_frame(kind, payload)?;
            self.offset += bytes as u64;
            self.uncommitted_bytes += bytes;
            if self.uncommitted_bytes >= COMMIT_BYTES {
                self.commit(true)?;
            }
        }
        Ok(())
    }

    /// Whether the end of the stream has been received.
    pub fn is_complete(&self) -> bool {
        self.last_kind == Some(FrameKind::End) && self.buffer.is_empty()
    }

    /// Gives a completely received state another place in a log: that of a new
    /// cluster with this membership. Nothing of the sender's members stays.
    pub fn found(&mut self, applied: Applied, membership: Bytes) {
        self.position.applied = Some(applied);
        self.position.membership = Some(membership);
        // Begun anew by all founders; those that were made from different streams
        // differ in the value for good, so that it can be noticed.
        self.position.digest.base = Some(applied.index);
        for table in [Table::Members, Table::MembersRemoved, Table::Cluster] {
            self.rows.retain(|(of, _)| *of != table);
            *self.tables.table_mut(table) = RowTable::default();
        }
    }

    /// Ends the state and reads it back.
    pub(super) fn finish(mut self) -> Result<Staged, Error> {
        if !self.is_complete() {
            return Err(self.refused("the stream is truncated"));
        }
        let cold = Arc::clone(&self.cold);
        let mut changes = Vec::new();
        PageMap::default().write(&self.rows, &self.tables, &mut self.next_id, &mut changes);
        self.is_committable = false;
        cold.engine()?.write(changes)?;
        self.commit(false)?;
        let loaded = recovery::load(&cold)?;
        if loaded.meta.position != self.position {
            return Err(self.refused("the state read back differs"));
        }
        Ok(Staged { cold, loaded })
    }

    fn commit(&mut self, is_partial: bool) -> Result<(), Error> {
        let meta = Meta {
            identity: self.shared.config.identity,
            position: self.position.clone(),
            checkpointed: self.last_record,
            next_id: self.next_id,
            graves: Vec::new(),
            is_partial,
        };
        let engine = self.cold.engine()?;
        self.is_committable = false;
        engine.commit(&meta.encode())?;
        self.uncommitted_bytes = 0;
        engine.maintain()
    }

    /// The next complete frame, verified.
    fn next_frame(&mut self) -> Result<Option<(FrameKind, Bytes)>, Error> {
        let Some(mut header) = self.buffer.get(..FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        let number = header.get_u8();
        let len = header.get_u32_le();
        let checksum = header.get_u32_le();
        let kind = FrameKind::from_number(number).ok_or_else(|| self.refused("unknown frame"))?;
        let is_in_order = match self.last_kind {
            None => kind == FrameKind::Manifest,
            Some(last) => {
                let repeats = matches!(
                    kind,
                    FrameKind::Block | FrameKind::Records | FrameKind::Rows
                );
                kind > last || (kind == last && repeats)
            }
        };
        if !is_in_order || len as usize > FRAME_BYTES_MAX {
            return Err(self.refused("frame out of order or too long"));
        }
        let frame_bytes = FRAME_HEADER_BYTES + len as usize;
        if self.buffer.len() < frame_bytes {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(frame_bytes).freeze();
        frame.advance(FRAME_HEADER_BYTES);
        if frame_checksum(number, len, &[&frame]) != checksum {
            return Err(self.refused("checksum mismatch"));
        }
        self.last_kind = Some(kind);
        Ok(Some((kind, frame)))
    }

    fn handle_frame(&mut self, kind: FrameKind, payload: Bytes) -> Result<(), Error> {
        match kind {
            FrameKind::Manifest => self.handle_manifest(payload),
            FrameKind::Block => self.handle_block(payload),
            FrameKind::Records => self.handle_records(payload),
            FrameKind::Rows => self.handle_rows(&payload),
            FrameKind::End if payload == self.totals.encode() => Ok(()),
            FrameKind::End => Err(self.refused("totals do not match what was received")),
        }
    }

    fn handle_manifest(&mut self, mut payload: Bytes) -> Result<(), Error> {
        if payload.len() < MANIFEST_HEADER_BYTES {
            return Err(self.refused("truncated manifest"));
        }
        let version = payload.get_u32_le();
        self.position.digest = match version {
            STREAM_VERSION_UNDIGESTED => Digest::UNKNOWN,
            STREAM_VERSION if payload.len() < MANIFEST_REST_BYTES + 1 + DIGEST_BYTES => {
                return Err(self.refused("truncated manifest"));
            }
            STREAM_VERSION => Digest::take(payload.get_u8() != 0, &mut payload),
            newer => {
                return Err(self.refused(&format!(
                    "stream version {newer}; this member reads {STREAM_VERSION_UNDIGESTED} to \
                     {STREAM_VERSION}: run the version of the sender here too"
                )));
            }
        };
        self.position.revision = payload.get_i64_le();
        let has_applied = payload.get_u8() != 0;
        let applied = Applied {
            index: payload.get_u64_le(),
            term: payload.get_u64_le(),
        };
        self.position.applied = has_applied.then_some(applied);
        let has_membership = payload.get_u8() != 0;
        self.position.membership = has_membership.then_some(payload);
        Ok(())
    }

    fn handle_block(&mut self, mut payload: Bytes) -> Result<(), Error> {
        if payload.len() < 4 {
            return Err(self.refused("truncated block frame"));
        }
        let key_row_len = payload.get_u32_le() as usize;
        if payload.len() < key_row_len {
            return Err(self.refused("truncated block frame"));
        }
        let key_row = payload.split_to(key_row_len);
        let row =
            KeyRow::parse(self.next_id, key_row.clone()).map_err(|reason| self.refused(reason))?;
        row.for_each(&mut |_, _| {})
            .map_err(|reason| self.refused(reason))?;
        Block::parse(payload.clone(), &row.entry).map_err(|reason| self.refused(reason))?;
        if row.entry.first <= self.last_record || row.entry.last.main > self.position.revision {
            return Err(self.refused("block out of order"));
        }
        self.last_record = row.entry.last;
        self.totals.blocks_count += 1;
        let packed = PackedBlock {
            entry: row.entry,
            block: payload,
            key_row,
            shape: row.shape,
        };
        self.with_writer(|writer| writer.put(packed))
    }

    fn handle_records(&mut self, mut payload: Bytes) -> Result<(), Error> {
        let mut records = Vec::new();
        while payload.has_remaining() {
            let hot = take_record(&mut payload).ok_or_else(|| self.refused("truncated record"))?;
            let (revision, _, info) = &hot;
            RecordInfo::decode(*revision, &mut info.clone())
                .map_err(|reason| self.refused(reason))?;
            if *revision <= self.last_record || revision.main > self.position.revision {
                return Err(self.refused("record out of order"));
            }
            self.last_record = *revision;
            records.push(hot);
        }
        self.totals.records_count += records.len() as u64;
        self.with_writer(|writer| {
            for (revision, record, info) in &records {
                writer.push(*revision, record, info)?;
            }
            writer.end_block()
        })
    }

    fn handle_rows(&mut self, payload: &[u8]) -> Result<(), Error> {
        let (table, rows) = decode_page(payload).map_err(|reason| self.refused(reason))?;
        for (key, value) in rows {
            self.totals.rows_count += 1;
            self.rows.insert((table, key.clone()));
            self.tables.table_mut(table).insert(key, value);
        }
        Ok(())
    }

    fn with_writer(
        &mut self,
        f: impl FnOnce(&mut BlockWriter<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.is_committable = false;
        let mut writer = BlockWriter::new(self.cold.engine()?, self.next_id);
        f(&mut writer)?;
        writer.flush()?;
        self.next_id = writer.next_id.max(self.next_id);
        self.is_committable = true;
        Ok(())
    }

    fn refused(&self, reason: &str) -> Error {
        Error::SnapshotRefused {
            offset: self.offset,
            reason: reason.to_owned(),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An engine with uncommitted changes cannot be closed: it would keep its
        // files, deleted as they are, and its memory.
        if self.is_committable
            && let Err(error) = self.commit(true)
        {
            let path = self.cold.path().display();
            tracing::warn!(%path, %error, "cannot close a state that was received in part");
        }
    }
}

impl Checkpointer {
    /// Makes a received state the current one.
    pub(super) fn install(&mut self, staged: Staged) -> Result<Recovered, Error> {
        let Staged { cold, loaded } = staged;
        self.abandon_recycling()?;
        self.make_current(&cold)?;
        if let Some(old) = self.cold.replace(Arc::clone(&cold)) {
            old.set_obsolete(true);
        }
        self.next_id = loaded.meta.next_id;
        let position = loaded.meta.position.clone();
        self.pages = self.shared.adopt(&cold, loaded);
        Ok(position)
    }
}

impl Shared {
    /// Makes a loaded state the visible one; whatever was in memory is dropped.
    pub(super) fn adopt(&self, cold: &Arc<ColdStore>, loaded: Loaded) -> PageMap {
        use std::sync::atomic::Ordering;

        let Loaded {
            meta,
            blocks,
            mut tables,
            dead,
            pages,
        } = loaded;
        let entries: Vec<_> = blocks.iter().map(|(entry, _)| *entry).collect();
        let directory = Arc::new(Directory::new(Some(Arc::clone(cold)), &entries));
        let mut collector = self.collector.lock();
        let mut unwritten = self.publish.lock();
        // Only the collector has the marks that are true now.
        let marks = (std::mem::take(tables.table_mut(Table::Dead)), dead);
        *collector =
            Collector::recovered(blocks, meta.graves, meta.checkpointed, &directory, marks);
        self.space.note_collector(&collector);
        self.view.store(Arc::new(View {
            revision: meta.position.revision,
            applied: meta.position.applied,
            digest: meta.position.digest,
            membership: meta.position.membership.clone(),
            checkpointed: meta.checkpointed,
            directory,
            tables: Arc::new(tables),
            ..View::default()
        }));
        unwritten.changed_rows.clear();
        self.is_dirty.store(false, Ordering::SeqCst);
        self.has_garbage
            .store(collector.has_graves(), Ordering::SeqCst);
        self.unwritten_bytes.store(0, Ordering::Release);
        self.space.note_pages(pages.bytes());
        self.space
            .note_disk(super::state_directory::disk_bytes(cold.path()));
        *self.durable.lock() = meta.position;
        self.below_hot_limit.notify_waiters();
        pages
    }
}

/// Takes one record off a records frame.
fn take_record(payload: &mut Bytes) -> Option<(Revision, Bytes, Bytes)> {
    if payload.len() < RECORD_HEADER_BYTES {
        return None;
    }
    let revision = Revision::new(payload.get_i64_le(), payload.get_i64_le());
    let record_len = payload.get_u32_le() as usize;
    let info_len = payload.get_u32_le() as usize;
    if payload.len() < record_len || payload.len() - record_len < info_len {
        return None;
    }
    let record = payload.split_to(record_len);
    Some((revision, record, payload.split_to(info_len)))
}

/// Version, revision, applied, whether there is a membership: version 1.
const MANIFEST_HEADER_BYTES: usize = 30;
/// The same without the version.
const MANIFEST_REST_BYTES: usize = MANIFEST_HEADER_BYTES - 4;
/// Revision, length of the record, length of its info.
const RECORD_HEADER_BYTES: usize = 24;
/// A frame is at most one record with its key row; far above any request limit.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// Bounds what the engine holds back while receiving.
const COMMIT_BYTES: usize = 32 << 20;
