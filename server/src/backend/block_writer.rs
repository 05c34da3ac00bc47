//! Packs records into blocks and hands them to an engine in groups.
//!
//! Used by checkpoints, by block rewriting and by the receiver of a snapshot.
//! Records must come in revision order between two calls of `end_block`.

use super::block::{BlockBuilder, BlockEntry, PackedBlock, Shape};
use super::cold::put_blob;
use super::engine::{Change, Engine, EngineTable};
use super::error::Error;
use crate::base::revision::Revision;

/// Writes blocks to one engine.
#[derive(Debug)]
pub(super) struct BlockWriter<'a> {
    engine: &'a dyn Engine,
    builder: BlockBuilder,
    /// Changes not yet handed to the engine.
    pub(super) changes: Vec<Change>,
    changes_bytes: usize,
    /// The next free id.
    pub(super) next_id: u64,
    /// What was written, in order of writing.
    pub(super) added: Vec<(BlockEntry, Shape)>,
}

impl<'a> BlockWriter<'a> {
    /// A writer that uses ids from `next_id` on.
    pub(super) fn new(engine: &'a dyn Engine, next_id: u64) -> Self {
        Self {
            engine,
            builder: BlockBuilder::default(),
            changes: Vec::new(),
            changes_bytes: 0,
            next_id,
            added: Vec::new(),
        }
    }

    /// Adds a record with the byte form of its info.
    ///
    /// # Errors
    ///
    /// The engine failed.
    pub(super) fn push(
        &mut self,
        revision: Revision,
        record: &[u8],
        info: &[u8],
    ) -> Result<(), Error> {
        if !self.builder.has_room(revision, record.len()) {
            self.end_block()?;
        }
        self.builder.push(revision, record, info);
        Ok(())
    }

    /// Ends the block that is being filled.
    ///
    /// # Errors
    ///
    /// The engine failed.
    pub(super) fn end_block(&mut self) -> Result<(), Error> {
        match self.builder.finish(self.next_id) {
            Some(packed) => self.put(packed),
            None => Ok(()),
        }
    }

    /// Hands all gathered changes to the engine.
    ///
    /// # Errors
    ///
    /// The engine failed.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.changes_bytes = 0;
        if self.changes.is_empty() {
            return Ok(());
        }
        self.engine.write(std::mem::take(&mut self.changes))
    }

    /// Adds a finished block.
    ///
    /// # Errors
    ///
    /// The engine failed.
    pub(super) fn put(&mut self, packed: PackedBlock) -> Result<(), Error> {
        let id = packed.entry.id;
        self.next_id = self.next_id.max(id + 1);
        put_blob(EngineTable::Block, id, &packed.block, &mut self.changes);
        put_blob(EngineTable::KeyRow, id, &packed.key_row, &mut self.changes);
        self.changes_bytes += packed.block.len() + packed.key_row.len();
        self.added.push((packed.entry, packed.shape));
        if self.changes_bytes >= GROUP_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }
}

/// Handed to the engine at once.
const GROUP_BYTES: usize = 4 << 20;
