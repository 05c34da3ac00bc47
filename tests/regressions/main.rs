//! Wrong answers and lost writes that etcd once had, provoked on real processes.
//!
//! Each test bears the number of the thread that tells of the bug.
//! `docs/regressions.md` lists all of them, those included that are tested where
//! the cause can be reached: in a log, a store or a Raft node alone.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

mod apply;
mod churn;
mod lease;
mod maintenance;
mod membership;
mod reads;
#[expect(dead_code, reason = "the cluster suite uses the rest")]
#[path = "../cluster/support.rs"]
mod support;
mod watch;
