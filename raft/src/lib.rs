//! Replication around openraft.
//!
//! Adds to openraft what it leaves to its user: a log on `quoin_wal` with
//! pooled entry buffers, a framed TCP transport between members, snapshots
//! in verified chunks, forwarding from followers to the leader and batched
//! linearizable reads. The server sees [`Node`], implements [`StateMachine`]
//! and [`LeaderHandler`], and never names openraft.
//!
//! Absences: no key, no protobuf, no gRPC. Payloads are bytes.

mod acknowledged;
mod applier;
mod blocking;
mod config;
mod contact;
mod core;
mod disk_watch;
mod error;
mod forward;
mod incoming;
mod log_store;
mod membership;
mod metrics;
mod network;
mod node;
mod read_index;
mod repair;
mod rpc;
mod shared;
mod snapshot;
mod stages;
mod standing;
mod state_machine;
pub mod transport;
mod types;

#[cfg(test)]
mod tests;

pub use blocking::Blocking;
pub use config::{Config, Member, Placement, WalConfig};
pub use error::{
    Error, ForwardError, MembershipError, ProposeError, ReadIndexError, ReplaceError,
    StateMachineError, StopReason, TransferError,
};
pub use log_store::entry_pool::{EntryBuffer, EntryPool};
pub use log_store::{Durable, Entries, LogExamination, LogStore, Quorums};
pub use metrics::{Counter, Metrics};
pub use node::{LeaderHandler, Leadership, MembershipChange, Node, Status};
/// Version of the log's format that this build writes and reads.
pub use quoin_wal::FORMAT_VERSION as LOG_FORMAT_VERSION;
/// Durations by bucket, and the upper bounds of the buckets in microseconds.
pub use quoin_wal::{DURATION_BUCKET_BOUNDS, Histogram};
/// Works a log without threads, see [`LogStore::open_pumped`], and what it may lie on.
pub use quoin_wal::{Pump, storage};
pub use stages::Stages;
pub use state_machine::{
    Applied, Committed, LogId, Payload, SnapshotSink, SnapshotSource, StateMachine,
};
pub use transport::{Roster, RosterError, answer_during, ask_roster};
