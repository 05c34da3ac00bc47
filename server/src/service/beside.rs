//! Work that takes long, beside the thread that serves its connection.
//!
//! A connection's streams share a task, and on few processors all connections
//! share a thread with Raft, so nothing there may run for long.

use tonic::Status;

use super::status;

/// Runs `work` here, or on a thread for blocking work if `is_long`.
///
/// # Errors
/// The work panicked, or the member is stopping.
///
/// # Cancel safety
/// Work that has begun goes on, for nobody.
pub(super) async fn read<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    if !is_long {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| status::internal(&error))
}
