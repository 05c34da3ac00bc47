//! Replication around openraft.
//!
//! Adds to openraft what it leaves to its user: a log on `quoin_wal` with
//! pooled entry buffers, a framed TCP transport between members, snapshots
//! in verified chunks, forwarding from followers to the leader and batched
//! linearizable reads. The server sees [`Node`], implements [`StateMachine`]
//! and [`LeaderHandler`], and never names openraft.
//!
//! Absences: no key, no protobuf, no gRPC. Payloads are bytes.

mod config;
mod error;
mod log_store;
mod metrics;
mod node;
mod state_machine;

pub use config::{Config, Member, WalConfig};
pub use error::{
    Error, ForwardError, MembershipError, ProposeError, ReadIndexError, StateMachineError,
    StopReason, TransferError,
};
pub use log_store::LogStore;
pub use metrics::{Counter, Metrics};
pub use node::{LeaderHandler, Leadership, MembershipChange, Node, Status};
pub use state_machine::{
    Applied, Committed, LogId, Payload, SnapshotSink, SnapshotSource, StateMachine,
};
