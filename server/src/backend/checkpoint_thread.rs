//! The thread that runs checkpoints, and the orders it takes.
//!
//! It sleeps until something was committed, then checkpoints after the interval,
//! or at once when enough bytes wait, somebody asks, or a snapshot is installed.
//! The first failure is the last thing it does: it is recorded, everybody who
//! waits is told, and the thread ends. It runs below normal priority, so that
//! apply and the log come first on a busy machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::collect::{CANDIDATE_PERCENT, Effort, LITTERED_PERCENT};
use super::defragment::Waiter as DefragmentWaiter;
use super::error::Error;
use super::handle::{Recovered, Shared};
use super::stage::Staged;

/// What the thread is asked to do.
#[derive(Debug, Default)]
pub(super) struct Orders {
    checkpoints: Vec<oneshot::Sender<Result<Recovered, Error>>>,
    defragments: Vec<DefragmentWaiter>,
    install: Option<(Box<Staged>, InstallWaiter)>,
    stop: Option<Stop>,
    /// Set when the thread has ended: nothing is served any more.
    ended: Option<Error>,
}

/// Who blocks until an installation is done.
type InstallWaiter = std::sync::mpsc::SyncSender<Result<Recovered, Error>>;

/// How the thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// As at a crash: what is not checkpointed stays so.
    AsIs,
    /// After a last checkpoint.
    AfterCheckpoint,
}

enum Task {
    Checkpoint(Vec<oneshot::Sender<Result<Recovered, Error>>>),
    Defragment(Vec<DefragmentWaiter>),
    Install(Box<Staged>, InstallWaiter),
    /// A step of giving space back.
    Recycle,
    Stop(Stop),
}

impl Orders {
    /// Why the thread has ended, if it has.
    pub(super) fn ended(&self) -> Option<Error> {
        self.ended.clone()
    }

    /// Whether an installation waits to be begun.
    #[cfg(test)]
    pub(super) fn is_installing(&self) -> bool {
        self.install.is_some()
    }

    /// Whether the thread is to end.
    #[cfg(test)]
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }
}

impl Shared {
    /// Asks for a checkpoint.
    pub(super) fn order_checkpoint(&self) -> oneshot::Receiver<Result<Recovered, Error>> {
        let (sender, receiver) = oneshot::channel();
        let mut orders = self.orders.lock();
        match &orders.ended {
            Some(error) => drop(sender.send(Err(error.clone()))),
            None => orders.checkpoints.push(sender),
        }
        self.ordered.notify_one();
        receiver
    }

    /// Asks for a full pass of space collection.
    pub(super) fn order_defragment(&self) -> oneshot::Receiver<Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        let mut orders = self.orders.lock();
        match &orders.ended {
            Some(error) => drop(sender.send(Err(error.clone()))),
            None => orders.defragments.push(sender),
        }
        self.ordered.notify_one();
        receiver
    }

    /// Switches to a received state; waits until it is done.
    ///
    /// # Errors
    ///
    /// The switch failed; the old or the new state is current on disk.
    pub(super) fn order_install(&self, staged: Box<Staged>) -> Result<Recovered, Error> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        {
            let mut orders = self.orders.lock();
            if let Some(error) = &orders.ended {
                return Err(error.clone());
            }
            orders.install = Some((staged, sender));
            self.ordered.notify_one();
        }
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Asks the thread to end.
    pub(super) fn order_stop(&self, stop: Stop) {
        self.orders.lock().stop.get_or_insert(stop);
        self.ordered.notify_one();
    }

    /// Wakes the thread when a commit gives it a reason to.
    pub(super) fn note_commit(&self) {
        let was_dirty = self.is_dirty.swap(true, Ordering::SeqCst);
        if !was_dirty || self.is_checkpoint_due() {
            // Taken, so that the wake-up cannot fall between check and wait.
            let _orders = self.orders.lock();
            self.ordered.notify_one();
        }
    }

    /// Wakes the thread when there may be space to give back.
    pub(super) fn note_garbage(&self) {
        if !self.has_garbage.swap(true, Ordering::SeqCst) {
            let _orders = self.orders.lock();
            self.ordered.notify_one();
        }
    }

    pub(super) fn is_checkpoint_due(&self) -> bool {
        let due_bytes = self.config.checkpoint_bytes.min(self.config.hot_bytes_max);
        self.unwritten_bytes.load(Ordering::Acquire) >= due_bytes.max(1)
    }

    /// Records the failure that ends the thread and tells everybody.
    fn end(&self, error: Error) {
        let mut orders = self.orders.lock();
        for waiter in orders.checkpoints.drain(..) {
            let _ = waiter.send(Err(error.clone()));
        }
        for waiter in orders.defragments.drain(..) {
            let _ = waiter.send(Err(error.clone()));
        }
        if let Some((_, waiter)) = orders.install.take() {
            let _ = waiter.send(Err(error.clone()));
        }
        orders.ended = Some(error);
        drop(orders);
        self.below_hot_limit.notify_waiters();
    }
}

