//! A running member.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use quoin_proto::quoinpb::MemberAttributes;
use quoin_raft::{LogStore, Node, Placement, ProposeError, ReadIndexError};
use tokio::sync::watch;

use super::{
    agreement, forced,
    identity::Identity,
    leadership, mixed_up,
    probe::ServerProbe,
    start_error::StartError,
    stores::{self, Stores},
};
use crate::{
    apply::{Applier, CompactionWatch, Pace, Parts, run_compactions},
    base::{error_chain::error_chain, task_set::TaskSet},
    cluster::Rules,
    config::{FeatureGate, Quota, ServerConfig},
    duties::{self, InitialCheck},
    listener::{self, Bound, BoundListeners, Options, Serving},
    ops::{self, Endpoints, HttpHandler},
    proposal::{Applied, LeaderView, Limits, Proposer, ReadError, ReadGate, Refusal, Registry},
    service::{
        Context, HeaderSource, LeaderCalls, LeaderLoss, LeaseIds, Reconfigurer, RequestLimits,
        Router, SlowLog, WatchService,
    },
    telemetry::metrics::Metrics,
    watch::Hub,
};

/// A running member. Dropping it without [`Server::shutdown`] stops nothing
/// in order; the log makes that safe, as it does a crash.
pub struct Server {
    node: Node,
    context: Context,
    serving: Serving,
    tasks: TaskSet,
    attributes: MemberAttributes,
    /// Client sockets, until the member is ready to serve them.
    client: Vec<Bound>,
    router: Router,
    client_http: Arc<dyn HttpHandler>,
    metrics_http: Arc<dyn HttpHandler>,
    hub: Hub,
    /// Comes before serving, where it was asked for.
    initial_check: Option<InitialCheck>,
    /// A background duty failed in a way that must stop the process.
    failure: watch::Receiver<Option<String>>,
}

/// How a member ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEnd {
    /// The cluster has removed it: an end in good order.
    Removed,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Opens everything below `config` and starts the member.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(config: Arc<ServerConfig>, metrics: Arc<Metrics>) -> Result<Server, StartError> {
    let listeners = listener::bind_all(&config)?;
    create_directories(&config)?;
    let identity = Identity::open(&config, &listeners.peer).await?;
    let mut raft_config = raft_config(&config, &identity);
    let log_store = LogStore::open(&raft_config)?;
    let stores = stores::open(
        &config,
        &identity,
        log_store.durable(),
        metrics.disk.backend_commit_duration_seconds.clone(),
    )?;
    if log_store.is_new() && stores.backend.recovered().applied.is_some() {
        let path = config.wal_directory.display().to_string();
        return Err(StartError::LogMissing { path });
    }
    if stores.cluster.is_removed(identity.member_id) {
        return Err(StartError::Removed);
    }
    raft_config.stands = !stores.quarantine.is_active();
    mixed_up::check(&config, &identity, &stores)?;
    if config.force_new_cluster && !log_store.is_new() {
        raft_config.refused_members = forced::leave_alone(&identity, &log_store, &stores)?;
    }
    let plan = Plan::new(&config, &identity, &stores, Arc::clone(&metrics));
    let BoundListeners {
        peer,
        client,
        metrics: metrics_listeners,
    } = listeners;
    let handler = Arc::new(plan.leader_calls.clone());
    let applier = plan.applier(&config, &stores);
    let node = Node::start(raft_config, log_store, applier, peer, handler).await?;
    let server = plan.assemble(&config, stores, node, client);
    server.serve_metrics(metrics_listeners)?;
    Ok(server)
}

fn create_directories(config: &ServerConfig) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    for path in [config.member_directory(), config.snapshot_directory()] {
        let mut builder = std::fs::DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(&path);
        let failed = |source| StartError::Directory {
            path: path.display().to_string(),
            source,
        };
        created.map_err(failed)?;
    }
    Ok(())
}

fn raft_config(config: &ServerConfig, identity: &Identity) -> quoin_raft::Config {
    let mut wal = quoin_raft::WalConfig::new(config.wal_directory.clone());
    wal.unsafe_no_fsync = !config.fsync;
    // What goes into the log must be the same on all founders, and each has names for
    // the others from its own flags, which need not agree. Names are published later.
    let unnamed = |member: quoin_raft::Member| quoin_raft::Member {
        name: String::new(),
        ..member
    };
    let members = identity.members.iter().cloned().map(unnamed).collect();
    let mut raft = quoin_raft::Config::new(identity.member_id, identity.cluster_id, members, wal);
    raft.heartbeat_interval = config.heartbeat_interval;
    raft.election_timeout = config.election_timeout;
    raft.snapshot_count = config.snapshot_count;
    raft.kept_entries_count = config.snapshot_catchup_entries_count;
    raft.kept_bytes_max = config.wal_kept_bytes_max;
    raft.placement = match config.rpc_threads_count {
        0 => Placement::CallersRuntime,
        _ => Placement::OwnThread,
    };
    raft
}

