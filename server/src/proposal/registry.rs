//! Requests that wait for the outcome of their batch.
//!
//! The applier, on the Raft thread, hands over whole batches of outcomes; a
//! task on the RPC runtime fans them out, so that the Raft thread wakes
//! another thread once per entry and never once per request. The hand-over
//! queue is bounded by the batches in flight, which the proposer limits.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    frame::BatchId,
    outcome::Reply,
    stages::{EntryTimes, Passage, StageMetrics, Times},
};

/// Who waits for one command.
pub(crate) type Waiter = oneshot::Sender<Answer>;

/// What a waiting request is told.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What its command came to.
    pub(crate) reply: Reply,
    /// Kept for the last request of an entry, and for all of a slow one.
    pub(crate) times: Times,
    /// This request stands for its entry in the `reply` histogram.
    pub(crate) is_last: bool,
}

/// Batches of this member that are on their way. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// This member.
    origin: u64,
    /// The next batch number; starts at a random one.
    next: AtomicU64,
    /// Waiters by batch number, in the order of the batch's commands. Held
    /// for an insert or a remove only.
    waiting: Mutex<HashMap<u64, Batch>>,
    /// Outcomes handed over and not yet fanned out.
    done: Mutex<Vec<Done>>,
    /// Wakes the fan-out task.
    wake: Notify,
    /// Age of an entry from which all its requests are told its times.
    slow_from: Duration,
    stages: StageMetrics,
}

/// An entry under way.
#[derive(Debug)]
struct Batch {
    waiters: Vec<Waiter>,
    /// When its first request was made.
    started: Instant,
    /// When it was packed.
    packed: Instant,
}

/// An entry that this member has applied.
#[derive(Debug)]
struct Done {
    number: u64,
    replies: Vec<Reply>,
    passage: Passage,
    applied: Instant,
}

