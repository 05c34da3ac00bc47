//! One checkpoint: hot records to blocks, changed rows to pages, space back.
//!
//! Order: plan - view - blocks - rewritten blocks - pages - removals - wait for
//! the log - meta and commit - publish. The plan is made before the view is
//! taken, so that every record it drops was discarded by something the view
//! contains. Nothing an older commit refers to is overwritten: blobs get new ids,
//! so a checkpoint that does not reach its commit leaves no trace.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::block_writer::BlockWriter;
use super::cold::{ColdStore, delete_blob};
use super::collect::{Effort, Outcome, Plan, Victim};
use super::defragment::Defragmentation;
use super::engine::EngineTable;
use super::error::Error;
use super::handle::{Recovered, Shared};
use super::meta::Meta;
use super::page::PageMap;
use super::read_view::{Tables, View};
use super::recycle::Recycling;
use super::state_directory::{Current, disk_bytes};
use super::table::Table;
use crate::base::revision::Revision;

/// What the checkpoint thread owns.
#[derive(Debug)]
pub(super) struct Checkpointer {
    pub(super) shared: Arc<Shared>,
    /// `None` until the first checkpoint of a fresh directory.
    pub(super) cold: Option<Arc<ColdStore>>,
    /// Whether `CURRENT` names our state directory.
    pub(super) is_current: bool,
    pub(super) pages: PageMap,
    pub(super) next_id: u64,
    /// A move into a new engine.
    pub(super) recycling: Option<Recycling>,
    /// What somebody ordered, beginning with collection and going on to such a move.
    pub(super) defragmentation: Option<Defragmentation>,
    /// Size of the files right after the last move, in percent of what they held.
    pub(super) recycled_percent: u64,
    /// Set after a failed attempt.
    pub(super) recycle_not_before: Option<Instant>,
}

/// What one checkpoint is about.
pub(super) struct Job {
    pub(super) plan: Plan,
    view: Arc<View>,
    /// The small tables of the view, and the dead marks of the plan.
    pub(super) tables: Tables,
    pub(super) changed_rows: BTreeSet<(Table, Bytes)>,
}

impl Checkpointer {
    /// Makes everything committed so far durable.
    ///
    /// # Errors
    ///
    /// The engine or the log failed: the backend can not go on.
    pub(super) fn checkpoint(&mut self, effort: Effort) -> Result<Recovered, Error> {
        let job = self.begin(effort);
        if job.view.applied.is_none() {
            return Ok(job.view.position());
        }
        let cold = self.cold_store()?;
        self.check_space(&job, effort)?;
        self.carry_out(&job, &cold)
    }

    /// Writes the job to `cold` and makes that what is current.
    pub(super) fn carry_out(
        &mut self,
        job: &Job,
        cold: &Arc<ColdStore>,
    ) -> Result<Recovered, Error> {
        let mut writer = BlockWriter::new(cold.engine()?, self.next_id);
        let (checkpointed, packed_bytes) = pack_hot(job, &mut writer)?;
        for run in &job.plan.runs {
            rewrite(cold, run, &mut writer)?;
        }
        self.pages.write(
            &job.changed_rows,
            &job.tables,
            &mut writer.next_id,
            &mut writer.changes,
        );
        for grave in &job.plan.graves {
            delete_blob(
                EngineTable::Block,
                grave.id,
                grave.block_bytes,
                &mut writer.changes,
            );
            delete_blob(
                EngineTable::KeyRow,
                grave.id,
                grave.key_row_bytes,
                &mut writer.changes,
            );
        }
        writer.flush()?;
        self.next_id = writer.next_id;
        let added = writer.added;
        let added_bytes = added.iter().map(|(entry, _)| u64::from(entry.block_bytes));
        self.note_checkpointed(added_bytes.sum());
        self.commit(cold, job, checkpointed)?;
        self.publish(cold, &job.plan, added, checkpointed);
        let position = job.view.position();
        *self.shared.durable.lock() = position.clone();
        self.shared
            .unwritten_bytes
            .fetch_sub(packed_bytes, Ordering::AcqRel);
        self.shared.below_hot_limit.notify_waiters();
        for grave in &job.plan.graves {
            cold.forget(grave.id);
        }
        cold.engine()?.maintain()?;
        self.shared.space.note_disk(disk_bytes(cold.path()));
        self.shared.space.note_pages(self.pages.bytes());
        Ok(position)
    }

    pub(super) fn begin(&self, effort: Effort) -> Job {
        self.shared.is_dirty.store(false, Ordering::SeqCst);
        let mut plan = self.shared.collector.lock().plan(effort);
        let mut unwritten = self.shared.publish.lock();
        let view = self.shared.view.load_full();
        let mut changed_rows = std::mem::take(&mut unwritten.changed_rows);
        changed_rows.append(&mut plan.changed_marks);
        let tables = view.tables.with_marks(std::mem::take(&mut plan.marks));
        Job {
            plan,
            view,
            tables,
            changed_rows,
        }
    }

    /// The engine; created by the first checkpoint, so that a fresh member need
    /// not wait for it to start.
    fn cold_store(&mut self) -> Result<Arc<ColdStore>, Error> {
        if let Some(cold) = &self.cold {
            return Ok(Arc::clone(cold));
        }
        let cold = Arc::new(self.shared.create_cold_store()?);
        self.cold = Some(Arc::clone(&cold));
        Ok(cold)
    }

