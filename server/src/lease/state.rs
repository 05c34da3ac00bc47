//! One lease, and the words in which the lessor answers.
//!
//! TTLs are whole seconds, as in the API. Deadlines exist on the leader alone
//! and never reach the log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::LeaseRow;

/// Settings of a lessor.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shorter TTLs are raised to this before they are proposed: 1.5 election
    /// timeouts, in whole seconds rounded up, so that a lease outlives the choice
    /// of a new leader.
    pub ttl_seconds_min: i64,
    /// Whether the leader replicates remaining times.
    pub has_checkpoints: bool,
    /// How often it does so for one lease; shorter leases have no checkpoints.
    pub checkpoint_interval: Duration,
    /// An expired lease whose revoke has not been applied is named again after
    /// this long.
    pub expired_retry_interval: Duration,
}

impl Config {
    /// The usual settings for an election timeout of `election_timeout`.
    pub fn new(election_timeout: Duration) -> Self {
        let seconds = (election_timeout * 3 / 2).as_millis().div_ceil(1000);
        Self {
            ttl_seconds_min: i64::try_from(seconds).unwrap_or(i64::MAX).max(1),
            has_checkpoints: false,
            checkpoint_interval: Duration::from_secs(5 * 60),
            expired_retry_interval: Duration::from_secs(3),
        }
    }
}

/// A lease was granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Granted {
    /// Granted TTL in seconds.
    pub ttl: i64,
    /// To be written in the same step.
    pub row: LeaseRow,
}

/// A lease was removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// Its keys in ascending order, to be deleted in the same step.
    pub keys: Vec<Bytes>,
    /// To be removed in the same step.
    pub row: LeaseRow,
}

/// A lease was renewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Renewal {
    /// Granted TTL in seconds: from now on, this much is left.
    pub ttl: i64,
    /// A remaining time was replicated and no longer holds: a checkpoint of 0
    /// is to go through the log.
    pub clears_checkpoint: bool,
}

/// How much of a lease is left, on the leader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remaining {
    /// Granted TTL in seconds.
    pub ttl: i64,
    /// Whole seconds left, rounded down; 0 if it ran out and is not yet revoked.
    pub seconds: i64,
}

/// The replicated part of a lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseInfo {
    /// Granted TTL in seconds.
    pub ttl: i64,
    /// Seconds left at the last checkpoint; 0 if there is none.
    pub remaining_ttl: i64,
    /// Keys in ascending order.
    pub keys: Vec<Bytes>,
}

/// A remaining time that is to be replicated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DueCheckpoint {
    /// The lease.
    pub id: i64,
    /// Seconds left, rounded up.
    pub remaining_ttl: i64,
}

/// One lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// Granted TTL in seconds.
    pub(super) ttl: i64,
    /// Seconds left at the last checkpoint; 0 if there is none.
    pub(super) remaining_ttl: i64,
    /// Copies, so that no storage is held through them.
    pub(super) keys: BTreeSet<Box<[u8]>>,
    /// When it expires; only on the leader.
    pub(super) deadline: Option<Instant>,
    /// Time of its one valid entry in the expiry queue.
    pub(super) expiry_entry: Option<Instant>,
    /// Time of its one valid entry in the checkpoint queue.
    pub(super) checkpoint_entry: Option<Instant>,
}

impl Lease {
    pub(super) fn new(ttl: i64, remaining_ttl: i64) -> Self {
        Self {
            ttl,
            remaining_ttl,
            keys: BTreeSet::new(),
            deadline: None,
            expiry_entry: None,
            checkpoint_entry: None,
        }
    }

    /// The replicated time left: the checkpoint's, else all of it.
    pub(super) fn replicated_ttl(&self) -> i64 {
        if self.remaining_ttl > 0 {
            self.remaining_ttl
        } else {
            self.ttl
        }
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn shared_keys(&self) -> Vec<Bytes> {
        self.keys
            .iter()
            .map(|key| Bytes::copy_from_slice(key))
            .collect()
    }

    /// Forgets the leader's part.
    pub(super) fn forget_time(&mut self) {
        self.deadline = None;
        self.expiry_entry = None;
        self.checkpoint_entry = None;
    }
}
