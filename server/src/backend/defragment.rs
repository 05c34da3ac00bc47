//! A defragmentation that somebody ordered, in steps between everything else.
//!
//! First checkpoints that collect until nothing is left to collect, which answer
//! whoever waits for one; then a move of the state at full speed. Between two
//! steps the thread looks at its orders: an installation takes the place of the
//! move, a stop ends it. The move ends however much is written beside it, because
//! after each checkpoint twice of what that added is copied before the next.

use std::time::Instant;

use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::collect::{Effort, FULL_PERCENT};
use super::error::Error;
use super::handle::Recovered;
use super::recycle::Step;
use super::state_directory::disk_bytes;

/// Who waits for a defragmentation.
pub(super) type Waiter = oneshot::Sender<Result<(), Error>>;

/// One under way.
#[derive(Debug)]
pub(super) struct Defragmentation {
    waiters: Vec<Waiter>,
    phase: Phase,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Blocks are packed anew; they held so many bytes before the last step.
    Collect { before_bytes: u64 },
    /// One more checkpoint, for what the last one made removable.
    Settle,
    /// The state moves.
    Move,
}

impl Checkpointer {
    /// Begins one, for these waiters.
    pub(super) fn begin_defragmentation(&mut self, waiters: Vec<Waiter>) {
        self.defragmentation = Some(Defragmentation {
            waiters,
            phase: Phase::Collect {
                before_bytes: u64::MAX,
            },
        });
    }

    /// Tells who waits, if anybody does.
    pub(super) fn end_defragmentation(&mut self, result: &Result<(), Error>) {
        let waiters = self.defragmentation.take().map(|running| running.waiters);
        for waiter in waiters.into_iter().flatten() {
            // One that went away does not want to know.
            let _ = waiter.send(result.clone());
        }
    }

    /// Whether the next checkpoint is one that collects.
    pub(super) fn is_collecting(&self) -> bool {
        let phase = self.defragmentation.as_ref().map(|running| running.phase);
        matches!(phase, Some(Phase::Collect { .. } | Phase::Settle))
    }

    /// A checkpoint that collects, and what follows when it was the last.
    pub(super) fn collect_step(&mut self) -> Result<Recovered, Error> {
        let effort = Effort {
            budget_bytes: STEP_BYTES,
            live_percent_min: FULL_PERCENT,
        };
        let position = self.checkpoint(effort)?;
        let Some(running) = &mut self.defragmentation else {
            return Ok(position);
        };
        let mut collector = self.shared.collector.lock();
        let now_bytes = collector.total_bytes();
        let has_work = collector.has_work(effort);
        drop(collector);
        match running.phase {
            Phase::Collect { before_bytes } if has_work && now_bytes < before_bytes => {
                running.phase = Phase::Collect {
                    before_bytes: now_bytes,
                };
            }
            Phase::Collect { .. } => running.phase = Phase::Settle,
            Phase::Settle => {
                running.phase = Phase::Move;
                if !self.begin_ordered_move()? {
                    // No room for a second copy.
                    self.shrink_in_place()?;
                }
            }
            Phase::Move => {}
        }
        Ok(position)
    }

    fn begin_ordered_move(&mut self) -> Result<bool, Error> {
        let is_begun = self.begin_recycling()?;
        if let Some(recycling) = &mut self.recycling {
            recycling.is_ordered = true;
            recycling.next_step = Instant::now();
        }
        Ok(is_begun)
    }

    /// Goes on after a step of the move.
    pub(super) fn note_moved(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Going => Ok(()),
            Step::Moved => {
                self.end_defragmentation(&Ok(()));
                Ok(())
            }
            Step::GivenUp if self.defragmentation.is_some() => self.shrink_in_place(),
            Step::GivenUp => Ok(()),
        }
    }

    /// What is left to do where the state cannot move.
    fn shrink_in_place(&mut self) -> Result<(), Error> {
        if let Some(cold) = &self.cold {
            cold.engine()?.reclaim()?;
            self.shared.space.note_disk(disk_bytes(cold.path()));
        }
        self.end_defragmentation(&Ok(()));
        Ok(())
    }
}

/// Rewritten per commit: bounds what an engine holds back, and what others wait for.
const STEP_BYTES: u64 = 32 << 20;