/// What the parts of a member share before Raft runs.
struct Plan {
    identity: Identity,
    applied: Applied,
    registry: Registry,
    hub: Hub,
    compaction: CompactionWatch,
    leader_calls: LeaderCalls,
    quota_bytes: Option<u64>,
    /// There was a state when this member started.
    has_run: bool,
    metrics: Arc<Metrics>,
}

impl Plan {
    fn new(
        config: &ServerConfig,
        identity: &Identity,
        stores: &Stores,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (index, term) = stores
            .backend
            .recovered()
            .applied
            .map_or((0, 0), |at| (at.index, at.term));
        let hub = Hub::new(
            Arc::new(stores.store.clone()),
            crate::watch::Config::new(config.max_request_bytes),
        );
        Self {
            identity: identity.clone(),
            applied: Applied::new(index, term),
            registry: Registry::new(
                identity.member_id,
                rand::random(),
                // Half of it may pass before the request is awake again.
                config.warning_unary_request_duration / 2,
            ),
            hub,
            compaction: CompactionWatch::new(stores.store.compact_revision()),
            leader_calls: LeaderCalls::new(
                stores.lessor.clone(),
                stores.cluster.clone(),
                stores.alarms.clone(),
                tokio::runtime::Handle::current(),
                stores.agreement.clone(),
                stores.quarantine.clone(),
                Arc::clone(&metrics),
            ),
            has_run: index > 0,
            quota_bytes: (config.quota != Quota::Disabled).then(|| config.quota.bytes_max()),
            metrics,
        }
    }

    fn applier(&self, config: &ServerConfig, stores: &Stores) -> Applier {
        Applier::new(Parts {
            cluster_id: self.identity.cluster_id,
            member_id: self.identity.member_id,
            backend: stores.backend.clone(),
            store: stores.store.clone(),
            lessor: stores.lessor.clone(),
            cluster: stores.cluster.clone(),
            alarms: stores.alarms.clone(),
            agreement: stores.agreement.clone(),
            hub: self.hub.clone(),
            registry: self.registry.clone(),
            applied: self.applied.clone(),
            compaction: self.compaction.clone(),
            quota_bytes: self.quota_bytes,
            metrics: Arc::clone(&self.metrics),
            warn_apply_above: config.warning_apply_duration,
        })
    }

    fn assemble(
        self,
        config: &ServerConfig,
        stores: Stores,
        node: Node,
        client: Vec<Bound>,
    ) -> Server {
        let tasks = TaskSet::new();
        let (leader_view, leader) = watch::channel(leadership::current(&node));
        tasks.spawn_until_stopped(
            "leadership",
            leadership::follow(node.watch_leader(), stores.quarantine.clone(), leader_view),
        );
        let context = self.context(config, &stores, &node, leader.clone(), &tasks);
        self.leader_calls.open(
            context.gate.clone(),
            node.watch_leader(),
            context.proposer.clone(),
        );
        self.leader_calls.open_membership(Reconfigurer::new(
            node.clone(),
            stores.cluster.clone(),
            Rules {
                is_strict: config.strict_reconfig_check,
                learners_count_max: config.max_learners_count,
            },
            config.election_timeout,
        ));
        let failure = spawn_duties(config, &context, &tasks);
        let initial_check = agreement::initial_check(config, &context, self.has_run);
        let watch = self.watch_service(config, &context, &tasks);
        let serving = Serving::new(Options::from_config(config));
        let probe = ServerProbe {
            context: context.clone(),
            hub: self.hub.clone(),
            registry: self.registry.clone(),
            tasks: vec![tasks.clone(), serving.tasks().clone()],
        };
        super::metrics::connect(&self.metrics, &context, &self.registry, &self.hub);
        let probe: Arc<dyn ops::Probe> = Arc::new(probe);
        let client_http =
            Endpoints::client_port(config, Arc::clone(&probe), Arc::clone(&self.metrics), None);
        let metrics_http = Endpoints::metrics_port(probe, Arc::clone(&self.metrics));
        let attributes = MemberAttributes {
            member_id: self.identity.member_id,
            name: config.name.clone(),
            client_urls: config
                .advertise_client_urls
                .iter()
                .map(|u| u.as_str().to_owned())
                .collect(),
        };
        Server {
            node,
            router: Router::new(context.clone(), watch, Arc::clone(&self.metrics)),
            context,
            serving,
            tasks,
            attributes,
            client,
            client_http: Arc::new(client_http),
            metrics_http: Arc::new(metrics_http),
            hub: self.hub,
            initial_check,
            failure,
        }
    }

