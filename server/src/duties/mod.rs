//! What a member does by itself, besides answering requests.
//!
//! Leader only: expiring leases, compacting automatically, deciding the
//! feature level. Every member: publishing its own attributes. All of it goes
//! through the log like a client's request, so a duty carried out twice, or by
//! a leader that was just deposed, does no harm.

mod auto_compaction;
mod lease_expiry;
mod publish;

pub(crate) use auto_compaction::run as run_auto_compaction;
pub(crate) use lease_expiry::run as run_lease_expiry;
pub(crate) use publish::{decide_version, publish_attributes};
