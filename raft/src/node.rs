//! Node: one member of the cluster, as the server sees it.
//!
//! A handle to the raft thread. Calls cross to it over bounded channels and
//! come back over one-shot ones; status is read from what the thread
//! publishes. Dropping the last handle stops the member without waiting.

use std::collections::BTreeSet;
use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::Instant;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::config::{Config, Member, Placement};
use crate::core::{self, Command, DataMetrics, Handles, Queues, Start};
use crate::error::{
    Error, ForwardError, MembershipError, ProposeError, ReadIndexError, ReplaceError, StopReason,
    TransferError,
};
use crate::forward::Proposal;
use crate::log_store::LogStore;
use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;
use crate::read_index::ReadRequest;
use crate::shared::{Shared, members_of};
use crate::stages::Trace;
use crate::state_machine::StateMachine;
use crate::transport::{TcpTransport, Transport};

/// Answers requests that only the leader may answer, and what a roster needs to
/// know beyond the membership.
pub trait LeaderHandler: Send + Sync + 'static {
    /// Called on the raft thread of the leader: hand over, do not compute.
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;

    /// The name under which a member has published itself; `None` if it has never
    /// run. Called on the raft thread of any member.
    fn published_name(&self, _member: u64) -> Option<String> {
        None
    }

    /// Whether leadership must not be handed to a member, because it would not
    /// take it. Called on the raft thread of the leader.
    fn is_unfit(&self, _member: u64) -> bool {
        false
    }
}

/// Who leads, as far as this member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader.
    pub leader: Option<u64>,
    /// The term this member is in.
    pub term: u64,
    /// True while this member leads.
    pub is_leader: bool,
}

/// A cheap view of the member. Indexes start at 1; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub member_id: u64,
    /// The leader.
    pub leader: Option<u64>,
    /// Current term.
    pub term: u64,
    /// Last entry in the local log.
    pub last_log_index: u64,
    /// Last entry known to be committed.
    pub committed_index: u64,
    /// Last entry applied.
    pub applied_index: u64,
    /// True while this member is to stay without a vote. One that was added as a
    /// voter and is still catching up is no learner, though it has no vote yet.
    pub is_learner: bool,
    /// False once the member has stopped.
    pub running: bool,
}

/// A change of the membership; see [`Node::change_membership`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Adds a member; as a learner when `is_learner`, else as a learner that
    /// is promoted in the background as soon as it has caught up.
    Add(Member),
    /// Gives a learner a vote; refused while it is far behind.
    Promote(u64),
    /// Removes a member.
    Remove(u64),
    /// Replaces name and addresses of a member.
    Update(Member),
}

