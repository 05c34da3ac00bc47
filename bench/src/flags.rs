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
    /// Read one key per request, or many; fills the key space first.
    Range(RangeFlags),
    /// Update keys where mod_revision is the one last seen.
    Txn(TxnFlags),
    /// Deliver events to many watchers; counts events.
    Watch(WatchFlags),
    /// Start watchers in the past; counts those that caught up.
    CatchUp(CatchUpFlags),
    /// Grant leases, which are left to run out.
    Grant(LeaseFlags),
    /// Renew leases, one per client.
    Lease(LeaseFlags),
    /// Update, list, watch and expire objects as an API server does.
    Mixed(MixedFlags),
    /// Measure the time from start to the first answer, and idle memory.
    Ready(ReadyFlags),
    /// Compare Quoin with etcd on this machine and write a report.
    Compare(CompareFlags),
    /// Put beside a compaction of a large history, and without.
    Compaction(CompactionFlags),
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
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
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
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
    pub value_bytes: usize,
    /// Rows of each reply.
    #[arg(long, default_value_t = 1)]
    pub rows: u64,
    /// Read all keys with each request, without a limit.
    #[arg(long, conflicts_with = "rows")]
    pub all: bool,
    /// Read what the member has, without asking the leader.
    #[arg(long)]
    pub serializable: bool,
    /// Ask for a stream of chunks (RangeStream).
    #[arg(long)]
    pub stream: bool,
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
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
    pub value_bytes: usize,
}

/// Flags of `watch`.
#[derive(Args, Debug)]
pub struct WatchFlags {
    /// The load; the clients write, the rate is that of writes.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Watchers of all streams together.
    #[arg(long, default_value_t = 1000)]
    pub watchers: usize,
    /// Streams, which share the connections; without it, one per watcher.
    #[arg(long)]
    pub streams: Option<usize>,
    /// Different keys, written at random; each watcher watches one.
    #[arg(long, default_value_t = 1)]
    pub keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
    pub value_bytes: usize,
}

/// Flags of `catch-up`.
#[derive(Args, Debug)]
pub struct CatchUpFlags {
    /// The load; each client is one watcher after another.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Events of the past, written before the first watcher.
    #[arg(long, default_value_t = 10_000)]
    pub events: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
    pub value_bytes: usize,
}

/// Flags of `lease` and `grant`.
#[derive(Args, Debug)]
pub struct LeaseFlags {
    /// The load.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Time to live of each lease, in seconds.
    #[arg(long, default_value_t = 3_600)]
    pub ttl: i64,
}

/// Flags of `mixed`.
#[derive(Args, Debug)]
pub struct MixedFlags {
    /// The load; the clients send requests.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Watchers of all objects, each on its own stream, beside the clients.
    #[arg(long, default_value_t = 20)]
    pub watchers: usize,
    /// Objects; written before the first request.
    #[arg(long, default_value_t = 5_000)]
    pub objects: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1024, value_parser = value_bytes)]
    pub value_bytes: usize,
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

/// Flags of `compaction`.
#[derive(Args, Clone, Debug)]
pub struct CompactionFlags {
    /// The Quoin binary; without it, built first if necessary.
    #[arg(long)]
    pub quoin: Option<PathBuf>,
    /// Rounds, each on an empty directory.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Keys of the history.
    #[arg(long, default_value_t = 50_000)]
    pub keys: u64,
    /// How often each is written.
    #[arg(long, default_value_t = 16)]
    pub times: usize,
    /// Bytes of every value.
    #[arg(long, default_value_t = 1024)]
    pub value_bytes: usize,
    /// Clients that put while it is measured.
    #[arg(long, default_value_t = 100)]
    pub clients: usize,
    /// Connections that they share.
    #[arg(long, default_value_t = 10)]
    pub connections: usize,
    /// Puts per second while it is measured (open loop).
    #[arg(long, default_value_t = 1000.0)]
    pub rate: f64,
    /// Seconds measured, without a compaction and beside it.
    #[arg(long, default_value_t = 30.0)]
    pub seconds: f64,
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
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Seconds of warm-up before each.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Bytes of each value, where a work does not say otherwise.
    #[arg(long, default_value_t = 256, value_parser = value_bytes)]
    pub value_bytes: usize,
    /// Keys written before resident memory and restart are measured.
    #[arg(long, default_value_t = 1_000_000)]
    pub loaded_keys: u64,
    /// One round, short times and a tenth of the keys: shows that everything
    /// runs, and nothing else.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "warm_up", "loaded_keys"])]
    pub quick: bool,
    /// Gibibytes written to one Quoin member in the end, to compare its puts
    /// before and after; takes minutes and three times the space. Not done
    /// without this flag.
    #[arg(long)]
    pub growth: Option<u64>,
    /// Run only the work of this name, or those whose names start with it; may
    /// be repeated.
    #[arg(long)]
    pub only: Vec<String>,
    /// Folder of the report.
    #[arg(long, default_value = "docs/benchmarks")]
    pub output: PathBuf,
}

impl CompareFlags {
    /// The flags with what `quick` stands for filled in.
    #[must_use]
    pub fn resolved(mut self) -> Self {
        if self.quick {
            self.rounds = 1;
            self.seconds = 1.0;
            self.warm_up = 0.5;
            self.loaded_keys = 100_000;
        }
        self
    }
}

/// Sizes that a value may have: room for a time in front, and below what a
/// server takes in one request.
const VALUE_BYTES: std::ops::RangeInclusive<usize> = 16..=1 << 20;

fn value_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse::<usize>().map_err(|error| error.to_string())?;
    if VALUE_BYTES.contains(&bytes) {
        return Ok(bytes);
    }
    let (least, most) = (VALUE_BYTES.start(), VALUE_BYTES.end());
    Err(format!("a value has {least} to {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_sixteen_bytes_to_a_mebibyte() {
        assert_eq!(value_bytes("16"), Ok(16));
        assert_eq!(value_bytes("1048576"), Ok(1 << 20));
        assert!(value_bytes("15").is_err() && value_bytes("x").is_err());
    }

    #[test]
    fn quick_stands_for_one_short_round() {
        let flags = Flags::parse_from(["quoin-bench", "compare", "--quick"]);
        let Command::Compare(flags) = flags.command else {
            panic!("not compare");
        };
        let flags = flags.resolved();
        assert_eq!((flags.rounds, flags.loaded_keys), (1, 100_000));
        assert!(Flags::try_parse_from(["b", "compare", "--quick", "--rounds", "2"]).is_err());
    }
}