    /// Refuses to begin what the disk may not hold: sled cannot survive a full disk.
    fn check_space(&self, job: &Job, effort: Effort) -> Result<(), Error> {
        if self.shared.opener.is_volatile() {
            return Ok(());
        }
        let available_bytes = self.available_bytes()?;
        let hot_bytes = self.shared.unwritten_bytes.load(Ordering::Acquire) as u64;
        let rewritten_bytes = if job.plan.runs.is_empty() {
            0
        } else {
            effort.budget_bytes
        };
        let needed_bytes = 2 * (hot_bytes + rewritten_bytes.min(hot_bytes + SPACE_RESERVE_BYTES))
            + SPACE_RESERVE_BYTES;
        if available_bytes < needed_bytes {
            return Err(Error::NoSpace {
                path: self.shared.state.root().to_owned(),
                available_bytes,
                needed_bytes,
            });
        }
        Ok(())
    }

    /// What the volume has free for us.
    pub(super) fn available_bytes(&self) -> Result<u64, Error> {
        if self.shared.opener.is_volatile() {
            return Ok(u64::MAX);
        }
        let path = self.shared.state.root();
        let io_error = |error: rustix::io::Errno| Error::io("stat", path)(error.into());
        let stat = rustix::fs::statvfs(path).map_err(io_error)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn commit(
        &mut self,
        cold: &Arc<ColdStore>,
        job: &Job,
        checkpointed: Revision,
    ) -> Result<(), Error> {
        let meta = Meta {
            identity: self.shared.config.identity,
            position: job.view.position(),
            checkpointed,
            next_id: self.next_id,
            graves: self.shared.collector.lock().graves_after(&job.plan),
            is_partial: false,
        };
        if let Some(applied) = job.view.applied {
            self.shared
                .durability
                .wait_durable(applied.index)
                .map_err(|source| Error::NotDurable {
                    log_index: applied.index,
                    source: source.into(),
                })?;
        }
        let started = Instant::now();
        cold.engine()?.commit(&meta.encode())?;
        if let Some(durations) = &self.shared.config.commit_durations {
            durations.observe(started.elapsed().as_secs_f64());
        }
        if !self.is_current {
            self.make_current(cold)?;
        }
        Ok(())
    }

    /// Makes `CURRENT` name this state, unless no state outlives the process.
    pub(super) fn make_current(&mut self, cold: &ColdStore) -> Result<(), Error> {
        // Before the rename: an error may come after it, when `CURRENT` names this
        // state already. What it does not name goes at the next start.
        cold.set_obsolete(false);
        if !self.shared.opener.is_volatile() {
            let current = Current {
                engine: self.shared.opener.name().to_owned(),
                generation: cold.generation,
            };
            self.shared.state.write_current(&current)?;
        }
        self.is_current = true;
        Ok(())
    }

    fn publish(
        &self,
        cold: &Arc<ColdStore>,
        plan: &Plan,
        added: Vec<(super::block::BlockEntry, super::block::Shape)>,
        checkpointed: Revision,
    ) {
        let removed: HashSet<u64> = plan
            .runs
            .iter()
            .flatten()
            .map(|victim| victim.entry.id)
            .collect();
        let mut entries: Vec<_> = added.iter().map(|(entry, _)| *entry).collect();
        entries.sort_by_key(|entry| entry.first);
        let mut collector = self.shared.collector.lock();
        let publishing = self.shared.publish.lock();
        let mut view = View::clone(&self.shared.view.load());
        let directory = view
            .directory
            .replaced(Some(Arc::clone(cold)), &removed, &entries);
        let directory = Arc::new(directory);
        view.directory = Arc::clone(&directory);
        view.checkpointed = checkpointed;
        view.segments = view.segments.without_checkpointed(checkpointed);
        self.shared.view.store(Arc::new(view));
        drop(publishing);
        collector.complete(Outcome {
            plan,
            added,
            checkpointed,
            directory: &directory,
        });
        self.shared.space.note_collector(&collector);
        if collector.has_graves() {
            self.shared.has_garbage.store(true, Ordering::SeqCst);
        }
    }
}

/// Packs the records of the view that are not in blocks. Returns the last one's
/// revision and the memory of all of them.
fn pack_hot(job: &Job, writer: &mut BlockWriter<'_>) -> Result<(Revision, usize), Error> {
    let mut last = job.view.checkpointed;
    let mut bytes = 0;
    let (after, to) = (job.view.checkpointed, job.view.last_revision());
    job.view.segments.for_each_after(after, to, &mut |hot| {
        last = hot.revision;
        bytes += hot.memory_bytes();
        if !job.plan.dead.contains(&hot.revision) {
            writer.push(hot.revision, hot.record_bytes(), hot.info_bytes())?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    writer.end_block()?;
    Ok((last, bytes))
}

/// Packs what lives in neighbouring blocks anew.
fn rewrite(cold: &ColdStore, run: &[Victim], writer: &mut BlockWriter<'_>) -> Result<(), Error> {
    for victim in run.iter().filter(|victim| victim.is_live()) {
        let block = cold.block_uncached(&victim.entry)?;
        let mut infos = Vec::with_capacity(victim.entry.records_count as usize);
        cold.key_row(&victim.entry)?
            .for_each(&mut |_, bytes| infos.push(bytes))
            .map_err(|reason| cold.corrupt(EngineTable::KeyRow, victim.entry.id, reason))?;
        for (at, ((revision, record), info)) in block.records().zip(&infos).enumerate() {
            if !victim.dead.contains(at) {
                writer.push(revision, &record, info)?;
            }
        }
    }
    writer.end_block()
}

/// Left free on the disk for others.
const SPACE_RESERVE_BYTES: u64 = 16 << 20;
