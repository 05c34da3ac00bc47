//! What a member does by itself, besides answering requests.
//!
//! Leader only: expiring leases, compacting automatically, deciding the
//! feature level, asking for comparisons of the state. Every member: publishing
//! its own attributes, and acting on comparisons. All of it goes through the log
//! like a client's request, so a duty carried out twice, or by a leader that was
//! just deposed, does no harm.

mod agreement;
mod auto_compaction;
mod hashing;
mod initial_check;
mod lease_expiry;
mod publish;

pub(crate) use agreement::AgreementDuty;
pub(crate) use auto_compaction::run as run_auto_compaction;
pub(crate) use hashing::HashChecks;
pub(crate) use initial_check::InitialCheck;
pub(crate) use lease_expiry::run as run_lease_expiry;
pub(crate) use publish::{decide_version, publish_attributes};
