//! Giving space back: which records are dead, which blocks to rewrite.
//!
//! Compaction says which records are dead; here they are marked in a bitmap per
//! block, and for the next start in rows that checkpoints write (`dead_marks`). A checkpoint asks
//! for a plan: blocks with no live record go, runs of sparse or small neighbours
//! are packed anew, within a budget. A block that left the newest directory is a
//! grave: its rows are removed once no view with an older directory is left.
//! Marks that arrive while a plan is carried out are carried over to the new
//! blocks. Owned by a mutex; every call is short except over very large runs.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::block::{BLOCK_BYTES_MAX, BlockEntry, Shape};
use super::dead_marks::{DeadMarks, block_key};
use super::directory::Directory;
use super::meta::Grave;
use super::row_table::RowTable;
use super::table::Table;
use crate::base::revision::Revision;

/// What is dead, and what may be removed.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// Every block of the newest directory, by its first revision.
    blocks: BTreeMap<Revision, BlockLife>,
    /// First revisions of blocks that are sparse or small.
    candidates: BTreeSet<Revision>,
    /// Dead records that are not in a block yet.
    pending: BTreeSet<Revision>,
    /// Records up to here are in blocks or gone.
    checkpointed: Revision,
    /// Blocks to remove, with the number of the first directory without them.
    graves: VecDeque<(u64, Grave)>,
    /// Directories that views may still hold, oldest first, the newest last.
    directories: VecDeque<(u64, Weak<Directory>)>,
    /// Bytes of all blocks, and the part of them that is dead.
    total_bytes: u64,
    dead_bytes: u64,
    /// The marks as rows; up to date but for `changed_blocks`.
    marks: DeadMarks,
    /// First revisions of blocks whose row is out of date.
    changed_blocks: BTreeSet<Revision>,
}

#[derive(Debug)]
struct BlockLife {
    entry: BlockEntry,
    shape: Shape,
    dead: DeadSet,
}

/// Dead records of one block by ordinal; empty while none is.
#[derive(Debug, Clone, Default)]
pub(super) struct DeadSet {
    words: Vec<u64>,
    count: u32,
}

/// How much a checkpoint may do for space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Bytes of blocks to rewrite at most.
    pub(super) budget_bytes: u64,
    /// Blocks with a smaller part of live records than this are packed anew.
    pub(super) live_percent_min: u64,
}

impl Effort {
    /// Nothing but what costs nothing.
    pub(super) fn none() -> Self {
        Self {
            budget_bytes: 0,
            live_percent_min: CANDIDATE_PERCENT,
        }
    }

    /// Whether any two small neighbours are merged.
    fn is_full(self) -> bool {
        self.live_percent_min >= FULL_PERCENT
    }
}

/// What one checkpoint does for space, as of the moment it was made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Records in memory that need not be written.
    pub(super) dead: BTreeSet<Revision>,
    /// Neighbouring blocks to pack anew, in order.
    pub(super) runs: Vec<Vec<Victim>>,
    /// Rows to remove.
    pub(super) graves: Vec<Grave>,
    /// Dead marks as of the plan: what it drops may rely on them.
    pub(super) marks: RowTable,
    /// Rows of `marks` that are not in the engine yet.
    pub(super) changed_marks: BTreeSet<(Table, Bytes)>,
}

/// A block that is replaced.
#[derive(Debug, Clone)]
pub(super) struct Victim {
    pub(super) entry: BlockEntry,
    pub(super) dead: DeadSet,
}

/// What a checkpoint has made true.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) plan: &'a Plan,
    pub(super) added: Vec<(BlockEntry, Shape)>,
    pub(super) checkpointed: Revision,
    /// The directory that was published with it.
    pub(super) directory: &'a Arc<Directory>,
}

