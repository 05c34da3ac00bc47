//! What can stop a benchmark.
//!
//! Refused or lost requests of a running load are results: they are counted
//! and shown. An error here means that there is no result at all.

use std::io;

/// A benchmark that could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The processes under test could not be started or asked.
    #[error(transparent)]
    Harness(#[from] quoin_tests::Error),
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// No request of a load succeeded, or its clients could not start.
    #[error("{what}: {problem}")]
    Load {
        /// The load.
        what: String,
        /// The first failure seen.
        problem: String,
    },
    /// A flag makes no sense or names something that is not there.
    #[error("{0}")]
    Flags(String),
}

/// Result with the benchmark's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names what was attempted when an I/O call failed.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
