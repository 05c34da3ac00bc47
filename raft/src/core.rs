//! The raft thread: everything of openraft and the peers of one member on one
//! current-thread runtime.
//!
//! Only batches cross to it: proposals, reads and commands arrive over bounded
//! channels and are drained many at a time. Tasks live until the runtime ends: with
//! `run` on a thread of its own, else with the caller's. The watchdog turns
//! openraft's own end (a storage error, a panic of its core, issue #2116) into a
//! stop of the member, because openraft itself would only answer every call with
//! an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::{Raft, SnapshotPolicy};
use tokio::sync::{mpsc, oneshot, watch};

use crate::applier::{Applier, ApplierControl, CheckpointPace};
use crate::config::Config;
use crate::contact::Contact;
use crate::disk_watch;
use crate::error::{Error, StopReason};
use crate::forward::Proposal;
use crate::incoming::Incoming;
use crate::log_store::LogStore;
use crate::membership;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::node::{LeaderHandler, Leadership};
use crate::read_index::ReadRequest;
use crate::repair::Repair;
use crate::shared::{Shared, is_learner};
use crate::snapshot::{Pins, Stages, Transfers};
use crate::standing;
use crate::state_machine::{SnapshotSink, StateMachine};
use crate::transport::{self, Class, Identity, Link, Peers, Transport};
use crate::types::{LogId, PeerNode, TypeConfig, hidden};

/// What the tasks of a member share.
pub(crate) struct Core<S: StateMachine> {
    pub(crate) raft: Raft<TypeConfig, Applier<S>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: Peers,
    pub(crate) log_store: LogStore,
    pub(crate) handler: Arc<dyn LeaderHandler>,
    pub(crate) config: Config,
    pub(crate) reads: mpsc::Sender<ReadRequest>,
    pub(crate) contact: Contact,
    /// The snapshot that is being received.
    pub(crate) stages: Stages,
    pub(crate) transfers: Arc<Transfers>,
    pins: Arc<Pins>,
    /// A replacement of the state under way.
    pub(crate) repair: Repair,
}

/// Everything the thread starts from.
pub(crate) struct Start<S> {
    pub(crate) config: Config,
    pub(crate) log_store: LogStore,
    pub(crate) state_machine: S,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) handler: Arc<dyn LeaderHandler>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queues: Queues,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Told once the member runs, or why it does not.
    pub(crate) ready: oneshot::Sender<Result<Handles, Error>>,
}

