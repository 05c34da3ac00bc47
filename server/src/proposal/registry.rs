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
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{frame::BatchId, outcome::Reply};

/// Who waits for one command.
pub(crate) type Waiter = oneshot::Sender<Reply>;

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
    waiting: Mutex<HashMap<u64, Vec<Waiter>>>,
    /// Outcomes handed over and not yet fanned out.
    done: Mutex<Vec<(u64, Vec<Reply>)>>,
    /// Wakes the fan-out task.
    wake: Notify,
}

impl Registry {
    /// A registry for the member `origin`. `first` is where batch numbers
    /// start and should be random.
    pub(crate) fn new(origin: u64, first: u64) -> Self {
        let shared = Shared {
            origin,
            next: AtomicU64::new(first),
            waiting: Mutex::default(),
            done: Mutex::default(),
            wake: Notify::new(),
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

    /// Notes who waits. Must happen before the batch is proposed.
    pub(crate) fn register(&self, id: BatchId, waiters: Vec<Waiter>) {
        self.shared.waiting.lock().insert(id.number, waiters);
    }

    /// Takes the waiters of a batch back, to propose it again or to give up.
    pub(crate) fn withdraw(&self, id: BatchId) -> Option<Vec<Waiter>> {
        self.shared.waiting.lock().remove(&id.number)
    }

    /// The batch is ours and somebody may wait: outcomes are worth building.
    pub(crate) fn is_awaited(&self, id: BatchId) -> bool {
        id.origin == self.shared.origin && self.shared.waiting.lock().contains_key(&id.number)
    }

    /// Somebody still waits for this batch.
    pub(crate) fn has_live_waiters(&self, id: BatchId) -> bool {
        let waiting = self.shared.waiting.lock();
        waiting
            .get(&id.number)
            .is_some_and(|batch| batch.iter().any(|waiter| !waiter.is_closed()))
    }

    /// Forgets batches whose requests have all given up: entries that were
    /// lost, or that reached this member inside a snapshot.
    pub(crate) fn sweep(&self) {
        let live = |batch: &mut Vec<Waiter>| batch.iter().any(|waiter| !waiter.is_closed());
        self.shared.waiting.lock().retain(|_, batch| live(batch));
    }

    /// Hands the outcomes of a batch over to the fan-out task. Never blocks.
    pub(crate) fn complete(&self, id: BatchId, replies: Vec<Reply>) {
        self.shared.done.lock().push((id.number, replies));
        self.shared.wake.notify_one();
    }

    /// Requests that wait.
    pub(crate) fn pending_count(&self) -> usize {
        self.shared.waiting.lock().values().map(Vec::len).sum()
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
        for (number, replies) in done {
            let Some(waiters) = self.shared.waiting.lock().remove(&number) else {
                continue;
            };
            debug_assert_eq!(waiters.len(), replies.len());
            for (waiter, reply) in waiters.into_iter().zip(replies) {
                // A request that gave up has dropped its receiver.
                let _ = waiter.send(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::outcome::{ApplyError, Outcome};

    #[tokio::test]
    async fn replies_reach_their_own_waiters_in_order() {
        let registry = Registry::new(7, 100);
        let fan_out = tokio::spawn(registry.clone().fan_out());
        let id = registry.next_id();
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        registry.register(id, vec![first, second]);
        assert!(registry.is_awaited(id));
        assert_eq!(registry.pending_count(), 2);
        registry.complete(id, vec![Ok(Outcome::Done), Err(ApplyError::Compacted)]);
        assert!(first_reply.await.unwrap().is_ok());
        assert_eq!(
            second_reply.await.unwrap().unwrap_err(),
            ApplyError::Compacted
        );
        assert!(!registry.is_awaited(id));
        fan_out.abort();
    }

    #[test]
    fn a_batch_of_another_member_or_life_is_not_awaited() {
        let registry = Registry::new(7, 100);
        let id = registry.next_id();
        registry.register(id, Vec::new());
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
