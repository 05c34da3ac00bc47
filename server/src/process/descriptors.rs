//! File descriptors: as many as the system lets us have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Too few file descriptors to serve anybody.
#[derive(Debug, thiserror::Error)]
#[error(
    "file descriptor limit of {available} is too low, and should be set higher than {RESERVED}"
)]
pub struct DescriptorsError {
    /// What there is.
    available: u64,
}

/// Raises the soft limit to the hard one.
///
/// # Errors
/// Even that is too little.
pub fn raise_limit() -> Result<(), DescriptorsError> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Refused in some sandboxes; the limit then stays what it is.
    let _ = setrlimit(Resource::Nofile, raised);
    match getrlimit(Resource::Nofile).current {
        Some(available) if available <= RESERVED => Err(DescriptorsError { available }),
        _ => Ok(()),
    }
}

/// Needed for segments, blocks and peers before the first client.
const RESERVED: u64 = 150;
