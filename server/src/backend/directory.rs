//! Where the cold records of a view are: its blocks in revision order.
//!
//! Immutable; a checkpoint makes a new one that shares the chunks it did not
//! touch. Views hold directories by reference, and that is also the pin: blocks
//! dropped from newer directories stay in the engine while an older one lives
//! (see `collect`).

use std::collections::HashSet;
use std::sync::Arc;

use super::block::BlockEntry;
use super::cold::ColdStore;
use crate::base::revision::Revision;

/// The blocks of one version, and the store that holds them.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// `None` while there is no engine: no block exists.
    pub(super) cold: Option<Arc<ColdStore>>,
    chunks: Vec<Arc<Vec<BlockEntry>>>,
}

impl Directory {
    /// A directory of blocks in revision order.
    pub(super) fn new(cold: Option<Arc<ColdStore>>, blocks: &[BlockEntry]) -> Self {
        let chunks = blocks
            .chunks(CHUNK_BLOCKS)
            .map(|chunk| Arc::new(chunk.to_vec()))
            .collect();
        Self { cold, chunks }
    }

    /// The block that would hold `revision`.
    pub(super) fn block_of(&self, revision: Revision) -> Option<&BlockEntry> {
        let block = self.blocks_from(revision).next()?;
        (block.first <= revision).then_some(block)
    }

    /// The blocks that end at or after `revision`, in order.
    pub(super) fn blocks_from(&self, revision: Revision) -> impl Iterator<Item = &BlockEntry> {
        let is_before =
            |chunk: &Arc<Vec<BlockEntry>>| chunk.last().is_some_and(|block| block.last < revision);
        let chunks = self
            .chunks
            .get(self.chunks.partition_point(is_before)..)
            .unwrap_or_default();
        let skipped = chunks.first().map_or(0, |chunk| {
            chunk.partition_point(|block| block.last < revision)
        });
        chunks.iter().flat_map(|chunk| chunk.iter()).skip(skipped)
    }

    /// All blocks in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &BlockEntry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The directory with blocks removed and others (in order) added.
    pub(super) fn replaced(
        &self,
        cold: Option<Arc<ColdStore>>,
        removed: &HashSet<u64>,
        added: &[BlockEntry],
    ) -> Self {
        let mut chunks = Vec::with_capacity(self.chunks.len() + added.len() / CHUNK_BLOCKS + 1);
        let mut added = added;
        for (at, chunk) in self.chunks.iter().enumerate() {
            let next_first = self.chunks.get(at + 1).and_then(|next| next.first());
            let here = next_first.map_or(added.len(), |next| {
                added.partition_point(|block| block.first < next.first)
            });
            let (mine, rest) = added.split_at(here);
            added = rest;
            if mine.is_empty() && !chunk.iter().any(|block| removed.contains(&block.id)) {
                chunks.push(Arc::clone(chunk));
                continue;
            }
            let kept = chunk.iter().filter(|block| !removed.contains(&block.id));
            let mut blocks: Vec<_> = kept.chain(mine).copied().collect();
            blocks.sort_by_key(|block| block.first);
            chunks.extend(
                blocks
                    .chunks(CHUNK_BLOCKS)
                    .map(|chunk| Arc::new(chunk.to_vec())),
            );
        }
        chunks.extend(
            added
                .chunks(CHUNK_BLOCKS)
                .map(|chunk| Arc::new(chunk.to_vec())),
        );
        debug_assert!(
            chunks
                .iter()
                .flat_map(|chunk| chunk.iter())
                .is_sorted_by(|a, b| a.last < b.first)
        );
        Self { cold, chunks }
    }
}

/// Copied as a whole when one of its blocks changes: 28 KB.
const CHUNK_BLOCKS: usize = 512;