impl DeadSet {
    /// Whether the record at this place is dead.
    pub(super) fn contains(&self, ordinal: usize) -> bool {
        self.words
            .get(ordinal / 64)
            .is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    fn insert(&mut self, ordinal: usize, records_count: u32) -> bool {
        if self.contains(ordinal) {
            return false;
        }
        self.words.resize((records_count as usize).div_ceil(64), 0);
        if let Some(word) = self.words.get_mut(ordinal / 64) {
            *word |= 1 << (ordinal % 64);
            self.count += 1;
        }
        true
    }
}

impl BlockLife {
    fn bytes(&self) -> u64 {
        u64::from(self.entry.block_bytes) + u64::from(self.entry.key_row_bytes)
    }

    /// Estimate: records of a block count the same.
    fn dead_bytes(&self) -> u64 {
        self.bytes() * u64::from(self.dead.count) / u64::from(self.entry.records_count.max(1))
    }

    fn dead_revisions(&self) -> impl Iterator<Item = Revision> {
        let all = self.shape.revisions(&self.entry).enumerate();
        all.filter(|(at, _)| self.dead.contains(*at))
            .map(|(_, revision)| revision)
    }

    fn live_bytes(&self) -> u64 {
        self.bytes() - self.dead_bytes()
    }

    fn is_sparse(&self, live_percent_min: u64) -> bool {
        let live = u64::from(self.entry.records_count - self.dead.count);
        live * 100 < u64::from(self.entry.records_count) * live_percent_min
    }

    fn is_small(&self) -> bool {
        (self.entry.block_bytes as usize) < BLOCK_BYTES_MAX / 2
    }
}

impl Victim {
    fn live_records_count(&self) -> u32 {
        self.entry.records_count - self.dead.count
    }

    /// Whether the block must be read: something in it lives.
    pub(super) fn is_live(&self) -> bool {
        self.live_records_count() > 0
    }

    /// The removal this leads to.
    pub(super) fn grave(&self) -> Grave {
        Grave {
            id: self.entry.id,
            block_bytes: self.entry.block_bytes,
            key_row_bytes: self.entry.key_row_bytes,
        }
    }
}

impl Collector {
    /// As found at start, with the directory the first view holds.
    pub(super) fn recovered(
        blocks: Vec<(BlockEntry, Shape)>,
        graves: Vec<Grave>,
        checkpointed: Revision,
        directory: &Arc<Directory>,
        (marks, dead): (RowTable, Vec<Revision>),
    ) -> Self {
        let mut collector = Self {
            checkpointed,
            ..Self::default()
        };
        collector
            .directories
            .push_back((0, Arc::downgrade(directory)));
        collector.graves = graves.into_iter().map(|grave| (0, grave)).collect();
        for (entry, shape) in blocks {
            collector.insert(entry, shape);
        }
        collector.marks = DeadMarks::recovered(marks);
        // Rows of blocks that are gone are to go too.
        collector.changed_blocks.extend(collector.marks.blocks());
        for revision in dead {
            collector.discard(revision);
        }
        collector
    }

    /// The marks as rows, up to date.
    pub(super) fn marks(&mut self) -> RowTable {
        for first in std::mem::take(&mut self.changed_blocks) {
            let life = self.blocks.get(&first);
            let dead = life.into_iter().flat_map(BlockLife::dead_revisions);
            self.marks.set(block_key(first), dead);
        }
        self.marks.rows()
    }

    /// Revisions that are marked dead, in blocks and not yet in blocks.
    pub(super) fn dead_revisions(&mut self) -> HashSet<Revision> {
        self.marks();
        let mut dead = self.marks.revisions();
        dead.extend(&self.pending);
        dead
    }

    /// Marks a record dead, wherever it is now.
    pub(super) fn discard(&mut self, revision: Revision) {
        if revision > self.checkpointed {
            self.pending.insert(revision);
            return;
        }
        let Some((first, life)) = self.blocks.range_mut(..=revision).next_back() else {
            return;
        };
        let Some(ordinal) = life.shape.ordinal(&life.entry, revision) else {
            return;
        };
        let before = life.dead_bytes();
        if life.dead.insert(ordinal, life.entry.records_count) {
            self.dead_bytes += life.dead_bytes() - before;
            self.changed_blocks.insert(*first);
            if life.is_sparse(CANDIDATE_PERCENT) {
                self.candidates.insert(*first);
            }
        }
    }

