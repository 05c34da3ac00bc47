//! Whole members in one process: election, proposals, reads, restarts,
//! snapshots and faults, over memory and over TCP.

mod cluster;
mod harness;
mod register;
mod single;