/// The thread's ends of the channels.
pub(crate) struct Queues {
    pub(crate) proposals: mpsc::Receiver<Proposal>,
    pub(crate) reads: mpsc::Receiver<ReadRequest>,
    pub(crate) reads_sender: mpsc::Sender<ReadRequest>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// What the handles need of openraft.
pub(crate) struct Handles {
    pub(crate) data: DataMetrics,
}

/// openraft's progress, readable from any thread.
pub(crate) type DataMetrics =
    openraft::alias::WatchReceiverOf<TypeConfig, openraft::metrics::RaftDataMetrics<TypeConfig>>;

/// Rare requests of the server.
pub(crate) enum Command {
    Request {
        payload: bytes::Bytes,
        reply: oneshot::Sender<Result<bytes::Bytes, crate::error::ForwardError>>,
    },
    Membership {
        change: crate::node::MembershipChange,
        reply: oneshot::Sender<Result<(), crate::error::MembershipError>>,
    },
    Transfer {
        target: Option<u64>,
        timeout: Duration,
        reply: oneshot::Sender<Result<(), crate::error::TransferError>>,
    },
    Standing(bool),
    Replace {
        reply: oneshot::Sender<Result<u64, crate::error::ReplaceError>>,
    },
}

/// Body of the thread: runs the member until it is told to stop or stops by
/// itself.
pub(crate) async fn run<S: StateMachine>(start: Start<S>) {
    let Start {
        config,
        log_store,
        state_machine,
        transport,
        handler,
        shared,
        queues,
        mut shutdown,
        ready,
    } = start;
    let peers = connect_peers(&config, &log_store, transport, &shared, &handler);
    let control = Arc::new(ApplierControl::default());
    let applied = state_machine.applied().log_id.as_ref().and_then(hidden);
    let pins = Arc::new(Pins::new(log_store.clone()));
    let pace = CheckpointPace {
        entries: config.snapshot_count,
        bytes: (config.kept_bytes_max / CHECKPOINTS_PER_KEPT_BYTES).max(CHECKPOINT_BYTES_MIN),
    };
    let applier = Applier::new(
        state_machine,
        Arc::clone(&shared),
        Arc::clone(&control),
        Arc::clone(&pins),
        pace,
        config.blocking.clone(),
    );
    let transfers = Arc::new(Transfers::new(
        config.snapshots_at_once,
        config.snapshot_kept,
        Arc::clone(&shared.metrics),
        config.blocking.clone(),
    ));
    let network = Network::new(peers.clone(), Arc::clone(&transfers), Arc::clone(&shared));
    let raft = match start_raft(&config, &log_store, network, applier, applied).await {
        Ok(raft) => raft,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    control.running.store(true, Ordering::Release);
    let data = raft.data_metrics();
    let core = Arc::new(Core {
        raft,
        shared: Arc::clone(&shared),
        peers,
        log_store,
        handler,
        contact: Contact::new(config.election_timeout),
        stages: Stages::new(config.snapshot_kept, config.blocking.clone()),
        transfers,
        pins,
        config,
        reads: queues.reads_sender.clone(),
        repair: Repair::default(),
    });
    core.spawn_tasks(queues, control);
    let _ = ready.send(match core.bootstrap().await {
        Ok(()) => Ok(Handles { data }),
        Err(error) => Err(error),
    });
    let mut stop = shared.stop.subscribe();
    tokio::select! {
        _ = shutdown.wait_for(|requested| *requested) => shared.set_stopped(StopReason::Shutdown),
        _ = stop.wait_for(Option::is_some) => {}
    }
    if let Err(error) = core.raft.shutdown().await {
        tracing::error!(%error, "consensus did not stop cleanly");
    }
}

/// Starts openraft on a log that agrees with what is applied.
async fn start_raft<S: StateMachine>(
    config: &Config,
    log_store: &LogStore,
    network: Network,
    applier: Applier<S>,
    applied: Option<LogId>,
) -> Result<Raft<TypeConfig, Applier<S>>, Error> {
    if let Some(applied) = applied {
        log_store.agree_with(applied)?;
    }
    let settings = Arc::new(raft_config(config)?);
    Raft::new(
        config.member_id,
        settings,
        network,
        log_store.clone(),
        applier,
    )
    .await
    .map_err(|error| Error::Raft(error.to_string()))
}

impl<S: StateMachine> Core<S> {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn leadership(&self) -> Leadership {
        *self.shared.leadership.borrow()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.leadership().is_leader
    }

    pub(crate) fn link(&self, member: u64, class: Class) -> Link {
        self.peers.link(member, class, &self.shared.urls_of(member))
    }

    /// Starts everything that lives as long as the runtime.
    fn spawn_tasks(self: &Arc<Self>, queues: Queues, control: Arc<ApplierControl>) {
        tokio::spawn(watch_server(Arc::clone(self)));
        tokio::spawn(transport::accept_loop(
            Arc::clone(self.peers.shared()),
            Incoming::new(Arc::clone(self)),
        ));
        tokio::spawn(Arc::clone(self).propose_loop(queues.proposals));
        tokio::spawn(Arc::clone(self).read_loop(queues.reads));
        tokio::spawn(Arc::clone(self).command_loop(queues.commands));
        tokio::spawn(checkpoint_loop(Arc::clone(self), control));
        tokio::spawn(purge_loop(Arc::clone(self)));
        tokio::spawn(disk_watch::watch(Arc::clone(self)));
        tokio::spawn(expire_loop(Arc::clone(self)));
        tokio::spawn(standing::last_resort(Arc::clone(self)));
        tokio::spawn(membership::upkeep_loop(Arc::clone(self)));
        tokio::spawn(membership::leave(Arc::clone(self)));
        tokio::spawn(membership::ask_around(Arc::clone(self)));
    }

    /// Asks the state machine for a place to spool a snapshot.
    pub(crate) async fn receive_snapshot(&self) -> Result<Box<dyn SnapshotSink>, String> {
        let sink = self
            .raft
            .with_state_machine(|applier: &mut Applier<S>| applier.receive());
        sink.await.map_err(|error| error.to_string())?
    }

    /// Writes the first membership on a new log and starts an election where
    /// waiting for the timeout would gain nothing.
    async fn bootstrap(self: &Arc<Self>) -> Result<(), Error> {
        let fatal = |error: &dyn std::fmt::Display| Error::Raft(error.to_string());
        let own = self.config.member_id;
        if self.log_store.is_new() && !self.config.members.is_empty() {
            let member = |member: &crate::config::Member| {
                let node = PeerNode {
                    is_learner: false,
                    ..PeerNode::from(member.clone())
                };
                (member.id, node)
            };
            let members: BTreeMap<u64, PeerNode> = self.config.members.iter().map(member).collect();
            match self.raft.initialize(members).await {
                // A peer was faster: its vote is in our log already.
                Err(error) if error.api_error().is_some_and(is_not_allowed) => {}
                result => result.map_err(|error| fatal(&error))?,
            }
        }
        let voters = self.voters().await?;
        if voters == [own] {
            self.raft
                .trigger()
                .elect(false)
                .await
                .map_err(|error| fatal(&error))?;
        } else if self.log_store.is_new() && voters.first() == Some(&own) {
            tokio::spawn(Arc::clone(self).first_election());
        }
        Ok(())
    }

    /// The voters of the newest membership, ascending.
    async fn voters(&self) -> Result<Vec<u64>, Error> {
        let voters = self.raft.with_raft_state(|state| {
            let voters = state.membership_state.effective().voter_ids();
            voters.collect::<std::collections::BTreeSet<_>>()
        });
        let voters = voters
            .await
            .map_err(|error| Error::Raft(error.to_string()))?;
        Ok(voters.into_iter().collect())
    }

    /// On a new cluster the member with the lowest id asks for votes until
    /// somebody leads: nobody has to wait for a timeout. Each round is a
    /// pre-vote, so it disturbs nothing when peers are not up yet.
    async fn first_election(self: Arc<Self>) {
        let mut leadership = self.shared.leadership.subscribe();
        for _ in 0..FIRST_ELECTION_ROUNDS_MAX {
            if !self.shared.stands() || self.raft.trigger().elect(true).await.is_err() {
                return;
            }
            let led = leadership.wait_for(|leadership| leadership.leader.is_some());
            if TypeConfig::timeout(FIRST_ELECTION_PAUSE, led).await.is_ok() {
                return;
            }
        }
    }
}

fn is_not_allowed(error: &openraft::errors::InitializeError<TypeConfig>) -> bool {
    matches!(error, openraft::errors::InitializeError::NotAllowed(_))
}

fn connect_peers(
    config: &Config,
    log_store: &LogStore,
    transport: Arc<dyn Transport>,
    shared: &Arc<Shared>,
    handler: &Arc<dyn LeaderHandler>,
) -> Peers {
    let (stopping, refusing) = (Arc::clone(shared), Arc::clone(shared));
    let (telling, naming) = (Arc::clone(shared), Arc::clone(handler));
    let own = Identity {
        cluster_id: config.cluster_id,
        member_id: config.member_id,
    };
    Peers::new(transport::PeersShared {
        own,
        transport,
        timing: transport::Timing::new(config.election_timeout),
        pool: log_store.entry_pool().clone(),
        metrics: Arc::clone(log_store.metrics()),
        on_removed: Box::new(move || stopping.set_stopped(StopReason::Removed)),
        is_removed: Box::new(move |member| refusing.is_removed(member)),
        roster: Box::new(move || telling.roster(own, |id| naming.published_name(id))),
    })
}

fn raft_config(config: &Config) -> Result<openraft::Config, Error> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let heartbeat = millis(config.heartbeat_interval);
    let election = millis(config.election_timeout);
    let settings = openraft::Config {
        cluster_name: format!("{:x}", config.cluster_id),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(0),
        election_timeout_min: (election / 2).max(heartbeat + 1),
        election_timeout_max: election,
        // Chunks have their own deadlines; this only bounds openraft's hint.
        install_snapshot_timeout: 60_000,
        max_payload_entries: 1024,
        max_append_entries: Some(4096),
        snapshot_policy: SnapshotPolicy::Never,
        // `purge_loop` decides, which knows what is being sent.
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        enable_elect: config.stands,
        enable_leader_restore: Some(false),
        // A leader must not end because of what a follower forgot; see `acknowledged`.
        allow_log_reversion: Some(true),
        quorum_loss_probe_interval: Some(election.saturating_mul(2)),
        // The last one is what a member that comes up may have to wait.
        backoff: "20ms 50ms 100ms 150ms".into(),
        state_machine_channel_size: Some(APPLY_QUEUE_MAX),
        ..Default::default()
    };
    settings
        .validate()
        .map_err(|error| Error::Config(error.to_string()))
}

/// Publishes who leads and the membership; ends the member when openraft ends.
async fn watch_server<S: StateMachine>(core: Arc<Core<S>>) {
    let mut server = core.raft.server_metrics();
    let mut all = core.raft.metrics();
    loop {
        core.publish(&server.borrow_and_update().clone());
        if let Err(fatal) = all.borrow_and_update().running_state.clone() {
            core.stop(StopReason::Fatal(fatal.to_string()));
            return;
        }
        tokio::select! {
            changed = server.changed() => {
                if changed.is_err() {
                    core.stop(StopReason::Fatal("consensus ended".into()));
                    return;
                }
            }
            () = core.contact.changed() => {}
            fatal = all.wait_until(|metrics| metrics.running_state.is_err()) => {
                if fatal.is_err() {
                    core.stop(StopReason::Panicked);
                    return;
                }
            }
        }
    }
}

impl<S: StateMachine> Core<S> {
    /// The leader was heard of, or answered by a quorum if this member leads.
    fn in_contact(&self, leader: u64) -> bool {
        if leader != self.shared.member_id {
            return self.contact.is_recent(leader);
        }
        let metrics = self.raft.data_metrics();
        let acked = metrics.borrow_watched().last_quorum_acked;
        // A new leader has the benefit of the doubt: its votes are answers.
        let is_new = self.leadership().leader != Some(leader);
        let is_alone = self.shared.membership.read().voter_ids().count() <= 1;
        is_alone || acked.map_or(is_new, |at| self.contact.is_fresh(at.into_inner()))
    }

