//! openraft's log storage on the write-ahead log.

use crate::config::Config;
use crate::error::Error;

/// The log of one member.
#[derive(Debug)]
pub struct LogStore {
    is_new: bool,
}

impl LogStore {
    /// Opens or creates the log below `config.wal.directory`.
    ///
    /// # Errors
    /// The directory cannot be used, or what it holds is corrupt.
    pub fn open(_config: &Config) -> Result<Self, Error> {
        Err(Error::Config("not built yet".into()))
    }

    /// True when nothing was ever written to it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}