/// One running member. Clones share it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl Node {
    /// Starts the member where [`Placement`] says and listens for peers.
    ///
    /// # Errors
    /// The configuration, the log or the sockets cannot be used.
    pub async fn start(
        config: Config,
        log_store: LogStore,
        state_machine: impl StateMachine,
        listeners: Vec<TcpListener>,
        handler: Arc<dyn LeaderHandler>,
    ) -> Result<Self, Error> {
        let transport = Arc::new(TcpTransport::new(listeners));
        Self::start_on(config, log_store, state_machine, transport, handler).await
    }

    /// The same on any transport.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_on(
        config: Config,
        log_store: LogStore,
        state_machine: impl StateMachine,
        transport: Arc<dyn Transport>,
        handler: Arc<dyn LeaderHandler>,
    ) -> Result<Self, Error> {
        let metrics = Arc::clone(log_store.metrics());
        let removed = state_machine.removed_members();
        let refused = config.refused_members.iter().copied().collect();
        let shared = Shared::new(config.member_id, metrics, removed, config.stands, refused);
        let shared = Arc::new(shared);
        let (proposals, proposals_queue) = mpsc::channel(PROPOSALS_QUEUE_MAX);
        let (reads, reads_queue) = mpsc::channel(READS_QUEUE_MAX);
        let (commands, commands_queue) = mpsc::channel(COMMANDS_QUEUE_MAX);
        let (shutdown, shutdown_requested) = watch::channel(false);
        let (ready, started) = oneshot::channel();
        let store = log_store.clone();
        let start = Start {
            config,
            log_store,
            state_machine,
            transport,
            handler,
            shared: Arc::clone(&shared),
            queues: Queues {
                proposals: proposals_queue,
                reads: reads_queue,
                reads_sender: reads.clone(),
                commands: commands_queue,
            },
            shutdown: shutdown_requested,
            ready,
        };
        let runtime = spawn(start, store.clone())?;
        let stopped = || Error::Raft("the consensus thread ended at start".into());
        let Handles { data } = started.await.map_err(|_| stopped())??;
        let pending = Arc::new(Semaphore::new(PROPOSALS_PENDING_MAX));
        let inner = Inner {
            shared,
            proposals,
            reads,
            commands,
            pending,
            shutdown,
            data: Mutex::new(data),
            runtime,
            store,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Appends one entry and waits until it is committed and applied by the
    /// leader. A follower forwards it. Waits while there is no leader: bound
    /// it by a timeout; dropping the future leaves the outcome open.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, payload: Bytes) -> Result<(), ProposeError> {
        let inner = &self.inner;
        inner.shared.metrics.proposals.add(1);
        let trace = Trace::start();
        let permit = Arc::clone(&inner.pending).acquire_owned().await;
        let permit = permit.map_err(|_| ProposeError::Stopped)?;
        let _pending = Pending::new(&inner.shared.metrics);
        let (reply, result) = oneshot::channel();
        let proposal = Proposal {
            payload,
            trace,
            reply,
            permit,
        };
        inner
            .proposals
            .send(proposal)
            .await
            .map_err(|_| ProposeError::Stopped)?;
        let lost = || ProposeError::Unknown("the member stopped".into());
        result.await.unwrap_or_else(|_| Err(lost()))
    }

    /// The log index that must be applied locally before a linearizable read
    /// may be served; for `readers_count` readers that wait together. One quorum
    /// round serves all that wait. Waits while there is no leader.
    ///
    /// # Errors
    /// See [`ReadIndexError`].
    pub async fn read_index(&self, readers_count: u32) -> Result<u64, ReadIndexError> {
        let (reply, index) = oneshot::channel();
        let request = ReadRequest {
            reply,
            readers_count,
            is_forwarded: false,
        };
        let sent = self.inner.reads.send(request).await;
        sent.map_err(|_| ReadIndexError::Stopped)?;
        index.await.unwrap_or(Err(ReadIndexError::Stopped))
    }

    /// Runs the [`LeaderHandler`] of the leader, here or remotely. Waits while
    /// there is no leader.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn request_leader(&self, payload: Bytes) -> Result<Bytes, ForwardError> {
        let (reply, result) = oneshot::channel();
        let sent = self
            .inner
            .commands
            .send(Command::Request { payload, reply })
            .await;
        sent.map_err(|_| ForwardError::Stopped)?;
        result.await.unwrap_or(Err(ForwardError::Stopped))
    }

    /// Changes the membership; only on the leader. Goes on when the caller
    /// stops waiting.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_membership(&self, change: MembershipChange) -> Result<(), MembershipError> {
        let (reply, result) = oneshot::channel();
        let sent = self
            .inner
            .commands
            .send(Command::Membership { change, reply })
            .await;
        sent.map_err(|_| MembershipError::Stopped)?;
        result.await.unwrap_or(Err(MembershipError::Stopped))
    }

    /// Moves leadership to `target`, or to the best voter.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(
        &self,
        target: Option<u64>,
        timeout: Duration,
    ) -> Result<(), TransferError> {
        let (reply, result) = oneshot::channel();
        let command = Command::Transfer {
            target,
            timeout,
            reply,
        };
        self.inner
            .commands
            .send(command)
            .await
            .map_err(|_| TransferError::Stopped)?;
        result.await.unwrap_or(Err(TransferError::Stopped))
    }

    /// Whether this member stands for election from now on. One that does not
    /// still votes, gives its state to nobody, and leads on if it does: hand over as
    /// well. After ten election timeouts without a leader it stands all the same, for
    /// its log may be the only complete one that is left.
    pub async fn set_standing(&self, stands: bool) {
        if !self.inner.shared.set_standing(stands) {
            return;
        }
        // One that has stopped stands for nothing.
        let _ = self.inner.commands.send(Command::Standing(stands)).await;
    }

    /// Replaces the state of this member by the leader's and keeps its log and its
    /// vote. Apply stands still meanwhile. Answers the index up to which the new
    /// state goes. Goes on when the caller stops waiting.
    ///
    /// # Errors
    /// See [`ReplaceError`].
    pub async fn replace_state(&self) -> Result<u64, ReplaceError> {
        let (reply, result) = oneshot::channel();
        let sent = self.inner.commands.send(Command::Replace { reply }).await;
        sent.map_err(|_| ReplaceError::Stopped)?;
        result.await.unwrap_or(Err(ReplaceError::Stopped))
    }

    /// The state of the member; cheap.
    pub fn status(&self) -> Status {
        let shared = &self.inner.shared;
        let leadership = *shared.leadership.borrow();
        let (last, committed) = {
            let data = self.inner.data.lock();
            let data = data.borrow_watched();
            (data.last_log, data.local_committed)
        };
        let shown = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index + 1);
        let applied_index = shared.applied.load(Ordering::Acquire);
        Status {
            member_id: shared.member_id,
            leader: leadership.leader,
            term: leadership.term,
            last_log_index: shown(last),
            committed_index: shown(committed).max(applied_index),
            applied_index,
            is_learner: self.is_learner(),
            running: shared.stop.borrow().is_none(),
        }
    }

    /// Follows changes of the leader.
    pub fn watch_leader(&self) -> watch::Receiver<Leadership> {
        self.inner.shared.leadership.subscribe()
    }

    /// This member is to stay without a vote; cheaper than [`Self::status`].
    pub fn is_learner(&self) -> bool {
        self.inner.shared.is_learner.load(Ordering::Relaxed)
    }

    /// The members of the membership that is applied here, ascending by id.
    pub fn membership(&self) -> Vec<Member> {
        let membership = Arc::clone(&self.inner.shared.applied_membership.read());
        members_of(&membership)
    }

    /// Members that were part of an applied membership and no longer are.
    pub fn is_removed(&self, member: u64) -> bool {
        self.inner.shared.is_removed(member)
    }

    /// As leader: the members that answered within `silence_max`, itself among
    /// them. Empty on other members.
    pub fn members_heard(&self, silence_max: Duration) -> Vec<u64> {
        let data = self.inner.data.lock();
        let data = data.borrow_watched();
        let Some(heard) = &data.heartbeat else {
            return Vec::new();
        };
        let own = self.inner.shared.member_id;
        let answered = heard.iter().filter(|(id, at)| {
            **id == own || at.as_ref().is_some_and(|at| at.elapsed() < silence_max)
        });
        let mut members: BTreeSet<u64> = answered.map(|(id, _)| *id).collect();
        members.insert(own);
        members.into_iter().collect()
    }

    /// Resolves when the member has stopped; unless by [`Node::shutdown`],
    /// the process must exit.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.inner.shared.stop.subscribe();
        match stop.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Panicked),
            Err(_) => StopReason::Panicked,
        }
    }

    /// Stops the member and waits until it has ended and the log is synced. On
    /// the caller's runtime, tasks that only wait for peers end with that.
    pub async fn shutdown(&self) {
        self.inner.shutdown.send_replace(true);
        self.inner.pending.close();
        let mut ended = self.inner.shared.ended.subscribe();
        // The sender lives as long as this handle.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Buffers for payloads: fill one, freeze it, propose it, and it is used
    /// again once the entry has left memory.
    pub fn entry_pool(&self) -> &EntryPool {
        self.inner.store.entry_pool()
    }

    /// The counters of this member.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.shared.metrics
    }

    /// Tasks that live on the raft thread, those of the caller included where they
    /// share it.
    pub fn tasks_count(&self) -> usize {
        self.inner.runtime.metrics().num_alive_tasks()
    }

    /// The counters of the write-ahead log.
    pub fn wal_metrics(&self) -> &quoin_wal::Metrics {
        self.inner.store.wal_metrics()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node {:x}", self.inner.shared.member_id)
    }
}

