//! Why the backend could not do something.
//!
//! Corrupt, refused, and failed input or output are never the same variant. An
//! error of the checkpoint thread is sticky: it is kept, handed to everyone who
//! asks afterwards, and the process is expected to stop (see `Backend::failed`).
//! Cloneable, because one failure answers many callers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Identity;

/// Failure of a backend operation.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation outside the engine failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// The engine failed.
    #[error("engine {engine} cannot {operation}")]
    Engine {
        /// Name of the engine.
        engine: &'static str,
        /// What was attempted.
        operation: &'static str,
        /// The engine's answer.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A read that must not wait for the disk would have to.
    #[error("not in memory")]
    NotInMemory,
    /// Stored bytes are not what was written.
    #[error("corrupt data in {}: table {table}, key {key}: {reason}", path.display())]
    Corrupt {
        /// The state directory or file.
        path: PathBuf,
        /// Which kind of row.
        table: &'static str,
        /// Which row.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory belongs to another member or cluster.
    #[error("{} belongs to {found:?}, not to {expected:?}", path.display())]
    WrongDirectory {
        /// The directory that was opened.
        path: PathBuf,
        /// Who we are.
        expected: Identity,
        /// Whose data it is.
        found: Identity,
    },
    /// The directory was made by another engine.
    #[error("{} was written by engine {found}, not {expected}", path.display())]
    WrongEngine {
        /// The directory that was opened.
        path: PathBuf,
        /// The engine asked for.
        expected: &'static str,
        /// The engine that wrote it.
        found: String,
    },
    /// The directory has a format this version does not read.
    #[error("{} has format version {found}; this version reads {supported}", path.display())]
    UnsupportedFormat {
        /// The directory or file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What we read.
        supported: u32,
    },
    /// A received snapshot was refused; the state is unchanged.
    #[error("snapshot refused at byte {offset}: {reason}")]
    SnapshotRefused {
        /// Where in the stream.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is too full to checkpoint safely.
    #[error(
        "{} has {available_bytes} bytes free, a checkpoint needs {needed_bytes}; {MAKE_ROOM}",
        path.display()
    )]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Free bytes.
        available_bytes: u64,
        /// Bytes wanted, with reserve.
        needed_bytes: u64,
    },
    /// The disk filled up while it was written to.
    #[error("the volume of {} is full; {MAKE_ROOM}", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// What failed for it.
        source: Arc<Self>,
    },
    /// The write-ahead log could not say that an entry is durable.
    #[error("log entry {log_index} is not durable")]
    NotDurable {
        /// The entry waited for.
        log_index: u64,
        /// The log's answer.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The backend was closed.
    #[error("backend is closed")]
    Closed,
}

impl Error {
    /// Wraps a failed file operation; for `map_err`.
    pub(super) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source: Arc::new(source),
        }
    }

    /// A failure of the checkpoint thread, for the one who has to act on it: one
    /// for want of space gets the directory and the way out.
    pub(super) fn explained(self, directory: &Path) -> Self {
        let kind = match &self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Engine { source, .. } => {
                let answer = source.downcast_ref::<std::io::Error>();
                answer.map(std::io::Error::kind)
            }
            _ => None,
        };
        if let Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) = kind {
            return Self::Full {
                path: directory.to_owned(),
                source: Arc::new(self),
            };
        }
        self
    }

    /// Wraps an engine failure; for `map_err`.
    pub(super) fn engine<E>(engine: &'static str, operation: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Engine {
            engine,
            operation,
            source: Arc::new(source),
        }
    }
}

/// The way out of a full disk.
const MAKE_ROOM: &str =
    "make room on this volume and start the member again, nothing acknowledged is lost";