    fn watch_service(
        &self,
        config: &ServerConfig,
        context: &Context,
        tasks: &TaskSet,
    ) -> WatchService {
        let hub = self.hub.clone();
        tasks.spawn_until_stopped("watch hub", async move { hub.run().await });
        let leader_loss = LeaderLoss::new();
        let leader = context.leader.clone();
        let has_leader = move || leader.borrow().leader.is_some();
        tasks.spawn_until_stopped(
            "leader loss",
            leader_loss.clone().run(config.election_timeout, has_leader),
        );
        let header = context.header.clone();
        WatchService {
            hub: self.hub.clone(),
            header: Arc::new(move |revision| header.with_revision(revision)),
            // There is no authentication yet, so everybody may watch.
            authorize: Arc::new(|_headers, _extensions, _key, _range_end| Ok(())),
            leader_loss,
            quarantine: context.quarantine.clone(),
            progress_interval: config.watch_progress_notify_interval,
        }
    }

    fn context(
        &self,
        config: &ServerConfig,
        stores: &Stores,
        node: &Node,
        leader: watch::Receiver<LeaderView>,
        tasks: &TaskSet,
    ) -> Context {
        let limits = Limits {
            request_bytes_max: config.max_request_bytes,
            timeout: config.request_timeout(),
            election_timeout: config.election_timeout,
        };
        let (proposer, coalescer) = Proposer::new(
            self.registry.clone(),
            node.entry_pool().clone(),
            propose_fn(node.clone(), stores.backend.clone()),
            leader.clone(),
            limits,
        );
        tasks.spawn_until_stopped("coalescer", coalescer);
        tasks.spawn_until_stopped("reply fan-out", self.registry.clone().fan_out());
        Context {
            header: HeaderSource {
                cluster_id: self.identity.cluster_id,
                member_id: self.identity.member_id,
                applied: self.applied.clone(),
            },
            limits: RequestLimits {
                request_bytes_max: config.max_request_bytes,
                txn_operations_max: config.max_txn_ops,
                quota_bytes: self.quota_bytes,
                timeout: config.request_timeout(),
            },
            store: stores.store.clone(),
            backend: stores.backend.clone(),
            lessor: stores.lessor.clone(),
            cluster: stores.cluster.clone(),
            alarms: stores.alarms.clone(),
            agreement: stores.agreement.clone(),
            quarantine: stores.quarantine.clone(),
            proposer,
            gate: ReadGate::new(
                read_index_fn(node.clone(), Arc::clone(&self.metrics)),
                self.applied.clone(),
            ),
            node: node.clone(),
            leader,
            compaction: self.compaction.clone(),
            closing: self.hub.closed(),
            lease_ids: Arc::new(LeaseIds::new(self.identity.member_id, SystemTime::now())),
            metrics: Arc::clone(&self.metrics),
            slow: Arc::new(SlowLog::new(config)),
        }
    }
}

/// Offers an entry once the hot tier has room: past its bound, proposals are
/// slowed down and apply never is.
fn propose_fn(node: Node, backend: crate::backend::Backend) -> crate::proposal::ProposeFn {
    Arc::new(move |frame| {
        let (node, backend) = (node.clone(), backend.clone());
        Box::pin(async move {
            if backend.over_hot_limit() {
                backend
                    .wait_below_hot_limit()
                    .await
                    .map_err(|_failed| Refusal::Stopped)?;
            }
            node.propose(frame).await.map_err(|error| match error {
                ProposeError::NotAppended(_) => Refusal::NotAppended,
                ProposeError::Stopped => Refusal::Stopped,
                _ => Refusal::Unknown,
            })
        })
    })
}

/// Rounds longer than this count as slow. Source: etcd 3.7, which then asks
/// the leader again.
const SLOW_READ_INDEX: Duration = Duration::from_millis(500);

fn read_index_fn(node: Node, metrics: Arc<Metrics>) -> crate::proposal::ReadIndexFn {
    Arc::new(move |readers_count| {
        let (node, metrics) = (node.clone(), Arc::clone(&metrics));
        Box::pin(async move {
            let started = Instant::now();
            let result = node.read_index(readers_count).await;
            if started.elapsed() > SLOW_READ_INDEX {
                metrics.server.slow_read_indexes_total.inc();
            }
            result.map_err(|error| {
                metrics.server.read_indexes_failed_total.inc();
                match error {
                    ReadIndexError::Stopped => ReadError::Stopped,
                    _ => ReadError::LeaderChanged,
                }
            })
        })
    })
}

