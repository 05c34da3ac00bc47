//! Work that takes long, beside the thread that serves its connection.
//!
//! A connection's streams share a task, and on few processors all connections
//! share a thread with Raft, so nothing there may run for long or wait for a
//! disk.

use tokio::sync::Semaphore;
use tonic::Status;

use super::status;
use crate::mvcc::{ReadTransaction, Store};

/// What goes on beside, each kind in places of its own: more at once would take
/// processors from each other, and threads from those that wait for disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A walk over very many keys.
    Walk,
    /// A read of something that is not in memory.
    Disk,
    /// A hash of everything.
    Hash,
}

static WALKS: Semaphore = Semaphore::const_new(4);
static DISK_READS: Semaphore = Semaphore::const_new(16);
static HASHES: Semaphore = Semaphore::const_new(1);

/// Reads the newest state: here, unless it `is_long` or turns out to need the
/// disk, which is what `needs_disk` tells of a failure.
///
/// # Errors
/// The work panicked, or the member is stopping.
pub(super) async fn read<T, E>(
    store: &Store,
    is_long: bool,
    needs_disk: fn(&E) -> bool,
    work: impl Fn(&ReadTransaction) -> Result<T, E> + Send + 'static,
) -> Result<Result<T, E>, Status>
where
    T: Send + 'static,
    E: Send + 'static,
{
    let lane = if is_long {
        Lane::Walk
    } else {
        let result = work(&store.read().in_memory());
        if !result.as_ref().is_err_and(needs_disk) {
            return Ok(result);
        }
        Lane::Disk
    };
    let store = store.clone();
    // The view is made when the work begins: what waits holds nothing.
    // Boxed: what is rare must not make the future of every read larger.
    Box::pin(run(lane, move || work(&store.read()))).await
}

/// Runs `work` on a thread for blocking work, once its lane has a place.
///
/// # Errors
/// The work panicked, or the member is stopping.
///
/// # Cancel safety
/// Work that has begun goes on, for nobody, and keeps its place until its end.
pub(super) async fn run<T: Send + 'static>(
    lane: Lane,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let places = match lane {
        Lane::Walk => &WALKS,
        Lane::Disk => &DISK_READS,
        Lane::Hash => &HASHES,
    };
    let place = places.acquire().await;
    let place = place.map_err(|closed| status::internal(&closed))?;
    let work = move || {
        let _place = place;
        work()
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| status::internal(&error))
}