struct Inner {
    shared: Arc<Shared>,
    proposals: mpsc::Sender<Proposal>,
    reads: mpsc::Sender<ReadRequest>,
    commands: mpsc::Sender<Command>,
    pending: Arc<Semaphore>,
    shutdown: watch::Sender<bool>,
    data: Mutex<DataMetrics>,
    /// Of the raft thread; to count its tasks.
    runtime: tokio::runtime::Handle,
    store: LogStore,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

/// Counts a proposal as pending while it lives.
struct Pending<'a>(&'a Metrics);

impl<'a> Pending<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.proposals_pending.add(1);
        Self(metrics)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.proposals_pending.sub(1);
    }
}

/// Marks the member as stopped however it ends.
struct MemberEnd {
    shared: Arc<Shared>,
    store: LogStore,
}

impl Drop for MemberEnd {
    fn drop(&mut self) {
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the log was not closed cleanly");
        }
        self.shared.set_stopped(if std::thread::panicking() {
            StopReason::Panicked
        } else {
            StopReason::Shutdown
        });
        self.shared.ended.send_replace(true);
    }
}

/// Runs the member where its configuration says; the handle of that runtime.
fn spawn<S: StateMachine>(
    start: Start<S>,
    store: LogStore,
) -> Result<tokio::runtime::Handle, Error> {
    let placement = start.config.placement;
    let blocking = start.config.blocking.clone();
    let shared = Arc::clone(&start.shared);
    let name = format!("raft-{:x}", shared.member_id);
    let end = MemberEnd { shared, store };
    if placement == Placement::CallersRuntime {
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(async move {
            let end = end;
            core::run(start).await;
            // Waits for the disk. Of use to nobody if it fails: the runtime ends.
            let _ = blocking.run(move || drop(end)).await;
        });
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let body = move || {
        let _end = end;
        runtime.block_on(core::run(start));
        // Blocking reads in flight are bounded; do not wait for a stuck disk.
        runtime.shutdown_timeout(SHUTDOWN_WAIT);
    };
    std::thread::Builder::new().name(name).spawn(body)?;
    Ok(handle)
}

/// Proposals between the server and the raft thread; callers wait above it.
const PROPOSALS_QUEUE_MAX: usize = 1024;
/// Proposals whose outcome is open; callers wait above it.
const PROPOSALS_PENDING_MAX: usize = 8192;
/// Reads between the server and the raft thread; callers wait above it.
const READS_QUEUE_MAX: usize = 4096;
/// Rare requests between the server and the raft thread.
const COMMANDS_QUEUE_MAX: usize = 1024;
/// Wait for blocking work at the end of the thread.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
