//! Cold blocks kept in memory, bounded by bytes.
//!
//! Eight shards, each a queue with a second chance: a block that was read since
//! it came to the front goes to the back once instead of out. A scan therefore
//! passes through without driving out what is read again. Nothing is allocated
//! before the first block. Two readers that miss the same block both fetch it.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::block::Block;

/// Blocks by id.
#[derive(Debug)]
pub(super) struct BlockCache {
    shards: [Mutex<Shard>; SHARDS_COUNT],
    shard_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    blocks: HashMap<u64, Slot>,
    /// Ids in order of eviction; each id of `blocks` exactly once.
    queue: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    block: Block,
    is_read_again: bool,
}

impl BlockCache {
    /// An empty cache of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            shards: Default::default(),
            shard_bytes_max: bytes_max / SHARDS_COUNT,
        }
    }

    /// The block, if it is here.
    pub(super) fn block(&self, id: u64) -> Option<Block> {
        let mut shard = self.shard(id).lock();
        let slot = shard.blocks.get_mut(&id)?;
        slot.is_read_again = true;
        Some(slot.block.clone())
    }

    /// Keeps a block; one larger than a shard is not kept.
    pub(super) fn insert(&self, id: u64, block: Block) {
        let bytes = block.bytes().len();
        if bytes > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(id).lock();
        if shard.blocks.contains_key(&id) {
            return;
        }
        while shard.bytes + bytes > self.shard_bytes_max && shard.evict_one() {}
        shard.blocks.insert(
            id,
            Slot {
                block,
                is_read_again: false,
            },
        );
        shard.queue.push_back(id);
        shard.bytes += bytes;
    }

    /// Forgets a block that no longer exists.
    pub(super) fn remove(&self, id: u64) {
        let mut shard = self.shard(id).lock();
        if let Some(slot) = shard.blocks.remove(&id) {
            shard.bytes -= slot.block.bytes().len();
            shard.queue.retain(|queued| *queued != id);
        }
    }

    fn shard(&self, id: u64) -> &Mutex<Shard> {
        &self.shards[id as usize % SHARDS_COUNT]
    }
}

impl Shard {
    /// Evicts the first block without a second chance; false when there is none.
    fn evict_one(&mut self) -> bool {
        while let Some(id) = self.queue.pop_front() {
            match self.blocks.get_mut(&id) {
                Some(slot) if slot.is_read_again => {
                    slot.is_read_again = false;
                    self.queue.push_back(id);
                }
                Some(slot) => {
                    self.bytes -= slot.block.bytes().len();
                    self.blocks.remove(&id);
                    return true;
                }
                None => {}
            }
        }
        false
    }
}

/// Keeps readers of different blocks apart.
const SHARDS_COUNT: usize = 8;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::block::BlockBuilder;
    use super::*;
    use crate::base::revision::Revision;

    fn block(id: u64) -> Block {
        let mut builder = BlockBuilder::default();
        builder.push(Revision::new(2, 0), &[id as u8; 900], &[]);
        let packed = builder.finish(id).unwrap();
        Block::parse(Bytes::clone(&packed.block), &packed.entry).unwrap()
    }

    #[test]
    fn the_cache_stays_within_its_bytes_and_keeps_what_is_read_again() {
        let cache = BlockCache::new(SHARDS_COUNT * 3000);
        cache.insert(0, block(0));
        for round in 1..100 {
            assert!(cache.block(0).is_some(), "round {round}");
            cache.insert(round * SHARDS_COUNT as u64, block(round));
            let shard = cache.shards[0].lock();
            assert!(shard.bytes <= 3000);
            assert_eq!(shard.queue.len(), shard.blocks.len());
        }
        assert!(cache.block(SHARDS_COUNT as u64).is_none());
        cache.remove(0);
        assert!(cache.block(0).is_none());
    }
}
