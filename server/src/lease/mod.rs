//! Leases: keys that die with their owner.
//!
//! Two parts in one place. What is replicated (which leases exist, their TTL,
//! their keys) changes only at apply and is the same on every member. When a
//! lease expires is decided by the leader alone, in monotonic time, and becomes
//! true by a revoke through the log. Time comes in as an argument; nothing here
//! writes rows or keys: it says what is to be written.

mod error;
mod expiry_queue;
mod lessor;
mod record;
mod state;

#[cfg(test)]
mod tests;

pub use error::{GrantError, LeaseNotFound, RecoverError, RenewError};
pub use lessor::{Lessor, TTL_SECONDS_MAX};
pub use record::LeaseRow;
pub use state::{Config, DueCheckpoint, Granted, LeaseInfo, Remaining, Renewal, Revoked};
