//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// Load generator for endpoints of the etcd v3 API.
#[derive(Debug, Parser)]
#[command(name = "quoin-bench", version)]
pub struct Flags {
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
}

/// What to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write keys.
    Put(PutFlags),
    /// Read one key per request, or several; fills the key space first.
    Range(RangeFlags),
    /// Update keys where mod_revision is the one last seen.
    Txn(TxnFlags),
    /// Deliver events to many watchers; counts events.
    Watch(WatchFlags),
    /// Renew leases, one per client.
    Lease(LeaseFlags),
    /// Measure the time from start to the first answer, and idle memory.
    Ready(ReadyFlags),
    /// Compare Quoin with etcd on this machine and write a report.
    Compare(CompareFlags),
}

/// Flags of every load.
#[derive(Args, Clone, Debug)]
pub struct LoadFlags {
    /// Client addresses; connections are spread over them in turn.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    pub endpoints: Vec<SocketAddr>,
    /// Clients, each with one request in flight.
    #[arg(long, default_value_t = 1000)]
    pub clients: usize,
    /// Connections that the clients share.
    #[arg(long, default_value_t = 100)]
    pub connections: usize,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Requests per second (open loop); without it, each client sends as soon
    /// as it was answered (closed loop).
    #[arg(long)]
    pub rate: Option<f64>,
    /// Seconds before measuring.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Seconds measured.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Process ids of servers on this machine, to measure what they spend.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Folder of the servers' data on this machine, to measure what reaches
    /// its device.
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

/// Flags of `put`.
#[derive(Args, Debug)]
pub struct PutFlags {
    /// The load.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Number of different keys.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256)]
    pub value_bytes: usize,
    /// Write keys in order, not at random.
    #[arg(long)]
    pub sequential: bool,
}

/// Flags of `range`.
#[derive(Args, Debug)]
pub struct RangeFlags {
    /// The load.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Number of different keys; written before the first read.
    #[arg(long, default_value_t = 10_000)]
    pub keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256)]
    pub value_bytes: usize,
    /// Rows of each reply.
    #[arg(long, default_value_t = 1)]
    pub rows: u64,
    /// Read what the member has, without asking the leader.
    #[arg(long)]
    pub serializable: bool,
}

/// Flags of `txn`.
#[derive(Args, Debug)]
pub struct TxnFlags {
    /// The load.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Number of different keys, shared out among the clients.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256)]
    pub value_bytes: usize,
}

/// Flags of `watch`.
#[derive(Args, Debug)]
pub struct WatchFlags {
    /// The load; the clients write, the rate is that of writes.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Watchers, each on its own stream.
    #[arg(long, default_value_t = 1000)]
    pub watchers: usize,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256)]
    pub value_bytes: usize,
}

/// Flags of `lease`.
#[derive(Args, Debug)]
pub struct LeaseFlags {
    /// The load.
    #[command(flatten)]
    pub load: LoadFlags,
}

/// Flags of `ready`.
#[derive(Args, Debug)]
pub struct ReadyFlags {
    /// The server; without it Quoin, built first if necessary.
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Starts, each on an empty directory.
    #[arg(long, default_value_t = 10)]
    pub tries: usize,
}

/// Flags of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareFlags {
    /// The etcd binary; without it, looked for in PATH and in the cache folder.
    #[arg(long)]
    pub etcd: Option<PathBuf>,
    /// The Quoin binary; without it, built first if necessary.
    #[arg(long)]
    pub quoin: Option<PathBuf>,
    /// Rounds; each runs both systems, in alternating order.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds measured for each work in each round.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds of warm-up before each.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Run only works whose name starts with this; may be repeated.
    #[arg(long)]
    pub only: Vec<String>,
    /// Folder of the report.
    #[arg(long, default_value = "docs/benchmarks")]
    pub output: PathBuf,
}
