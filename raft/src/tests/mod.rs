//! Whole members in one process: election, proposals, reads, restarts,
//! snapshots and faults, over memory and over TCP.

mod cluster;
mod disk;
mod entry_codec;
mod examination;
mod faults;
mod frame;
mod full;
pub(crate) mod harness;
mod membership;
pub(crate) mod register;
mod repair;
mod rpc;
mod single;
mod snapshots;