    /// What to do in the next checkpoint.
    pub(super) fn plan(&mut self, effort: Effort) -> Plan {
        let oldest = self.oldest_directory();
        let is_free = |(number, _): &&(u64, Grave)| *number <= oldest;
        let graves = self
            .graves
            .iter()
            .filter(is_free)
            .map(|(_, grave)| *grave)
            .collect();
        let marks = self.marks();
        Plan {
            marks,
            changed_marks: self.marks.take_unwritten(),
            dead: self.pending.clone(),
            runs: self.runs(effort),
            graves,
        }
    }

    /// Whether a plan would do anything for blocks that exist.
    pub(super) fn has_work(&mut self, effort: Effort) -> bool {
        let oldest = self.oldest_directory();
        self.graves.iter().any(|(number, _)| *number <= oldest) || !self.runs(effort).is_empty()
    }

    /// Graves that remain once a plan is carried out.
    pub(super) fn graves_after(&self, plan: &Plan) -> Vec<Grave> {
        let dug: BTreeSet<u64> = plan.graves.iter().map(|grave| grave.id).collect();
        let kept = self.graves.iter().map(|(_, grave)| *grave);
        let new = plan.runs.iter().flatten().map(Victim::grave);
        kept.filter(|grave| !dug.contains(&grave.id))
            .chain(new)
            .collect()
    }

    /// Takes over what a checkpoint did.
    pub(super) fn complete(&mut self, outcome: Outcome<'_>) {
        let number = self.directories.back().map_or(0, |(number, _)| number + 1);
        self.directories
            .push_back((number, Arc::downgrade(outcome.directory)));
        let dug: BTreeSet<u64> = outcome.plan.graves.iter().map(|grave| grave.id).collect();
        self.graves.retain(|(_, grave)| !dug.contains(&grave.id));
        let mut marks = Vec::new();
        for victim in outcome.plan.runs.iter().flatten() {
            self.graves.push_back((number, victim.grave()));
            let Some(life) = self.remove(victim.entry.first) else {
                continue;
            };
            let ordinals = life.shape.revisions(&life.entry).enumerate();
            let late =
                ordinals.filter(|(at, _)| life.dead.contains(*at) && !victim.dead.contains(*at));
            marks.extend(late.map(|(_, revision)| revision));
        }
        for (entry, shape) in outcome.added {
            self.insert(entry, shape);
        }
        self.checkpointed = outcome.checkpointed;
        let later = Revision::new(outcome.checkpointed.main, outcome.checkpointed.sub + 1);
        let still_pending = self.pending.split_off(&later);
        marks.extend(std::mem::replace(&mut self.pending, still_pending));
        for revision in marks {
            self.discard(revision);
        }
    }

