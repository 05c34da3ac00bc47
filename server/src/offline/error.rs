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
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] quoin_raft::Error),
}

impl OfflineError {
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
