//! The resolved configuration: checked values, no `Option`, no text to parse.
//!
//! Built only by this module's siblings (flags, environment, file); users read
//! fields. A limit's zero that means "default" in etcd is already replaced by
//! that default here, so that nobody downstream has to know the convention.

use std::path::PathBuf;
use std::time::Duration;

use super::feature_gates::FeatureGates;
use super::url::Url;

/// All settings of one member.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Human-readable member name; the key of this member in `initial_cluster`.
    pub name: String,
    /// Directory that holds everything of this member.
    pub data_directory: PathBuf,
    /// Directory of the write-ahead log; below `data_directory` unless given.
    pub wal_directory: PathBuf,
    /// Whether `--wal-dir` named a directory of its own.
    pub wal_directory_dedicated: bool,
    /// Where other members are accepted.
    pub listen_peer_urls: Vec<Url>,
    /// Where clients are accepted (gRPC, and HTTP unless the next is set).
    pub listen_client_urls: Vec<Url>,
    /// HTTP-only client listeners; when any, `listen_client_urls` are gRPC only.
    pub listen_client_http_urls: Vec<Url>,
    /// Extra listeners for metrics and health.
    pub listen_metrics_urls: Vec<Url>,
    /// Peer URLs told to the other members, sorted.
    pub advertise_peer_urls: Vec<Url>,
    /// Client URLs published through the log, sorted.
    pub advertise_client_urls: Vec<Url>,
    /// The bootstrap membership, one element per name, sorted by name.
    pub initial_cluster: Vec<InitialMember>,
    /// Domain whose SRV records list the initial cluster on first boot, which is
    /// then empty here; empty without discovery.
    pub discovery_srv: String,
    /// Suffix of the services below that domain; may be empty.
    pub discovery_srv_name: String,
    /// Whether a first boot creates a cluster or joins one.
    pub initial_cluster_state: ClusterState,
    /// Mixed into member and cluster ids on first boot.
    pub initial_cluster_token: String,
    /// Interval between the leader's heartbeats.
    pub heartbeat_interval: Duration,
    /// Longest silence before an election starts.
    pub election_timeout: Duration,
    /// Whether a booting member shortens its first election wait.
    pub initial_election_tick_advance: bool,
    /// Applied entries between two snapshots of the state machine.
    pub snapshot_count: u64,
    /// Log entries kept behind a snapshot for slow followers.
    pub snapshot_catchup_entries_count: u64,
    /// Bound of the database, past which writes raise the NOSPACE alarm.
    pub quota: Quota,
    /// What the leader compacts by itself.
    pub auto_compaction: AutoCompaction,
    /// How often the leader lets all members compare what they have stored.
    pub corrupt_check_interval: Option<Duration>,
    /// The same, if there was a compaction since.
    pub compact_hash_check_interval: Option<Duration>,
    /// How often the leader lets all members compare their states; zero: only
    /// after many entries.
    pub state_digest_interval: Duration,
    /// Keys handled by one step of a compaction.
    pub compaction_batch_limit: usize,
    /// Pause between two steps of a compaction.
    pub compaction_sleep_interval: Duration,
    /// Operations allowed in one branch of a transaction.
    pub max_txn_ops: usize,
    /// Bytes allowed in one replicated command.
    pub max_request_bytes: usize,
    /// HTTP/2 streams allowed at a time on one connection.
    pub max_concurrent_streams: u32,
    /// Ping policy of client connections.
    pub keepalive: Keepalive,
    /// Silence after which a watcher that asked for it gets a progress mark.
    pub watch_progress_notify_interval: Duration,
    /// An apply slower than this is logged.
    pub warning_apply_duration: Duration,
    /// A unary call slower than this is logged.
    pub warning_unary_request_duration: Duration,
    /// Refuse membership changes that would endanger the quorum.
    pub strict_reconfig_check: bool,
    /// Ask for votes before raising the term.
    pub pre_vote: bool,
    /// Learners allowed in the membership.
    pub max_learners_count: usize,
    /// Lifetime of a simple auth token that is not used.
    pub auth_token_ttl: Duration,
    /// Cost of the password hash, 4..=31.
    pub bcrypt_cost: u32,
    /// Origins answered with CORS headers.
    pub cors: CorsOrigins,
    /// Host names accepted from plain HTTP clients; empty accepts all.
    pub host_whitelist: Vec<String>,
    /// Whether the JSON gateway is wanted.
    pub enable_grpc_gateway: bool,
    /// Whether per-call latency histograms are exported (`--metrics=extensive`).
    pub metrics_extensive: bool,
    /// Whether profiles are served below `/debug/pprof/`.
    pub enable_pprof: bool,
    /// Whether log and checkpoints are really synced; false loses data.
    pub fsync: bool,
    /// Whether this member is to be the only one of its cluster from now on.
    pub force_new_cluster: bool,
    /// Feature gates and whether each was set.
    pub feature_gates: FeatureGates,
    /// Where and how log lines go out.
    pub logs: LogsConfig,
    /// Storage engine and memory bounds.
    pub backend: BackendConfig,
    /// Log bytes kept at most behind a snapshot for slow followers.
    pub wal_kept_bytes_max: u64,
    /// Threads that serve clients beside the Raft thread; 0: the Raft thread
    /// serves them.
    pub rpc_threads_count: usize,
}

