//! What can go wrong in the harness itself.
//!
//! A test that meets one of these fails with its text, so each names what was
//! awaited or touched. Failures of the server under test are not errors here:
//! they are `tonic::Status` values that the suites judge.

use std::{io, path::PathBuf, time::Duration};

/// A failure of the harness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// `cargo build` of the binaries failed.
    #[error("building the binaries failed:\n{0}")]
    Build(String),
    /// A condition did not come true in time.
    #[error("waited {waited:?} for {what}; last seen: {seen}")]
    Timeout {
        /// The condition.
        what: String,
        /// The deadline that passed.
        waited: Duration,
        /// The last observation.
        seen: String,
    },
    /// A child ended although it was needed.
    #[error("{name} ended with {status}; log:\n{log}")]
    Ended {
        /// The member's name.
        name: String,
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A script, a trace or a message is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Malformed {
        /// The file at fault, or the call.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A call of the harness itself was refused.
    #[error("{what}: {code:?} {message}")]
    Refused {
        /// The call.
        what: String,
        /// The gRPC code.
        code: tonic::Code,
        /// The gRPC message.
        message: String,
    },
}

/// Result with the harness's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names what was attempted when an I/O call failed.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// A malformed input, found in `path`.
    pub fn malformed(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
