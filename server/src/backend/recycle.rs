//! Moving the state into a new engine: the files shrink while everything goes on.
//!
//! Engines reuse what they freed, but their files keep their length: what lives
//! lies anywhere in them. When the files hold much more than the data, the
//! checkpoint thread copies the blocks into an engine in a new state directory, a
//! bounded step at a time between checkpoints, and commits there as `partial`.
//! Once nothing is missing, the next checkpoint goes to the new engine, with all
//! pages; after its commit `CURRENT` is switched, and the old directory goes with
//! the last view that knows it. Until that rename a crash leaves the old state,
//! and the next start removes the rest. Blocks keep their ids, so nothing above
//! the engine changes, and the cache of blocks is carried over.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::block::BlockEntry;
use super::checkpoint::Checkpointer;
use super::cold::{ColdStore, delete_blob, put_blob};
use super::collect::Effort;
use super::config::Identity;
use super::directory::Directory;
use super::engine::EngineTable;
use super::error::Error;
use super::meta::{Grave, Meta};
use super::page::PageMap;
use super::read_view::Tables;
use super::state_directory::disk_bytes;
use super::table::Table;
use crate::base::revision::Revision;

/// A move in progress.
#[derive(Debug)]
pub(super) struct Recycling {
    target: Arc<ColdStore>,
    identity: Identity,
    /// Blocks that are in the target.
    copied: HashMap<u64, Grave>,
    /// Where to look for the next block that is missing.
    next: Revision,
    uncommitted_bytes: u64,
    /// Bytes that may be copied without a pause: twice what checkpoints add, so
    /// that the copy catches up with them.
    pub(super) credit_bytes: u64,
    /// When the next step is due.
    pub(super) next_step: Instant,
    /// Whether somebody waits for it: it goes on without pauses.
    pub(super) is_ordered: bool,
    /// Size of the old engine's files.
    from_bytes: u64,
    began: Instant,
}

/// How far a copy came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Going,
    /// Every block of the directory is in the target.
    Complete,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to do.
    Going,
    /// The state has moved.
    Moved,
    /// It stays where it was.
    GivenUp,
}

impl Recycling {
    /// Copies blocks until about `bytes_max` are copied or none is missing.
    fn copy(&mut self, directory: &Directory, bytes_max: u64) -> Result<Progress, Error> {
        let Some(cold) = directory.cold.as_ref() else {
            return Ok(Progress::Complete);
        };
        let mut bytes = 0;
        let mut changes = Vec::new();
        for entry in directory.blocks_from(self.next) {
            if self.copied.contains_key(&entry.id) {
                continue;
            }
            if bytes >= bytes_max {
                self.next = entry.first;
                self.write(changes, bytes)?;
                return Ok(Progress::Going);
            }
            let block = cold.block_uncached(entry)?;
            let key_row = cold.key_row(entry)?;
            put_blob(EngineTable::Block, entry.id, block.bytes(), &mut changes);
            put_blob(EngineTable::KeyRow, entry.id, key_row.bytes(), &mut changes);
            bytes += bytes_of(entry);
            self.copied.insert(entry.id, grave_of(entry));
        }
        self.write(changes, bytes)?;
        let is_whole_search = std::mem::take(&mut self.next) == Revision::ZERO;
        Ok(if is_whole_search && bytes == 0 {
            Progress::Complete
        } else {
            Progress::Going
        })
    }

    fn write(&mut self, changes: Vec<super::engine::Change>, bytes: u64) -> Result<(), Error> {
        if changes.is_empty() {
            // An engine that was written to needs a commit before it can be closed.
            return Ok(());
        }
        let engine = self.target.engine()?;
        engine.write(changes)?;
        self.credit_bytes = self.credit_bytes.saturating_sub(bytes);
        self.uncommitted_bytes += bytes;
        if self.uncommitted_bytes < COMMIT_BYTES {
            return Ok(());
        }
        self.commit_partial()?;
        self.target.engine()?.maintain()
    }

    fn commit_partial(&mut self) -> Result<(), Error> {
        let meta = Meta {
            identity: self.identity,
            is_partial: true,
            ..Meta::default()
        };
        self.target.engine()?.commit(&meta.encode())?;
        self.uncommitted_bytes = 0;
        Ok(())
    }

    /// Removes from the target what was copied and has left the directory since.
    fn remove_stale(&self, directory: &Directory) -> Result<(), Error> {
        let current: BTreeSet<u64> = directory.blocks().map(|entry| entry.id).collect();
        let mut changes = Vec::new();
        let is_stale = |grave: &&Grave| !current.contains(&grave.id);
        for grave in self.copied.values().filter(is_stale) {
            let (id, out) = (grave.id, &mut changes);
            delete_blob(EngineTable::Block, id, grave.block_bytes, out);
            delete_blob(EngineTable::KeyRow, id, grave.key_row_bytes, out);
        }
        self.target.engine()?.write(changes)
    }
}

