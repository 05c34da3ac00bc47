//! Linearizable reads: one read-index round for all that wait.
//!
//! A reader that arrives while a round is under way waits for the next one:
//! a round only vouches for reads that began before it did. Before a round
//! begins every connection that has requests at hand gets its turn, so that
//! readers that arrived together are in it together; the leader paces rounds
//! of crowds. Source: Raft dissertation, section 6.4.

use std::{future::Future, pin::Pin, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::applied::Applied;

/// Asks the leader, with a quorum behind it, for the index that so many
/// readers must wait for.
pub(crate) type ReadIndexFn =
    Arc<dyn Fn(u32) -> Pin<Box<dyn Future<Output = Result<u64, ReadError>> + Send>> + Send + Sync>;

/// Why a read could not be made linearizable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// Leadership moved while the read waited.
    #[error("leader changed")]
    LeaderChanged,
    /// The member is stopping.
    #[error("the member is stopping")]
    Stopped,
}

/// Batches readers into rounds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ReadGate {
    shared: Arc<Shared>,
}

struct Shared {
    read_index: ReadIndexFn,
    applied: Applied,
    /// Readers for the next round, and whether a round is under way. Held for
    /// a push or a take only.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Result<(), ReadError>>>,
    running: bool,
}

impl std::fmt::Debug for ReadGate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReadGate")
            .field("applied", &self.shared.applied)
            .finish()
    }
}

impl ReadGate {
    /// A gate over `read_index`.
    pub(crate) fn new(read_index: ReadIndexFn, applied: Applied) -> Self {
        Self {
            shared: Arc::new(Shared {
                read_index,
                applied,
                queue: Mutex::default(),
            }),
        }
    }

    /// Returns once a local read sees everything acknowledged before the call.
    ///
    /// # Errors
    /// Leadership moved, or the member stops.
    ///
    /// # Cancel safety
    /// Safe: a reader that leaves only drops its place in the round.
    pub(crate) async fn pass(&self) -> Result<(), ReadError> {
        let (waiter, passed) = oneshot::channel();
        let start = {
            let mut queue = self.shared.queue.lock();
            queue.waiting.push(waiter);
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let gate = self.clone();
            // Detached on purpose: it ends by itself when nobody waits.
            tokio::spawn(async move { gate.run_rounds().await });
        }
        passed.await.unwrap_or(Err(ReadError::Stopped))
    }

    async fn run_rounds(&self) {
        loop {
            tokio::task::yield_now().await;
            let round = {
                let mut queue = self.shared.queue.lock();
                queue.waiting.retain(|waiter| !waiter.is_closed());
                if queue.waiting.is_empty() {
                    queue.running = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let result = self.round(round.len()).await;
            for waiter in round {
                // A reader that timed out has left.
                let _ = waiter.send(result);
            }
        }
    }

    async fn round(&self, readers_count: usize) -> Result<(), ReadError> {
        let readers_count = u32::try_from(readers_count).unwrap_or(u32::MAX);
        let index = (self.shared.read_index)(readers_count).await?;
        self.shared.applied.wait_for(index).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn readers_that_arrive_together_share_a_round() {
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rounds);
        let read_index: ReadIndexFn = Arc::new(move |_readers| {
            let index = counted.fetch_add(1, Ordering::Relaxed) + 1;
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(index)
            })
        });
        let gate = ReadGate::new(read_index, Applied::new(100, 1));
        let readers = (0..50).map(|_| gate.pass());
        for result in futures_util::future::join_all(readers).await {
            result.unwrap();
        }
        assert!(rounds.load(Ordering::Relaxed) <= 2);
    }

    #[tokio::test]
    async fn a_reader_waits_until_the_index_is_applied() {
        let applied = Applied::new(1, 1);
        let gate = ReadGate::new(
            Arc::new(|_readers| Box::pin(async { Ok(5) })),
            applied.clone(),
        );
        let reader = tokio::spawn(async move { gate.pass().await });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        applied.publish(5, 1);
        reader.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_failed_round_fails_its_readers_and_not_the_next() {
        let calls = Arc::new(AtomicU64::new(0));
        let read_index: ReadIndexFn = Arc::new(move |_readers| {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if first {
                    Err(ReadError::LeaderChanged)
                } else {
                    Ok(1)
                }
            })
        });
        let gate = ReadGate::new(read_index, Applied::new(1, 1));
        assert_eq!(gate.pass().await.unwrap_err(), ReadError::LeaderChanged);
        gate.pass().await.unwrap();
    }
}