impl Checkpointer {
    /// Serves orders until it is stopped or fails.
    pub(super) fn run(mut self) {
        // Best effort: on Linux this is the priority of this thread alone.
        let _ = rustix::process::nice(NICE_INCREMENT);
        let shared = Arc::clone(&self.shared);
        let error = match self.serve() {
            Ok(()) => Error::Closed,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "checkpoint failed"
                );
                shared.failure.send_replace(Some(error.clone()));
                error
            }
        };
        self.end_defragmentation(&Err(error.clone()));
        shared.end(error);
    }

    fn serve(&mut self) -> Result<(), Error> {
        let mut last = Instant::now();
        let directory = self.shared.state.root().to_owned();
        let explained = |error: Error| error.explained(&directory);
        loop {
            match self.next_task(last) {
                Task::Checkpoint(waiters) => {
                    last = Instant::now();
                    let result = if self.is_collecting() {
                        self.collect_step()
                    } else {
                        self.checkpoint_if_needed()
                    };
                    let result = result.map_err(explained);
                    for waiter in waiters {
                        let _ = waiter.send(result.clone());
                    }
                    result?;
                }
                Task::Defragment(waiters) => {
                    self.begin_defragmentation(waiters);
                    continue;
                }
                Task::Install(staged, waiter) => {
                    let result = self.install(*staged).map_err(explained);
                    let _ = waiter.send(result.clone());
                    result?;
                    // A state that has just been written has nothing to give back.
                    self.end_defragmentation(&Ok(()));
                }
                Task::Recycle => {
                    let step = self.recycle_step();
                    step.and_then(|step| self.note_moved(step))
                        .map_err(explained)?;
                    continue;
                }
                Task::Stop(Stop::AsIs) => return self.abandon_recycling().map_err(explained),
                Task::Stop(Stop::AfterCheckpoint) => {
                    // The state first: what else fails, it is safe.
                    let checkpointed = self.checkpoint_if_needed();
                    return checkpointed
                        .and_then(|_| self.abandon_recycling())
                        .map_err(explained);
                }
            }
            self.recycle_if_wasteful().map_err(explained)?;
        }
    }

    fn next_task(&self, last: Instant) -> Task {
        let shared = &self.shared;
        let step = self.next_step();
        let owes_step = self.owes_step();
        let is_defragmenting = self.defragmentation.is_some();
        let is_collecting = self.is_collecting();
        let mut looked = last;
        let mut orders = shared.orders.lock();
        loop {
            if let Some((staged, waiter)) = orders.install.take() {
                return Task::Install(staged, waiter);
            }
            if let Some(stop) = orders.stop {
                return Task::Stop(stop);
            }
            if !orders.defragments.is_empty() && !is_defragmenting {
                return Task::Defragment(std::mem::take(&mut orders.defragments));
            }
            if owes_step {
                return Task::Recycle;
            }
            let is_asked = is_collecting || !orders.checkpoints.is_empty();
            if is_asked || shared.is_checkpoint_due() {
                return Task::Checkpoint(std::mem::take(&mut orders.checkpoints));
            }
            let now = Instant::now();
            let is_dirty = shared.is_dirty.load(Ordering::SeqCst);
            let due = last + shared.config.checkpoint_interval;
            if is_dirty && due <= now {
                return Task::Checkpoint(Vec::new());
            }
            if step.is_some_and(|step| step <= now) {
                return Task::Recycle;
            }
            let has_garbage = shared.has_garbage.load(Ordering::SeqCst);
            let look = looked + shared.config.collect_interval;
            if has_garbage && look <= now {
                let effort = self.usual_effort();
                if shared.collector.lock().has_work(effort) {
                    return Task::Checkpoint(Vec::new());
                }
                looked = now;
                let has_graves = shared.collector.lock().has_graves();
                shared.has_garbage.store(has_graves, Ordering::SeqCst);
                continue;
            }
            let wakes = [is_dirty.then_some(due), has_garbage.then_some(look), step];
            match wakes.into_iter().flatten().min() {
                Some(wake) => drop(shared.ordered.wait_until(&mut orders, wake)),
                None => shared.ordered.wait(&mut orders),
            }
        }
    }

    fn usual_effort(&self) -> Effort {
        let quarter = (self.shared.config.checkpoint_bytes / 4) as u64;
        Effort {
            budget_bytes: quarter.max(BUDGET_BYTES_MIN),
            live_percent_min: if self.shared.collector.lock().is_littered() {
                LITTERED_PERCENT
            } else {
                CANDIDATE_PERCENT
            },
        }
    }

    /// A checkpoint, unless it would change nothing.
    fn checkpoint_if_needed(&mut self) -> Result<Recovered, Error> {
        let effort = self.usual_effort();
        let is_dirty = self.shared.is_dirty.load(Ordering::SeqCst);
        if !is_dirty && !self.shared.collector.lock().has_work(effort) {
            return Ok(self.shared.durable.lock().clone());
        }
        self.checkpoint(effort)
    }
}

/// Below apply and the log, above nothing else of ours.
const NICE_INCREMENT: i32 = 5;
/// Even a small checkpoint makes progress with garbage.
const BUDGET_BYTES_MIN: u64 = 4 << 20;
