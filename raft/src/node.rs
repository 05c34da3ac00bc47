//! Node: one member of the cluster, as the server sees it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::config::{Config, Member};
use crate::error::{
    Error, ForwardError, MembershipError, ProposeError, ReadIndexError, StopReason, TransferError,
};
use crate::log_store::LogStore;
use crate::metrics::Metrics;
use crate::state_machine::StateMachine;

/// Answers requests that only the leader may answer.
pub trait LeaderHandler: Send + Sync + 'static {
    /// Called on the raft thread of the leader: hand over, do not compute.
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// Who leads, as far as this member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader.
    pub leader: Option<u64>,
    /// The term this member is in.
    pub term: u64,
    /// True while this member leads.
    pub is_leader: bool,
}

/// A cheap view of the member. Indexes start at 1; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub member_id: u64,
    /// The leader.
    pub leader: Option<u64>,
    /// Current term.
    pub term: u64,
    /// Last entry in the local log.
    pub last_log_index: u64,
    /// Last entry known to be committed.
    pub committed_index: u64,
    /// Last entry applied.
    pub applied_index: u64,
    /// True while this member has no vote.
    pub is_learner: bool,
    /// False once the member has stopped.
    pub running: bool,
}

/// A change of the membership; see [`Node::change_membership`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Adds a member; as a learner when `is_learner`, else as a learner that
    /// is promoted in the background as soon as it has caught up.
    Add(Member),
    /// Gives a learner a vote; refused while it is far behind.
    Promote(u64),
    /// Removes a member.
    Remove(u64),
    /// Replaces name and addresses of a member.
    Update(Member),
}

/// One running member. Clones share it.
#[derive(Clone, Debug)]
pub struct Node {
    metrics: Arc<Metrics>,
}

impl Node {
    /// Starts the member on its own thread and listens for peers.
    ///
    /// # Errors
    /// The configuration, the log or the sockets cannot be used.
    pub async fn start(
        _config: Config,
        _log_store: LogStore,
        _state_machine: impl StateMachine,
        _listeners: Vec<TcpListener>,
        _handler: Arc<dyn LeaderHandler>,
    ) -> Result<Self, Error> {
        Err(Error::Config("not built yet".into()))
    }

    /// Appends one entry and waits until it is committed and applied by the
    /// leader. A follower forwards it. Waits while there is no leader: bound
    /// it by a timeout; dropping the future leaves the outcome open.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, _payload: Bytes) -> Result<(), ProposeError> {
        Err(ProposeError::Stopped)
    }

    /// The log index that must be applied locally before a linearizable read
    /// may be served. One quorum round serves all that wait. Waits while there
    /// is no leader.
    ///
    /// # Errors
    /// See [`ReadIndexError`].
    pub async fn read_index(&self) -> Result<u64, ReadIndexError> {
        Err(ReadIndexError::Stopped)
    }

    /// Runs the [`LeaderHandler`] of the leader, here or remotely.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn request_leader(&self, _payload: Bytes) -> Result<Bytes, ForwardError> {
        Err(ForwardError::Stopped)
    }

    /// Changes the membership; only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_membership(
        &self,
        _change: MembershipChange,
    ) -> Result<(), MembershipError> {
        Err(MembershipError::Stopped)
    }

    /// Moves leadership to `target`, or to the best voter.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(
        &self,
        _target: Option<u64>,
        _timeout: Duration,
    ) -> Result<(), TransferError> {
        Err(TransferError::Stopped)
    }

    /// The state of the member, from atomics.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Follows changes of the leader.
    pub fn watch_leader(&self) -> watch::Receiver<Leadership> {
        watch::channel(Leadership::default()).1
    }

    /// The members of the newest membership in the local log.
    pub fn membership(&self) -> Vec<Member> {
        Vec::new()
    }

    /// Resolves when the member has stopped; the process must exit.
    pub async fn stopped(&self) -> StopReason {
        StopReason::Shutdown
    }

    /// Stops the member and waits until its thread has ended.
    pub async fn shutdown(&self) {}

    /// The counters of this member.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
