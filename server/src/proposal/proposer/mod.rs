//! Admission and coalescing of proposals.
//!
//! One task drains the queue without a timer: an idle request becomes an
//! entry at once, and under load everything that arrived while the entries
//! in flight were replicated shares the next one. Before an entry is packed
//! every connection that has requests at hand gets its turn, so that requests
//! that arrived together share it: an entry costs about as much as 100 of its
//! requests. The queue is bounded; when it is full the request is refused,
//! never blocked.

use std::{future::Future, iter::Peekable, pin::Pin, sync::Arc, time::Duration, vec::Drain};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use prost::Message;
use quoin_proto::quoinpb::{Command, command::Request};
use quoin_raft::EntryPool;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    frame::{BatchId, FrameBuilder, LENGTH_BYTES},
    outcome::{ApplyError, Outcome, Reply},
    registry::{Registry, Waiter},
    stages::Times,
};

/// Requests that may wait for a place in an entry.
const QUEUE_COUNT_MAX: usize = 16 * 1024;
/// Commands in one entry.
const BATCH_COUNT_MAX: usize = 512;
/// Bytes of commands in one entry, unless a single command is larger.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Entries proposed and not yet committed. One halves the throughput of 64
/// clients, more than four gain nothing (measured with openraft alpha.37).
const IN_FLIGHT_COUNT_MAX: usize = 4;
/// Pause before a batch that no leader took is offered again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Room that etcd adds to a request for its own header when it compares the
/// size with `--max-request-bytes`.
const REQUEST_HEADER_BYTES: usize = 16;

/// Offers one entry to Raft.
pub(crate) type ProposeFn =
    Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> + Send + Sync>;

/// Why Raft did not say that an entry is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The entry is certainly not in the log.
    NotAppended,
    /// The entry may or may not be in the log.
    Unknown,
    /// The member is stopping.
    Stopped,
}

/// Who leads, as far as a request that timed out needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LeaderView {
    /// The leader known to this member.
    pub(crate) leader: Option<u64>,
    /// The term this member is in.
    pub(crate) term: u64,
    /// When that was last different; `None` since the start.
    pub(crate) changed: Option<std::time::Instant>,
}

/// Why a request has no outcome, or a bad one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposalError {
    /// The encoded command is larger than the configured maximum.
    #[error("request of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
        /// `--max-request-bytes`.
        bytes_max: usize,
    },
    /// The queue is full.
    #[error("proposal queue is full")]
    TooMany,
    /// Applied without effect.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// No leader was known during the whole wait.
    #[error("no leader took the proposal in time")]
    NoLeader,
    /// Not applied in time; the outcome is unknown.
    #[error("not applied in time")]
    TimedOut {
        /// A new leader was elected shortly before or during the wait.
        leader_changed: bool,
    },
    /// The member is stopping.
    #[error("the member is stopping")]
    Stopped,
}

/// Limits of a [`Proposer`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Largest encoded command, bytes.
    pub(crate) request_bytes_max: usize,
    /// How long a request waits for its outcome.
    pub(crate) timeout: Duration,
    /// `--election-timeout`.
    pub(crate) election_timeout: Duration,
}

/// Takes commands in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Pending>,
    registry: Registry,
    leader: watch::Receiver<LeaderView>,
    limits: Limits,
}

/// A command on its way into an entry.
#[derive(Debug)]
struct Pending {
    command: Command,
    encoded_bytes: usize,
    waiter: Waiter,
    /// When the request was made.
    started: std::time::Instant,
}

impl Pending {
    /// Bytes of the command in a frame, its length prefix included.
    fn frame_bytes(&self) -> usize {
        self.encoded_bytes + LENGTH_BYTES
    }
}

impl Proposer {
    /// A proposer and the task that packs and proposes; the task ends when
    /// every clone of the proposer is gone.
    pub(crate) fn new(
        registry: Registry,
        pool: EntryPool,
        propose: ProposeFn,
        leader: watch::Receiver<LeaderView>,
        limits: Limits,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, pending) = mpsc::channel(QUEUE_COUNT_MAX);
        let coalescer = Coalescer {
            pending,
            registry: registry.clone(),
            pool,
            propose,
            sweep: limits.timeout,
        };
        (
            Self {
                queue,
                registry,
                leader,
                limits,
            },
            coalescer.run(),
        )
    }

    /// Proposes `request` and waits until this member has applied it.
    ///
    /// # Errors
    /// See [`ProposalError`]; only `TooLarge` and `TooMany` mean that the
    /// request certainly has no effect. Without a leader it may still find one
    /// for as long as others of its batch wait.
    ///
    /// # Cancel safety
    /// A dropped call may still take effect.
    pub(crate) async fn propose(&self, request: Request) -> Result<Outcome, ProposalError> {
        let (reply, _times) = self.propose_timed(request).await?;
        Ok(reply?)
    }

    /// The same, and where the time went, if its entry was slow.
    ///
    /// # Errors
    /// As [`Self::propose`], less what apply said.
    ///
    /// # Cancel safety
    /// As [`Self::propose`].
    pub(crate) async fn propose_timed(
        &self,
        request: Request,
    ) -> Result<(Reply, Times), ProposalError> {
        let command = Command {
            request: Some(request),
        };
        let encoded_bytes = command.encoded_len();
        let bytes_max = self.limits.request_bytes_max;
        if encoded_bytes + REQUEST_HEADER_BYTES > bytes_max {
            return Err(ProposalError::TooLarge {
                bytes: encoded_bytes,
                bytes_max,
            });
        }
        let started = std::time::Instant::now();
        let had_leader = self.leader.borrow().leader.is_some();
        let (waiter, reply) = oneshot::channel();
        self.queue
            .try_send(Pending {
                command,
                encoded_bytes,
                waiter,
                started,
            })
            .map_err(refused)?;
        match tokio::time::timeout(self.limits.timeout, reply).await {
            Ok(Ok(answer)) => {
                if let (true, Some(times)) = (answer.is_last, &answer.times) {
                    let stages = self.registry.stages();
                    stages.reply.observe(times.applied.elapsed());
                }
                Ok((answer.reply, answer.times))
            }
            Ok(Err(_dropped)) => Err(ProposalError::Stopped),
            Err(_elapsed) => Err(self.timed_out(started, had_leader)),
        }
    }

    /// Source: etcd 3.7, which tells three reasons of a timeout apart.
    fn timed_out(&self, started: std::time::Instant, had_leader: bool) -> ProposalError {
        let view = *self.leader.borrow();
        if !had_leader && view.leader.is_none() {
            return ProposalError::NoLeader;
        }
        let recent = |at: std::time::Instant| at + 2 * self.limits.election_timeout > started;
        ProposalError::TimedOut {
            leader_changed: view.leader.is_some() && view.changed.is_some_and(recent),
        }
    }
}

