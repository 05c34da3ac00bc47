//! What a member needs to know to start: identity, first membership, timing
//! and the bounds of what it keeps.
//!
//! Resolved once by the caller into plain values; nothing here is optional
//! and nothing is read from the environment. Every bound that is not worth
//! an option is a constant of `limits` with the reason beside it.

use std::path::PathBuf;
use std::time::Duration;

use crate::blocking::Blocking;

/// One member of the cluster as Raft knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Member id; never reused after a removal.
    pub id: u64,
    /// Human readable name.
    pub name: String,
    /// Addresses peers dial, `http://host:port`; the first that answers wins.
    pub peer_urls: Vec<String>,
    /// True while the member receives the log but has no vote.
    pub is_learner: bool,
}

/// Where and how the write-ahead log is kept.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// Directory of the segments; created when missing.
    pub directory: PathBuf,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Segments prepared ahead and kept for recycling.
    pub spare_segments_count: usize,
    /// Skip every fsync: power loss then loses acknowledged writes.
    pub unsafe_no_fsync: bool,
}

impl WalConfig {
    /// The defaults for a directory: 64 MiB segments, one spare.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            segment_bytes: 64 << 20,
            spare_segments_count: 1,
            unsafe_no_fsync: false,
        }
    }
}

/// Where the tasks of a member run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// On a thread of their own: whatever the caller does, heartbeats go out.
    #[default]
    OwnThread,
    /// On the runtime that starts the member, and until that ends. Nothing
    /// crosses threads between a request and its entry, which saves a fifth of
    /// the CPU of a write where processors are few; whatever else runs there
    /// must yield well within a heartbeat interval.
    CallersRuntime,
}

/// Everything [`crate::Node`] and [`crate::LogStore`] need.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member.
    pub member_id: u64,
    /// The cluster; a peer of another cluster is refused at the handshake.
    pub cluster_id: u64,
    /// First membership, used only when the log is new. Empty means "join":
    /// wait until the leader of an existing cluster makes contact.
    pub members: Vec<Member>,
    /// Ids that no peer may come with, beside those that the state knows to be
    /// removed. See [`crate::LogStore::force_alone`].
    pub refused_members: Vec<u64>,
    /// Time between two heartbeats of the leader.
    pub heartbeat_interval: Duration,
    /// Upper bound of the election timeout; the lower one is half of it.
    pub election_timeout: Duration,
    /// Applied entries between two checkpoints of the state machine.
    pub snapshot_count: u64,
    /// Entries kept below a checkpoint for slow followers.
    pub kept_entries_count: u64,
    /// Bytes of entries kept below a checkpoint; the smaller bound wins. Entries
    /// after a snapshot that is being sent are kept up to this bound alone.
    pub kept_bytes_max: u64,
    /// Snapshots sent to other members at once; others wait. Each takes a few
    /// megabytes, one disk's reads and a share of a core.
    pub snapshots_at_once: usize,
    /// How long both sides of a broken snapshot transfer keep what they have.
    pub snapshot_kept: Duration,
    /// Bytes of recent entries held in memory for apply and replication; those that
    /// are applied are bounded in number too. Their buffers are used again only
    /// once they leave, so more is not better; a follower that is further behind
    /// is served from the log files.
    pub cache_bytes_max: usize,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// Where the tasks of the member run.
    pub placement: Placement,
    /// Who waits for disks on behalf of them.
    pub blocking: Blocking,
    /// Whether the member stands for election; see [`crate::Node::set_standing`].
    pub stands: bool,
}

impl Config {
    /// A configuration with the default timing and bounds.
    pub fn new(member_id: u64, cluster_id: u64, members: Vec<Member>, wal: WalConfig) -> Self {
        Self {
            member_id,
            cluster_id,
            members,
            refused_members: Vec::new(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            snapshot_count: 10_000,
            kept_entries_count: 5_000,
            kept_bytes_max: 256 << 20,
            snapshots_at_once: 2,
            snapshot_kept: Duration::from_secs(60),
            cache_bytes_max: 4 << 20,
            wal,
            placement: Placement::default(),
            blocking: Blocking::default(),
            stands: true,
        }
    }
}