/// Starts what the member does by itself; the receiver tells of a failure
/// that must stop the process.
fn spawn_duties(
    config: &ServerConfig,
    context: &Context,
    tasks: &TaskSet,
) -> watch::Receiver<Option<String>> {
    let member_id = context.header.member_id;
    let (proposer, leader) = (context.proposer.clone(), context.leader.clone());
    let (failed, failure) = watch::channel(None);
    let pace = Pace {
        keys_max: config.compaction_batch_limit,
        pause: config.compaction_sleep_interval,
    };
    let compactions = run_compactions(
        context.store.clone(),
        context.compaction.clone(),
        pace,
        Arc::clone(&context.metrics),
    );
    let backend = context.backend.clone();
    tasks.spawn_until_stopped("compaction", async move {
        tokio::select! {
            () = compactions => {}
            error = backend.failed() => {
                failed.send_replace(Some(error_chain(&error)));
            }
        }
    });
    tasks.spawn_until_stopped(
        "lease expiry",
        duties::run_lease_expiry(
            member_id,
            context.lessor.clone(),
            proposer.clone(),
            leader.clone(),
            config.election_timeout,
            config
                .feature_gates
                .is_enabled(FeatureGate::LeaseCheckpoint),
            Arc::clone(&context.metrics),
        ),
    );
    tasks.spawn_until_stopped("agreement", agreement::duty(config, context).run());
    tasks.spawn_until_stopped(
        "auto compaction",
        duties::run_auto_compaction(
            member_id,
            config.auto_compaction,
            context.store.clone(),
            proposer.clone(),
            leader.clone(),
        ),
    );
    tasks.spawn_until_stopped(
        "cluster version",
        duties::decide_version(member_id, proposer, context.cluster.clone(), leader),
    );
    failure
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Server")
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Publishes this member through the log and starts serving clients.
    ///
    /// # Errors
    /// A client listener cannot be served.
    pub async fn ready(&mut self) -> Result<(), StartError> {
        if let Some(check) = self.initial_check.take() {
            check.run().await;
        }
        let (context, attributes) = (&self.context, self.attributes.clone());
        duties::publish_attributes(&context.proposer, &context.cluster, attributes).await;
        for bound in self.client.drain(..) {
            let url = bound.url.as_str().to_owned();
            let router = self.router.clone();
            let grpc = move |request| router.clone().answer(request);
            let served = self
                .serving
                .serve(bound, grpc, Arc::clone(&self.client_http));
            served.map_err(|source| StartError::Serve { url, source })?;
        }
        Ok(())
    }

    fn serve_metrics(&self, listeners: Vec<Bound>) -> Result<(), StartError> {
        for bound in listeners {
            let url = bound.url.as_str().to_owned();
            let served = self
                .serving
                .serve_http(bound, Arc::clone(&self.metrics_http));
            served.map_err(|source| StartError::Serve { url, source })?;
        }
        Ok(())
    }

    /// Resolves when the member cannot go on; the process must exit with an
    /// error that says why.
    /// The future borrows nothing, so that it can run beside [`Server::ready`].
    pub fn stopped(&self) -> impl Future<Output = MemberEnd> + Send + use<> {
        let (node, mut failure) = (self.node.clone(), self.failure.clone());
        async move {
            tokio::select! {
                reason = node.stopped() => match reason {
                    quoin_raft::StopReason::Removed => MemberEnd::Removed,
                    reason => MemberEnd::Failed(reason.to_string()),
                },
                Ok(reason) = failure.wait_for(Option::is_some) => {
                    MemberEnd::Failed(reason.clone().unwrap_or_default())
                }
            }
        }
    }

    /// Stops in order: endless streams end, other requests are drained,
    /// leadership is handed over, Raft stops, the state is checkpointed.
    pub async fn shutdown(self, patience: Duration) {
        self.hub.close();
        let cut = self.serving.shutdown(patience).await;
        if cut > 0 {
            tracing::info!(
                connections = cut,
                "closed client connections that did not end"
            );
        }
        self.hand_over(patience).await;
        self.tasks.stop();
        self.node.shutdown().await;
        if let Err(error) = self.context.backend.close() {
            tracing::warn!(%error, "the last checkpoint failed; the log has everything");
        }
        self.tasks.join(patience).await;
    }

    /// Moves leadership to another voter, so that the cluster need not wait
    /// for an election.
    async fn hand_over(&self, patience: Duration) {
        let status = self.node.status();
        if !status.running || status.leader != Some(status.member_id) {
            tracing::info!("skipped leadership transfer; local server is not leader");
            return;
        }
        let voters = self
            .node
            .membership()
            .iter()
            .filter(|member| !member.is_learner)
            .count();
        if voters < 2 {
            tracing::info!("skipped leadership transfer for single voting member cluster");
            return;
        }
        tracing::info!("leadership transfer starting");
        match self.node.transfer_leadership(None, patience).await {
            Ok(()) => tracing::info!("leadership transfer finished"),
            Err(error) => tracing::warn!(%error, "leadership transfer failed"),
        }
    }
}
