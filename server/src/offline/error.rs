//! Why work on a data directory did not succeed.

use std::{io, path::PathBuf};

use crate::{backend, bootstrap::IdentityError};

/// Why work on a data directory did not succeed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// The flags that describe the new member do not fit together.
    #[error("{0}")]
    Flags(String),
    /// There is something where a new directory is to be made. Text: etcd 3.7.
    #[error(
        "{flag} \"{}\" not empty or could not be read; choose another one, or remove it if it is \
         of no use", path.display()
    )]
    NotEmpty {
        /// `data-dir` or `wal-dir`.
        flag: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// The same directory is being made by another process.
    #[error("{} is being made by another process; wait for it", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// There is no member's data.
    #[error("{} holds no data of a quoin member (no directory `member`)", path.display())]
    NoMember {
        /// The directory.
        path: PathBuf,
    },
    /// A member runs on the data.
    #[error(
        "{} is in use by a running member; stop it first: what is read must not change meanwhile",
        path.display()
    )]
    Running {
        /// The directory.
        path: PathBuf,
    },
    /// Identity and log are of different members.
    #[error(
        "{}: identity.json is of member {:x} of cluster {:x}, the log of member {:x} of cluster \
         {:x}; put together what belongs together", path.display(), of_file.1, of_file.0,
        of_log.1, of_log.0
    )]
    Mixed {
        /// The member directory.
        path: PathBuf,
        /// Cluster and member.
        of_file: (u64, u64),
        /// Cluster and member.
        of_log: (u64, u64),
    },
    /// The directories given do not belong together.
    #[error("{0}")]
    Sources(String),
    /// Something acknowledged may be missing, and nobody has accepted that.
    #[error("{argument}; --accept-missing-writes goes on all the same")]
    Unproven {
        /// Why it cannot be proven that nothing is missing.
        argument: String,
    },
    /// No directory has a state that can be read to its end.
    #[error("no directory can be used: {0}")]
    Unusable(String),
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The ids cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state cannot be read or written.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// What a state holds does not make sense.
    #[error("the state in {} cannot be rebuilt", path.display())]
    State {
        /// The backend's directory.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] quoin_raft::Error),
}

impl OfflineError {
    /// Says that the state in `path` cannot be rebuilt.
    pub(super) fn state<E>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = path.into();
        move |source| Self::State {
            path,
            source: source.into(),
        }
    }

    /// Wraps what the system said about `path`.
    pub(super) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