    /// Bytes of the records that live, blocks and key rows.
    pub(super) fn live_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.dead_bytes)
    }

    /// Bytes of all blocks and key rows.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Whether so much is dead that blocks which are half full do not pay.
    pub(super) fn is_littered(&self) -> bool {
        self.dead_bytes * 4 > self.total_bytes && self.dead_bytes > LITTER_BYTES_MIN
    }

    /// Forgets blocks that are gone with their engine, and the directories of that
    /// engine: whoever holds one reads the old files.
    pub(super) fn forget_engine(&mut self) {
        self.graves.clear();
        self.directories.clear();
    }

    /// Whether removed blocks wait for views that still know them.
    pub(super) fn has_graves(&self) -> bool {
        !self.graves.is_empty()
    }

    fn insert(&mut self, entry: BlockEntry, shape: Shape) {
        let life = BlockLife {
            entry,
            shape,
            dead: DeadSet::default(),
        };
        self.total_bytes += life.bytes();
        if life.is_small() {
            self.candidates.insert(entry.first);
        }
        self.blocks.insert(entry.first, life);
    }

    fn remove(&mut self, first: Revision) -> Option<BlockLife> {
        let life = self.blocks.remove(&first)?;
        self.candidates.remove(&first);
        self.changed_blocks.insert(first);
        self.total_bytes -= life.bytes();
        self.dead_bytes -= life.dead_bytes();
        Some(life)
    }

    /// Number of the oldest directory that a view holds.
    fn oldest_directory(&mut self) -> u64 {
        while self.directories.len() > 1
            && self
                .directories
                .front()
                .is_some_and(|(_, held)| held.strong_count() == 0)
        {
            self.directories.pop_front();
        }
        self.directories.front().map_or(0, |(number, _)| *number)
    }

    /// Runs of neighbours that are worth packing anew.
    fn runs(&self, effort: Effort) -> Vec<Vec<Victim>> {
        let mut runs = Runs {
            effort,
            left_bytes: effort.budget_bytes,
            run: Run::default(),
            done: vec![],
        };
        if effort.live_percent_min > CANDIDATE_PERCENT {
            for life in self.blocks.values() {
                let is_candidate = life.is_small() || life.is_sparse(effort.live_percent_min);
                runs.visit(is_candidate.then_some(life));
            }
        } else {
            let mut before = None;
            for first in &self.candidates {
                let is_next = before.is_some_and(|before| self.is_neighbour(before, *first));
                if !is_next {
                    runs.visit(None);
                }
                before = Some(*first);
                runs.visit(self.blocks.get(first));
            }
        }
        runs.visit(None);
        runs.done
    }

    fn is_neighbour(&self, first: Revision, second: Revision) -> bool {
        let after = (Bound::Excluded(first), Bound::Unbounded);
        self.blocks
            .range(after)
            .next()
            .is_some_and(|(next, _)| *next == second)
    }
}

/// Cuts the candidates into runs until the budget is spent.
struct Runs {
    effort: Effort,
    left_bytes: u64,
    run: Run,
    done: Vec<Vec<Victim>>,
}

#[derive(Default)]
struct Run {
    victims: Vec<Victim>,
    live_bytes: u64,
    has_sparse: bool,
}

impl Runs {
    /// Takes the next block of the run; `None` ends the run.
    fn visit(&mut self, life: Option<&BlockLife>) {
        let victims_count = self.run.victims.len() + self.done.iter().map(Vec::len).sum::<usize>();
        let Some(life) =
            life.filter(|life| life.live_bytes() <= self.left_bytes && victims_count < VICTIMS_MAX)
        else {
            return self.end_run();
        };
        self.left_bytes -= life.live_bytes();
        self.run.live_bytes += life.live_bytes();
        self.run.has_sparse |= life.is_sparse(self.effort.live_percent_min);
        self.run.victims.push(Victim {
            entry: life.entry,
            dead: life.dead.clone(),
        });
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let is_enough = self.effort.is_full()
            || run.live_bytes >= BLOCK_BYTES_MAX as u64
            || run.victims.len() >= SMALL_RUN_BLOCKS;
        if run.has_sparse || (run.victims.len() > 1 && is_enough) {
            self.done.push(run.victims);
        } else {
            self.left_bytes += run.live_bytes;
        }
    }
}

/// What a block has to fall below to be looked at in the usual course.
pub(super) const CANDIDATE_PERCENT: u64 = 50;
/// The same while much is dead: what lives then takes at most a third more.
pub(super) const LITTERED_PERCENT: u64 = 75;
/// The same when everything is to be collected.
pub(super) const FULL_PERCENT: u64 = 90;
/// Less is not worth a walk over all blocks.
const LITTER_BYTES_MIN: u64 = 1 << 20;
/// Blocks replaced per checkpoint at most: bounds the meta row to 128 KB.
const VICTIMS_MAX: usize = 8192;
/// So many small neighbours are merged even if they do not fill a block: each
/// record is copied at most once per factor of 16.
const SMALL_RUN_BLOCKS: usize = 16;
