//! Whole members in one process: election, proposals, reads, restarts,
//! snapshots and faults, over memory and over TCP.

mod cluster;
mod faults;
pub(crate) mod harness;
mod membership;
pub(crate) mod register;
mod single;
