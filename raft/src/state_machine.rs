//! The trait the server implements: apply, checkpoint, snapshot out and in.
//!
//! Everything is called serially in log order, on the raft thread; only the
//! chunk functions of snapshots, and `apply` of an entry that `is_long`, run on
//! a blocking thread. Payloads are bytes:
//! this crate knows no key. Log indexes seen here start at 1 (openraft's
//! bootstrap entry, its index 0, is our index 1), everywhere and consistently.
//!
//! Obligations: `apply` is deterministic and its effects are visible to local
//! reads when it returns; entries at or below `applied()` are never given
//! again to the same state, but after a restart entries above the last
//! checkpoint are.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::config::Member;
use crate::error::StateMachineError;
use crate::stages::Stages;

/// Position of an entry; `index` starts at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// Place in the log.
    pub index: u64,
}

/// How far a state is applied. Persist both fields together with the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Last applied entry; `None` for an empty state.
    pub log_id: Option<LogId>,
    /// The last [`Payload::Membership`] `encoded` that was applied.
    pub membership: Option<Bytes>,
}

/// One committed entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Where it stands.
    pub log_id: LogId,
    /// What it holds.
    pub payload: Payload,
    /// How long it took to get here, where that is known.
    pub stages: Stages,
}

/// Content of a committed entry.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Nothing; a new leader writes one.
    Blank,
    /// A payload given to [`crate::Node::propose`].
    Normal(Bytes),
    /// A membership took effect.
    Membership {
        /// Opaque; to be stored and given back in [`Applied`].
        encoded: Bytes,
        /// The same, readable.
        members: Vec<Member>,
        /// Who was a member before and is not any more.
        removed: Vec<u64>,
    },
}

/// The replicated state.
pub trait StateMachine: Send + 'static {
    /// What is applied now; after a restart, what the last checkpoint holds.
    fn applied(&self) -> Applied;

    /// Applies entries in order. When it returns, effects are visible.
    ///
    /// # Errors
    /// Any error stops the member.
    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = Committed>,
    ) -> Result<(), StateMachineError>;

    /// Members that were in an applied membership and no longer are. Asked at the
    /// start and after an install; in between, memberships as they are applied tell.
    fn removed_members(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Whether applying this entry would hold the raft thread for long, judged by
    /// the state as it is now. Such an entry is applied alone, on a blocking
    /// thread, while heartbeats and the log go on. Asked for every entry, perhaps
    /// more than once, so it must be quick.
    fn is_long(&self, _entry: &Committed) -> bool {
        false
    }

    /// Makes the applied state durable; resolves with what is durable. Must
    /// never cover an entry above the durable index of the log. The log is
    /// purged up to the result (less what is kept for slow followers).
    fn checkpoint(&mut self) -> BoxFuture<'static, Result<Applied, StateMachineError>>;

    /// A point-in-time handle of the applied state, taken quickly; its chunks
    /// are read later, off the raft thread.
    ///
    /// # Errors
    /// Any error stops the member.
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, StateMachineError>;

    /// A place to spool a snapshot that is being received.
    ///
    /// # Errors
    /// The transfer is refused and tried again by the leader.
    fn receive(&mut self) -> Result<Box<dyn SnapshotSink>, StateMachineError>;

    /// Switches to a completely received snapshot in one atomic step; durable
    /// when it returns.
    ///
    /// # Errors
    /// Any error stops the member.
    fn install(
        &mut self,
        applied: Applied,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), StateMachineError>;
}

/// A snapshot on its way out.
pub trait SnapshotSource: Send {
    /// The state it represents.
    fn applied(&self) -> Applied;

    /// The same state from its beginning, to be read beside this one.
    fn again(&self) -> Box<dyn SnapshotSource>;

    /// The next piece; any size, `None` at the end. May block.
    ///
    /// # Errors
    /// The transfer is given up and tried again later.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError>;
}

/// A snapshot on its way in. Dropping it discards what was written.
pub trait SnapshotSink: Send {
    /// Takes the next piece, in order. May block.
    ///
    /// # Errors
    /// The transfer is refused and tried again by the leader.
    fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError>;

    /// Gives the concrete type back to [`StateMachine::install`].
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}