impl ServerConfig {
    /// Peer URLs of all members of `--initial-cluster` but this one.
    pub fn other_peer_urls(&self) -> Vec<String> {
        let members = self.initial_cluster.iter();
        let others = members.filter(|member| member.name != self.name);
        others.flat_map(InitialMember::peer_url_texts).collect()
    }

    /// The time a replicated request or linearizable read may take: five
    /// seconds for the disk and twice the election timeout for a new leader.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + self.election_timeout * 2
    }

    /// Directory of the state machine's files.
    pub fn snapshot_directory(&self) -> PathBuf {
        self.member_directory().join("snap")
    }

    /// Directory below the data directory that marks an initialised member.
    pub fn member_directory(&self) -> PathBuf {
        self.data_directory.join("member")
    }

    /// Largest gRPC message accepted: a request and its framing.
    pub fn grpc_receive_bytes_max(&self) -> usize {
        self.max_request_bytes.saturating_add(GRPC_OVERHEAD_BYTES)
    }
}

/// One name of `--initial-cluster` with its peer URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// The member's `--name`.
    pub name: String,
    /// Its peer URLs, sorted.
    pub peer_urls: Vec<Url>,
}

impl InitialMember {
    /// The peer URLs as text, sorted.
    pub fn peer_url_texts(&self) -> Vec<String> {
        self.peer_urls
            .iter()
            .map(|url| url.as_str().to_owned())
            .collect()
    }
}

/// `--initial-cluster-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Bootstrap a new cluster.
    New,
    /// Join a running one.
    Existing,
}

impl ClusterState {
    /// The flag's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// Bound of the database size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Not configured: 2 GiB.
    Default,
    /// Configured number of bytes.
    Bytes(u64),
    /// Configured as negative: no bound.
    Disabled,
}

impl Quota {
    /// The effective bound in bytes; `u64::MAX` when there is none.
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Default => QUOTA_DEFAULT_BYTES,
            Self::Bytes(bytes) => bytes,
            Self::Disabled => u64::MAX,
        }
    }

    /// The number to show, in etcd's sign convention: 0 when disabled.
    pub fn shown_bytes(self) -> u64 {
        match self {
            Self::Disabled => 0,
            other => other.bytes_max(),
        }
    }
}

/// What the leader compacts without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nothing.
    Off,
    /// Revisions older than this age.
    Periodic(Duration),
    /// All but this many of the latest revisions.
    Revision(i64),
}

/// Ping policy of client connections; zero durations switch a part off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Clients that ping more often than this are sent away.
    pub client_interval_min: Duration,
    /// The server pings a silent client this often.
    pub interval: Duration,
    /// A ping not answered for this long ends the connection.
    pub timeout: Duration,
}

/// Which origins `--cors` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Every origin.
    All,
    /// Exactly these.
    Listed(Vec<String>),
}

/// Where and how log lines go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsConfig {
    /// Least severe level written.
    pub level: LogLevel,
    /// JSON lines or text.
    pub format: LogFormat,
    /// Targets; every line goes to each. Empty discards.
    pub outputs: Vec<LogOutput>,
}

/// `--log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    Info,
    /// Warnings and worse.
    Warn,
    /// Errors and worse.
    Error,
    /// Panics and fatal lines.
    Panic,
    /// Only the line before an exit.
    Fatal,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Tab-separated text with the fields as JSON at the end.
    Console,
}

/// One element of `--log-outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error (also the word `default`).
    Stderr,
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// Storage engine and its memory bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    /// Which engine keeps the blocks.
    pub engine: Engine,
    /// Bytes of not yet checkpointed revisions, past which proposals slow down.
    pub hot_bytes_max: u64,
    /// Bytes of blocks cached for reads.
    pub cache_bytes_max: u64,
}

/// `--backend-engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// sled, the default.
    Sled,
    /// redb.
    Redb,
    /// Nothing on disk: for tests.
    Memory,
}

impl Engine {
    /// The flag's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Memory => "memory",
        }
    }
}

/// What a gRPC message may be larger than the request it carries.
const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;
/// The quota when none is configured.
const QUOTA_DEFAULT_BYTES: u64 = 2 * 1024 * 1024 * 1024;