    /// openraft has ended: for this reason, unless the log had failed before,
    /// of which openraft may have seen no more than the consequences.
    pub(crate) fn stop(&self, reason: StopReason) {
        let failure = self.log_store.failure();
        let failure = failure.map(|error| StopReason::Fatal(error.to_string()));
        self.shared.set_stopped(failure.unwrap_or(reason));
    }

    fn publish(&self, server: &openraft::metrics::RaftServerMetrics<TypeConfig>) {
        let leader = server.current_leader.filter(|id| self.in_contact(*id));
        let leadership = Leadership {
            leader,
            term: server.vote.leader_id.term,
            is_leader: server.state.is_leader() && leader == Some(server.id),
        };
        let membership = server.membership_config.membership();
        let changed = **self.shared.membership.read() != *membership;
        if changed {
            *self.shared.membership.write() = Arc::new(membership.clone());
            let urls = membership.nodes();
            self.peers.follow(
                urls.map(|(id, node)| (*id, Arc::clone(&node.peer_urls)))
                    .collect(),
            );
            let is_learner = is_learner(membership, server.id);
            self.shared.is_learner.store(is_learner, Ordering::Relaxed);
        }
        self.shared.leadership.send_if_modified(|current| {
            let is_new = *current != leadership;
            if current.leader != leadership.leader {
                self.metrics().leader_changes.add(1);
            }
            *current = leadership;
            is_new
        });
    }
}

/// Starts a checkpoint each time enough was applied.
async fn checkpoint_loop<S: StateMachine>(core: Arc<Core<S>>, control: Arc<ApplierControl>) {
    loop {
        control.checkpoint_due.notified().await;
        if core.raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

/// After each checkpoint purges what is kept neither for slow followers nor for
/// the receivers of a snapshot.
async fn purge_loop<S: StateMachine>(core: Arc<Core<S>>) {
    let mut data = core.raft.data_metrics();
    let mut last = None;
    loop {
        let changed = data.wait_until(|data| data.snapshot != last).await;
        let Ok(snapshot) = changed.map(|data| data.snapshot) else {
            return;
        };
        last = snapshot;
        let Some(snapshot) = snapshot else {
            continue;
        };
        let by_count = snapshot.index.checked_sub(core.config.kept_entries_count);
        let sent = core.pins.oldest_index().unwrap_or(u64::MAX);
        let by_bytes = core.log_store.purge_below(core.config.kept_bytes_max);
        let wanted = by_count.map(|index| index.min(sent)).max(by_bytes);
        let Some(upto) = wanted.map(|index| index.min(snapshot.index)) else {
            continue;
        };
        if core.raft.trigger().purge_log(upto).await.is_err() {
            return;
        }
    }
}

/// Lets go of what is kept of broken transfers of snapshots.
async fn expire_loop<S: StateMachine>(core: Arc<Core<S>>) {
    loop {
        TypeConfig::sleep(core.config.snapshot_kept / 4).await;
        core.transfers.expire();
        core.stages.expire();
    }
}

/// Commands that may wait for apply, one for each time that more is committed. While
/// a state is replaced apply waits for the whole transfer; at openraft's default of
/// 1024 its core would then wait too, and neither append nor vote. What does not wait
/// takes no memory.
const APPLY_QUEUE_MAX: u64 = 1 << 20;
/// The log is at most about this part of its bound longer than it.
const CHECKPOINTS_PER_KEPT_BYTES: u64 = 4;
/// A checkpoint for less costs more than the log it frees.
const CHECKPOINT_BYTES_MIN: u64 = 1 << 20;
/// Pause between two rounds of the first election.
const FIRST_ELECTION_PAUSE: Duration = Duration::from_millis(50);
/// Rounds of the first election; afterwards the election timeout rules.
const FIRST_ELECTION_ROUNDS_MAX: u32 = 100;