fn refused(error: mpsc::error::TrySendError<Pending>) -> ProposalError {
    match error {
        mpsc::error::TrySendError::Full(_) => ProposalError::TooMany,
        mpsc::error::TrySendError::Closed(_) => ProposalError::Stopped,
    }
}

/// Packs what waits into entries and keeps a bounded number of them going.
struct Coalescer {
    pending: mpsc::Receiver<Pending>,
    registry: Registry,
    pool: EntryPool,
    propose: ProposeFn,
    /// How often batches whose requests have all given up are forgotten.
    sweep: Duration,
}

type Flight = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Coalescer {
    async fn run(mut self) {
        let mut in_flight: FuturesUnordered<Flight> = FuturesUnordered::new();
        let mut drained: Vec<Pending> = Vec::with_capacity(BATCH_COUNT_MAX);
        let mut sweep = tokio::time::interval_at(Instant::now() + self.sweep, self.sweep);
        loop {
            let room = in_flight.len() < IN_FLIGHT_COUNT_MAX;
            tokio::select! {
                biased;
                Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
                count = self.pending.recv_many(&mut drained, BATCH_COUNT_MAX), if room => {
                    if count == 0 {
                        return;
                    }
                    tokio::task::yield_now().await;
                    while drained.len() < BATCH_COUNT_MAX {
                        let Ok(next) = self.pending.try_recv() else { break };
                        drained.push(next);
                    }
                    // Those that gave up must not take effect much later.
                    drained.retain(|pending| !pending.waiter.is_closed());
                    let total: usize = drained.iter().map(Pending::frame_bytes).sum();
                    let mut commands = drained.drain(..).peekable();
                    while commands.peek().is_some() {
                        in_flight.push(self.pack(&mut commands, total.min(BATCH_BYTES_MAX)));
                    }
                }
                _ = sweep.tick() => self.registry.sweep(),
            }
        }
    }

    /// Packs commands up to the byte bound into one entry and proposes it.
    fn pack(&self, commands: &mut Peekable<Drain<'_, Pending>>, bytes: usize) -> Flight {
        let id = self.registry.next_id();
        let mut frame = FrameBuilder::new(&self.pool, id, bytes);
        let mut waiters = Vec::with_capacity(commands.len());
        // The queue is in order: the first has waited longest.
        let first = commands.peek().map(|first| first.started);
        while let Some(next) = commands.next_if(|next| {
            waiters.is_empty() || frame.bytes() + next.encoded_bytes <= BATCH_BYTES_MAX
        }) {
            frame.push(&next.command, next.encoded_bytes);
            waiters.push(next.waiter);
        }
        let started = first.unwrap_or_else(std::time::Instant::now);
        self.registry.register(id, waiters, started);
        let (registry, propose) = (self.registry.clone(), Arc::clone(&self.propose));
        let frame = frame.finish();
        let patience = self.sweep;
        Box::pin(async move {
            tokio::select! {
                () = offer(&registry, propose, id, frame) => {}
                () = abandoned(&registry, id, patience) => drop(registry.withdraw(id)),
            }
        })
    }
}

/// Resolves when nobody waits for a batch any more; looks every `patience`.
async fn abandoned(registry: &Registry, id: BatchId, patience: Duration) {
    loop {
        tokio::time::sleep(patience).await;
        if !registry.has_live_waiters(id) {
            return;
        }
    }
}

/// Offers an entry until it is committed, may be, or nobody waits any more.
async fn offer(registry: &Registry, propose: ProposeFn, id: BatchId, frame: Bytes) {
    loop {
        match propose(frame.clone()).await {
            // Committed: the waiters are woken when this member applies it.
            Ok(()) => return,
            // It may still be applied; the waiters time out otherwise.
            Err(Refusal::Unknown) => return,
            Err(Refusal::Stopped) => {
                registry.withdraw(id);
                return;
            }
            Err(Refusal::NotAppended) => {
                if !registry.has_live_waiters(id) {
                    registry.withdraw(id);
                    return;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
