//! Clusters of real processes: replication, crashes, quorum, partitions, shutdown.
//!
//! `QUOIN_ROUNDS` sets the rounds of the kill tests (3 by default); other
//! settings are in docs/TESTING.md.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

mod bad_input;
mod catch_up;
mod corruption;
mod crash;
mod diagnostics;
mod digest;
mod discovery;
mod etcd_file;
mod force_new_cluster;
mod leaks;
mod membership;
mod metrics;
mod offline;
mod partition;
mod quorum;
mod recover;
mod replication;
mod shutdown;
mod space;
mod support;
mod transfers;
mod upgrade;
mod wrong_data;
