//! The errors of the log. Refused, corrupt and I/O are never one variant.
//!
//! `Error` is `Clone` (the I/O source is shared) because one failure is told to
//! every completion that waits on it, and to every later call as the cause of
//! `Poisoned`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::LogIdentity;

/// Why an operation on the log did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage refused an operation.
    #[error("cannot {operation} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The storage's own error.
        source: Arc<io::Error>,
    },
    /// Bytes that were once synced are not what was written.
    #[error("log is corrupt: {} at offset {offset}: {what}", path.display())]
    Corruption {
        /// Damaged file.
        path: PathBuf,
        /// First damaged byte that could be told.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The directory holds the log of another member or cluster.
    #[error(
        "{} belongs to member {:x} of cluster {:x}, not to member {:x} of cluster {:x}",
        path.display(), found.member_id, found.cluster_id, expected.member_id, expected.cluster_id
    )]
    Identity {
        /// Segment that says so.
        path: PathBuf,
        /// Identity of the caller.
        expected: LogIdentity,
        /// Identity in the file.
        found: LogIdentity,
    },
    /// The segment was written in a format this build cannot read.
    #[error("{} has log format {found}, this build reads {supported}", path.display())]
    Version {
        /// Segment that says so.
        path: PathBuf,
        /// Format number in the file.
        found: u32,
        /// Format number of this build.
        supported: u32,
    },
    /// Another process has the directory open.
    #[error("log directory {} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A read outside of the log.
    #[error("entries {start}..{end} are not all in the log, which holds {first}..{next}")]
    OutOfRange {
        /// First index asked for.
        start: u64,
        /// One past the last index asked for.
        end: u64,
        /// First index held.
        first: u64,
        /// One past the last index held.
        next: u64,
    },
    /// A setting cannot work.
    #[error("log configuration: {what}")]
    Config {
        /// The rule that is broken.
        what: &'static str,
    },
    /// An earlier write or sync failed; only a restart recovers.
    #[error("log is stopped by an earlier failure: {cause}")]
    Poisoned {
        /// The failure that stopped it.
        cause: Arc<Self>,
    },
    /// A completion panicked on the writer thread.
    #[error("the log's writer thread ended by a panic")]
    WriterPanicked,
    /// The log was closed before the call.
    #[error("log is closed")]
    Closed,
}

impl Error {
    /// Wraps what the storage said about `path`.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.to_path_buf(),
            source: Arc::new(source),
        }
    }

    /// Damage in `path` at `offset`.
    pub(crate) fn corruption(path: &Path, offset: u64, what: &'static str) -> Self {
        Self::Corruption {
            path: path.to_path_buf(),
            offset,
            what,
        }
    }

    /// What later callers are told about this failure.
    pub(crate) fn poison(&self) -> Self {
        match self {
            Self::Poisoned { .. } | Self::Closed => self.clone(),
            other => Self::Poisoned {
                cause: Arc::new(other.clone()),
            },
        }
    }
}

/// What to do about a failure, for those where it is not obvious.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on this volume and start the member again, nothing acknowledged is lost"
        }
        _ => "",
    }
}