impl Registry {
    /// A registry for the member `origin`. `first` is where batch numbers
    /// start and should be random. Requests whose entry takes `slow_from` or
    /// longer are told where the time went.
    pub(crate) fn new(origin: u64, first: u64, slow_from: Duration) -> Self {
        let shared = Shared {
            origin,
            next: AtomicU64::new(first),
            waiting: Mutex::default(),
            done: Mutex::default(),
            wake: Notify::new(),
            slow_from,
            stages: StageMetrics::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The id for a new batch.
    pub(crate) fn next_id(&self) -> BatchId {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        BatchId {
            origin: self.shared.origin,
            number,
        }
    }

    /// How long entries of this member take at each stage.
    pub(crate) fn stages(&self) -> &StageMetrics {
        &self.shared.stages
    }

    /// Notes who waits, and since when the first does. Must happen before the
    /// batch is proposed.
    pub(crate) fn register(&self, id: BatchId, waiters: Vec<Waiter>, started: Instant) {
        let packed = Instant::now();
        let queued = packed.saturating_duration_since(started);
        self.shared.stages.queue.observe(queued);
        let batch = Batch {
            waiters,
            started,
            packed,
        };
        self.shared.waiting.lock().insert(id.number, batch);
    }

    /// Takes the waiters of a batch back, to propose it again or to give up.
    pub(crate) fn withdraw(&self, id: BatchId) -> Option<Vec<Waiter>> {
        let batch = self.shared.waiting.lock().remove(&id.number);
        batch.map(|batch| batch.waiters)
    }

    /// The batch is ours and somebody may wait: outcomes are worth building.
    pub(crate) fn is_awaited(&self, id: BatchId) -> bool {
        id.origin == self.shared.origin && self.shared.waiting.lock().contains_key(&id.number)
    }

    /// Somebody still waits for this batch.
    pub(crate) fn has_live_waiters(&self, id: BatchId) -> bool {
        let waiting = self.shared.waiting.lock();
        waiting.get(&id.number).is_some_and(Batch::has_live_waiters)
    }

    /// Forgets batches whose requests have all given up: entries that were
    /// lost, or that reached this member inside a snapshot.
    pub(crate) fn sweep(&self) {
        let mut waiting = self.shared.waiting.lock();
        waiting.retain(|_, batch| batch.has_live_waiters());
    }

    /// Hands the outcomes of a batch over to the fan-out task. Never blocks.
    pub(crate) fn complete(&self, id: BatchId, replies: Vec<Reply>, passage: Passage) {
        let applied = Instant::now();
        let took = applied.saturating_duration_since(passage.committed());
        self.shared.stages.apply.observe(took);
        self.shared.done.lock().push(Done {
            number: id.number,
            replies,
            passage,
            applied,
        });
        self.shared.wake.notify_one();
    }

    /// Requests that wait.
    pub(crate) fn pending_count(&self) -> usize {
        let waiting = self.shared.waiting.lock();
        waiting.values().map(|batch| batch.waiters.len()).sum()
    }

    /// Wakes requests as their batches complete. Runs on the RPC runtime
    /// until it is dropped.
    pub(crate) async fn fan_out(self) {
        loop {
            self.shared.wake.notified().await;
            self.fan_out_ready();
        }
    }

    fn fan_out_ready(&self) {
        let done = std::mem::take(&mut *self.shared.done.lock());
        for entry in done {
            let batch = self.shared.waiting.lock().remove(&entry.number);
            if let Some(batch) = batch {
                self.answer(batch, entry);
            }
        }
    }

    fn answer(&self, batch: Batch, entry: Done) {
        debug_assert_eq!(batch.waiters.len(), entry.replies.len());
        let age = entry.applied.saturating_duration_since(batch.started);
        let is_slow = age >= self.shared.slow_from;
        let times = Arc::new(EntryTimes {
            packed: batch.packed,
            passage: entry.passage,
            applied: entry.applied,
        });
        let mut left = batch.waiters.len();
        for (waiter, reply) in batch.waiters.into_iter().zip(entry.replies) {
            left -= 1;
            let is_last = left == 0;
            // A request that gave up has dropped its receiver.
            let _ = waiter.send(Answer {
                reply,
                times: (is_slow || is_last).then(|| Arc::clone(&times)),
                is_last,
            });
        }
    }
}

impl Batch {
    fn has_live_waiters(&self) -> bool {
        self.waiters.iter().any(|waiter| !waiter.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use quoin_raft::Stages;

    use super::*;
    use crate::proposal::outcome::{ApplyError, Outcome};

    #[tokio::test]
    async fn replies_reach_their_own_waiters_in_order() {
        let registry = Registry::new(7, 100, Duration::MAX);
        let fan_out = tokio::spawn(registry.clone().fan_out());
        let id = registry.next_id();
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        registry.register(id, vec![first, second], Instant::now());
        assert!(registry.is_awaited(id));
        assert_eq!(registry.pending_count(), 2);
        let replies = vec![Ok(Outcome::Done), Err(ApplyError::Compacted)];
        registry.complete(id, replies, Passage::begin(Stages::default()));
        let (first, second) = (first_reply.await.unwrap(), second_reply.await.unwrap());
        assert!(first.reply.is_ok());
        assert_eq!(second.reply.unwrap_err(), ApplyError::Compacted);
        // The last one stands for the entry.
        assert!(!first.is_last && first.times.is_none());
        assert!(second.is_last && second.times.is_some());
        assert!(!registry.is_awaited(id));
        let stages = registry.stages();
        assert_eq!((stages.queue.count(), stages.apply.count()), (1, 1));
        fan_out.abort();
    }

    #[test]
    fn every_request_of_a_slow_entry_is_told_its_times() {
        let registry = Registry::new(7, 100, Duration::ZERO);
        let id = registry.next_id();
        let (first, mut first_reply) = oneshot::channel();
        let (second, mut second_reply) = oneshot::channel();
        registry.register(id, vec![first, second], Instant::now());
        let replies = vec![Ok(Outcome::Done), Ok(Outcome::Done)];
        registry.complete(id, replies, Passage::begin(Stages::default()));
        registry.fan_out_ready();
        for reply in [&mut first_reply, &mut second_reply] {
            assert!(reply.try_recv().unwrap().times.is_some());
        }
    }

    #[test]
    fn a_batch_of_another_member_or_life_is_not_awaited() {
        let registry = Registry::new(7, 100, Duration::MAX);
        let id = registry.next_id();
        registry.register(id, Vec::new(), Instant::now());
        assert!(!registry.is_awaited(BatchId {
            origin: 8,
            number: id.number
        }));
        assert!(!registry.is_awaited(BatchId {
            origin: 7,
            number: id.number + 1
        }));
        assert!(registry.withdraw(id).is_some());
        assert!(registry.withdraw(id).is_none());
    }
}