impl Checkpointer {
    /// Whether the files are much larger than what they hold.
    fn is_wasteful(&self) -> bool {
        if !self.is_current || self.shared.opener.is_volatile() {
            return false;
        }
        let collector = self.shared.collector.lock();
        let needed = collector.total_bytes() + self.pages.bytes();
        let is_settled = !collector.is_littered();
        drop(collector);
        let percent = USUAL_PERCENT.max(self.recycled_percent + SLACK_PERCENT);
        is_settled && self.shared.space.disk_bytes() > needed * percent / 100 + WASTE_BYTES_MIN
    }

    /// Begins to move the state, unless a move is under way or there is no room.
    pub(super) fn begin_recycling(&mut self) -> Result<bool, Error> {
        if self.recycling.is_some() {
            return Ok(true);
        }
        let is_possible = self.is_current && !self.shared.opener.is_volatile();
        let Some(cold) = self.cold.as_ref().filter(|_| is_possible) else {
            return Ok(false);
        };
        let live_bytes = self.shared.collector.lock().total_bytes() + self.pages.bytes();
        let needed_bytes = live_bytes + live_bytes / 4 + self.reserve_bytes();
        if self.available_bytes()? < needed_bytes {
            tracing::warn!(
                needed_bytes,
                "cannot give space back: free this much on the volume"
            );
            self.recycle_not_before = Some(Instant::now() + RETRY_PAUSE);
            return Ok(false);
        }
        let from_bytes = disk_bytes(cold.path());
        let target = Arc::new(self.shared.create_cold_store_beside(cold)?);
        tracing::info!(
            from_bytes,
            live_bytes,
            "giving space back: moving the state"
        );
        let now = Instant::now();
        self.recycling = Some(Recycling {
            target,
            identity: self.shared.config.identity,
            copied: HashMap::new(),
            next: Revision::ZERO,
            uncommitted_bytes: 0,
            credit_bytes: 0,
            next_step: now,
            is_ordered: false,
            from_bytes,
            began: now,
        });
        Ok(true)
    }

    /// One step of the move.
    pub(super) fn recycle_step(&mut self) -> Result<Step, Error> {
        let is_ordered = self
            .recycling
            .as_ref()
            .is_some_and(|recycling| recycling.is_ordered);
        let bytes_max = if is_ordered { COMMIT_BYTES } else { STEP_BYTES };
        let page_bytes = self.pages.bytes();
        let needed_bytes = bytes_max + page_bytes + page_bytes / 4 + self.reserve_bytes();
        if self.available_bytes()? < needed_bytes {
            // The pages are all written by the switch.
            tracing::warn!("cannot go on giving space back: the volume is nearly full");
            return self.give_up();
        }
        let Some(recycling) = &mut self.recycling else {
            return Ok(Step::GivenUp);
        };
        let began = Instant::now();
        let directory = Arc::clone(&self.shared.view.load().directory);
        match recycling.copy(&directory, bytes_max) {
            Ok(Progress::Going) => {}
            Ok(Progress::Complete) => {
                self.switch(&directory)?;
                return Ok(Step::Moved);
            }
            Err(error @ Error::Corrupt { .. }) => {
                // Reads of everything else go on from where it is.
                tracing::error!(%error, "cannot give space back: replace this member's data");
                return self.give_up();
            }
            Err(error) => return Err(error),
        }
        let took = began.elapsed();
        let pause = match recycling.credit_bytes {
            _ if is_ordered => Duration::ZERO,
            0 => self
                .shared
                .config
                .pause_for(bytes_max)
                .max(took * IDLE_PARTS),
            _ => took,
        };
        recycling.next_step = began + took + pause;
        Ok(Step::Going)
    }

    fn give_up(&mut self) -> Result<Step, Error> {
        self.abandon_recycling()?;
        self.recycle_not_before = Some(Instant::now() + RETRY_PAUSE);
        Ok(Step::GivenUp)
    }

    /// Whether to begin by itself, and begins.
    pub(super) fn recycle_if_wasteful(&mut self) -> Result<(), Error> {
        let is_wanted = self.shared.config.space_bytes_per_second > 0;
        let may = |at: Instant| at <= Instant::now();
        let is_ordered = self.defragmentation.is_some();
        if is_wanted && !is_ordered && self.recycle_not_before.is_none_or(may) && self.is_wasteful()
        {
            self.begin_recycling()?;
        }
        Ok(())
    }

