//! Deterministic simulation: several members in one thread, one seed deciding all.
//!
//! The code under test is the real one: openraft, `quoin_raft` with its transport,
//! log store and snapshots, `quoin_wal` with its recovery. Underneath are a network
//! ([`network`]), disks (`disk`, `quoin_raft::storage::FaultyStorage`), clocks (one
//! tokio runtime with paused time per member) and chance ([`process`]) that belong to
//! the seed. Above are clients, and an oracle that looks at every step. A run that
//! breaks a promise ends there; its seed repeats it.
//!
//! Outside: the server's state machine and gRPC (the state is a map of registers whose
//! checkpoint is one atomic cell), TCP itself, and the threads of the log, which the
//! pump stands for.

mod apart;
mod clients;
mod disk;
mod machine;
mod member;
mod nemesis;
pub mod network;
mod oracle;
pub mod process;
pub mod random;
pub mod record;
mod world;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use apart::run_apart;

/// A fault of the simulation itself, to prove that it would be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
pub enum Plant {
    /// One sync in four is answered and not done.
    LyingDisk,
    /// After a crash a member finds its disk as it was one crash earlier: it forgets
    /// votes and entries.
    OldDisk,
    /// A checkpoint says that it covers more than it holds.
    AppliedAheadOfData,
    /// A snapshot leaves out one row.
    SnapshotLosesRow,
    /// Reads do not ask a quorum.
    UncheckedRead,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LyingDisk,
        Self::OldDisk,
        Self::AppliedAheadOfData,
        Self::SnapshotLosesRow,
        Self::UncheckedRead,
    ];
}

/// How a run is made; with the seed it decides everything.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A fault of the simulation itself.
    pub plant: Option<Plant>,
    /// Three members and no faults.
    pub is_calm: bool,
    /// Simulated seconds with faults, at most; at least half of it.
    pub trouble_seconds: u64,
    /// Keep every event as a line.
    pub is_told: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plant: None,
            is_calm: false,
            trouble_seconds: 120,
            is_told: false,
        }
    }
}

/// What a run was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Hash of all events, in hexadecimal.
    pub hash: String,
    /// Number of events.
    pub events: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// Processor time of the process.
    pub cpu_ms: u64,
    /// Acknowledged writes.
    pub writes: u64,
    /// Answered reads.
    pub reads: u64,
    /// Events by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// The first promise that was broken.
    pub violation: Option<String>,
    /// The events, if they were kept.
    pub lines: Vec<String>,
}

/// Runs a seed in this process. It repeats exactly in a process that simulates (see
/// [`process`]) and has run nothing before; [`run_apart`] makes one.
///
/// # Errors
/// The system gave no runtime.
pub fn run(seed: u64, settings: &Settings) -> std::io::Result<Outcome> {
    Ok(world::World::new(seed, settings)?.run(settings))
}
