//! Why a member could not start: everything that can be wrong before it runs.

use std::io;

use super::identity::IdentityError;
use crate::{agreement::QuarantineError, apply::SmallStateError, listener, mvcc};

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is not known who this member is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A listen address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] listener::BindError),
    /// A directory cannot be created.
    #[error("cannot create {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The log or Raft cannot be opened.
    #[error(transparent)]
    Raft(#[from] quoin_raft::Error),
    /// The backend cannot be opened.
    #[error(transparent)]
    Backend(#[from] crate::backend::Error),
    /// The store cannot be rebuilt.
    #[error(transparent)]
    Store(#[from] mvcc::Error),
    /// Leases, alarms or members cannot be rebuilt.
    #[error(transparent)]
    SmallState(#[from] SmallStateError),
    /// It is not known whether the member may serve.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The log was removed under a state that it had brought about: the votes
    /// given and the entries acknowledged in it are gone.
    #[error(
        "{path} is empty, but the backend beside it holds a state; put the log back, or remove \
         the whole data directory"
    )]
    LogMissing {
        /// The directory of the log.
        path: String,
    },
    /// The flags are those of another member than the data.
    #[error(
        "{path} is the data of member {owner}, but --name and --initial-advertise-peer-urls are \
         those of member {started}; give each member its own data directory"
    )]
    OthersData {
        /// The data directory.
        path: String,
        /// Whose it is.
        owner: String,
        /// Whom the flags describe.
        started: String,
    },
    /// `--force-new-cluster` cannot be done on this data.
    #[error(
        "--force-new-cluster: {reason}; `quoinctl recover --plan` says what the data directory \
         holds"
    )]
    NotForced {
        /// Why.
        reason: String,
    },
    /// The cluster has removed this member, as its own data says.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// A listener cannot be served.
    #[error("cannot serve {url}")]
    Serve {
        /// The listen URL.
        url: String,
        /// Why.
        source: io::Error,
    },
}
