//! The replicated state machine: what each committed command does.
//!
//! Everything here runs on every member, in log order, and must come to the
//! same result on all of them: no clock, no randomness, no local settings
//! except those that decide what is *answered* rather than what is *done*.
//! One Raft entry is one [`crate::mvcc::WriteTransaction`]: its changes and
//! its log id become visible, and later durable, in one step.

mod applier;
mod brief;
mod compaction;
mod kv;
mod long;
mod query;
mod snapshot;
mod tally;
mod txn;

pub(crate) use applier::{Applier, Parts};
pub(crate) use brief::{Brief, Key};
pub(crate) use compaction::{CompactionWatch, Pace, run_compactions};
pub(crate) use long::{is_long_range, is_long_txn};
pub(crate) use query::range_query;
#[expect(
    unreachable_pub,
    reason = "a source of the public `bootstrap::StartError`"
)]
pub use snapshot::SmallStateError;
pub(crate) use snapshot::{applied, reload_small_state};
pub(crate) use tally::Tally;
pub(crate) use txn::read_only_txn;

#[cfg(test)]
mod tests;