    /// Gives the move up; the current state is not touched.
    ///
    /// # Errors
    ///
    /// The new engine failed: nothing may go on after that, as after any failure.
    pub(super) fn abandon_recycling(&mut self) -> Result<(), Error> {
        match self.recycling.take() {
            // An engine with uncommitted changes could not be closed.
            Some(mut recycling) if recycling.uncommitted_bytes > 0 => recycling.commit_partial(),
            _ => Ok(()),
        }
    }

    /// Makes the target the current state by a checkpoint into it.
    fn switch(&mut self, directory: &Directory) -> Result<(), Error> {
        let Some(recycling) = self.recycling.take() else {
            return Ok(());
        };
        recycling.remove_stale(directory)?;
        let mut job = self.begin(Effort::none());
        // Graves are of the old engine, and go with it.
        job.plan.graves.clear();
        self.shared.collector.lock().forget_engine();
        job.changed_rows = all_rows(&job.tables);
        self.pages = PageMap::default();
        self.is_current = false;
        let target = Arc::clone(&recycling.target);
        let old = self.cold.replace(Arc::clone(&target));
        self.carry_out(&job, &target)?;
        if let Some(old) = old {
            old.set_obsolete(true);
        }
        let to_bytes = disk_bytes(target.path());
        let needed = self.shared.collector.lock().total_bytes() + self.pages.bytes();
        self.recycled_percent = (to_bytes * 100 / needed.max(WASTE_BYTES_MIN)).max(100);
        tracing::info!(
            from_bytes = recycling.from_bytes,
            to_bytes,
            took = ?recycling.began.elapsed(),
            "gave space back: the state has moved"
        );
        Ok(())
    }

    /// Left alone by a move: what the checkpoints beside it may need.
    fn reserve_bytes(&self) -> u64 {
        let hot_bytes = self.shared.unwritten_bytes.load(Ordering::Acquire);
        let due_bytes = self.shared.config.checkpoint_bytes;
        4 * hot_bytes.max(due_bytes) as u64
    }

    /// A checkpoint has written this much to the old engine.
    pub(super) fn note_checkpointed(&mut self, bytes: u64) {
        if let Some(recycling) = &mut self.recycling {
            // Where somebody waits, each checkpoint is followed by a step at least.
            let least_bytes = u64::from(recycling.is_ordered);
            recycling.credit_bytes += (2 * bytes).max(least_bytes);
        }
    }

    /// Whether the next checkpoint waits for a step of a move: one that somebody
    /// waits for has to catch up with what checkpoints add.
    pub(super) fn owes_step(&self) -> bool {
        let owes = |recycling: &Recycling| recycling.is_ordered && recycling.credit_bytes > 0;
        self.recycling.as_ref().is_some_and(owes)
    }

    /// When the thread is to look after a move again, if one is under way.
    pub(super) fn next_step(&self) -> Option<Instant> {
        self.recycling.as_ref().map(|recycling| recycling.next_step)
    }
}

impl super::config::Config {
    /// How long `bytes` take at the rate set for giving space back.
    fn pause_for(&self, bytes: u64) -> Duration {
        let rate = self.space_bytes_per_second.max(1);
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate)
    }
}

/// The keys of all rows.
fn all_rows(tables: &Tables) -> BTreeSet<(Table, Bytes)> {
    let mut rows = BTreeSet::new();
    for table in Table::ALL {
        let from = Bytes::new();
        tables.table(table).for_each_from(&from, &mut |key, _| {
            rows.insert((table, key.clone()));
            ControlFlow::Continue(())
        });
    }
    rows
}

fn bytes_of(entry: &BlockEntry) -> u64 {
    u64::from(entry.block_bytes) + u64::from(entry.key_row_bytes)
}

fn grave_of(entry: &BlockEntry) -> Grave {
    Grave {
        id: entry.id,
        block_bytes: entry.block_bytes,
        key_row_bytes: entry.key_row_bytes,
    }
}

/// After a failed attempt.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// Copied per step: what a checkpoint may have to wait for.
const STEP_BYTES: u64 = 1 << 20;
/// Bounds what an engine holds back, and the work of one flush; copied per step
/// where somebody waits.
const COMMIT_BYTES: u64 = 8 << 20;
/// A step is followed by three times its own duration without one.
const IDLE_PARTS: u32 = 3;
/// Files may have this part of what they hold: with blocks at least three
/// quarters full, that is less than twice the live data.
const USUAL_PERCENT: u64 = 140;
/// And this much more than right after the last move: an engine whose files are
/// never small is not moved over and over.
const SLACK_PERCENT: u64 = 40;
/// Not worth a move.
const WASTE_BYTES_MIN: u64 = 4 << 20;
