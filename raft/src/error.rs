//! Errors of this crate, one enum per operation.
//!
//! The distinction that matters to a caller is kept in the variants: a
//! proposal that certainly is not in the log (`NotAppended`, safe to send
//! again) and one whose fate is open (`Unknown`, never sent again by us).

use std::sync::Arc;

/// A log store or a node that could not be opened or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The write-ahead log failed.
    #[error("write-ahead log: {0}")]
    Wal(#[from] quoin_wal::Error),
    /// A stored vote, commit mark or membership does not decode.
    #[error("stored {what} is corrupt: {reason}")]
    Corrupt {
        /// Which record.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of the configuration cannot work.
    #[error("configuration: {0}")]
    Config(String),
    /// Sockets, threads or the runtime could not be set up.
    #[error("start: {0}")]
    Io(#[from] std::io::Error),
    /// openraft refused to start.
    #[error("consensus: {0}")]
    Raft(String),
}

impl Error {
    /// A member has the log open.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Wal(quoin_wal::Error::Locked { .. }))
    }
}

/// Why a proposal was not confirmed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposeError {
    /// Certainly not in the log: refused before it was appended.
    #[error("proposal not appended: {0}")]
    NotAppended(String),
    /// It may or may not be committed.
    #[error("outcome of the proposal is unknown: {0}")]
    Unknown(String),
    /// This member has stopped; the proposal was not appended by it.
    #[error("the member has stopped")]
    Stopped,
}

/// Why no read index could be had.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadIndexError {
    /// The member is not part of the cluster or was refused.
    #[error("read index refused: {0}")]
    Refused(String),
    /// This member has stopped.
    #[error("the member has stopped")]
    Stopped,
}

/// Why a request to the leader failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardError {
    /// The handler of the leader answered with an error.
    #[error("{0}")]
    Handler(String),
    /// The leader could not be reached or went away; the request may have run.
    #[error("leader unavailable: {0}")]
    Unavailable(String),
    /// This member has stopped.
    #[error("the member has stopped")]
    Stopped,
}

/// Why leadership did not move.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// This member does not lead.
    #[error("not the leader")]
    NotLeader,
    /// No voter is close enough to the end of the log, or the named one is none.
    #[error("no member can take over the leadership")]
    NoTarget,
    /// No new leader appeared in time.
    #[error("leadership did not move in time")]
    Timeout,
    /// This member has stopped.
    #[error("the member has stopped")]
    Stopped,
}

/// Why the state was not replaced by the leader's. Unless the member has stopped,
/// it has the state it had.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceError {
    /// Another call does it already.
    #[error("the state is being replaced already")]
    InProgress,
    /// Nobody is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// This member leads: there is nobody to ask.
    #[error("this member leads; it has to hand over first")]
    Leads,
    /// The state did not arrive.
    #[error("the leader's state did not arrive: {0}")]
    Transfer(String),
    /// The local log does not reach what arrived.
    #[error("the log here does not reach entry {index} of the leader's state: {reason}")]
    LogBehind {
        /// Up to where the state that arrived goes.
        index: u64,
        /// What was waited for.
        reason: String,
    },
    /// This member has stopped.
    #[error("the member has stopped")]
    Stopped,
}

/// Why the membership was not changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipError {
    /// This member does not lead; the leader, when known, is given.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this member knows.
        leader: Option<u64>,
    },
    /// The named member does not exist.
    #[error("member {0} not found")]
    NotFound(u64),
    /// The member exists already.
    #[error("member {0} exists already")]
    Exists(u64),
    /// The learner is too far behind to vote.
    #[error("learner {0} is not in sync with the leader")]
    NotReady(u64),
    /// Another change is in progress, or the change is not allowed.
    #[error("membership change refused: {0}")]
    Refused(String),
    /// The change may or may not happen.
    #[error("outcome of the membership change is unknown: {0}")]
    Unknown(String),
    /// This member has stopped.
    #[error("the member has stopped")]
    Stopped,
}

/// Why a member stopped by itself. The process must exit.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// Storage failed or openraft met a state it cannot continue from.
    #[error("fatal: {0}")]
    Fatal(String),
    /// The thread of the member panicked.
    #[error("the consensus thread panicked")]
    Panicked,
    /// The cluster has removed this member.
    #[error("removed from the cluster")]
    Removed,
    /// [`crate::Node::shutdown`] was called.
    #[error("shut down")]
    Shutdown,
}

/// A failure inside the state machine: always fatal for the member.
#[derive(Clone, Debug, thiserror::Error)]
#[error("state machine: {0}")]
pub struct StateMachineError(Arc<dyn std::error::Error + Send + Sync>);

impl StateMachineError {
    /// Wraps any error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }
}
